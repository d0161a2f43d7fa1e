"""Tables of failures of the tiny model."""

from collections.abc import Iterable, Sequence
from pathlib import Path

from tool_place import QUICK, Place, several_failures


def write_table(path: Path, rows: Iterable[Sequence[object]], head: str = "file,label") -> Path:
    """A CSV file of rows."""
    path.write_text("\n".join([head, *(",".join(map(str, row)) for row in rows)]) + "\n")
    return path


def failures_of(place: Place, count: int = 3, name: str = "failures.csv") -> Path:
    """A table of failures, with paths from its own folder."""
    images, labels = several_failures(place, count)
    files = [image.relative_to(place.folder) for image in images]
    return write_table(place.folder / name, zip(files, labels, strict=True))


def edit_all(
    place: Place, *more: str, table: Path | None = None, output: str = "fix.safetensors", how=QUICK
) -> list[str]:
    """Words of an edit of all failures of a table."""
    where = ["--failures", str(table or failures_of(place)), *how, "-o", str(place.folder / output)]
    return ["edit", *place.model(), *where, *more]
