"""Masks in .npy files: arrays, and dictionaries of arrays in a pickle."""

import io
import os
import pickle
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from damage import FUZZ, Damage, bounded, damages, lean
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from vitedit import pickles
from vitedit.config import ImagesConfig
from vitedit.data.arrays import read_flags
from vitedit.data.images import ImageSet, open_images
from vitedit.errors import ImageError

FLAGS = np.array([0, 1, 1])


def saved(content: Any) -> bytes:
    with io.BytesIO() as file:
        np.save(file, content, allow_pickle=True)
        return file.getvalue()


WHOLE = {
    "": saved(FLAGS),
    "fog": saved({"fog": FLAGS.astype(bool), "rain": 1 - FLAGS, "snow": [1, 0, 1], "more": "text"}),
}


def pickled(body: bytes) -> bytes:
    """A .npy file that says to hold objects, and these instructions."""
    return saved({"fog": 1}).partition(b"\n")[0] + b"\n" + body


def opened(folder: Path, content: bytes, key: str = "fog") -> object:
    """A set of three images under a mask."""
    (folder / "set").mkdir(exist_ok=True)
    for name in "abc":
        Image.new("L", (2, 2)).save(folder / "set" / f"{name}.png")
    (folder / "mask.npy").write_bytes(content)
    values = {"path": folder / "set", "labels": "none", "mask": folder / "mask.npy", "mask_key": key}
    config = ImagesConfig.model_validate(values)
    return lean(lambda: open_images("x", config))


@pytest.mark.parametrize("key", WHOLE)
@FUZZ
@given(damage=damages())
def test_damaged(tmp_path: Path, key: str, damage: Damage) -> None:
    opened(tmp_path, damage(WHOLE[key]), key)


@pytest.mark.parametrize(("key", "left"), [("", "bc"), ("fog", "bc"), ("rain", "a"), ("snow", "ac")])
def test_they_are_read_where_they_are_whole(tmp_path: Path, key: str, left: str) -> None:
    found = opened(tmp_path, WHOLE["fog" if key else ""], key)
    assert isinstance(found, ImageSet) and found.files == tuple(f"{name}.png" for name in left)


@FUZZ
@given(order=st.permutations(range(6)), dtype=st.sampled_from(["?", "u1", ">i4", "<f8", "f2"]))
def test_arrays_of_any_order_and_type_are_as_numpy_reads_them(
    tmp_path: Path, order: list[int], dtype: str
) -> None:
    flags = (np.array(order) % 2).astype(dtype)
    for array in (flags, np.asfortranarray(flags.reshape(2, 3))[:, 0], flags.reshape(3, 2)[:, 1]):
        for protocol in (3, 4):
            content = pickled(pickle.dumps(np.array({"fog": array}, object), protocol))
            (tmp_path / "mask.npy").write_bytes(content)
            with bounded():
                assert read_flags(tmp_path / "mask.npy", "fog").tolist() == array.astype(bool).tolist()


def npy(header: str) -> bytes:
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header.encode() + bytes(16)


@pytest.mark.parametrize(
    "shape",
    [
        "(10**12,)",
        "(1000000000000,)",
        "(-1,)",
        "(2, -5)",
        "(9999999999999999999999,)",
        "(4294967296, 4294967296)",
        "[3]",
        "(1.5,)",
    ],
)
@pytest.mark.parametrize("kind", ["<i8", "|u1", "|V0", "|V2000000000", "<U100000000", "?"])
def test_shapes_that_no_file_holds(tmp_path: Path, shape: str, kind: str) -> None:
    header = f"{{'descr': '{kind}', 'fortran_order': False, 'shape': {shape}}}\n"
    found = opened(tmp_path, npy(header), "")
    assert isinstance(found, ImageError) and "mask" in str(found)


@pytest.mark.parametrize(
    "header", ["(" * 9000, "{" * 9000, "[" * 60_000, "-" * 9000 + "1", "1\0", "{'descr': {}}", "3L"]
)
def test_headers_that_are_no_literals(tmp_path: Path, header: str) -> None:
    assert isinstance(opened(tmp_path, npy(header), ""), ImageError)


def nested_key(depth: int, twice: bool) -> bytes:
    """A dictionary whose key is a tuple in a tuple, or twice in a tuple, and so on."""
    inner = b"q\0h\0\x86" if twice else b"\x85"
    return b"\x80\x02}K\1" + depth * inner + b"K\1s."


class Trap:
    """Runs a command when it is unpickled as Python does it."""

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, ("touch ran",)


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (pickle.dumps({"fog": Trap()}), "names `posix.system`"),
        (pickle.dumps({"fog": Trap()}, 2), "names `posix.system`"),
        (pickle.dumps({"fog": Trap()}, 0), "has the instruction"),
        (b"\x80\x02cbuiltins\neval\n", "names `builtins.eval`"),
        (b"\x80\x04\x8c\x05numpy\x8c\x08__dict__\x93.", "names `numpy.__dict__`"),
        (b"\x80\x04\x8c\x05numpy\x8c\x0dndarray.dumps\x93.", "names `numpy.ndarray.dumps`"),
        (b"\x80\x02K\1r\xff\xff\xff\x7f.", "holds one array"),
        (b"\x80\x04\x8e" + b"\xff" * 7 + b"\x7f.", "damaged pickle"),
        (b"\x80\x04\x95" + b"\xff" * 7 + b"\x7f.", "damaged pickle"),
        (b"\x80\x05\x96" + b"\0\0\0\0\7\0\0\0" + b".", "damaged pickle"),
        (b"\x80\x02\x8b\xff\xff\xff\x7f.", "damaged pickle"),
        (b"\x80\x02K\1Q.", "stored elsewhere"),
        (b"\x80\x02\x82\1.", "has the instruction EXT1"),
        (b"\x80\x02}" + b"2" * 3, "has the instruction DUP"),
        (nested_key(60, twice=True), "tuples within tuples"),
        (nested_key(100_000, twice=False), "tuples within tuples"),
        (b"N0" * 9 + b"N.", "has the instruction POP"),
        (b"\x80\x02}q\0h\0h\0s.", "damaged pickle"),
        (b"\x80\x02cnumpy\ndtype\nX\x01\0\0\0O\x85R.", "type 'O'"),
        (b"\x80\x02cnumpy\ndtype\nX\x0a\0\0\0V999999999\x85R.", "which is no number"),
        (b"\x80\x02K\1K\1b.", "damaged pickle"),
        (b"\x80\x02K\1)R.", "damaged pickle"),
        (b"\x80\x02X\1\0\0\0a)R.", "damaged pickle"),
    ],
)
def test_pickles_that_run_code_or_ask_for_too_much(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, body: bytes, words: str
) -> None:
    monkeypatch.chdir(tmp_path)
    found = opened(tmp_path, pickled(body))
    assert isinstance(found, ImageError) and words in str(found) and not (tmp_path / "ran").exists()


def test_a_pickle_without_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pickles, "MOST_STEPS", 1000)
    found = opened(tmp_path, pickled(b"N" * 1001))
    assert isinstance(found, ImageError) and "more than 1,000 instructions" in str(found)


def test_a_list_that_repeats_itself_is_no_list_of_flags(tmp_path: Path) -> None:
    """Forty lists, each twice in the next: NumPy would write out a million millions."""
    twice = b"]" + b"".join(
        b"q" + bytes([at]) + b"0]h" + bytes([at]) + b"ah" + bytes([at]) + b"a" for at in range(40)
    )
    found = opened(
        tmp_path, pickled(b"\x80\x02}X\3\0\0\0fog" + twice.replace(b"0]", b"]q\xffah\xff") + b"s.")
    )
    assert isinstance(found, ImageError)


def test_the_trap_works(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    pickle.loads(pickle.dumps(Trap()))
    assert (tmp_path / "ran").exists()
