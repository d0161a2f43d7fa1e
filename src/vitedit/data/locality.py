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


def near_boundary(
    sources: Sequence[Margins], gap: float, max_images: int | None, min_images: int = 1
) -> pd.DataFrame:
    """Right images with p1 - p2 < `gap`, the smallest difference first.

    Raises:
        ConfigError: Fewer than `min_images`; the message says how many each source has and which gap would give enough.
    """
    near = _band(sources, 0.0, gap, max_images)
    if len(near) < min_images:
        raise ConfigError(_too_few(sources, gap, len(near), min_images))
    return near.assign(held_out=False)


def next_band(sources: Sequence[Margins], gap: float, max_images: int | None) -> pd.DataFrame:
    """Right images with a difference from `gap` to twice that: no result is measured on them, so methods are tuned there."""
    return _band(sources, gap, 2 * gap, max_images).assign(held_out=True)


def published(images: ImageSet, probabilities: Float32[np.ndarray, "n C"]) -> pd.DataFrame:
    """A locality set that comes as it is: every image, with the unedited model's prediction in place of a label."""
    places = np.arange(len(images))
    predicted = probabilities.argmax(axis=1)
    highest = np.sort(probabilities, axis=1)
    return _table(images, places, predicted, highest[:, -1] - highest[:, -2]).assign(held_out=False)


def _band(sources: Sequence[Margins], low: float, high: float, max_images: int | None) -> pd.DataFrame:
    """Rows with a difference in [low, high), sorted by it."""
    table = pd.concat([_rows(source) for source in sources], ignore_index=True)
    inside = table.loc[table["gap"].between(low, high, inclusive="left")]
    ordered = inside.sort_values(by=["gap", "images", "file"], ignore_index=True)
    return ordered.head(max_images or len(ordered))


def _rows(source: Margins) -> pd.DataFrame:
    labels = source.images.labels
    assert labels is not None  # margins were computed from them
    return _table(source.images, source.places, labels[source.places], source.gaps)


def _table(images: ImageSet, places: np.ndarray, labels: np.ndarray, gaps: np.ndarray) -> pd.DataFrame:
    columns = {
        "images": images.name,
        "file": [images.files[place] for place in places],
        "label": labels.astype(np.int64),
        "predicted": labels.astype(np.int64),
        "gap": gaps.astype(float),
    }
    return pd.DataFrame(columns, columns=pd.Index(COLUMNS[:-1]))


def _too_few(sources: Sequence[Margins], gap: float, found: int, needed: int) -> str:
    counts = "; ".join(f"{s.images.name}: {len(s.images)} images, {len(s.places)} right" for s in sources)
    ordered = np.sort(np.concatenate([source.gaps for source in sources]))[: max(needed, ENOUGH)]
    if not len(ordered):
        return (
            f"locality: the model gets no image right ({counts}). Check checkpoint, `transform` and labels."
        )
    short = (
        f"locality: {found or 'no'} image{'s have' if found > 1 else ' has'} p1 - p2 below `locality.gap` ({gap:g}), "
        f"{needed} are needed (`locality.min_images`) ({counts}). "
    )
    if len(ordered) < needed:
        return f"{short}No gap gives enough, since the model gets only {len(ordered)} right: add sources, or ask for fewer."
    wanted = math.floor(float(ordered[-1]) * 1000 + 1) / 1000  # above it: the rule is strict
    return f"{short}A gap of {wanted:.3f} would give {len(ordered)} images; raise it, add sources, or ask for fewer."
