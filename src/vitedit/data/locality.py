"""The locality set: images a model only just gets right, which an edit must leave alone (paper section 4).

Benchmark images are misclassified and these are right, so under one labelling no image is in both.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from jaxtyping import Float32, Int64

from vitedit.data.images import ImageSet
from vitedit.errors import ConfigError

COLUMNS = ["images", "file", "label", "predicted", "gap", "held_out"]
ENOUGH = 20


@dataclass(frozen=True)
class Margins:
    """The images of one source that the model gets right: places in the set, and p1 - p2 of each."""

    images: ImageSet
    places: Int64[np.ndarray, " k"]
    gaps: Float32[np.ndarray, " k"]


def margins(
    images: ImageSet, probabilities: Float32[np.ndarray, "n C"], labels: Int64[np.ndarray, " n"]
) -> Margins:
    """Difference of the two highest probabilities for every image whose true label has the highest."""
    places = np.flatnonzero(probabilities.argmax(axis=1) == labels)
    highest = np.sort(probabilities[places], axis=1)
    return Margins(images, places, highest[:, -1] - highest[:, -2])


def near_boundary(sources: Sequence[Margins], gap: float, max_images: int | None) -> pd.DataFrame:
    """Right images with p1 - p2 < `gap`, the smallest difference first; then those up to twice the gap, held out for tuning.

    Raises:
        ConfigError: There are none; the message says how many each source has and which gap would give some.
    """
    table = pd.concat([_rows(source) for source in sources], ignore_index=True)
    near = table.loc[table["gap"] < gap].sort_values(by=["gap", "images", "file"], ignore_index=True)
    if near.empty:
        raise ConfigError(_too_few(sources, gap))
    next_band = table["gap"].between(gap, 2 * gap, inclusive="left")
    held_out = table.loc[next_band].sort_values(by=["gap", "images", "file"], ignore_index=True)
    parts = [near.assign(held_out=False), held_out.assign(held_out=True)]
    return pd.concat([part.head(max_images or len(part)) for part in parts], ignore_index=True)[COLUMNS]


def _rows(source: Margins) -> pd.DataFrame:
    labels = source.images.labels
    assert labels is not None  # margins were computed from them
    columns = {
        "images": source.images.name,
        "file": [source.images.files[place] for place in source.places],
        "label": labels[source.places],
        "predicted": labels[source.places],
        "gap": source.gaps.astype(float),
    }
    return pd.DataFrame(columns, columns=pd.Index(COLUMNS[:-1]))


def _too_few(sources: Sequence[Margins], gap: float) -> str:
    counts = "; ".join(f"{s.images.name}: {len(s.images)} images, {len(s.places)} right" for s in sources)
    ordered = np.sort(np.concatenate([source.gaps for source in sources]))[:ENOUGH]
    if not len(ordered):
        return (
            f"locality: the model gets no image right ({counts}). Check checkpoint, `transform` and labels."
        )
    wanted = math.floor(float(ordered[-1]) * 1000 + 1) / 1000  # above it: the rule is strict
    return (
        f"locality: no image has p1 - p2 below `locality.gap` ({gap:g}) ({counts}). "
        f"A gap of {wanted:.3f} would give {len(ordered)} images; raise it or add sources."
    )
