"""Tables of images with a right class for each: CSV files with the columns `file` and `label`."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from vitedit.data.table import read_rows
from vitedit.errors import ImageError, ViteditError
from vitedit.tool.labels import find_label

COLUMNS = ("file", "label")


@dataclass(frozen=True)
class Listed:
    """An image of a table."""

    place: str
    """Flag, table and line, for messages."""
    line: int
    name: str
    """As the table has it, if that lies in the table's folder; else without folders."""
    path: Path
    label: int

    @contextmanager
    def named(self) -> Iterator[None]:
        """Lets errors say which line they are about."""
        try:
            yield
        except ViteditError as error:
            raise type(error)(f"{self.place}: {error}") from None

    def require(self) -> None:
        """Refuses a file that is not there.

        Raises:
            ImageError: With the line.
        """
        if not self.path.exists():
            raise ImageError(f"{self.place}: {self.path}: no such file.")


def is_table(path: Path) -> bool:
    """Whether a path is a table rather than a folder or an archive."""
    return path.suffix.lower() == ".csv" and not path.is_dir()


def read_table(flag: str, table: Path, classes: Sequence[str] | None, count: int) -> list[Listed]:
    """All images of a table, in its order; files are relative to its folder.

    Args:
        flag: That names the table, for messages.
        table: The file.
        classes: Names of the model's classes.
        count: Number of the model's classes.

    Raises:
        ImageError: The table cannot be read, lacks a column or rows, or a row lacks its file.
        UnknownNameError: The model has no such class.
    """
    if not table.exists():
        raise ImageError(f"{flag} {table}: no such file.")
    columns = f"its first line has to name the columns {','.join(COLUMNS)}, separated by commas."
    rows = read_rows(table, COLUMNS, flag, "Give a CSV file in UTF-8.", columns)
    if not rows:
        raise ImageError(f"{flag} {table}: no rows below `{','.join(COLUMNS)}`; give one for each image.")
    found = []
    for line, cells in rows:
        file, label = ((cells[column] or "").strip() for column in COLUMNS)
        listed = Listed(f"{flag} {table}, line {line}", line, _name(file), table.parent / file, 0)
        with listed.named():
            if not file or not label:
                raise ImageError(f"no {'label' if file else 'file'}; each row is a file and its right class.")
            index = find_label(label, classes, count)
        found.append(Listed(listed.place, line, listed.name, listed.path, index))
    return found


def refuse_twins(listed: Sequence[Listed], checksums: Sequence[str]) -> None:
    """Refuses a table that has an image twice, under one name or two.

    Raises:
        ImageError: With both lines, and both classes if they differ.
    """
    seen: dict[str, Listed] = {}
    for one, checksum in zip(listed, checksums, strict=True):
        if (first := seen.setdefault(checksum, one)) is one:
            continue
        also = f"{one.name} is the image of line {first.line} again"
        if first.label == one.label:
            raise ImageError(f"{one.place}: {also}; keep one row.")
        raise ImageError(
            f"{one.place}: {also}, with the class {one.label} instead of {first.label}; which is right?"
        )


def _name(file: str) -> str:
    """A name that tells images of a table apart and no folder outside of it."""
    path = PurePosixPath(file)
    return path.name if path.is_absolute() or ".." in path.parts else str(path)
