"""Fig. 1: the system, drawn from the configured model."""

from typing import Any
from zlib import crc32

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch, Rectangle

from vitedit.figures.style import BLACK, BLUE, ORANGE, STYLED, grid, notice, panel_title

_GREY, _PALE, _FRAME = "#555555", "#F1F3F5", "#9AA3AB"
_HALF = {"mlp": "FFN", "attn": "MSA"}
_CELLS = 26  # of a drawn mask
_SELECTED = 0.25  # share of them that is drawn as selected
_ROW = (1.75, 9.6)  # ends of the row of blocks
_STRIPS = (4.2, 7.6)  # ends of a mask
_TOP = 3.0  # of the masks


@STYLED
def fig1_system(system: pd.DataFrame) -> Figure:
    """What the hypernetwork reads, where it says to edit, and what is edited: a diagram a backbone.

    Args:
        system: Table `system`.
    """
    backbones = list(system["backbone"])
    if not backbones:
        return notice("No backbone in this run.")
    figure, axes = grid(len(backbones), 1, 7.6, 4.3)
    for axis, row in zip(axes, system.to_dict("records"), strict=True):
        model = (
            f"ViT of {row['blocks']} blocks, width {row['width']}, input {row['size']} × {row['size']} pixels"
        )
        axis.set_title(panel_title(row["backbone"], backbones, model))
        axis.set(xlim=(0, 11.8), ylim=(-0.1, 5.9))
        axis.set_axis_off()
        _model(axis, row)
        _hypernetwork(axis, row)
        _masks(axis, row)
    return figure


def _model(axis: Axes, row: dict[str, Any]) -> None:
    """The row of blocks between the image and the classes; the edited ones in colour."""
    edited, step = _edited(row), _step(row)
    _box(axis, (0.0, 4.4), (1.4, 0.9), f"edit sample\n{row['size']} × {row['size']}")
    for block in range(1, row["blocks"] + 1):
        place = (_ROW[0] + (block - 1) * step, 4.4)
        _box(axis, place, (0.82 * step, 0.9), str(block), ORANGE if block in edited else _PALE)
    _box(axis, (10.0, 4.4), (1.7, 0.9), f"{row['classes']:,} classes")
    _arrow(axis, (1.4, 4.85), (_ROW[0], 4.85))
    _arrow(axis, (_ROW[1] - 0.18 * step, 4.85), (10.0, 4.85))
    what = f"{_HALF[row['part']]} of blocks {_span(edited)}: {100 * row['share']:.3g} % of {_count(row['weights'])} weights"
    _note(axis, (_middle(row), 5.6), what, color="#8A5E00", ha="center")


def _hypernetwork(axis: Axes, row: dict[str, Any]) -> None:
    """Right: the CLS token goes in, with a learnt token a site; a score for every hidden unit comes out."""
    shape = f"{row['hypernet_blocks']} blocks, {row['hypernet_heads']} heads"
    text = f"hypernetwork\n{shape}, width {row['width']}\n{len(row['sites'].split())} learnt tokens"
    _box(axis, (8.5, 1.75), (3.2, 1.25), text, BLUE, "white")
    _arrow(axis, (_ROW[1] - 0.5 * _step(row), 4.4), (_ROW[1] - 0.5 * _step(row), _TOP))
    _note(axis, (_ROW[1] - 0.5 * _step(row) + 0.12, 3.7), "CLS token of the\nunedited model")
    _arrow(axis, (8.5, 2.4), (_STRIPS[1] + 0.12, 2.4))
    trained = f"trained on {row['iterations']:,} batches of {row['batch_size']}\npseudo-samples; a mask is searched\n"
    trained += f"in {row['search_steps']} steps of {row['inner_steps']} inner steps"
    _note(axis, (8.5, 1.55), trained, va="top")


def _masks(axis: Axes, row: dict[str, Any]) -> None:
    """Middle: a mask a site, and what it lets change. Which units are drawn as selected is chance, another for each backbone."""
    sites = row["sites"].split()
    height = min(0.34, 2.3 / len(sites))
    width = (_STRIPS[1] - _STRIPS[0]) / _CELLS
    chance = np.random.default_rng(crc32(row["backbone"].encode()))
    chosen = chance.random((len(sites), _CELLS)) < _SELECTED
    for at, (site, cells) in enumerate(zip(sites, chosen, strict=True)):
        low = _TOP - (at + 1) * height
        _, block, _, matrix, _ = site.split(".")
        _note(axis, (_STRIPS[0] - 0.12, low + 0.4 * height), f"block {int(block) + 1}, {matrix}", ha="right")
        for cell, on in enumerate(cells):
            place = (_STRIPS[0] + cell * width, low)
            look = {"facecolor": BLUE if on else "white", "edgecolor": _FRAME, "lw": 0.5}
            axis.add_patch(Rectangle(place, width, 0.8 * height, **look))
    start = float(np.clip(_middle(row), *_STRIPS))
    _arrow(axis, (start, _TOP + 0.06), (_middle(row), 4.4))
    _note(axis, (start - 0.15, 3.7), "masked fine-tuning\nof rows and columns", ha="right")
    below = f"masks over {row['units']:,} hidden units; blue: may change (drawn by chance)"
    known = f"\nsparsity: {row['sparsities'].replace(' ', ', ')}" if row["sparsities"] else ""
    _note(axis, (_STRIPS[1], _TOP - len(sites) * height - 0.15), below + known, va="top", ha="right")


def _edited(row: dict[str, Any]) -> list[int]:
    return [int(number) for number in row["edited"].split()]


def _step(row: dict[str, Any]) -> float:
    """Distance of two blocks."""
    return (_ROW[1] - _ROW[0]) / row["blocks"]


def _middle(row: dict[str, Any]) -> float:
    """Where the middle of the edited blocks is."""
    edited = _edited(row)
    return _ROW[0] + ((edited[0] + edited[-1]) / 2 - 0.59) * _step(row)


def _span(numbers: list[int]) -> str:
    """8–10, or 2, 5, 7 where they do not follow each other."""
    follow = numbers == list(range(numbers[0], numbers[-1] + 1))
    ends = dict.fromkeys((numbers[0], numbers[-1]))
    return "–".join(map(str, ends)) if follow else ", ".join(map(str, numbers))


def _count(weights: int) -> str:
    return f"{weights / 1e6:.3g} million"


def _box(
    axis: Axes,
    place: tuple[float, float],
    size: tuple[float, float],
    text: str,
    colour: str = _PALE,
    ink: str = BLACK,
) -> None:
    shape = "round,pad=0,rounding_size=0.07"
    axis.add_patch(FancyBboxPatch(place, *size, boxstyle=shape, facecolor=colour, edgecolor=_FRAME, lw=0.8))
    middle = (place[0] + size[0] / 2, place[1] + size[1] / 2)
    axis.text(*middle, text, ha="center", va="center", fontsize=9, color=ink)


def _arrow(axis: Axes, start: tuple[float, float], end: tuple[float, float]) -> None:
    look = {"arrowstyle": "-|>", "color": _GREY, "lw": 1.2, "shrinkA": 0, "shrinkB": 0}
    axis.annotate("", end, start, arrowprops=look)


def _note(axis: Axes, place: tuple[float, float], text: str, **changes: Any) -> None:
    axis.text(*place, text, **{"fontsize": 8.5, "color": _GREY, "va": "center", **changes})
