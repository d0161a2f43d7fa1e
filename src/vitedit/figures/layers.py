"""Fig. 2: which layers to edit."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from vitedit.figures.labels import place, settle
from vitedit.figures.style import (
    BLACK,
    BLUE,
    ORANGE,
    STYLED,
    empty,
    errors,
    grid,
    legend_below,
    panel_title,
    percent,
    percent_axis,
)

_PARTS = {
    "mlp": ("FFN", "feed-forward networks (FFN)", BLUE, "o"),
    "attn": ("MSA", "self-attentions (MSA)", ORANGE, "s"),
}
_TEXT = {"mlp": "#00507D", "attn": "#8A5E00"}  # dark enough to read


@STYLED
def fig2_layers(layers: pd.DataFrame) -> Figure:
    """GR and LR of each run of consecutive FFNs or MSAs, the Pareto front and the choice; a panel a backbone.

    Args:
        layers: Table `layers`.
    """
    backbones = list(dict.fromkeys(layers["backbone"])) or [""]
    figure, axes = grid(len(backbones), 2, *((6.6, 5.2) if len(backbones) == 1 else (4.8, 4.4)))
    panels: list[tuple[Axes, pd.DataFrame]] = []
    for axis, backbone in zip(axes, backbones, strict=True):
        table = layers[layers["backbone"] == backbone].dropna(subset=["gr", "lr"])
        axis.set_title(panel_title(backbone, backbones, "Runs of consecutive blocks, fine-tuned"))
        if table.empty:
            empty(axis, "The configuration names the blocks:\nno search was run.")
            continue
        _draw(axis, table)
        panels.append((axis, table))
    legend_below(figure, axes)
    settle(figure)
    for axis, table in panels:
        _label(axis, table)
    return figure


def _draw(axis: Axes, table: pd.DataFrame) -> None:
    for part, (_, text, colour, marker) in _PARTS.items():
        runs = table[table["part"] == part]
        bars = {
            "xerr": errors(runs, "lr"),
            "yerr": errors(runs, "gr"),
            "elinewidth": 0.8,
            "ecolor": _pale(colour),
        }
        axis.errorbar(
            percent(runs["lr"]),
            percent(runs["gr"]),
            fmt=marker,
            color=colour,
            label=text,
            markersize=7,
            **bars,
        )
    front = table[table["on_front"]].sort_values("lr")
    axis.plot(
        percent(front["lr"]),
        percent(front["gr"]),
        drawstyle="steps-pre",
        color=BLACK,
        lw=1,
        ls="--",
        label="Pareto front",
        zorder=1,
    )
    chosen = table[table["chosen"]]
    ring = {"facecolors": "none", "edgecolors": BLACK, "linewidths": 1.6, "s": 190, "zorder": 5}
    axis.scatter(percent(chosen["lr"]), percent(chosen["gr"]), label="chosen for editing", **ring)
    axis.set_xlabel("Locality rate LR (%)")
    axis.set_ylabel("Generalization rate GR (%)")
    percent_axis(axis.xaxis)
    percent_axis(axis.yaxis)
    axis.margins(0.1)


def _label(axis: Axes, table: pd.DataFrame) -> None:
    """Full names on the front and for the choice, which come first and get the best places; only numbers elsewhere."""
    points = np.column_stack([percent(table["lr"]), percent(table["gr"])])
    full = (table["on_front"] | table["chosen"]).to_numpy(bool)
    names = table["name"].str.replace("-", "–").to_numpy()
    place(axis, points[full], names[full], points[~full], fontsize=9.5, fontweight="bold", color=BLACK)
    for part, (word, *_) in _PARTS.items():
        here = ~full & (table["part"] == part).to_numpy(bool)
        short = [name.removeprefix(word).strip() for name in names[here]]
        place(axis, points[here], short, points[~here], fontsize=8, color=_TEXT[part])


def _pale(colour: str) -> tuple[str, float]:
    return colour, 0.35
