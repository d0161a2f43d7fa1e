"""Thumbnails of the benchmark as a table, so that figures need no image sets."""

import io
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image, ImageOps

from vitedit.data.images import ImageSet
from vitedit.errors import ImageError

SIDE = 112
GROUPS = {"natural": 6}
STYLE_GROUPS = 3
NEIGHBOURS = 5
TYPICAL = 3
LOCALITY = 8

COLUMNS = ["subset", "group", "role", "label_name", "predicted_name", "png"]

Row = dict[str, Any]
Names = Callable[[int], str]


def thumbnail(picture: Image.Image) -> bytes:
    """PNG of the picture's central square, as models see it, at most 112 pixels wide; nothing is enlarged."""
    side = min(SIDE, *picture.size)
    small = ImageOps.fit(picture.convert("RGB"), (side, side), Image.Resampling.LANCZOS)
    with io.BytesIO() as buffer:
        small.save(buffer, format="PNG", optimize=True)
        return buffer.getvalue()


def gallery(
    benchmark: pd.DataFrame,
    locality: pd.DataFrame,
    sets: Mapping[str, ImageSet],
    typical: str,
    name_of: Names,
) -> pd.DataFrame:
    """Columns subset, group, role ("edit", "neighbour", "pretraining", "locality"), label_name, predicted_name, png.

    `typical` names the set of pre-training images that show what the two classes of a group usually look like (paper
    Fig. 3). The first edit sample of a group is its "edit" picture.
    """
    near = (
        row | {"subset": "", "group": ""}
        for row in _rows(locality.iloc[:LOCALITY], "locality", sets, name_of)
    )
    return pd.DataFrame([*_group_rows(benchmark, sets, typical, name_of), *near], columns=COLUMNS)


def _group_rows(
    benchmark: pd.DataFrame, sets: Mapping[str, ImageSet], typical: str, name_of: Names
) -> Iterator[Row]:
    for subset, part in benchmark.groupby("subset", sort=False):
        for group in part["group"].unique()[: GROUPS.get(str(subset), STYLE_GROUPS)]:
            place = {"subset": subset, "group": group}
            yield from (place | row for row in _group(part[part["group"] == group], sets, name_of))
            if subset == "natural":
                yield from (
                    place | row
                    for row in _typical(sets[typical], _classes(part[part["group"] == group]), name_of)
                )


def _group(images: pd.DataFrame, sets: Mapping[str, ImageSet], name_of: Names) -> Iterator[Row]:
    """The first edit sample, then a few of the others."""
    first = images.index == images.index[int(images["is_edit"].to_numpy(bool).argmax())]
    yield from _rows(images[first], "edit", sets, name_of)
    yield from _rows(images[~first].iloc[:NEIGHBOURS], "neighbour", sets, name_of)


def _classes(images: pd.DataFrame) -> list[int]:
    """The true class of a group and the first that it is taken for."""
    return [int(images["label"].iloc[0]), int(images["predicted"].iloc[0])]


def _rows(images: pd.DataFrame, role: str, sets: Mapping[str, ImageSet], name_of: Names) -> Iterator[Row]:
    for row in images.to_dict("records"):
        names = {"label_name": name_of(int(row["label"])), "predicted_name": name_of(int(row["predicted"]))}
        yield {"role": role, **names, "png": thumbnail(_picture(sets[row["images"]], str(row["file"])))}


def _typical(images: ImageSet, classes: Sequence[int], name_of: Names) -> Iterator[Row]:
    """The first few pre-training pictures of each class; none where the set has no labels."""
    labels = images.labels if images.labels is not None else np.empty(0, np.int64)
    for label in classes:
        for index in np.flatnonzero(labels == label)[:TYPICAL]:
            names = {"label_name": name_of(label), "predicted_name": ""}
            yield {"role": "pretraining", **names, "png": thumbnail(images.picture(int(index)))}


def _picture(images: ImageSet, file: str) -> Image.Image:
    """Picture of a manifest's row.

    Raises:
        ImageError: The set does not hold the file any more.
    """
    try:
        return images.picture(images.files.index(file))
    except ValueError:
        raise ImageError(
            f"{file}: not in the image set '{images.name}', though the benchmark was built from it. Rerun build_benchmark."
        ) from None
