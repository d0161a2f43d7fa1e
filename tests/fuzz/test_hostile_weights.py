"""Checkpoints of every kind, whatever their bytes: safetensors, what PyTorch saves now and saved before 2020, npz."""

import io
import json
import os
import pickle
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from damage import FUZZ, Damage, damages, lean, outcome
from hypothesis import given
from jax_layout import jax_arrays
from safetensors.torch import save
from tiny import TINY
from torch import Tensor

from vitedit.errors import ArtifactError
from vitedit.model.checkpoints import fill, read_weights
from vitedit.model.vit import build_vit

CONFIG = TINY.model_copy(update={"architecture": {**(TINY.architecture or {}), "depth": 1, "embed_dim": 12}})
MODEL = build_vit(CONFIG)
STATE = {name: tensor.clone() for name, tensor in MODEL.state_dict().items()}


def torch_saved(content: Any, **how: Any) -> bytes:
    with io.BytesIO() as file:
        torch.save(content, file, **how)
        return file.getvalue()


def npz(arrays: dict[str, np.ndarray], pack: Callable[..., None] = np.savez) -> bytes:
    with io.BytesIO() as file:
        pack(file, **arrays)
        return file.getvalue()


WHOLE = {
    "new.pth": torch_saved({"model": STATE, "epoch": 3}),
    "old.pth": torch_saved(STATE, _use_new_zipfile_serialization=False),
    "x.safetensors": save(STATE),
}


def filled(folder: Path, name: str, content: bytes) -> Any:
    """What comes of filling a model with a file: None, or the error."""
    (folder / name).write_bytes(content)
    return outcome(lambda: fill(MODEL, folder / name, CONFIG))


def read(folder: Path, name: str, content: bytes) -> Any:
    (folder / name).write_bytes(content)
    return outcome(lambda: read_weights(folder / name))


@pytest.mark.parametrize("name", WHOLE)
@FUZZ
@given(damage=damages())
def test_damaged(tmp_path: Path, name: str, damage: Damage) -> None:
    found = filled(tmp_path, name, damage(WHOLE[name]))
    assert found is None or (isinstance(found, ArtifactError) and name in str(found))
    assert [path.name for path in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize("name", WHOLE)
def test_they_are_read_where_they_are_whole(tmp_path: Path, name: str) -> None:
    assert filled(tmp_path, name, WHOLE[name]) is None


def repacked(change: Callable[[str, bytes], bytes], method: int = zipfile.ZIP_STORED) -> bytes:
    """A saved file with changed members, all checksums right."""
    whole, file = zipfile.ZipFile(io.BytesIO(torch_saved({"a": torch.ones(3, 4)}))), io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as archive:
        for member in whole.infolist():
            archive.writestr(member.filename, change(member.filename, whole.read(member)))
    return file.getvalue()


def with_pickle(body: bytes) -> bytes:
    return repacked(lambda name, content: body if name.endswith("data.pkl") else content)


@FUZZ
@given(damage=damages())
def test_a_damaged_pickle_in_a_whole_archive(tmp_path: Path, damage: Damage) -> None:
    content = repacked(lambda name, content: damage(content) if name.endswith(".pkl") else content)
    found = read(tmp_path, "x.pth", content)
    assert isinstance(found, dict | ArtifactError)


class Trap:
    """Runs a command when it is unpickled as Python does it."""

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, ("touch ran",)


def nested_key(depth: int, twice: bool) -> bytes:
    inner = b"q\0h\0\x86" if twice else b"\x85"
    return b"\x80\x02}K\1" + depth * inner + b"K\1s."


BODIES = [
    (pickle.dumps({"a": Trap()}, 2), "names `posix.system`"),
    (pickle.dumps({"a": Trap()}), "names `posix.system`"),
    (nested_key(60, twice=True), "tuples within tuples"),
    (nested_key(100_000, twice=False), "tuples within tuples"),
    (b"\x80\x02}q\0X\5\0\0\0modelh\0s.", "no tensors under model"),
    (b"\x80\x02}K\1K\1s.", "no tensors under 1"),
    (b"\x80\x02cbuiltins\neval\nX\1\0\0\0" + b"1\x85R.", "damaged"),
    (b"\x80\x02r\xff\xff\xff\x7f.", "damaged"),
]


@pytest.mark.parametrize("suffix", [".pth", ".bin"])
@pytest.mark.parametrize(("body", "words"), BODIES)
def test_pickles_that_run_code_or_never_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, body: bytes, words: str, suffix: str
) -> None:
    monkeypatch.chdir(tmp_path)
    old = b"".join(
        pickle.dumps(value, 2) for value in (0x1950A86A20F9469CFC6C, 1001, {"little_endian": True})
    )
    for content in (with_pickle(body), old + body + pickle.dumps([], 2), body):
        found = read(tmp_path, f"x{suffix}", content)
        assert isinstance(found, ArtifactError) and not (tmp_path / "ran").exists()
        assert words in str(found) or content is body


def test_the_trap_works(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "x.pth").write_bytes(torch_saved({"a": Trap()}))
    torch.load(tmp_path / "x.pth", weights_only=False)
    assert (tmp_path / "ran").exists()


def lean_read(folder: Path, name: str, content: bytes) -> Any:
    """What comes of reading a file within little memory."""
    (folder / name).write_bytes(content)
    return lean(lambda: fill(MODEL, folder / name, CONFIG))


def inflated(name: str, content: bytes) -> bytes:
    """Says that a storage of 12 numbers has a thousand millions."""
    return (
        content.replace(b"K\x0ct", b"J" + struct.pack("<i", 10**9) + b"t")
        if name.endswith("data.pkl")
        else content
    )


def test_numbers_that_are_not_in_the_file(tmp_path: Path) -> None:
    assert isinstance(read(tmp_path, "x.pth", repacked(inflated)), ArtifactError)
    old = torch_saved({"a": torch.ones(3, 4)}, _use_new_zipfile_serialization=False)
    assert b"K\x0cN" in old
    found = read(tmp_path, "x.pth", old.replace(b"K\x0cN", b"J" + struct.pack("<i", 10**9) + b"N"))
    assert isinstance(found, ArtifactError) and "1,000,000,000 numbers are said to be in" in str(found)


@pytest.mark.parametrize("method", [zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2])
def test_archives_that_unpack_without_end(tmp_path: Path, method: int) -> None:
    def zeros(name: str, content: bytes) -> bytes:
        return bytes(2**27) if "/data/" in name else content

    found = lean_read(tmp_path, "x.pth", repacked(zeros, method))
    assert isinstance(found, ArtifactError) and "it unpacks to 134,2" in str(found)


SPREAD = torch.zeros(1).expand(100_000, 100_000)


@pytest.mark.parametrize(
    "tensor",
    [
        SPREAD,
        torch.ones(2).to_sparse(),
        torch.ones(2, device="meta"),
        torch.ones(2, dtype=torch.complex64),
        torch.ones(2, dtype=torch.float8_e4m3fn),
    ],
    ids=["spread", "sparse", "meta", "complex", "float8"],
)
def test_tensors_that_are_no_plain_numbers(tmp_path: Path, tensor: Tensor) -> None:
    found = filled(tmp_path, "x.pth", torch_saved({**STATE, "head.bias": tensor}))
    assert isinstance(found, ArtifactError) and "x.pth" in str(found)


def test_other_keys_than_names(tmp_path: Path) -> None:
    for key in (1, None, (1, 2), b"head"):
        found = filled(tmp_path, "x.pth", torch_saved({key: torch.ones(2), "module.a": torch.ones(2)}))
        assert isinstance(found, ArtifactError) and "no tensors under" in str(found)


def safetensors(header: str | bytes, data: bytes = bytes(16), length: int | None = None) -> bytes:
    body = header.encode() if isinstance(header, str) else header
    return struct.pack("<Q", len(body) if length is None else length) + body + data


@pytest.mark.parametrize("length", [0, 1, 2**31, 2**62, 2**64 - 1, 100_000_000])
def test_lengths_of_a_header(tmp_path: Path, length: int) -> None:
    assert isinstance(read(tmp_path, "x.safetensors", safetensors("{}", length=length)), ArtifactError)


@pytest.mark.parametrize(
    "entry",
    [
        {"dtype": "F32", "shape": [10**12], "data_offsets": [0, 16]},
        {"dtype": "F32", "shape": [2**63, 2**63], "data_offsets": [0, 16]},
        {"dtype": "F32", "shape": [0, 10**18, 10**18], "data_offsets": [0, 0]},
        {"dtype": "F32", "shape": [4], "data_offsets": [16, 0]},
        {"dtype": "F32", "shape": [-4], "data_offsets": [0, 16]},
        {"dtype": "F4", "shape": [32], "data_offsets": [0, 16]},
        {"dtype": "object", "shape": [4], "data_offsets": [0, 16]},
    ],
)
def test_headers_that_do_not_fit_the_file(tmp_path: Path, entry: dict[str, Any]) -> None:
    name = "head.bias" if entry["data_offsets"] == [0, 16] else "empty"
    content = safetensors(json.dumps({name: entry}), bytes(max(entry["data_offsets"])))
    assert isinstance(filled(tmp_path, "x.safetensors", content), ArtifactError)


@pytest.mark.parametrize(
    "header", ["[" * 100_000, '{"__metadata__": ' + "{" * 9999, "{" * 9, "\0", '{"a": 1}', b"\xff\xfe"]
)
def test_headers_that_are_no_headers(tmp_path: Path, header: str | bytes) -> None:
    assert isinstance(read(tmp_path, "x.safetensors", safetensors(header)), ArtifactError)


STACKED = "Transformer/encoderblock/LayerNorm_0/scale"
ARRAYS = {name: array.copy() for name, array in jax_arrays(MODEL).items()}


@pytest.mark.parametrize("pack", [np.savez, np.savez_compressed])
@FUZZ
@given(damage=damages())
def test_a_damaged_npz(tmp_path: Path, pack: Callable[..., None], damage: Damage) -> None:
    found = filled(tmp_path, "x.npz", damage(npz(ARRAYS, pack)))
    assert found is None or (isinstance(found, ArtifactError) and "x.npz" in str(found))


@pytest.mark.parametrize("pack", [np.savez, np.savez_compressed])
def test_an_npz_is_read_where_it_is_whole(tmp_path: Path, pack: Callable[..., None]) -> None:
    assert filled(tmp_path, "x.npz", npz(ARRAYS, pack)) is None


@pytest.mark.parametrize(
    "bad", [np.ones(()), np.ones(3), np.ones((0, 0, 0, 0)), np.array("text"), np.array({"a": 1})]
)
@pytest.mark.parametrize("name", ["embedding/kernel", "head/bias", STACKED, "a/query/kernel"])
def test_arrays_of_another_form(tmp_path: Path, name: str, bad: np.ndarray) -> None:
    assert isinstance(filled(tmp_path, "x.npz", npz(ARRAYS | {name: bad})), ArtifactError)


@pytest.mark.parametrize("name", ["x.npy", "x"])
@pytest.mark.parametrize("honest", [True, False])
def test_an_npz_that_unpacks_without_end(tmp_path: Path, name: str, honest: bool) -> None:
    """NumPy unpacks a member that is no array as a whole, whatever its size is said to be."""
    file, size = io.BytesIO(), struct.pack("<I", 2**27)
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(name, bytes(2**27))
    content = file.getvalue() if honest else file.getvalue().replace(size, struct.pack("<I", 100))
    assert isinstance(lean_read(tmp_path, "x.npz", content), ArtifactError)


@pytest.mark.parametrize("shape", ["(1000000000,)", "(-1,)", "(99999999999999999999,)"])
def test_an_npz_whose_arrays_say_to_be_larger(tmp_path: Path, shape: str) -> None:
    header = f"{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}}}\n"
    array = b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header.encode() + bytes(16)
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("embedding/kernel.npy", array)
    assert isinstance(lean_read(tmp_path, "x.npz", file.getvalue()), ArtifactError)
