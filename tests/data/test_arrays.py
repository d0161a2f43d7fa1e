"""Arrays from files of strangers: nothing in them is run."""

import pickle
from pathlib import Path

import numpy as np
import pytest

from vitedit.data.arrays import read_flags

FLAGS = np.array([0, 1, 1, 0, 1])


class Touch:
    """Makes a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return (Path.touch, (self.path,))


@pytest.mark.parametrize("dtype", [np.bool_, np.uint8, np.int64, np.float32, ">i4"])
def test_a_plain_array_and_one_of_a_dictionary(tmp_path: Path, dtype: object) -> None:
    flags = FLAGS.astype(dtype)
    np.save(tmp_path / "one.npy", flags)
    np.save(tmp_path / "many.npy", {"fog": 1 - FLAGS, "oil_painting": flags}, allow_pickle=True)
    for read in (read_flags(tmp_path / "one.npy"), read_flags(tmp_path / "many.npy", "oil_painting")):
        assert read.dtype == bool and read.tolist() == FLAGS.astype(bool).tolist()
    assert read_flags(tmp_path / "many.npy", "fog").tolist() == (FLAGS == 0).tolist()


@pytest.mark.parametrize("protocol", range(2, 5))
def test_dictionaries_of_older_numpy_are_read(tmp_path: Path, protocol: int) -> None:
    """Before numpy 2 pickles named `numpy.core`, and `np.save` used other protocols."""
    np.save(tmp_path / "m.npy", {"fog": FLAGS.astype(bool)}, allow_pickle=True)
    content = (tmp_path / "m.npy").read_bytes()
    start = content.index(b"\n") + 1
    array = np.load(tmp_path / "m.npy", allow_pickle=True)
    old = pickle.dumps(array, protocol).replace(b"numpy._core.multiarray", b"numpy.core.multiarray")
    if protocol == 4:  # lengths are written before the text, and that of the frame is no longer right
        old = pickle.dumps(array, 3).replace(b"numpy._core.multiarray", b"numpy.core.multiarray")
    (tmp_path / "m.npy").write_bytes(content[:start] + old)
    if protocol == 2:  # bytes are text there, made by a call
        with pytest.raises(ValueError, match="_codecs.encode"):
            read_flags(tmp_path / "m.npy", "fog")
    else:
        assert read_flags(tmp_path / "m.npy", "fog").tolist() == FLAGS.astype(bool).tolist()


def test_code_in_a_pickle_is_refused_and_not_run(tmp_path: Path) -> None:
    ran, path = tmp_path / "ran", tmp_path / "m.npy"
    np.save(path, {"fog": FLAGS, "trap": Touch(ran)}, allow_pickle=True)
    with pytest.raises(ValueError, match=r"names `pathlib\.Path\.touch`, which is no part of an array"):
        read_flags(path, "fog")
    assert not ran.exists()
    np.load(path, allow_pickle=True)  # the trap works
    assert ran.exists()


@pytest.mark.parametrize(
    ("content", "key", "message"),
    [
        (FLAGS, "fog", "holds one array and no dictionary"),
        ({"fog": FLAGS}, "", r"has no array '' \(`mask_key`\), only fog"),
        ({"fog": FLAGS, "rain": FLAGS}, "snow", r"has no array 'snow' \(`mask_key`\), only fog, rain"),
        ({"fog": FLAGS + 1}, "fog", "not one list of 0 and 1"),
        (FLAGS / 2, "", "not one list of 0 and 1"),
        (FLAGS[None], "", r"shape \(1, 5\), not one list"),
        (np.array(["0", "1"]), "", "not one list of 0 and 1"),
        ({"fog": {"deep": FLAGS}}, "fog", "not one list of 0 and 1"),
    ],
)
def test_content_that_is_no_list_of_flags(tmp_path: Path, content: object, key: str, message: str) -> None:
    np.save(tmp_path / "m.npy", content, allow_pickle=True)
    with pytest.raises(ValueError, match=message):
        read_flags(tmp_path / "m.npy", key)


@pytest.mark.parametrize("content", [b"", b"no array", pickle.dumps({"fog": [0, 1]})])
def test_a_file_of_another_kind(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "m.npy").write_bytes(content)
    with pytest.raises(ValueError):
        read_flags(tmp_path / "m.npy", "fog")


@pytest.mark.parametrize("left", [150, 200, 300])
def test_a_truncated_file(tmp_path: Path, left: int) -> None:
    np.save(tmp_path / "m.npy", {"fog": np.resize(FLAGS, 100)}, allow_pickle=True)
    (tmp_path / "m.npy").write_bytes((tmp_path / "m.npy").read_bytes()[:left])
    with pytest.raises(ValueError, match="damaged pickle|pickle data was truncated"):
        read_flags(tmp_path / "m.npy", "fog")
