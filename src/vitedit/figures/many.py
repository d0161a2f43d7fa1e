"""Figs. L to N: edits one after another, one edit from many failures, and which edits undo which (not in the paper)."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from vitedit.figures.style import (
    PROPOSED,
    STYLED,
    Look,
    empty,
    grid,
    legend_below,
    methods,
    notice,
    panel_title,
    percent,
    percent_axis,
)

ABSENT = "Not computed in this run (`snakemake many_edits` makes them)."
RELEASED = "Released results, not computed by this run."
FIRST = "first order"
RELATIONS = {
    "same": "the same mistake",
    "class": "the same class,\nanother mistake",
    "opposite": "the opposite\nmistake",
    "away": "away from its\nclass",
    "towards": "into what it\nwas taken for",
    "other": "none of these\nclasses",
}
"""Relation of a later edit to an earlier one, in words."""
_SEQUENCE = {
    "success": "Right after its own edit (%)",
    "retention": "Retention: still right (%)",
    "gr": "Generalization rate GR (%)",
    "lr": "Locality rate LR (%)",
    "kept": "Other right answers kept (%)",
}
_COMBINED = {"success": "Failures made right (%)"} | {name: _SEQUENCE[name] for name in ("gr", "lr")}
_WAYS = {
    "joint": "one edit from all",
    "union": "the same, masks united",
    "merge": "one edit each, added up",
}


@STYLED
def figL_sequences(many_edits: pd.DataFrame) -> Figure:
    """Rates of a model that is edited again and again, over the number of edits so far; a line a method.

    Args:
        many_edits: Table `many_edits`.
    """
    table = sequences(many_edits)
    if table.empty:
        return notice(ABSENT)
    figure, axes = grid(len(_SEQUENCE), 3, 3.2, 2.9)
    look = methods(many_edits["method"])
    for axis, (rate, label) in zip(axes, _SEQUENCE.items(), strict=True):
        for method in dict.fromkeys(table["method"]):
            _line(axis, table[table["method"] == method], rate, look[method])
        _counts(axis, table["count"], "Edits so far", label)
    return _finish(figure, axes, table)


@STYLED
def figM_combined(many_edits: pd.DataFrame) -> Figure:
    """Rates of one edit over the number of failures that it is made from; a column a way of making it, a line a method.

    Args:
        many_edits: Table `many_edits`.
    """
    table = combined(many_edits)
    if table.empty:
        return notice(ABSENT)
    ways = [way for way in _WAYS if way in set(table["way"])]
    figure, axes = grid(len(_COMBINED) * len(ways), len(ways), 9.6 / len(ways), 2.7)
    look = methods(many_edits["method"])
    for at, axis in enumerate(axes):
        rate, way = list(_COMBINED)[at // len(ways)], ways[at % len(ways)]
        part = table[table["way"] == way]
        for method in dict.fromkeys(part["method"]):
            _line(axis, part[part["method"] == method], rate, look[method])
        _counts(axis, table["count"], "Failures in the edit", _COMBINED[rate])
        axis.set_ylim(-3, 103)
        if at < len(ways):
            axis.set_title(_WAYS[way][0].upper() + _WAYS[way][1:])
    return _finish(figure, axes, table)


@STYLED
def figN_conflicts(many_edits: pd.DataFrame, conflicts: pd.DataFrame) -> Figure:
    """Retention in several orders of the same edits, and the share of earlier edits that one later edit undoes.

    Args:
        many_edits: Table `many_edits`.
        conflicts: Table `conflicts`.
    """
    table = orders(many_edits)
    if table.empty:
        return notice(ABSENT)
    shown = list(dict.fromkeys(table["method"]))
    figure, (left, right) = grid(2, 2, 4.9, 1.6 + 0.27 * len(shown))
    _orders(left, table, shown, methods(many_edits["method"]))
    _heat(right, conflicts, shown)
    return _finish(figure, [left], table)


def sequences(many_edits: pd.DataFrame) -> pd.DataFrame:
    """What Fig. L shows: the long sequence."""
    return many_edits[(many_edits["experiment"] == "sequence") & (many_edits["way"] == FIRST)]


def combined(many_edits: pd.DataFrame) -> pd.DataFrame:
    """What Fig. M shows."""
    return many_edits[many_edits["experiment"] == "combined"]


def orders(many_edits: pd.DataFrame) -> pd.DataFrame:
    """What Fig. N shows of orders: all at the greatest number of edits that every order has, if there are several."""
    table = many_edits[many_edits["experiment"] == "sequence"]
    ways = table.groupby("count")["way"].nunique()
    common = ways.index[(ways == table["way"].nunique()) & (ways > 1)]
    return table[table["count"] == common.max()] if len(common) else table.iloc[:0]


def _line(axis: Axes, points: pd.DataFrame, rate: str, look: Look) -> None:
    """A method over a number of edits; of the proposed one also the range from the least to the greatest of several."""
    points = points.dropna(subset=[rate]).sort_values("count")
    look.plot(axis, points["count"], percent(points[rate]))
    if PROPOSED not in set(points["method"]):
        return
    low, high = (percent(points[f"{rate}_{end}"]) for end in ("low", "high"))
    axis.fill_between(points["count"], low, high, color=look.colour, alpha=0.08, lw=0)


def _counts(axis: Axes, counts: pd.Series, across: str, up: str) -> None:
    """A logarithmic axis of numbers of edits, with a tick for each."""
    ticks = sorted(set(counts))
    axis.set_xscale("log")
    axis.set_xticks(ticks, [f"{tick:,}" for tick in ticks])
    axis.minorticks_off()
    axis.set_xlabel(across)
    axis.set_ylabel(up)
    percent_axis(axis.yaxis)
    axis.set_ylim(-3, 103)


def _orders(axis: Axes, table: pd.DataFrame, shown: list[str], look: dict[str, Look]) -> None:
    """A row a method: retention in each order; a ring where the edits go group by group."""
    for row, method in enumerate(shown):
        own = table[table["method"] == method]
        values, grouped = percent(own["retention"]), (own["way"] == "group by group").to_numpy(bool)
        axis.plot([values.min(), values.max()], [row, row], color=look[method].colour, alpha=0.3, lw=5)
        for mask, hollow, label in ((~grouped, False, "at random"), (grouped, True, "group by group")):
            style = look[method]._replace(hollow=hollow, marker="o", size=6, words=label, colour="#444444")
            style.plot(axis, values[mask], np.full(mask.sum(), row), ls="none")
    axis.set_yticks(range(len(shown)), [look[method].words for method in shown])
    for text, method in zip(axis.get_yticklabels(), shown, strict=True):
        text.set_fontweight("bold" if method == PROPOSED else "normal")
    axis.set_ylim(len(shown) - 0.4, -0.6)
    axis.set_xlabel(f"Retention after {int(table['count'].iloc[0])} edits (%), by their order")
    percent_axis(axis.xaxis)
    axis.set_title(panel_title("", [], "The same edits in other orders"))


def _heat(axis: Axes, conflicts: pd.DataFrame, shown: list[str]) -> None:
    """Methods by relations, the share undone written in each cell."""
    share = conflicts.pivot_table(index="method", columns="relation", values="share", dropna=False)
    share = share.reindex(index=shown, columns=list(RELATIONS))
    if share.isna().to_numpy().all():
        empty(axis, "No earlier edits to undo.")
        return
    values = percent(share.to_numpy())
    axis.imshow(np.sqrt(np.nan_to_num(values)), cmap="Reds", vmin=0, vmax=12, aspect="auto")
    for (row, column), value in np.ndenumerate(values):
        text = "–" if np.isnan(value) else f"{value:.1f}" if value < 9.95 else f"{value:.0f}"
        axis.text(
            column,
            row,
            text,
            ha="center",
            va="center",
            fontsize=8,
            color="white" if value > 50 else "#222222",
        )
    axis.set_xticks(range(len(RELATIONS)), list(RELATIONS.values()), fontsize=7, rotation=45, ha="right")
    axis.set_yticks(range(len(shown)), [])
    axis.grid(visible=False)
    axis.set_title("Earlier edits undone by one later edit (%)")
    axis.set_xlabel("What the later edit teaches")


def _finish(figure: Figure, axes: list[Axes], table: pd.DataFrame) -> Figure:
    """Legend, and where the rows come from."""
    legend_below(figure, axes)
    if table["released"].astype(bool).any():
        figure.supxlabel(f"* {RELEASED}", fontsize=9, color="#666666")
    return figure
