"""Arrays from .npy files. Those that hold a pickled dictionary are read too, by an unpickler that can make arrays only."""

import pickle
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from jaxtyping import Bool
from numpy.lib import format as npy

HEADERS = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}


def read_flags(path: Path, key: str = "") -> Bool[np.ndarray, " n"]:
    """A list of 0 and 1: the file's array, or the one named `key` of its dictionary. Code in the file is never run.

    Raises:
        OSError: Missing, or unreadable.
        ValueError: Damaged, not such a list, no such key, or a pickle of anything but arrays.
    """
    with Path(path).open("rb") as file:
        values = _chosen(_read(file), key)
    if values.ndim != 1 or values.dtype.kind not in "biuf" or not np.isin(values, (0, 1)).all():
        raise ValueError(f"holds {values.dtype} of shape {values.shape}, not one list of 0 and 1")
    return values.astype(bool)


def _read(file: BinaryIO) -> Any:
    """Content of a .npy file; a pickled dictionary is wrapped in an array without dimensions."""
    version = npy.read_magic(file)
    if version not in HEADERS:
        raise ValueError(f"is written in version {version} of the format, known are 1.0 and 2.0")
    _, _, dtype = HEADERS[version](file)
    if not dtype.hasobject:
        file.seek(0)
        return np.load(file, allow_pickle=False)
    try:
        return _ArraysOnly(file).load()
    except pickle.UnpicklingError as error:
        raise ValueError(str(error)) from None
    except Exception as error:  # a damaged pickle raises almost anything
        raise ValueError(f"holds a damaged pickle ({error!r})") from error


def _chosen(content: Any, key: str) -> np.ndarray:
    """The array that is asked for."""
    if isinstance(content, np.ndarray) and content.dtype == object and content.ndim == 0:
        content = content.item()
    if isinstance(content, dict):
        if key not in content:
            raise ValueError(f"has no array '{key}' (`mask_key`), only {', '.join(map(str, content))}")
        content = content[key]
    elif key:
        raise ValueError(f"holds one array and no dictionary; leave out `mask_key: {key}`")
    return np.asarray(content)


def _empty(*_: Any) -> np.ndarray:
    """What a pickle calls to make an array, whose content then replaces this."""
    return np.empty(0, np.int8)


class _ArraysOnly(pickle.Unpickler):
    """Makes dictionaries, lists, text, numbers and arrays. A pickle that names anything else is refused unread."""

    ALLOWED = {
        ("numpy", "ndarray"): "ndarray",  # an argument of `_reconstruct`, never called
        ("numpy", "dtype"): np.dtype,
        ("numpy.core.multiarray", "_reconstruct"): _empty,
        ("numpy._core.multiarray", "_reconstruct"): _empty,
    }

    def find_class(self, module_name: str, global_name: str, /) -> Any:
        """The few names that arrays need."""
        if (module_name, global_name) not in self.ALLOWED:
            raise pickle.UnpicklingError(
                f"names `{module_name}.{global_name}`, which is no part of an array; not read, as that could run code"
            )
        return self.ALLOWED[module_name, global_name]
