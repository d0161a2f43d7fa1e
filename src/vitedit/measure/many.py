"""Many edits: what later edits do to earlier ones, and the tables of sequences and of combined edits."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Bool

SEQUENCE, COMBINED = "sequence", "combined"
"""Edits one after another on one model; one edit from many failures."""

RATES = ("success", "retention", "gr", "lr", "kept")
"""Shares in [0, 1]. `success`: in a sequence, samples that are right directly after their edit, of all edits so far; of a
combined edit, failures that it makes right. `retention`: of these, samples that are right now. `gr`: neighbours, images
of the same failures, that are right now. `lr`: locality. `kept`: other images, right before any edit, that are right now."""

RELATIONS = ("same", "class", "opposite", "away", "towards", "other")
"""What a later edit has to do with an earlier one of label y, made where the model predicted p. `same`: the same y and p.
`class`: the same y. `opposite`: label p where y was predicted. `away`: y was predicted, so it moves images out of y. `towards`:
label p, so it moves images into what the earlier one was taken for. `other`: none of these."""


UNDONE = [f"{what}_{name}" for what in ("held", "lost") for name in RELATIONS]
COLUMNS = [
    *("run", "backbone", "method", "setting", "knob", "value", "experiment", "way", "batch", "count"),
    *("file", "label", "predicted", "group", *RATES, "steps", "seconds", "status", *UNDONE, "seed"),
]
"""Columns of a row: an edit of a sequence, of which some are followed by a measurement, or an edit from many failures."""


def relations(later: Mapping[str, Any], earlier: pd.DataFrame) -> np.ndarray:
    """Relation of one later edit to each earlier one; both have `label` and `predicted`."""
    label, predicted = later["label"], later["predicted"]
    y, p = earlier["label"].to_numpy(), earlier["predicted"].to_numpy()
    cases = [
        (y == label) & (p == predicted),
        y == label,
        (p == label) & (y == predicted),
        y == predicted,
        p == label,
    ]
    return np.select(cases, RELATIONS[:-1], RELATIONS[-1])


def undone(
    later: Mapping[str, Any],
    earlier: pd.DataFrame,
    before: Bool[np.ndarray, " earlier"],
    after: Bool[np.ndarray, " earlier"],
) -> dict[str, int]:
    """How many earlier edits of each relation held before a later one (held_*), and how many of these it undid (lost_*)."""
    found = relations(later, earlier)
    held = {f"held_{name}": int((before & (found == name)).sum()) for name in RELATIONS}
    return held | {f"lost_{name}": int((before & ~after & (found == name)).sum()) for name in RELATIONS}


_KEY = ["backbone", "method", "setting", "experiment", "way", "count"]


def summary(rows: pd.DataFrame) -> pd.DataFrame:
    """A row a (method, experiment, way, count): means over the edits of a size, with the least and greatest of them.

    `way` is the order of a sequence, or how a combined edit was made. `edits` counts what the row is the mean of.
    """
    measured = rows.dropna(subset=["success"])
    parts = measured.groupby([*_KEY, "released"], sort=False)
    means = parts[list(RATES)].mean()
    ends = [
        parts[list(RATES)].agg(end).add_suffix(f"_{name}") for end, name in (("min", "low"), ("max", "high"))
    ]
    return means.join(ends).join(parts.size().rename("edits")).reset_index()


def conflicts(rows: pd.DataFrame) -> pd.DataFrame:
    """A row a (method, relation): earlier edits that held, over all orders, and how many a later edit of that relation undid."""
    watched = rows[rows["experiment"] == SEQUENCE].dropna(subset=UNDONE)
    sums = watched.groupby(["backbone", "method", "released"], sort=False)[UNDONE].sum().reset_index()
    parts = [
        sums[["backbone", "method", "released"]].assign(
            relation=name, held=sums[f"held_{name}"].astype(int), lost=sums[f"lost_{name}"].astype(int)
        )
        for name in RELATIONS
    ]
    table = pd.concat(parts, ignore_index=True)
    return table.assign(share=table["lost"] / table["held"].where(table["held"] > 0))
