"""Fig. 6a: two images of each of three groups and the overlap of their masks."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from vitedit.figures.gallery import thumbnail
from vitedit.figures.style import STYLED, group_title, notice, panel_title

_GROUPS, _EACH = 3, 2
_SIDE = 0.72  # inches of a cell


@STYLED
def fig6a_examples(masks: pd.DataFrame, gallery: pd.DataFrame) -> Figure:
    """Pairwise IoU of the masks of six images, which stand above and beside it; a panel a backbone.

    Args:
        masks: Table `masks`.
        gallery: Table `gallery`.
    """
    shown = [
        (str(backbone), examples(pairs, gallery[gallery["backbone"] == backbone]))
        for backbone, pairs in masks.groupby("backbone", sort=False)
    ]
    shown = [(backbone, images) for backbone, images in shown if len(images)]
    if not shown:
        return notice("This run has no two masks of images that are shown here.")
    cells = [len(images) + 1 for _, images in shown]
    figure = Figure(figsize=(_SIDE * (max(cells) + 2.2), (_SIDE + 0.08) * sum(cells)), layout="constrained")
    parts = np.atleast_1d(np.asarray(figure.subfigures(len(shown), 1, height_ratios=cells), object))
    for part, (backbone, images) in zip(parts, shown, strict=True):
        if len(shown) > 1:
            part.suptitle(panel_title(backbone, [name for name, _ in shown]), fontsize=9.5, x=0.01, ha="left")
        axes = part.subplots(len(images) + 1, len(images) + 1)
        _matrix(axes, images, overlaps(masks[masks["backbone"] == backbone], images))
    return figure


def examples(pairs: pd.DataFrame, gallery: pd.DataFrame) -> pd.DataFrame:
    """The first two images of the first three groups whose masks were compared and whose pictures are kept."""
    compared = pd.concat(
        [pairs[[f"group_{side}", f"file_{side}"]].set_axis(["group", "file"], axis=1) for side in "ab"]
    )
    images = gallery[gallery["role"].isin(["edit", "neighbour"])].merge(compared.drop_duplicates())
    titles = {group: _title(part) for group, part in images.groupby("group")}
    images["title"] = images["group"].map(titles)
    images = images.groupby("group", sort=False).head(_EACH)
    whole = images.groupby("group")["file"].transform("size") == _EACH
    kept = list(dict.fromkeys(images.loc[whole, "group"]))[:_GROUPS]
    return images[images["group"].isin(kept)].reset_index(drop=True)


def _title(images: pd.DataFrame) -> str:
    """A group in words; what it is taken for only where that is one class."""
    seen = images["predicted_name"].unique()
    return group_title(str(images["label_name"].iloc[0]), seen[0] if len(seen) == 1 else "")


def overlaps(pairs: pd.DataFrame, images: pd.DataFrame) -> np.ndarray:
    """IoU (n, n) of the masks of n images, 1 on the diagonal."""
    known = {
        frozenset(((row["group_a"], row["file_a"]), (row["group_b"], row["file_b"]))): row["iou"]
        for row in pairs.to_dict("records")
    }
    keys = list(zip(images["group"], images["file"], strict=True))
    return np.array([[1.0 if a == b else known.get(frozenset((a, b)), np.nan) for b in keys] for a in keys])


def examples_table(masks: pd.DataFrame, gallery: pd.DataFrame) -> pd.DataFrame:
    """What the figure shows: columns backbone, group_a, file_a, group_b, file_b, iou; a row a pair."""
    rows = []
    for backbone, pairs in masks.groupby("backbone", sort=False):
        images = examples(pairs, gallery[gallery["backbone"] == backbone])
        iou = overlaps(pairs, images)
        named = images[["group", "file"]].to_numpy().tolist()
        for first, second in zip(*np.triu_indices(len(images), 1), strict=True):
            rows.append([backbone, *named[first], *named[second], iou[first, second]])
    return pd.DataFrame(rows, columns=["backbone", "group_a", "file_a", "group_b", "file_b", "iou"])


def _matrix(axes: np.ndarray, images: pd.DataFrame, iou: np.ndarray) -> None:
    """Pictures on top and on the left, between them the overlaps, the darker the more."""
    thumbnail(axes[0, 0], None)
    for at, row in enumerate(images.to_dict("records")):
        thumbnail(axes[0, at + 1], row["png"])
        thumbnail(axes[at + 1, 0], row["png"])
        if at % _EACH == 0:
            axes[at + 1, 0].set_ylabel(
                row["title"].replace(" → ", "\n→ "), fontsize=8, rotation=0, ha="right", va="top"
            )
        for other in range(len(images)):
            _cell(axes[at + 1, other + 1], float(iou[at, other]), at == other)


def _cell(axis: Axes, value: float, own: bool) -> None:
    thumbnail(axis, None)
    axis.patch.set_visible(True)
    axis.set_facecolor("#EEEEEE" if own or np.isnan(value) else (0.0, 0.447, 0.698, 0.1 + 0.8 * value))
    axis.set_box_aspect(1)
    text = "" if own or np.isnan(value) else f"{value:.2f}"
    axis.text(
        0.5,
        0.5,
        text,
        ha="center",
        va="center",
        fontsize=9.5,
        transform=axis.transAxes,
        color="white" if value > 0.6 else "#222222",
    )
