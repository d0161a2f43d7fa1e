"""Failures by the thousand: what a model gets wrong in labelled sets, as failures to edit, their neighbours, and other images."""

import numpy as np
import pandas as pd
from jaxtyping import Float32, Int64

from vitedit.data.benchmark import pair_of, spaced
from vitedit.errors import ConfigError

COLUMNS = ["images", "file", "label", "predicted", "group", "role"]
EDIT, NEIGHBOUR, OTHER = "edit", "neighbour", "other"
"""Roles: a failure that edits are made from, one that they are only measured on, an image that the model is right about."""


def sort_images(
    name: str,
    files: list[str],
    base: Float32[np.ndarray, "n C"],
    labels: Int64[np.ndarray, " n"],
    left_out: set[str],
) -> pd.DataFrame:
    """Images of one set as failures (role `edit`) and others; a group of failures shares true and predicted class.

    Args:
        name: Of the set.
        files: In the order of the set.
        base: The model's probabilities.
        labels: True classes.
        left_out: Files that serve for something else.
    """
    table = pd.DataFrame({"file": files, "label": labels, "predicted": base.argmax(axis=1)})
    wrong = table["label"] != table["predicted"]
    groups = np.where(wrong, pair_of(table), "")
    table = table.assign(images=name, group=groups, role=np.where(wrong, EDIT, OTHER))
    return table.loc[~table["file"].isin(left_out), COLUMNS]


def split_failures(images: pd.DataFrame, needed: int, others: int, rng: np.random.Generator) -> pd.DataFrame:
    """Every second failure of a group, drawn at random, becomes a neighbour of the rest; the rest are in random order.

    Args:
        images: Rows of `sort_images`, of all sets together.
        needed: Failures to edit, at least.
        others: Images kept that the model is right about, evenly spaced.
        rng: Draws.

    Raises:
        ConfigError: There are fewer failures than that.
    """
    wrong = images[images["role"] == EDIT]
    wrong = wrong.iloc[rng.permutation(len(wrong))]
    odd = wrong.groupby("group").cumcount() % 2 == 1
    edits = wrong[~odd]
    if len(edits) < needed:
        raise ConfigError(
            f"many_edits: {needed} failures are to be edited, but the model makes {len(wrong)} mistakes in "
            f"{', '.join(dict.fromkeys(images['images']))}, of which {len(edits)} are left to edit and the others are their "
            f"neighbours. End `many_edits.counts`, and `sizes` times `repeats`, at {len(edits)} or below, or give more images."
        )
    right = images[images["role"] == OTHER]
    kept = right.iloc[spaced(len(right), others)]
    return pd.concat([edits, wrong[odd].assign(role=NEIGHBOUR), kept], ignore_index=True)
