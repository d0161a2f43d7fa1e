"""Prefix tokens of a backbone's images, computed once and mapped into the memory of every job that needs them."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from jaxtyping import Int64

from vitedit.artifacts import load_table, save_table
from vitedit.measure.evaluate import Reference
from vitedit.model.sites import Point, half_block, point_of
from vitedit.tensors import load_tensors, save_tensors

log = logging.getLogger(__name__)

IMAGES = "images.parquet"
IMAGE = ["images", "file"]
"""Columns that name an image."""


@dataclass(frozen=True)
class TokenStore:
    """A folder with the table of its images, and for each half block that tokens enter a folder with a file for each set of
    images: `blocks.7.mlp/3.safetensors`.

    Files are mapped, not read: jobs on one machine share what of them lies in memory.
    """

    folder: Path
    images: pd.DataFrame
    """Columns `IMAGE`, and the number of the set, whose images follow each other."""
    made: Mapping[str, Any]
    """Configuration that it was made with."""

    @classmethod
    def open(cls, folder: Path, depends: Mapping[str, Any]) -> "TokenStore":
        """Of what `store_tokens` wrote.

        Raises:
            ArtifactError: It is missing, damaged or stale.
        """
        return cls(folder, load_table(folder / IMAGES, depends), depends)

    def find(self, point: Point, rows: pd.DataFrame) -> tuple[Point, Reference] | None:
        """Images of a manifest's rows where they enter a half block, or else the last stored one before it.

        Raises:
            ArtifactError: A file is missing, damaged or stale.
        """
        found = self._index.get_indexer(pd.MultiIndex.from_frame(rows[IMAGE]))
        begin = max((stored for stored in self._points if stored <= point), default=None)
        if begin is None or (found < 0).any():
            log.info("%s: without these %d images for %s", self.folder, len(rows), half_block(point))
            return None
        places = self._once.index.to_numpy()[found]
        sets = self.images["set"].to_numpy()[places]
        parts = [self._some(begin, number, places[sets == number]) for number in dict.fromkeys(sets.tolist())]
        return begin, parts[0] if len(parts) == 1 else _in_order(Reference.join(parts), sets)

    @cached_property
    def _once(self) -> pd.DataFrame:
        return self.images.drop_duplicates(IMAGE)

    @cached_property
    def _index(self) -> pd.MultiIndex:
        return pd.MultiIndex.from_frame(self._once[IMAGE])

    @cached_property
    def _points(self) -> list[Point]:
        return [point_of(path.name) for path in self.folder.glob("blocks.*")]

    def _some(self, point: Point, number: int, places: Int64[np.ndarray, " images"]) -> Reference:
        """Images of one set."""
        tensors, _ = load_tensors(_file(self.folder, point, number), self.made)
        which = places - int(self.images["set"].searchsorted(number))
        if (np.diff(which) == 1).all():  # a view, where an index would copy
            which = slice(int(which[0]), int(which[-1]) + 1)
        return Reference(tensors["tokens"][which], tensors["before"].numpy()[which])


def write_set(folder: Path, number: int, stored: Mapping[Point, Reference], made: Mapping[str, Any]) -> None:
    """Writes one set of images where they enter some half blocks, with the provenance."""
    for point, every in stored.items():
        tensors = {"tokens": every.tokens, "before": torch.from_numpy(every.before)}
        save_tensors(_file(folder, point, number), tensors, made)


def write_images(folder: Path, sets: Sequence[pd.DataFrame], made: Mapping[str, Any]) -> None:
    """Writes the table of all images: last, since a store without it is none."""
    table = pd.concat([rows[IMAGE].assign(set=number) for number, rows in enumerate(sets)])
    save_table(folder / IMAGES, table, made)


def _file(folder: Path, point: Point, number: int) -> Path:
    return folder / half_block(point) / f"{number}.safetensors"


def _in_order(parts: Reference, sets: Int64[np.ndarray, " images"]) -> Reference:
    """Images that were put together set by set, in the order that was asked for."""
    first_seen = pd.factorize(sets)[0]
    order = np.argsort(np.argsort(first_seen, kind="stable"), kind="stable")
    return Reference(parts.tokens[order], parts.before[order])
