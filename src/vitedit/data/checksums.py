"""Checksums of what a run reads from outside, for its provenance."""

import hashlib
from collections.abc import Iterable
from pathlib import Path

import pandas as pd

COLUMNS = ["path", "bytes", "sha256", "of"]


def checksums(paths: Iterable[Path]) -> pd.DataFrame:
    """A row a path: its size and SHA-256, of a file's content, or of the names and sizes of a folder's files.

    A folder may hold a million images; to read them all would take longer than many a run.
    """
    rows = [_file(path) if path.is_file() else _folder(path) for path in paths]
    return pd.DataFrame(rows, columns=COLUMNS)


def _file(path: Path) -> tuple[str, int, str, str]:
    with path.open("rb") as file:
        return str(path), path.stat().st_size, hashlib.file_digest(file, "sha256").hexdigest(), "content"


def _folder(path: Path) -> tuple[str, int, str, str]:
    sizes = {
        file.relative_to(path).as_posix(): file.stat().st_size for file in path.rglob("*") if file.is_file()
    }
    listed = "".join(f"{name}\t{size}\n" for name, size in sorted(sizes.items()))
    digest = hashlib.sha256(listed.encode(errors="surrogateescape")).hexdigest()  # names need not be text
    return str(path), sum(sizes.values()), digest, f"names and sizes of {len(sizes):,} files"
