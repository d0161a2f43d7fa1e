"""The overview: the proposed method against plain fine-tuning and against random masks."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from vitedit.figures.curves import number
from vitedit.figures.style import (
    BLACK,
    PROPOSED,
    REFERENCES,
    STYLED,
    Look,
    empty,
    grid,
    methods,
    panel_title,
)

_METRICS = {"gr": "Gain in generalization", "lr": "Gain in locality"}


@STYLED
def fig0_summary(
    differences: pd.DataFrame,
    proposed: str = PROPOSED,
    references: Sequence[str] = REFERENCES,
    subset: str = "all",
) -> Figure:
    """Paired differences of GR and LR between the proposed method and its references, with intervals over groups.

    Args:
        differences: Table `differences`.
        proposed: Method whose gain is shown.
        references: Methods that it is compared with.
        subset: Subset shown; "all" is the mean over all groups.
    """
    table = gains(differences, proposed, references, subset)
    backbones = list(dict.fromkeys(table["backbone"])) or [""]
    most = table[["reference", "value"]].drop_duplicates().shape[0]
    figure, axes = grid(2 * len(backbones), 2, 4.7, 1.2 + 0.27 * max(most, 4))
    look = methods([*differences["method"], *differences["reference"]])
    for at, axis in enumerate(axes):
        metric = list(_METRICS)[at % 2]
        rows = table[(table["backbone"] == backbones[at // 2]) & (table["metric"] == metric)]
        axis.set_title(panel_title(backbones[at // 2], backbones, _METRICS[metric]))
        if rows.empty:
            empty(axis, "No method to compare with in this run.")
            continue
        _forest(axis, rows, look)
        axis.set_xlabel(f"Difference in {metric.upper()} (percentage points)")
        if at % 2:
            axis.set_yticklabels([])
    return figure


def gains(
    differences: pd.DataFrame,
    proposed: str = PROPOSED,
    references: Sequence[str] = REFERENCES,
    subset: str = "all",
) -> pd.DataFrame:
    """What the figure shows: the proposed method's differences from its references."""
    ours = (
        differences["method"].eq(proposed)
        & differences["reference"].isin(list(references))
        & differences["subset"].eq(subset)
    )
    return differences[ours]


def _forest(axis: Axes, rows: pd.DataFrame, look: dict[str, Look]) -> None:
    """A dot and an interval a comparison; dots of one reference stand together, in its colour."""
    named, at, places = [], 0.0, []
    for reference, part in rows.groupby("reference", sort=False):
        style = look[str(reference)]
        for row in part.sort_values("value").to_dict("records"):
            x, low, high = (100 * row[end] for end in ("difference", "low", "high"))
            axis.errorbar(
                x,
                at,
                xerr=np.nan_to_num([[x - low], [high - x]]),
                fmt="o",
                color=style.colour,
                ms=6,
                elinewidth=1.6,
            )
            places.append(at)
            named.append(
                f"{row['knob']} {number(row['value'])} against {style.words.split(' (')[0].lower()}"
                if row["knob"]
                else f"against {style.words}"
            )
            at -= 1
        at -= 0.6
    axis.axvline(0, color=BLACK, lw=1)
    axis.margins(x=0.12)
    axis.set_yticks(places, named, fontsize=8.5)
    axis.set_ylim(at + 1.1, 0.7)
    axis.grid(axis="y", visible=False)
