"""Files that PyTorch saved: looked through before PyTorch reads them, which runs no code but trusts every number.

A few bytes can make its unpickler compare tuples for ever, or an archive unpack to any size.
"""

import io
import zipfile
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

from vitedit.pickles import read_pickle
from vitedit.zips import check_members, read_member

MOST_PICKLED = 2**23
"""Bytes of the names and shapes in a file; 3 million belong to ten thousand tensors."""
MODULES = {"torch", "collections", "argparse", "builtins", "__builtin__", "_codecs"}
PARTS = 5
"""Pickles at the start of a file of before 2020: a magic number, a version, the machine, the weights, keys of the storages."""


def check(path: Path) -> None:
    """Refuses a file that would take more time or memory than its size explains.

    Raises:
        UnpicklingError: A pickle in it is none of weights.
        Exception: Almost any other, where the file is damaged.
    """
    with path.open("rb") as file:
        start = file.read(4)
        if start.startswith(b"PK\x03\x04"):
            _check_zip(path)
        else:
            _check_stream(io.BytesIO(start + file.read(MOST_PICKLED)), path.stat().st_size)


def _check_zip(path: Path) -> None:
    with zipfile.ZipFile(path) as archive:
        check_members(archive, path.stat().st_size)
        for member in archive.infolist():
            if member.filename.endswith(".pkl"):
                read_pickle(io.BytesIO(read_member(archive, member, MOST_PICKLED)), _named, _Made)


def _check_stream(stream: io.BytesIO, size: int) -> None:
    """PyTorch reserves what each storage is said to have before it reads it."""
    counts: dict[Any, int] = {}

    def stored(key: Any) -> _Made:
        counts[key[2]] = key[4]
        if not 0 <= sum(counts.values()) <= size or key[4] < 0:
            raise UnpicklingError(f"{sum(counts.values()):,} numbers are said to be in {size:,} bytes")
        return _Made()

    for _ in range(PARTS):
        read_pickle(stream, _named, stored)


class _Made:
    """Stands for whatever a pickle makes."""

    def __init__(self, *_: Any) -> None:
        pass

    def build(self, state: Any) -> None:
        """Takes any state."""

    def __setitem__(self, key: Any, value: Any) -> None:
        pass  # ordered dictionaries are filled so


def _named(name: str) -> type[_Made]:
    """Stands for a name of a module that weights may need; of these PyTorch refuses all but a few harmless ones."""
    if name.split(".", 1)[0] not in MODULES:
        raise UnpicklingError(
            f"names `{name}`, which is no part of weights; not read, as that could run code"
        )
    return _Made
