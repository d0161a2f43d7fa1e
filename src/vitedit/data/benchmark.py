"""The benchmark: groups of images on which a model fails in the same way (paper section 4; Table A).

An image that the base model gets right never enters: under `mad` its prediction differs from the label that
the stronger model supplies, under `errors` and in the styles from the true one.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from jaxtyping import Float32, Int64

from vitedit.data.images import ImageSet
from vitedit.errors import ConfigError

COLUMNS = [
    "subset",
    "group",
    "images",
    "file",
    "label",
    "predicted",
    "confidence",
    "confidence_stronger",
    "is_edit",
]


def disagreements(
    base: Float32[np.ndarray, "n C"], stronger: Float32[np.ndarray, "n C"], min_confidence: float
) -> pd.DataFrame:
    """Candidates of the MAD competition: both models are confident and their predictions differ.

    The stronger model's prediction becomes the label, so the images need none. Index: place of the image in
    the set; columns label, predicted, confidence, confidence_stronger, key (the pair of predictions, which
    names the group).

    Raises:
        ConfigError: No image qualifies.
    """
    confident = (base.max(axis=1) >= min_confidence) & (stronger.max(axis=1) >= min_confidence)
    differ = base.argmax(axis=1) != stronger.argmax(axis=1)
    if not (confident & differ).any():
        raise ConfigError(
            f"benchmark: no candidates. Of {len(base)} images the models disagree on {differ.sum()} and are "
            f"both confident on {confident.sum()}, never at once. Lower `benchmark.min_confidence` "
            f"({min_confidence:g}) or give more images."
        )
    table = _candidates(base, stronger.argmax(axis=1), np.flatnonzero(confident & differ))
    table["confidence_stronger"] = stronger.max(axis=1)[table.index].astype(float)
    return table.assign(key=pair_of(table))


def mistakes(
    base: Float32[np.ndarray, "n C"], labels: Int64[np.ndarray, " n"], same_prediction: bool, what: str
) -> pd.DataFrame:
    """Candidates among labelled images: those that the base model gets wrong; same form as `disagreements`.

    The group is the pair of true and predicted class with `same_prediction`, else the true class. `what`
    names the set in the error message.

    Raises:
        ConfigError: The model makes no mistake.
    """
    table = _candidates(base, labels, np.flatnonzero(base.argmax(axis=1) != labels))
    if table.empty:
        raise ConfigError(
            f"benchmark: the model gets all {len(base)} images of '{what}' right; give more or harder images."
        )
    return table.assign(
        confidence_stronger=np.nan, key=pair_of(table) if same_prediction else table["label"].astype(str)
    )


def published(
    base: Float32[np.ndarray, "n C"], labels: Int64[np.ndarray, " n"], files: Sequence[str], what: str
) -> pd.DataFrame:
    """Candidates of a benchmark that comes in group folders: as `mistakes`, with the folder as the group (published code)."""
    table = mistakes(base, labels, False, what)
    return table.assign(key=[files[int(place)].split("/", 1)[0] for place in table.index])


HELD_OUT = "tuning"
"""Subset of the groups on which hyper-parameters are chosen; no result is measured on it."""


def largest_groups(
    candidates: pd.DataFrame, groups: int, min_size: int, held_out: int = 0
) -> tuple[list[str], list[str]]:
    """Names of the groups that are kept, the largest first and ties by name, and of the next largest, which are held out.

    Raises:
        ConfigError: All groups are smaller than `min_size`.
    """
    sizes = candidates["key"].value_counts()
    ranked = sorted(sizes[sizes >= min_size].index, key=lambda name: (-sizes[name], name))
    if not ranked:
        raise ConfigError(
            f"benchmark: {len(candidates)} candidates in {len(sizes)} groups, the largest of {sizes.max()} "
            f"images, but `benchmark.min_size` is {min_size}. Lower it, give more images, or lower "
            "`benchmark.min_confidence` (with the rule `mad`)."
        )
    return ranked[:groups], ranked[groups : groups + held_out]


def manifest(
    subset: str,
    images: ImageSet,
    candidates: pd.DataFrame,
    kept: Sequence[str],
    max_images: int | None,
    max_edits: int | None,
) -> pd.DataFrame:
    """Rows of the kept groups, group by group, in file order within each; columns `COLUMNS`."""
    if not kept:
        return pd.DataFrame(columns=COLUMNS)
    parts = []
    for name in kept:
        rows = np.flatnonzero(candidates["key"] == name)
        places = candidates.index[rows[spaced(len(rows), max_images)]]
        edits = np.isin(np.arange(len(places)), spaced(len(places), max_edits))
        files = [images.files[place] for place in places]
        group = candidates.loc[places]
        parts.append(group.assign(subset=subset, group=name, images=images.name, file=files, is_edit=edits))
    return pd.concat(parts, ignore_index=True).reindex(columns=COLUMNS)


def spaced(length: int, count: int | None) -> Int64[np.ndarray, " k"]:
    """`count` evenly spaced places among `length`, starting with the first; all of them without a `count`."""
    chosen = length if count is None else min(count, length)
    return np.arange(chosen) * length // max(chosen, 1)


def _candidates(base: np.ndarray, labels: np.ndarray, chosen: np.ndarray) -> pd.DataFrame:
    columns = {
        "label": labels[chosen].astype(np.int64),
        "predicted": base.argmax(axis=1)[chosen],
        "confidence": base.max(axis=1)[chosen].astype(float),
    }
    return pd.DataFrame(columns, index=chosen)


def pair_of(table: pd.DataFrame) -> list[str]:
    """Names of groups by label and prediction."""
    return [
        f"{label}_{predicted}" for label, predicted in zip(table["label"], table["predicted"], strict=True)
    ]
