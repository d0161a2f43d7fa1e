"""Thumbnails of the benchmark as a table, so that figures need no image sets."""

import io
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image, ImageOps

from vitedit.data.images import ImageSet
from vitedit.errors import ImageError

SIDE = 112
STYLE_GROUPS = 24  # of each style; of the natural groups all
NEIGHBOURS = 5
TYPICAL = 3
TYPICAL_GROUPS = 6  # natural groups beside which typical images of the two classes are shown
LOCALITY = 8

COLUMNS = ["subset", "group", "role", "images", "file", "label_name", "predicted_name", "png"]

SHOWN_COLUMNS = [
    *(
        "method",
        "setting",
        "subset",
        "group",
        "role",
        "images",
        "file",
        "label_name",
        "before_name",
        "after_name",
    ),
    *("right_before", "right_after", "neighbours", "neighbours_right", "locality", "locality_flipped", "png"),
]
"""Columns of `shown_edits` behind the backbone (docs/glossary.md)."""

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
    """Columns subset, group, role ("edit", "neighbour", "pretraining", "locality"), images, file, label_name, predicted_name,
    png.

    `typical` names the set of pre-training images that show what the two classes of a group usually look like (paper
    Fig. 3). The first edit sample of a group is its "edit" picture.
    """
    near = (
        row | {"subset": "", "group": ""}
        for row in _rows(locality.iloc[:LOCALITY], "locality", sets, name_of)
    )
    return pd.DataFrame([*_group_rows(benchmark, sets, typical, name_of), *near], columns=COLUMNS)


def shown_edits(rows: pd.DataFrame, sets: Mapping[str, ImageSet], name_of: Names) -> pd.DataFrame:
    """What the stage `show_edits` wrote, with names of classes, whether they are right, and thumbnails: `SHOWN_COLUMNS`.

    Names of classes need not be unique, so right is what has the label's index.
    """
    sources = rows[["images", "file"]].drop_duplicates().itertuples(index=False, name=None)
    drawn = {(images, file): thumbnail(_picture(sets[images], file)) for images, file in sources}
    made = rows.assign(
        right_before=rows["before"] == rows["label"],
        right_after=rows["after"] == rows["label"],
        png=[drawn[key] for key in zip(rows["images"], rows["file"], strict=True)],
        **{f"{kind}_name": [name_of(int(at)) for at in rows[kind]] for kind in ("label", "before", "after")},
    )
    return made[SHOWN_COLUMNS]


def _group_rows(
    benchmark: pd.DataFrame, sets: Mapping[str, ImageSet], typical: str, name_of: Names
) -> Iterator[Row]:
    erring = set(benchmark.loc[benchmark["images"] == typical, "file"])
    for subset, part in benchmark.groupby("subset", sort=False):
        kept = None if subset == "natural" else STYLE_GROUPS
        for at, group in enumerate(part["group"].unique()[:kept]):
            place, images = {"subset": subset, "group": group}, part[part["group"] == group]
            yield from (place | row for row in _group(images, sets, name_of))
            if subset == "natural" and at < TYPICAL_GROUPS:
                yield from (place | row for row in _typical(sets[typical], _classes(images), name_of, erring))


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
        source = {"images": row["images"], "file": str(row["file"])}
        yield {
            "role": role,
            **source,
            **names,
            "png": thumbnail(_picture(sets[row["images"]], source["file"])),
        }


def _typical(
    images: ImageSet, classes: Sequence[int], name_of: Names, erring: Collection[str]
) -> Iterator[Row]:
    """The first few pre-training pictures of each class that are in no group; none where the set has no labels."""
    labels = images.labels if images.labels is not None else np.empty(0, np.int64)
    for label in classes:
        kept = [index for index in np.flatnonzero(labels == label) if images.files[index] not in erring]
        for index in kept[:TYPICAL]:
            source = {"images": images.name, "file": images.files[index]}
            names = {"label_name": name_of(label), "predicted_name": ""}
            yield {"role": "pretraining", **source, **names, "png": thumbnail(images.picture(int(index)))}


def _picture(images: ImageSet, file: str) -> Image.Image:
    """Picture of a manifest's row.

    Raises:
        ImageError: The set does not hold the file any more.
    """
    try:
        return images.picture(images.places[file])
    except KeyError:
        raise ImageError(
            f"{file}: not in the image set '{images.name}', though the benchmark was built from it. Rerun build_benchmark."
        ) from None
