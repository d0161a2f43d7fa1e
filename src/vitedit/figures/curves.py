"""Figs. 4 and F and their companion: how methods trade generalization against locality, and what edits cost."""

import numpy as np
import pandas as pd
from matplotlib import patheffects
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator

from vitedit.figures.labels import place, settle
from vitedit.figures.style import (
    PROPOSED,
    STYLED,
    Look,
    grid,
    intervals,
    legend_below,
    methods,
    notice,
    panel_title,
    percent,
    percent_axis,
    words,
)

_FAINT, _PLAIN = 0.13, 0.33  # intervals of the others and of the labelled method
_PANELS = {
    "sr": ("Edit succeeds", "Success rate SR (%)"),
    "steps": ("Updates", "Mean updates of an edit"),
    "seconds": ("Time", "Seconds an edit (log scale)"),
}
_ALWAYS = 3  # so few methods all get their intervals and values in full


def number(value: float) -> str:
    """A knob's value as briefly as it goes: 0.95, 0.5, 0.001."""
    return f"{value:g}"


@STYLED
def fig4_curves(curves: pd.DataFrame) -> Figure:
    """GR against LR on the first backbone, a panel a subset and one over all groups (paper Fig. 4).

    Args:
        curves: Table `curves`.
    """
    backbones = list(dict.fromkeys(curves["backbone"]))
    return _trade_offs(curves, backbones[:1], "No edits in this run.")


@STYLED
def figF_curves(curves: pd.DataFrame) -> Figure:
    """The same on the other backbones (paper Fig. F).

    Args:
        curves: Table `curves`.
    """
    backbones = list(dict.fromkeys(curves["backbone"]))
    only = f"This run edits one backbone, {backbones[0]}." if backbones else "No edits in this run."
    return _trade_offs(curves, backbones[1:], only)


def main_curves(curves: pd.DataFrame) -> pd.DataFrame:
    """What Fig. 4 shows: the first backbone."""
    return curves[curves["backbone"].isin(curves["backbone"].iloc[:1])]


def other_curves(curves: pd.DataFrame) -> pd.DataFrame:
    """What Fig. F shows: the other backbones."""
    return curves[~curves["backbone"].isin(curves["backbone"].iloc[:1])]


def _trade_offs(curves: pd.DataFrame, shown: list[str], otherwise: str) -> Figure:
    """A panel a backbone and subset; a line a method, a point a setting."""
    subsets, backbones = list(dict.fromkeys(curves["subset"])), list(dict.fromkeys(curves["backbone"]))
    if len(subsets) == 2:  # the only subset is all groups
        subsets.remove("all")
    panels = [(backbone, subset) for backbone in shown for subset in subsets]
    if not panels:
        return notice(otherwise)
    figure, axes = grid(len(panels), 2, 4.1, 3.6)
    look = methods(curves["method"])
    tables = [curves[(curves["backbone"] == b) & (curves["subset"] == s)] for b, s in panels]
    for axis, (backbone, subset), table in zip(axes, panels, tables, strict=True):
        groups = int(table["groups"].max())
        text = f"{words(subset)} ({groups} group{'s' * (groups != 1)})"
        axis.set_title(panel_title(backbone, backbones, text))
        _panel(axis, table.dropna(subset=["gr", "lr"]), look)
    legend_below(figure, axes)
    settle(figure)
    for axis, table in zip(axes, tables, strict=True):
        _values(axis, table.dropna(subset=["gr", "lr"]), look)
    return figure


def _panel(axis: Axes, table: pd.DataFrame, look: dict[str, Look]) -> None:
    """Lines and intervals. Intervals of many methods are drawn faintly and may stick out of the panel."""
    shown = list(dict.fromkeys(table["method"]))
    plain = _plain(shown)
    for method in shown:
        points = table[table["method"] == method].sort_values("value")
        _line(axis, points, look[method], method == PROPOSED)
        if method in plain:
            intervals(axis, points, look[method], _PLAIN)
    axis.margins(0.07)
    axis.autoscale_view()
    axis.set_autoscale_on(False)
    for method in shown:
        if method not in plain:
            intervals(axis, table[table["method"] == method], look[method], _FAINT)
    axis.set_xlabel("Locality rate LR (%)")
    axis.set_ylabel("Generalization rate GR (%)")
    percent_axis(axis.xaxis)
    percent_axis(axis.yaxis)
    _better(axis)


def _plain(shown: list[str]) -> list[str]:
    """Methods whose intervals and values are written out: all of a few, else the proposed one."""
    return shown if len(shown) <= _ALWAYS else [method for method in shown if method == PROPOSED]


def _line(axis: Axes, points: pd.DataFrame, look: Look, halo: bool) -> None:
    """A method's settings in the order of their values; the proposed method stands off from what it crosses."""
    x, y = percent(points["lr"]), percent(points["gr"])
    if halo:
        axis.plot(x, y, color="white", lw=look.width + 2.2, zorder=look.layer)
    look.plot(axis, x, y)


def _better(axis: Axes) -> None:
    """Says which way is better."""
    axis.annotate(
        "better ↗",
        (1, 1),
        (-3, -3),
        xycoords="axes fraction",
        textcoords="offset points",
        ha="right",
        va="top",
        fontsize=8,
        color="#666666",
    )


def _values(axis: Axes, table: pd.DataFrame, look: dict[str, Look]) -> None:
    """The knob's least and greatest value beside their points, for the methods that are written out."""
    every = np.column_stack([percent(table["lr"]), percent(table["gr"])])
    halo = [patheffects.withStroke(linewidth=2.2, foreground="white")]
    for method in _plain(list(dict.fromkeys(table["method"]))):
        values = table["value"].where(table["method"] == method)
        here = ((values == values.min()) | (values == values.max())).to_numpy(bool)
        texts = [number(value) for value in table["value"][here]]
        place(
            axis,
            every[here],
            texts,
            every[~here],
            fontsize=7.5,
            color=look[method].colour,
            path_effects=halo,
            zorder=5,
        )


@STYLED
def fig4b_success(curves: pd.DataFrame) -> Figure:
    """Success rate, mean number of updates and mean time over all groups; a row a method, a point a setting.

    Args:
        curves: Table `curves`.
    """
    table = curves[curves["subset"] == "all"]
    backbones, shown = list(dict.fromkeys(table["backbone"])), list(dict.fromkeys(table["method"]))
    if not shown:
        return notice("No edits in this run.")
    figure, axes = grid(3 * len(backbones), 3, 3.15, 0.95 + 0.25 * max(len(shown), 3))
    look = methods(curves["method"])
    for at, axis in enumerate(axes):
        backbone, name = backbones[at // 3], list(_PANELS)[at % 3]
        title, label = _PANELS[name]
        axis.set_title(panel_title(backbone, backbones, title) if at % 3 == 0 else title)
        axis.set_xlabel(label)
        _ranges(axis, table[table["backbone"] == backbone], shown, look, name)
        if at % 3:
            axis.set_yticklabels([])
    return figure


def _ranges(axis: Axes, table: pd.DataFrame, shown: list[str], look: dict[str, Look], name: str) -> None:
    """One row a method: its settings as points on a bar from the least to the greatest."""
    scale = 100 if name == "sr" else 1
    for row, method in enumerate(shown):
        values = scale * table.loc[table["method"] == method, name].dropna().to_numpy(float)
        style = look[method]
        if len(values):
            ends = [values.min(), values.max()]
            axis.plot(ends, [row, row], color=style.colour, alpha=0.3, lw=5, solid_capstyle="round")
        rows = np.full(len(values), row)
        style.plot(axis, values, rows, ls="none", label=None, clip_on=False, zorder=3)
    _axis(axis, name)
    axis.set_yticks(range(len(shown)), [look[method].words for method in shown])
    for text, method in zip(axis.get_yticklabels(), shown, strict=True):
        text.set_fontweight("bold" if method == PROPOSED else "normal")
    axis.set_ylim(len(shown) - 0.4, -0.6)


def _axis(axis: Axes, name: str) -> None:
    """Shares to 100 %, counts from 0, times in powers of ten."""
    if name == "seconds":
        axis.set_xscale("log")
        axis.margins(x=0.08)
        axis.autoscale_view()
        low, high = axis.get_xlim()
        axis.xaxis.set_major_locator(LogLocator(10, subs=(1,) if high > 20 * low else (1, 2, 5)))
        axis.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axis.minorticks_off()
    elif name == "sr":
        axis.set_xlim(min(axis.get_xlim()[0], 96), 101)
    else:
        most = max(axis.get_xlim()[1], 1)
        axis.set_xlim(-0.03 * most, most)
    axis.grid(axis="x", color="#EEEEEE")
