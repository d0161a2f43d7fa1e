"""Fig. 4 and its companions: how methods trade generalization against locality."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from vitedit.figures.labels import place, settle
from vitedit.figures.style import (
    STYLED,
    empty,
    errors,
    grid,
    legend_below,
    methods,
    panel_title,
    percent,
    percent_axis,
    words,
)


def number(value: float) -> str:
    """A knob's value as briefly as it goes: 0.95, 0.5, 0.001."""
    return f"{value:g}"


@STYLED
def fig4_curves(curves: pd.DataFrame) -> Figure:
    """GR against LR, a panel a subset and one over all groups; a line a method, a point a setting (paper Fig. 4).

    Args:
        curves: Table `curves`.
    """
    backbones, subsets = list(dict.fromkeys(curves["backbone"])), list(dict.fromkeys(curves["subset"]))
    panels = [(backbone, subset) for backbone in backbones for subset in subsets]
    figure, axes = grid(max(len(panels), 1), 2, 4.7, 3.9)
    look = methods(curves["method"])
    if not panels:
        empty(axes[0], "No edits in this run.")
    for axis, (backbone, subset) in zip(axes, panels, strict=False):
        table = curves[(curves["backbone"] == backbone) & (curves["subset"] == subset)]
        groups = int(table["groups"].max())
        axis.set_title(
            panel_title(backbone, backbones, f"{words(subset)} ({groups} group{'s' * (groups != 1)})")
        )
        _lines(axis, table, look)
    legend_below(figure, axes)
    settle(figure)
    for axis, (backbone, subset) in zip(axes, panels, strict=False):
        _values(axis, curves[(curves["backbone"] == backbone) & (curves["subset"] == subset)], look)
    return figure


def _lines(axis: Axes, table: pd.DataFrame, look: dict[str, tuple[str, str, str]]) -> None:
    for method in dict.fromkeys(table["method"]):
        text, colour, marker = look[method]
        points = table[table["method"] == method].sort_values("value").dropna(subset=["gr", "lr"])
        bars = {
            "xerr": errors(points, "lr"),
            "yerr": errors(points, "gr"),
            "ecolor": (colour, 0.28),
            "elinewidth": 0.9,
        }
        size = 13 if marker == "*" else 6
        axis.errorbar(
            percent(points["lr"]),
            percent(points["gr"]),
            fmt=marker,
            ls="-",
            color=colour,
            label=text,
            ms=size,
            mec="white",
            mew=0.6,
            **bars,
        )
    axis.set_xlabel("Locality rate LR (%)")
    axis.set_ylabel("Generalization rate GR (%)")
    percent_axis(axis.xaxis)
    percent_axis(axis.yaxis)
    axis.margins(0.08)
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


def _values(axis: Axes, table: pd.DataFrame, look: dict[str, tuple[str, str, str]]) -> None:
    """The knob's value beside each point."""
    table = table.dropna(subset=["gr", "lr"])
    every = np.column_stack([percent(table["lr"]), percent(table["gr"])])
    for method in dict.fromkeys(table["method"]):
        here = ((table["method"] == method) & table["value"].notna()).to_numpy(bool)
        texts = [number(value) for value in table["value"][here]]
        place(axis, every[here], texts, every[~here], fontsize=7.5, color=look[method][1])


@STYLED
def fig4b_success(curves: pd.DataFrame) -> Figure:
    """Success rate and mean number of updates of every method and setting over all groups; a row of panels a backbone.

    Args:
        curves: Table `curves`.
    """
    table = curves[curves["subset"] == "all"]
    backbones = list(dict.fromkeys(table["backbone"])) or [""]
    settings = table.drop_duplicates(["method", "value"]).shape[0]
    figure, axes = grid(2 * len(backbones), 2, 4.7, 1.0 + 0.27 * max(settings, 3))
    look = methods(curves["method"])
    for at, backbone in enumerate(backbones):
        rows = table[table["backbone"] == backbone].iloc[::-1]
        left, right = axes[2 * at], axes[2 * at + 1]
        left.set_title(panel_title(backbone, backbones, "Edit succeeds"))
        right.set_title("Updates that it takes")
        if rows.empty:
            empty(left, "No edits in this run.")
            empty(right, "")
            continue
        _dots(left, rows, look, "sr")
        _dots(right, rows, look, "steps")
        left.set_xlabel("Success rate SR (%)")
        right.set_xlabel("Mean updates of an edit, failed ones included")
        right.set_yticklabels([])
    return figure


def _dots(axis: Axes, rows: pd.DataFrame, look: dict[str, tuple[str, str, str]], name: str) -> None:
    """A dot a setting, in the method's colour; a bar to the interval's ends for rates."""
    places = np.arange(len(rows))
    for at, row in zip(places, rows.to_dict("records"), strict=True):
        _, colour, marker = look[row["method"]]
        x, bar = row[name], None
        if name == "sr":
            x, bar = 100 * row["sr"], errors(pd.DataFrame([row]), "sr")
        axis.errorbar(
            x, at, xerr=bar, fmt=marker, color=colour, ecolor=(colour, 0.4), ms=10 if marker == "*" else 6
        )
    named = [
        look[row["method"]][0] + (f", {row['setting']}" if row["setting"] else "")
        for row in rows.to_dict("records")
    ]
    axis.set_yticks(places, [text.replace("=", " ") for text in named])
    axis.set_ylim(-0.7, len(rows) - 0.3)
    low, high = axis.get_xlim()
    axis.set_xlim(min(low, 100 - 4), 101) if name == "sr" else axis.set_xlim(0, max(high, 1))
    axis.grid(axis="x", visible=False)
