"""The table that says what the images of a set show: one row a file."""

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple
from unicodedata import normalize

from vitedit.config import ImagesConfig
from vitedit.data.sources import remedy
from vitedit.errors import ImageError

SHOWN = 12
MOST_COLUMNS = 1000
"""A short line takes as many cells as the first line has columns, so a file of megabytes could fill any memory."""


class Row(NamedTuple):
    """One row of a table: its line in the file, and its cells by column (None where the line is short)."""

    line: int
    cells: Mapping[str, str | None]


class Tag(NamedTuple):
    """What a set calls the class of one file, and in which line of its table (0 without one)."""

    label: str
    line: int


def read_tags(name: str, config: ImagesConfig, files: Sequence[str]) -> dict[str, Tag]:
    """The label of every file in those rows of the set's table that `rows` and `except_rows` leave.

    Raises:
        ImageError: No table, column or row as configured, a file that is not there or is listed twice.
    """
    assert config.csv is not None  # the configuration makes sure
    rows, tags = _rows(name, config), dict[str, Tag]()
    if unknown := _instead(
        rows, config.except_rows, "except_rows"
    ):  # a misspelt value would leave nothing out
        raise ImageError(f"images.{name}: {config.csv} has no rows{unknown}.")
    composed = {normalize("NFC", file): file for file in files} | {file: file for file in files}
    for line, row in rows:
        if not _chosen(row, config):
            continue
        place, given = f"images.{name}: {config.csv}, line {line}", row[config.file_column] or ""
        # a Mac writes é as e and an accent
        file = composed.get(given) or composed.get(normalize("NFC", given))
        if file is None:
            raise ImageError(
                f"{place}: no image '{given}' in {config.path / config.folder}. {remedy(config.path)}"
            )
        if file in tags:
            raise ImageError(f"{place}: '{given}' is listed twice; keep one row.")
        tags[file] = Tag(row[config.label_column] or "", line)
    if not tags:
        raise ImageError(f"images.{name}: {config.csv} has no rows{_none(rows, config)}.")
    return tags


def _chosen(row: Mapping[str, str | None], config: ImagesConfig) -> bool:
    """Whether a row has all values of `rows` and none of `except_rows`."""
    wanted = all(_equals(row[column], value) for column, value in config.rows.items())
    return wanted and not any(_equals(row[column], value) for column, value in config.except_rows.items())


def _equals(text: str | None, value: str | int | float) -> bool:
    """Whether a cell holds a value; numbers are equal however they are written."""
    if isinstance(value, str):
        return text == value
    try:
        return float(text or "") == value
    except ValueError:
        return False


def _none(rows: Sequence[Row], config: ImagesConfig) -> str:
    """Why no row is left."""
    wanted = ", ".join(f"{column} = {value}" for column, value in config.rows.items())
    together = f" with {wanted} together (`rows`)" if rows and wanted else ""
    return _instead(rows, config.rows, "rows") or together


def _instead(rows: Sequence[Row], asked: Mapping[str, str | int | float], key: str) -> str:
    """Which values there are in place of one that no row has; empty if each occurs somewhere."""
    wanted = ", ".join(f"{column} = {value}" for column, value in asked.items())
    for column, value in asked.items():
        there = sorted({str(row.cells[column]) for row in rows})
        if rows and not any(_equals(text, value) for text in there):
            more = f" and {len(there) - SHOWN} more" if len(there) > SHOWN else ""
            return f" with {wanted} (`{key}`); values of {column}: {', '.join(there[:SHOWN])}{more}"
    return ""


def _rows(name: str, config: ImagesConfig) -> list[Row]:
    """All rows with the columns that are needed."""
    needed = (config.file_column, config.label_column, *config.rows, *config.except_rows)
    columns = "`file_column`, `label_column`, `rows` and `except_rows`"
    table = Path(str(config.csv))
    return read_rows(table, needed, f"images.{name}", remedy(table), f"set {columns}.")


def read_rows(table: Path, needed: Sequence[str], who: str, unread: str, lacking: str) -> list[Row]:
    """All rows of a CSV file with the columns that are needed.

    Args:
        table: The file; its first line names the columns.
        needed: Names of columns.
        who: For whom it is read, at the beginning of messages.
        unread: What to do about a table that cannot be read.
        lacking: What to do about a missing column.

    Raises:
        ImageError: No such file, no text, no table, or a column is missing.
    """
    try:
        with open(table, newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            _check_columns(table, list(reader.fieldnames or []), needed, who, lacking)
            return [Row(reader.line_num, {column: row[column] for column in needed}) for row in reader]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ImageError(f"{who}: the table {table} cannot be read ({error}). {unread}") from error


def _check_columns(
    table: Path, columns: Sequence[str], needed: Sequence[str], who: str, lacking: str
) -> None:
    if len(columns) > MOST_COLUMNS:
        raise ImageError(
            f"{who}: the first line of {table} has {len(columns):,} columns, of at most {MOST_COLUMNS:,}; "
            "it has to be a table with a row a file."
        )
    if missing := [column for column in needed if column not in columns]:
        raise ImageError(
            f"{who}: {table} has no column '{missing[0]}', only {', '.join(columns) or 'none'}; {lacking}"
        )
