"""Fig. 5a: learned against random masks of the same sparsity."""

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from vitedit.figures.curves import number
from vitedit.figures.style import STYLED, empty, grid, methods, panel_title, percent, percent_axis

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
        axis.set_title(panel_title(backbone, backbones, {"gr": "Neighbours corrected", "lr": "Others left alone"}[rate]))
        if not (rows["knob"] == KNOB).any():
            empty(axis, "No method in this run has a sparsity.")
            continue
        _panel(axis, rows, rate, look)
    handles = {label: handle for axis in axes for handle, label in zip(*axis.get_legend_handles_labels())}
    figure.legend(handles.values(), handles.keys(), loc="outside lower center", ncols=min(4, max(len(handles), 1)))
    return figure


def _panel(axis: Axes, rows: pd.DataFrame, rate: str, look: dict[str, tuple[str, str, str]]) -> None:
    for method in dict.fromkeys(rows["method"]):
        text, colour, marker = look[method]
        points = rows[(rows["method"] == method) & rows[rate].notna()].sort_values("value")
        levels = points["value"].isna()
        _band(axis, points[~levels], rate, text, colour, marker)
        for level in points[levels].to_dict("records"):
            axis.axhline(100 * level[rate], color=colour, ls="--", lw=1.4, label=f"{text}, no mask")
            if pd.notna(level[f"{rate}_low"]):
                axis.axhspan(100 * level[f"{rate}_low"], 100 * level[f"{rate}_high"], color=colour, alpha=0.08, lw=0)
    _axes(axis, rows[rows["knob"] == KNOB])
    axis.set_ylabel(_RATES[rate])
    percent_axis(axis.yaxis)


def _band(axis: Axes, points: pd.DataFrame, rate: str, text: str, colour: str, marker: str) -> None:
    if points.empty:
        return
    axis.plot(points["value"], percent(points[rate]), marker=marker, color=colour, label=text, ms=6, mec="white", mew=0.6)
    axis.fill_between(points["value"], percent(points[f"{rate}_low"]), percent(points[f"{rate}_high"]), color=colour, alpha=0.16, lw=0)


def _axes(axis: Axes, rows: pd.DataFrame) -> None:
    """Sparsity below, the share of the backbone's weights that the edit changed above."""
    share = rows.groupby("value")["fraction"].mean()
    ticks = _apart(list(share.index))
    axis.set_xticks(ticks, [number(value) for value in ticks])
    axis.set_xlabel("Sparsity of the mask (share of entries that stay frozen)")
    above = axis.secondary_xaxis("top")
    above.set_xticks(ticks, [f"{100 * share[value]:.3g}" for value in ticks])
    above.set_xlabel("Weights changed (% of the backbone)", fontsize=8.5)
    above.tick_params(labelsize=8.5)
    above.spines["top"].set_visible(False)


def _apart(values: list[float], gap: float = 0.07) -> list[float]:
    """Values to write on the axis: the largest, and every further one that is far enough from the last written."""
    kept: list[float] = []
    least = gap * (max(values) - min(values))
    for value in sorted(values, reverse=True):
        if not kept or kept[-1] - value >= least:
            kept.append(value)
    return kept[::-1]
