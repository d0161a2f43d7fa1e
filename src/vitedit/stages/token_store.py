"""Prefix tokens of a backbone's images, computed once and mapped into the memory of every job that needs them."""

import logging
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import pandas as pd
import torch

from vitedit.artifacts import load_table, save_table
from vitedit.config import Config
from vitedit.errors import ArtifactError
from vitedit.lineage import code, depends
from vitedit.measure.evaluate import Reference
from vitedit.model.sites import Point, half_block, point_of
from vitedit.stages.resume import same_work
from vitedit.tensors import load_tensors, save_tensors

T = TypeVar("T")
log = logging.getLogger(__name__)

IMAGE = ["images", "file"]
"""Columns that name an image."""


class Stored(NamedTuple):
    """Some images as they were stored."""

    point: Point
    """Where their tokens enter."""
    device: str
    """What computed them."""
    reference: Reference


@dataclass(frozen=True)
class TokenStore:
    """A table of images, and beside it for each half block that tokens enter a folder with a file for each set of images:
    `blocks.7.mlp/3.safetensors`.

    Files are mapped, not read: jobs on one machine share what of them lies in memory.
    """

    folder: Path
    images: pd.DataFrame
    """Columns `IMAGE`, and the number of the set, whose images follow each other."""
    made: Mapping[str, Any]
    """What it was made with."""

    @classmethod
    def open(cls, table: Path, made: Mapping[str, Any]) -> "TokenStore":
        """Of the table that `store_tokens` wrote.

        Raises:
            ArtifactError: It is missing, damaged or stale.
        """
        return cls(table.parent, _with_remedy(lambda: load_table(table, made), table.parent), made)

    def find(self, point: Point, rows: pd.DataFrame) -> Stored | None:
        """Images of a manifest's rows where they enter a half block, or else the last stored one before it; None unless one set
        has all of them.

        Raises:
            ArtifactError: The file is missing, damaged or stale.
        """
        asked = pd.MultiIndex.from_frame(rows[IMAGE])
        counts = self.images.loc[self._index.isin(asked), "set"].value_counts()
        whole = counts.index[counts == asked.nunique()]
        begin = max((stored for stored in self._points if stored <= point), default=None)
        if begin is None or not len(whole):
            log.info("%s: without these %d images for %s", self.folder, len(rows), half_block(point))
            return None
        number = min(whole, key=self._sizes.__getitem__)
        places = pd.MultiIndex.from_frame(self.images.loc[self.images["set"] == number, IMAGE])
        which = places.get_indexer(asked)
        if (which[1:] - which[:-1] == 1).all():  # a view, where an index would copy
            which = slice(int(which[0]), int(which[-1]) + 1)
        file = _file(self.folder, begin, number)
        tensors, meta = _with_remedy(lambda: load_tensors(file, self.made), self.folder)
        return Stored(
            begin, meta["device"], Reference(tensors["tokens"][which], tensors["before"].numpy()[which])
        )

    @cached_property
    def _index(self) -> pd.MultiIndex:
        return pd.MultiIndex.from_frame(self.images[IMAGE])

    @cached_property
    def _sizes(self) -> pd.Series:
        return self.images["set"].value_counts()

    @cached_property
    def _points(self) -> list[Point]:
        return [point_of(path.name) for path in self.folder.glob("blocks.*")]


def made_with(config: Config, backbone: str) -> dict[str, Any]:
    """What a store's content depends on: configuration, code, and the weights themselves."""
    needs = depends(config, "store_tokens", backbone=backbone)
    return same_work(needs, code("store_tokens"), [config.checkpoint(backbone)])


def clear(table: Path) -> None:
    """Removes an earlier store."""
    table.unlink(missing_ok=True)
    for old in table.parent.glob("blocks.*"):
        shutil.rmtree(old)


def write_set(folder: Path, number: int, stored: Mapping[Point, Reference], made: Mapping[str, Any]) -> None:
    """Writes one set of images where they enter some half blocks, with the provenance."""
    for point, every in stored.items():
        tensors = {"tokens": every.tokens, "before": torch.from_numpy(every.before)}
        save_tensors(_file(folder, point, number), tensors, made)


def write_table(table: Path, sets: Sequence[pd.DataFrame], made: Mapping[str, Any]) -> None:
    """Writes the table of all images: last, since a store without it is none."""
    images = pd.concat([rows[IMAGE].assign(set=number) for number, rows in enumerate(sets)])
    save_table(table, images, made)


def _file(folder: Path, point: Point, number: int) -> Path:
    return folder / half_block(point) / f"{number}.safetensors"


def _with_remedy(read: Callable[[], T], folder: Path) -> T:
    """What is read, or else an error that names the rule that makes the whole store: no rule makes a single file of it."""
    try:
        return read()
    except ArtifactError as error:
        raise ArtifactError(
            f"{error} {folder} is made anew by `snakemake --forcerun store_tokens`."
        ) from None
