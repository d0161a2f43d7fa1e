"""Fig. 2: which layers to edit."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.gridspec import GridSpecFromSubplotSpec

from vitedit.figures.gallery import caption, frame, thumbnail
from vitedit.figures.labels import place, settle
from vitedit.figures.style import (
    BLACK,
    BLUE,
    ORANGE,
    STYLED,
    VERMILION,
    empty,
    errors,
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


_SIDE = 1.1  # inches of a picture
_PICTURES = (4, 2)  # rows and columns of the searched group's pictures
_LETTERS = 19  # below such a picture
_RING = 10  # pixels from the chosen window to the ring around it
_PANEL = (5.6, 4.7)


@STYLED
def fig2_layers(layers: pd.DataFrame, gallery: pd.DataFrame) -> Figure:
    """Left images of the searched group; right GR and LR of each window of consecutive FFNs or MSAs, the Pareto front and
    the choice; a line a backbone.

    Args:
        layers: Table `layers`.
        gallery: Table `gallery`.
    """
    backbones = list(dict.fromkeys(layers["backbone"])) or [""]
    size = (_PANEL[0] + _SIDE * _PICTURES[1], _PANEL[1] * len(backbones))
    figure = Figure(figsize=size, layout="constrained")
    outer = figure.add_gridspec(len(backbones), 2, width_ratios=(_SIDE * _PICTURES[1], _PANEL[0]))
    axes = [figure.add_subplot(outer[at, 1]) for at in range(len(backbones))]
    panels: list[tuple[Axes, pd.DataFrame]] = []
    for at, (axis, backbone) in enumerate(zip(axes, backbones, strict=True)):
        table = layers[layers["backbone"] == backbone].dropna(subset=["gr", "lr"])
        axis.set_title(panel_title(backbone, backbones, "Windows of consecutive blocks, fine-tuned"))
        if table.empty:
            empty(axis, "The configuration names the blocks:\nno search was run.")
            continue
        _draw(axis, table)
        panels.append((axis, table))
        _images(figure, outer[at, 0].subgridspec(*_PICTURES), searched_images(table, gallery))
    legend_below(figure, axes)
    settle(figure)
    for axis, table in panels:
        _label(axis, table)
    return figure


def searched_images(layers: pd.DataFrame, gallery: pd.DataFrame) -> pd.DataFrame:
    """Pictures of the groups that the layer search was run on: edit sample, then neighbours."""
    searched = layers[["backbone", "subset", "group"]].drop_duplicates()
    images = gallery[gallery["role"].isin(["edit", "neighbour"])]
    return images.merge(searched).groupby("backbone", sort=False).head(_PICTURES[0] * _PICTURES[1])


def _images(figure: Figure, places: GridSpecFromSubplotSpec, images: pd.DataFrame) -> None:
    """The first is the edit sample, in a blue frame; what each shows and is taken for stands below it."""
    for at, row in enumerate(images.to_dict("records")):
        axis = figure.add_subplot(places[at // _PICTURES[1], at % _PICTURES[1]])
        thumbnail(axis, row["png"])
        caption(
            axis, (row["label_name"], BLACK), (f"seen: {row['predicted_name']}", VERMILION), letters=_LETTERS
        )
        if at == 0:
            title = axis.set_title("blue frame: edit sample", fontsize=9)
            title.set_in_layout(False)  # it may reach over the next picture
            frame(axis)


def _draw(axis: Axes, table: pd.DataFrame) -> None:
    for part, (_, text, colour, marker) in _PARTS.items():
        windows = table[table["part"] == part]
        bars = {
            "xerr": errors(windows, "lr"),
            "yerr": errors(windows, "gr"),
            "elinewidth": 0.8,
            "ecolor": _pale(colour),
        }
        axis.errorbar(
            percent(windows["lr"]),
            percent(windows["gr"]),
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
    ring = _around(axis, points[table["chosen"].to_numpy(bool)])
    place(axis, points[full], names[full], points[~full], fontsize=9.5, fontweight="bold", color=BLACK)
    for part, (word, *_) in _PARTS.items():
        here = ~full & (table["part"] == part).to_numpy(bool)
        short = [name.removeprefix(word).strip() for name in names[here]]
        obstacles = np.vstack([points[~here], ring])
        place(axis, points[here], short, obstacles, fontsize=8, color=_TEXT[part])


def _around(axis: Axes, points: np.ndarray) -> np.ndarray:
    """Points on the rings around some points, for labels to keep off."""
    angles = np.arange(8) * np.pi / 4
    shifts = _RING * np.column_stack([np.cos(angles), np.sin(angles)])
    pixels = axis.transData.transform(points.reshape(-1, 2))[:, None] + shifts
    return axis.transData.inverted().transform(pixels.reshape(-1, 2))


def _pale(colour: str) -> tuple[str, float]:
    return colour, 0.35
