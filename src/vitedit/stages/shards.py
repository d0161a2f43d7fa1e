"""Edits in parts: shards of a lot's batches in jobs of their own, and the rows that an interrupted job has kept."""

import logging
import re
import time
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from vitedit.artifacts import drop_state, load_table, provenance, save_table
from vitedit.errors import ArtifactError, ConfigError

log = logging.getLogger(__name__)

SECONDS_BETWEEN_SAVES = 60.0
"""What a killed job loses at most, beside the batch that it was in."""


class Shard(NamedTuple):
    """One of several equal parts of all batches of edits: the first, the (1 + total)-th, ..."""

    number: int
    """From 1."""
    total: int

    @classmethod
    def parse(cls, text: str) -> "Shard":
        """Of "3of40".

        Raises:
            ConfigError: It reads otherwise, or there is no such shard.
        """
        found = re.fullmatch(r"(\d+)of(\d+)", text)
        if not found or not 1 <= int(found[1]) <= int(found[2]):
            raise ConfigError(f"--shard {text}: write the number of the shard and how many there are: 3of40.")
        return cls(int(found[1]), int(found[2]))

    def has(self, batch: int) -> bool:
        """Whether the batch of this number, from 0, belongs to it."""
        return batch % self.total == self.number - 1


class MeasuredRows:
    """Rows of measured edits, batch by batch, and on disk now and then, so that a killed job goes on where it stopped."""

    def __init__(self, stage: str, state: Path | None, depends: dict[str, Any]) -> None:
        """Takes up what `state` has kept of a stage, or leaves it, with a warning, where configuration, code or input differ."""
        self.state, self.made = state, provenance(stage, depends)
        self.tables: list[pd.DataFrame] = []
        self.saved = time.monotonic()
        if state and state.exists():
            try:
                self.tables = [load_table(state, depends)]
                log.info("%s: going on after %d edits", state, len(self.tables[0]))
            except ArtifactError as error:
                log.warning("%s Starting anew.", error)

    def batches(self, method: str) -> set[int]:
        """Numbers of the batches of a method that are measured."""
        return {number for rows in self.tables for number in rows.loc[rows["method"] == method, "batch"]}

    def add(self, rows: pd.DataFrame) -> None:
        """Takes the rows of one batch."""
        self.tables.append(rows)
        if self.state and time.monotonic() - self.saved >= SECONDS_BETWEEN_SAVES:
            self.tables = [pd.concat(self.tables, ignore_index=True)]
            save_table(self.state, self.tables[0], self.made)
            self.saved = time.monotonic()

    def table(self, columns: list[str]) -> pd.DataFrame:
        """All rows; a shard may have none."""
        every = pd.concat(self.tables, ignore_index=True) if self.tables else pd.DataFrame(columns=columns)
        return every[columns]

    def forget(self) -> None:
        """Removes the file: the rows are safe elsewhere."""
        if self.state:
            drop_state(self.state)
