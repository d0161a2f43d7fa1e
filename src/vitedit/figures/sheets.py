"""Figs. A to D: example images of every group, two groups a line."""

from collections.abc import Sequence
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from vitedit.figures.gallery import caption, frame, thumbnail
from vitedit.figures.style import STYLED, VERMILION, group_title, notice, panel_title, words

NATURAL = "natural"
_SHOWN = 4  # pictures a group
_SIDE = 0.95  # inches of one
_BLOCKS = 2  # groups a line
_LETTERS = 17  # below a picture
_ORDINALS = ("first", "second")
_PAPER = ("oil painting", "stage light")


@STYLED
def figA_natural(gallery: pd.DataFrame, groups: pd.DataFrame) -> Figure:
    """The first half of the natural groups.

    Args:
        gallery: Table `gallery`.
        groups: Table `groups`, for sizes.
    """
    return _sheet(halves(gallery)[0], groups, "No natural groups in this run.")


@STYLED
def figB_natural(gallery: pd.DataFrame, groups: pd.DataFrame) -> Figure:
    """The second half of the natural groups.

    Args:
        gallery: Table `gallery`.
        groups: Table `groups`, for sizes.
    """
    return _sheet(halves(gallery)[1], groups, "This run has one natural group or none.")


@STYLED
def figC_style(gallery: pd.DataFrame, groups: pd.DataFrame) -> Figure:
    """The groups of the first style; in the paper oil paintings.

    Args:
        gallery: Table `gallery`.
        groups: Table `groups`, for sizes.
    """
    return _style(gallery, groups, 0)


@STYLED
def figD_style(gallery: pd.DataFrame, groups: pd.DataFrame) -> Figure:
    """The groups of the second style; in the paper stage light.

    Args:
        gallery: Table `gallery`.
        groups: Table `groups`, for sizes.
    """
    return _style(gallery, groups, 1)


def halves(gallery: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Pictures of the first and of the second half of the natural groups."""
    table = _pictures(gallery, NATURAL)
    keys = table[["backbone", "group"]].apply(tuple, axis=1) if len(table) else pd.Series(dtype=object)
    order = list(dict.fromkeys(keys))
    first = keys.isin(order[: -(-len(order) // 2)])
    return table[first.to_numpy(bool)], table[~first.to_numpy(bool)]


def style_pictures(gallery: pd.DataFrame, at: int) -> pd.DataFrame:
    """Pictures of the style number `at`; none where there are fewer styles."""
    styles = [name for name in dict.fromkeys(gallery["subset"]) if name not in (NATURAL, "")]
    return _pictures(gallery, styles[at]) if at < len(styles) else gallery.iloc[:0]


def _style(gallery: pd.DataFrame, groups: pd.DataFrame, at: int) -> Figure:
    absent = (
        f"This run has no {_ORDINALS[at]} style of images (benchmark.styles).\n"
        f"In the paper it is {_PAPER[at]}."
    )
    return _sheet(style_pictures(gallery, at), groups, absent)


def _pictures(gallery: pd.DataFrame, subset: str) -> pd.DataFrame:
    """The first few pictures of every group of a subset."""
    table = gallery[(gallery["subset"] == subset) & gallery["role"].isin(["edit", "neighbour"])]
    return table.groupby(["backbone", "group"], sort=False).head(_SHOWN)


def _sheet(pictures: pd.DataFrame, groups: pd.DataFrame, otherwise: str) -> Figure:
    """Two groups a line; in front of each its edit sample in a blue frame."""
    parts = list(pictures.groupby(["backbone", "group"], sort=False))
    if not parts:
        return notice(otherwise)
    subset = str(pictures["subset"].iloc[0])
    lines, columns = -(-len(parts) // _BLOCKS), _SHOWN * _BLOCKS + _BLOCKS - 1
    size = (_SIDE * (columns - 0.6), (_SIDE + 0.25) * lines + 0.3)
    figure = Figure(figsize=size, layout="constrained")
    figure.get_layout_engine().set(w_pad=0.02, h_pad=0.1, wspace=0.01, hspace=0.01)  # type: ignore[union-attr]
    ratios = [0.4 if column % (_SHOWN + 1) == _SHOWN else 1 for column in range(columns)]
    places = figure.add_gridspec(lines, columns, width_ratios=ratios)
    backbones = list(dict.fromkeys(groups["backbone"]))
    for at, ((backbone, group), part) in enumerate(parts):
        left = (at % _BLOCKS) * (_SHOWN + 1)
        axes = [figure.add_subplot(places[at // _BLOCKS, left + column]) for column in range(_SHOWN)]
        known = groups[
            (groups["backbone"] == backbone) & (groups["subset"] == subset) & (groups["group"] == group)
        ]
        _title(axes[0], panel_title(str(backbone), backbones, _name(part, known)))
        _group(axes, part)
    legend = f"{words(subset).capitalize()}; blue frame: edit sample; orange: what an image is taken for, where that differs"
    figure.suptitle(legend, fontsize=9.5, x=0, ha="left")
    return figure


def _name(part: pd.DataFrame, known: pd.DataFrame) -> str:
    """True class, what it is taken for where that is one class, and the number of images."""
    seen = part["predicted_name"].unique()
    title = group_title(str(part["label_name"].iloc[0]), seen[0] if len(seen) == 1 else "", 34)
    return f"{title} ({known['images'].iloc[0]})" if len(known) else title


def _title(axis: Axes, text: str) -> None:
    """Above the first picture and to its right; no title of matplotlib's, to whose width the layout would give room."""
    look: dict[str, Any] = {"fontsize": 8, "fontweight": "bold", "va": "bottom"}
    title = axis.annotate(text, (0, 1), (0, 2), xycoords="axes fraction", textcoords="offset points", **look)
    title.set_in_layout(False)


def _group(axes: Sequence[Axes], part: pd.DataFrame) -> None:
    """Pictures in a line; what each is taken for below it where that differs within the group."""
    differ = part["predicted_name"].nunique() > 1
    cells = part.to_dict("records")
    for at, axis in enumerate(axes):
        cell = cells[at] if at < len(cells) else None
        thumbnail(axis, cell["png"] if cell else None)
        if cell is not None and differ:
            caption(axis, (cell["predicted_name"], VERMILION), letters=_LETTERS)
        if cell is not None and cell["role"] == "edit":
            frame(axis)
