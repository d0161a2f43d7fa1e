"""Prefix tokens of a backbone's images, computed once and mapped into the memory of every job that needs them."""

import logging
from collections.abc import Mapping
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
    """A folder with the table of its images, and a file for each half block that their tokens enter.

    Files are mapped, not read: jobs on one machine share what of them lies in memory.
    """

    folder: Path
    rows: pd.DataFrame
    """Columns `IMAGE`."""
    made: Mapping[str, Any]
    """Configuration that it was made with."""

    @classmethod
    def write(
        cls, folder: Path, rows: pd.DataFrame, stored: Mapping[Point, Reference], made: Mapping[str, Any]
    ) -> None:
        """Writes the images' tokens where they enter some half blocks, with their provenance."""
        for point, every in stored.items():
            tensors = {"tokens": every.tokens, "before": torch.from_numpy(every.before)}
            save_tensors(folder / _file(point), tensors, made)
        save_table(folder / IMAGES, rows[IMAGE], made)

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
            ArtifactError: The file is damaged or stale.
        """
        places = self._places.get_indexer(pd.MultiIndex.from_frame(rows[IMAGE]))
        begin = max((stored for stored in self._files if stored <= point), default=None)
        if begin is None or (places < 0).any():
            log.info("%s: without these %d images for %s", self.folder, len(rows), half_block(point))
            return None
        every, which = self._reference(begin), _slice(places)
        return begin, Reference(every.tokens[which], every.before[which])

    @cached_property
    def _places(self) -> pd.MultiIndex:
        return pd.MultiIndex.from_frame(self.rows[IMAGE])

    @cached_property
    def _files(self) -> dict[Point, Path]:
        return {point_of(path.name): path for path in self.folder.glob("blocks.*.safetensors")}

    @cached_property
    def _mapped(self) -> dict[Point, Reference]:
        return {}

    def _reference(self, point: Point) -> Reference:
        """All images at a half block."""
        if point not in self._mapped:
            tensors, _ = load_tensors(self._files[point], self.made)
            self._mapped[point] = Reference(tensors["tokens"], tensors["before"].numpy())
        return self._mapped[point]


def _file(point: Point) -> str:
    return f"{half_block(point)}.safetensors"


def _slice(places: Int64[np.ndarray, " images"]) -> slice | Int64[np.ndarray, " images"]:
    """Consecutive places as a slice, which needs no copy."""
    first = int(places[0])
    return slice(first, first + len(places)) if (np.diff(places) == 1).all() else places
