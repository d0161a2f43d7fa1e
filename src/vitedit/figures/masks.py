"""Fig. 5a: learned against random masks of the same sparsity."""

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from vitedit.figures.curves import number
from vitedit.figures.style import (
    STYLED,
    empty,
    grid,
    legend_below,
    methods,
    panel_title,
    percent,
    percent_axis,
)

KNOB = "sparsity"
_RATES = {"gr": "Generalization rate GR (%)", "lr": "Locality rate LR (%)"}


@STYLED
def fig5a_masks(curves: pd.DataFrame, subset: str = "all") -> Figure:
    """GR and LR over the sparsity of the mask; methods without a knob are level lines; a row of panels a backbone.

    Args:
        curves: Table `curves`.
        subset: Subset shown; "all" is the mean over all groups.
    """
    table = curves[(curves["subset"] == subset) & ((curves["knob"] == KNOB) | curves["value"].isna())]
    backbones = list(dict.fromkeys(table["backbone"])) or [""]
    figure, axes = grid(2 * len(backbones), 2, 4.7, 3.9)
    look = methods(curves["method"])
    for at, axis in enumerate(axes):
        backbone, rate = backbones[at // 2], list(_RATES)[at % 2]
        rows = table[table["backbone"] == backbone]
        axis.set_title(
            panel_title(backbone, backbones, {"gr": "Neighbours corrected", "lr": "Others left alone"}[rate])
        )
        if not (rows["knob"] == KNOB).any():
            empty(axis, "No method in this run has a sparsity.")
            continue
        _panel(axis, rows, rate, look)
    legend_below(figure, axes)
    return figure


def _place(table: pd.DataFrame) -> pd.Series:
    """Sparsities evenly spaced: 0, 1, 2, ... in ascending order, since most lie close to 1."""
    return table["value"].rank(method="dense") - 1


def _panel(axis: Axes, rows: pd.DataFrame, rate: str, look: dict[str, tuple[str, str, str]]) -> None:
    rows = rows.assign(place=_place(rows))
    for method in dict.fromkeys(rows["method"]):
        text, colour, marker = look[method]
        points = rows[(rows["method"] == method) & rows[rate].notna()].sort_values("value")
        levels = points["value"].isna()
        _band(axis, points[~levels], rate, text, colour, marker)
        for level in points[levels].to_dict("records"):
            axis.axhline(100 * level[rate], color=colour, ls="--", lw=1.4, label=f"{text}, no mask")
            if pd.notna(level[f"{rate}_low"]):
                axis.axhspan(
                    100 * level[f"{rate}_low"], 100 * level[f"{rate}_high"], color=colour, alpha=0.08, lw=0
                )
    _axes(axis, rows[rows["knob"] == KNOB])
    axis.set_ylabel(_RATES[rate])
    percent_axis(axis.yaxis)


def _band(axis: Axes, points: pd.DataFrame, rate: str, text: str, colour: str, marker: str) -> None:
    if points.empty:
        return
    axis.plot(
        points["place"],
        percent(points[rate]),
        marker=marker,
        color=colour,
        label=text,
        ms=6,
        mec="white",
        mew=0.6,
    )
    axis.fill_between(
        points["place"],
        percent(points[f"{rate}_low"]),
        percent(points[f"{rate}_high"]),
        color=colour,
        alpha=0.16,
        lw=0,
    )


def _axes(axis: Axes, rows: pd.DataFrame) -> None:
    """Sparsity below, the share of the backbone's weights that the edit changed above."""
    shares = rows.groupby("value")["fraction"].mean()
    axis.set_xticks(range(len(shares)), [number(float(value)) for value in shares.index])
    axis.set_xlabel("Sparsity of the mask (share of entries that stay frozen)")
    axis.margins(x=0.06)
    above = axis.secondary_xaxis("top")
    above.set_xticks(range(len(shares)), [_share(share) for share in shares])
    above.set_xlabel("Weights changed (% of the backbone)", fontsize=8.5)
    above.tick_params(labelsize=8.5, length=0)
    above.spines["top"].set_visible(False)


def _share(share: float) -> str:
    """A share in per cent with three digits at most, as the paper writes it: 12.4, 8.25, 0.83."""
    return f"{100 * share:.1f}" if share >= 0.1 else f"{100 * share:.2f}"
