"""Fig. 5a: learned masks against random ones, and other ways to choose the place, at the same sparsity."""

from collections.abc import Sequence

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from vitedit.figures.curves import number
from vitedit.figures.style import (
    PROPOSED,
    REFERENCES,
    STYLED,
    Look,
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
    table = at_sparsities(curves, subset)
    backbones = list(dict.fromkeys(table["backbone"])) or [""]
    figure, axes = grid(2 * len(backbones), 2, 4.1, 3.6)
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


def at_sparsities(curves: pd.DataFrame, subset: str = "all") -> pd.DataFrame:
    """What the figure shows: methods with a sparsity, and those without a knob."""
    return curves[(curves["subset"] == subset) & ((curves["knob"] == KNOB) | curves["value"].isna())]


def _place(table: pd.DataFrame) -> pd.Series:
    """Sparsities evenly spaced: 0, 1, 2, ... in ascending order, since most lie close to 1."""
    return table["value"].rank(method="dense") - 1


def _panel(axis: Axes, rows: pd.DataFrame, rate: str, look: dict[str, Look]) -> None:
    rows = rows.assign(place=_place(rows))
    for method in dict.fromkeys(rows["method"]):
        points = rows[(rows["method"] == method) & rows[rate].notna()].sort_values("value")
        levels = points["value"].isna()
        band = method in (PROPOSED, *REFERENCES)  # more than these would hide each other
        _curve(axis, points[~levels], rate, look[method], band)
        for level in points[levels].to_dict("records"):
            _level(axis, [100 * level[f"{rate}{end}"] for end in ("", "_low", "_high")], look[method])
    _axes(axis, rows[rows["knob"] == KNOB], look)
    axis.set_ylabel(_RATES[rate])
    percent_axis(axis.yaxis)


def _level(axis: Axes, ends: Sequence[float], look: Look) -> None:
    """A method without a knob as a level line with its interval."""
    rate, low, high = ends
    axis.axhline(rate, color=look.colour, ls="--", lw=1.4, label=f"{look.words}, no mask")
    if pd.notna(low):
        axis.axhspan(low, high, color=look.colour, alpha=0.08, lw=0)


def _curve(axis: Axes, points: pd.DataFrame, rate: str, look: Look, band: bool) -> None:
    if points.empty:
        return
    look.plot(axis, points["place"], percent(points[rate]))
    if band:
        low, high = (percent(points[f"{rate}_{end}"]) for end in ("low", "high"))
        axis.fill_between(points["place"], low, high, color=look.colour, alpha=0.16, lw=0)


def _axes(axis: Axes, rows: pd.DataFrame, look: dict[str, Look]) -> None:
    """Sparsity below; above, the share of the backbone's weights that edits with learned masks changed."""
    shown = list(dict.fromkeys(rows["method"]))
    chosen = PROPOSED if PROPOSED in shown else shown[0]
    shares = rows[rows["method"] == chosen].set_index("value")["fraction"].sort_index()
    values = sorted(rows["value"].unique())
    axis.set_xticks(range(len(values)), [number(value) for value in values])
    axis.set_xlabel("Sparsity of the mask (share of frozen entries)")
    axis.margins(x=0.06)
    above = axis.secondary_xaxis("top")
    above.set_xticks([values.index(value) for value in shares.index], [_share(share) for share in shares])
    above.set_xlabel(
        f"{look[chosen].words.split(' (')[0]}: weights changed (% of the backbone)", fontsize=8.5
    )
    above.tick_params(labelsize=8.5, length=0)
    above.spines["top"].set_visible(False)


def _share(share: float) -> str:
    """A share in per cent with three digits at most, as the paper writes it: 12.4, 8.25, 0.83."""
    return f"{100 * share:.1f}" if share >= 0.1 else f"{100 * share:.2f}"
