"""Arrays from .npy files. Those that hold a pickled dictionary are read too, by a machine that can make arrays only."""

import io
import re
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import numpy as np
from jaxtyping import Bool

from vitedit.npy_files import read_header
from vitedit.pickles import read_pickle

NUMBERS = re.compile(r"[biuf]\d\d?|O8")
"""Types of arrays in a pickle: numbers, or objects for the array that holds the dictionary."""


def read_flags(path: Path, key: str = "") -> Bool[np.ndarray, " n"]:
    """A list of 0 and 1: the file's array, or the one named `key` of its dictionary. Code in the file is never run.

    Raises:
        OSError: Missing, or unreadable.
        ValueError: Damaged, not such a list, no such key, or a pickle of anything but arrays.
    """
    with Path(path).open("rb") as file:
        values = _chosen(_read(file, Path(path).stat().st_size), key)
    _check_form(values.dtype, values.shape, bool(np.isin(values, (0, 1)).all()))
    return values.astype(bool)


def _check_form(dtype: np.dtype, shape: tuple[int, ...], flags: bool = True) -> None:
    if len(shape) != 1 or dtype.kind not in "biuf" or not flags:
        raise ValueError(f"holds {dtype} of shape {shape}, not one list of 0 and 1")


def _read(file: io.BufferedIOBase, size: int) -> Any:
    """Content of a .npy file of so many bytes."""
    shape, dtype = read_header(file, size)
    if dtype.hasobject:
        return _unpickle(file)
    _check_form(dtype, shape)
    file.seek(0)
    return np.load(file, allow_pickle=False)


def _unpickle(file: io.BufferedIOBase) -> Any:
    try:
        return _value(read_pickle(io.BytesIO(file.read()), _named))
    except UnpicklingError as error:
        raise ValueError(str(error)) from None
    except Exception as error:  # a damaged pickle raises almost anything
        raise ValueError(f"holds a damaged pickle ({error!r})") from error


def _chosen(content: Any, key: str) -> np.ndarray:
    """The array that is asked for."""
    if isinstance(content, dict):
        if key not in content:
            raise ValueError(f"has no array '{key}' (`mask_key`), only {', '.join(map(str, content))}")
        return _array(_value(content[key]))
    if key:
        raise ValueError(f"holds one array and no dictionary; leave out `mask_key: {key}`")
    return _array(content)


def _array(value: Any) -> np.ndarray:
    """An array, or a list of numbers as one; anything else in a pickle is an object."""
    if isinstance(value, np.ndarray):
        return value
    plain = isinstance(value, list) and all(isinstance(one, bool | int | float) for one in value)
    return np.array(value) if plain else np.array(None)


def _value(made: Any) -> Any:
    return made.value if isinstance(made, _Array) else made


class _Type:
    """A type of numbers as pickled: its code, and in its state the order of bytes."""

    def __init__(self, code: Any, *_: Any) -> None:
        if not (isinstance(code, str) and NUMBERS.fullmatch(code)):
            raise UnpicklingError(f"holds an array of type {code!r}, which is no number")
        self.code, self._order = code, "="

    def build(self, state: tuple[Any, ...]) -> None:
        """Takes the order of bytes from the state."""
        self._order = "=" if state[1] == "|" else state[1]

    def dtype(self) -> np.dtype:
        """The type as NumPy's."""
        return np.dtype(self._order + self.code)


class _Array:
    """An array as pickled: empty, then filled from its state."""

    value: Any = None

    def __init__(self, *_: Any) -> None:
        pass

    def build(self, state: tuple[Any, ...]) -> None:
        """Takes numbers from the state; of an array of objects the one object, or all as a list."""
        _, shape, kind, columns_first, content = state
        if kind.code == "O8":
            self.value = content if shape else content[0]
        else:
            numbers = np.frombuffer(content, kind.dtype())
            self.value = numbers.reshape(shape, order="F" if columns_first else "C")


MADE = {
    "numpy.ndarray": _Array,  # an argument of `_reconstruct`
    "numpy.dtype": _Type,
    "numpy.core.multiarray._reconstruct": _Array,
    "numpy._core.multiarray._reconstruct": _Array,
}


def _named(name: str) -> type:
    """The few names that arrays need."""
    if name not in MADE:
        raise UnpicklingError(
            f"names `{name}`, which is no part of an array; not read, as that could run code"
        )
    return MADE[name]
