"""Pictures of the benchmark (paper Figs. 3 and A-D) and its size (paper Tables A and B)."""

import io
import textwrap
from collections.abc import Sequence
from textwrap import TextWrapper

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator
from PIL import Image

from vitedit.figures.style import (
    BLACK,
    BLUE,
    ORANGE,
    STYLED,
    SUBSET_COLOURS,
    VERMILION,
    empty,
    grid,
    group_title,
    notice,
    panel_title,
    words,
)

Cell = dict[str, str | bytes]

_PANEL_GROUPS = 24  # of a subset, the largest
_ROWS = {"natural": 3}  # groups in the picture sheet
_STYLE_ROWS = 2
_TYPICAL_ROWS = 6
_PALE = 0.35
_COUNTED = {"classes": "Classes", "images": "Images", "edits": "Edit samples"}
_LETTERS = 25  # of a text below a picture


@STYLED
def fig0b_groups(gallery: pd.DataFrame) -> Figure:
    """For some groups the edit sample and images that fail in the same way; last the locality images.

    Args:
        gallery: Table `gallery`.
    """
    backbones = list(dict.fromkeys(gallery["backbone"]))
    rows: list[tuple[str, list[Cell | None]]] = []
    for backbone in backbones:
        table = gallery[gallery["backbone"] == backbone]
        for subset, pictures in table[table["role"].isin(["edit", "neighbour"])].groupby(
            "subset", sort=False
        ):
            title = panel_title(backbone, backbones, words(str(subset)))
            parts = [part for _, part in pictures.groupby("group", sort=False)]
            most = max(1, _ROWS.get(str(subset), _STYLE_ROWS) // len(backbones))
            rows += [(title, _cells(part)) for part in parts[:most]]
        near = _cells(table[table["role"] == "locality"])
        rows += [(panel_title(backbone, backbones, "must not change"), near[:6])] if near else []
    heads = ["edit sample", "neighbours: must be corrected too"]
    return _sheet(rows, heads, [0, 1])


@STYLED
def fig3_pretraining(gallery: pd.DataFrame) -> Figure:
    """Pre-training images of the two classes of a natural group beside the group's images (paper Fig. 3).

    Args:
        gallery: Table `gallery`.
    """
    shown = typical_pictures(gallery)
    backbones = list(dict.fromkeys(gallery["backbone"]))
    rows = [
        (panel_title(str(backbone), backbones), _typical_and_errors(part))
        for (backbone, _), part in shown.groupby(["backbone", "group"], sort=False)
    ]
    return _sheet(
        rows,
        ["pre-training: the true class", "pre-training: what it is taken for", "benchmark images"],
        [0, 2, 4],
    )


def typical_pictures(gallery: pd.DataFrame) -> pd.DataFrame:
    """What the figure shows: of the first natural groups two pictures of either class and three of the group."""
    most = max(1, _TYPICAL_ROWS // max(1, gallery["backbone"].nunique()))
    parts = []
    for _, table in gallery[gallery["subset"] == "natural"].groupby("backbone", sort=False):
        groups = [_first(part) for _, part in table.groupby("group", sort=False)]
        parts += [part for part in groups if len(part)][:most]
    return pd.concat(parts or [gallery.iloc[:0]])


def _first(part: pd.DataFrame) -> pd.DataFrame:
    """The pictures of a group that are shown; none where those of a class or of the group are missing."""
    before = part["role"] == "pretraining"
    typical, errors = part[before].groupby("label_name", sort=False).head(2), part[~before].head(3)
    whole = typical["label_name"].nunique() == 2 and len(errors)
    return pd.concat([typical, errors]) if whole else part.iloc[:0]


def _typical_and_errors(part: pd.DataFrame) -> list[Cell | None]:
    """A row: pictures of the true class, of the class it is taken for, and of the group."""
    before = part["role"] == "pretraining"
    classes = [_padded(_cells(images), 2) for _, images in part[before].groupby("label_name", sort=False)]
    return [*classes[0], *classes[1], *_padded(_cells(part[~before]), 3)]


def _cells(part: pd.DataFrame) -> list[Cell | None]:
    return [*part[["role", "label_name", "predicted_name", "png"]].to_dict("records")]


def _padded(cells: list[Cell | None], count: int) -> list[Cell | None]:
    return [*cells, *[None] * count][:count]


def _sheet(
    rows: Sequence[tuple[str, list[Cell | None]]], heads: Sequence[str], places: Sequence[int]
) -> Figure:
    """A sheet of thumbnails; `heads` stand above the columns `places`."""
    if not rows:
        figure, axes = grid(1, 1)
        empty(axes[0], "No pictures in this run.")
        return figure
    columns = max(len(cells) for _, cells in rows)
    figure = Figure(figsize=(1.45 * columns + 0.4, 1.8 * len(rows) + 0.4), layout="constrained")
    figure.get_layout_engine().set(w_pad=0.03, h_pad=0.05)  # type: ignore[union-attr]
    for at, (side, cells) in enumerate(rows):
        for column in range(columns):
            axis = figure.add_subplot(len(rows), columns, at * columns + column + 1)
            _picture(axis, cells[column] if column < len(cells) else None)
            if column == 0:
                axis.set_ylabel(side, fontsize=8.5)
            if at == 0 and column in places:
                axis.set_title(textwrap.fill(heads[places.index(column)], 36), fontsize=9.5, loc="left")
    return figure


def _picture(axis: Axes, cell: Cell | None) -> None:
    """A thumbnail with what it is and what it is taken for below."""
    thumbnail(axis, cell["png"] if cell else None)
    if cell is None:
        return
    true, taken = str(cell["label_name"]), str(cell["predicted_name"])
    seen = [(f"seen: {taken}", VERMILION)] if taken and taken != true else []
    caption(axis, (true, BLACK), *seen)


def thumbnail(axis: Axes, png: str | bytes | None) -> None:
    """A picture, its pixels shown as squares; an empty place without one."""
    axis.set(xticks=[], yticks=[])
    axis.grid(visible=False)
    for spine in axis.spines.values():
        spine.set_visible(False)
    if not isinstance(png, bytes):
        axis.patch.set_visible(False)
    else:
        with Image.open(io.BytesIO(png)) as image:
            axis.imshow(np.asarray(image.convert("RGB")), interpolation="nearest")


def frame(axis: Axes) -> None:
    """Marks a picture as the edit sample."""
    for spine in axis.spines.values():
        spine.set(visible=True, color=BLUE, linewidth=2)


def caption(axis: Axes, *lines: tuple[str, str], letters: int = _LETTERS) -> None:
    """Short texts below a picture, each with its colour and on two lines at most. They take room below, but none beside it."""
    wrap = TextWrapper(letters, max_lines=2, placeholder=" …").wrap
    broken = [(line, colour) for text, colour in lines for line in wrap(text)]
    for at, (short, colour) in enumerate(broken):
        look = {"fontsize": 7, "color": colour}
        if at == 0:  # the layout makes room for the height of a label, not for its width
            axis.set_xlabel(short + "\n" * (len(broken) - 1), labelpad=2, **look)
        else:
            spot = {"xycoords": "axes fraction", "textcoords": "offset points", "ha": "center", "va": "top"}
            axis.annotate(short, (0.5, 0), (0, -2 - 9.5 * at), **spot, **look).set_in_layout(False)


@STYLED
def tableA_groups(groups: pd.DataFrame) -> Figure:
    """Images a group, of them edit samples, a panel a subset (Tables A and B of the paper as bars).

    Args:
        groups: Table `groups`.
    """
    backbones, subsets = list(dict.fromkeys(groups["backbone"])), list(dict.fromkeys(groups["subset"]))
    panels = list(groups.groupby(["backbone", "subset"], sort=False))
    most = min(_PANEL_GROUPS, max((len(part) for _, part in panels), default=1))
    figure, axes = grid(max(len(panels), 1), 3, 3.6, 1.2 + 0.24 * most)
    if not panels:
        empty(axes[0], "No groups in this run.")
    for axis, ((backbone, subset), part) in zip(axes, panels, strict=False):
        colour = SUBSET_COLOURS[subsets.index(str(subset)) % len(SUBSET_COLOURS)]
        axis.set_title(
            panel_title(
                str(backbone),
                backbones,
                f"{words(str(subset))}: {len(part)} groups",
            )
        )
        _bars(axis, part.head(_PANEL_GROUPS).iloc[::-1], colour, most)
        axis.set_xlabel(f"Images in the group ({part['images'].sum():,} in all)")
    patches = [Patch(facecolor=("#444444", share)) for share in (_PALE, 1)]
    figure.legend(
        patches,
        ["images, all used as neighbours", "of them also edit samples"],
        loc="outside lower center",
        ncols=2,
    )
    return figure


def _bars(axis: Axes, part: pd.DataFrame, colour: str, most: int) -> None:
    """A bar a group; bars are as thick in a panel of few groups as in one of `most`."""
    places = np.arange(len(part))
    titles = [
        group_title(true, taken, 38)
        for true, taken in zip(part["label_name"], part["predicted_name"], strict=True)
    ]
    axis.barh(places, part["images"], color=(colour, _PALE), lw=0)
    axis.barh(places, part["edits"], color=colour, lw=0)
    for place, images in zip(places, part["images"], strict=True):
        axis.annotate(
            str(images), (images, place), (3, 0), textcoords="offset points", va="center", fontsize=8
        )
    axis.set_yticks(places, titles, fontsize=8)
    axis.set_ylim(len(part) - most - 0.6, len(part) - 0.4)
    axis.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    axis.margins(x=0.12)
    axis.grid(axis="y", visible=False)


@STYLED
def tableB_styles(groups: pd.DataFrame) -> Figure:
    """Classes, images and edit samples of each style (paper Table B), a row a style and backbone.

    Args:
        groups: Table `groups`.
    """
    table = styles_table(groups)
    if table.empty:
        return notice(
            "This run has no images in another style (benchmark.styles); the paper has two, made by AI."
        )
    figure, axes = grid(3, 3, 2.5, 1.0 + 0.3 * len(table))
    several = table["backbone"].nunique() > 1
    names = [
        f"{words(style)}, {backbone}" if several else words(style)
        for style, backbone in zip(table["style"], table["backbone"], strict=True)
    ]
    for axis, (column, text) in zip(axes, _COUNTED.items(), strict=True):
        places = np.arange(len(table))
        axis.barh(places, table[column], color=ORANGE, height=0.6, lw=0)
        for place, value in zip(places, table[column], strict=True):
            axis.annotate(
                f"{value:,}", (value, place), (3, 0), textcoords="offset points", va="center", fontsize=9
            )
        axis.set_yticks(places, names if column == "classes" else [""] * len(names), fontsize=9)
        axis.invert_yaxis()
        axis.set_title(text)
        axis.margins(x=0.25)
        axis.xaxis.set_major_locator(MaxNLocator(4, integer=True))
        axis.grid(axis="y", visible=False)
    return figure


def styles_table(groups: pd.DataFrame) -> pd.DataFrame:
    """Columns backbone, style, classes, images, edits; a row a style of a backbone."""
    styles = groups[groups["subset"] != "natural"].rename(columns={"subset": "style"})
    parts = styles.groupby(["backbone", "style"], sort=False)
    return parts.agg(
        classes=("label", "nunique"), images=("images", "sum"), edits=("edits", "sum")
    ).reset_index()
