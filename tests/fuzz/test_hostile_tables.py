"""Tables, label maps and lists of classes, whatever is written in them."""

import json
from pathlib import Path

import pytest
from damage import FUZZ, Damage, damages, lean, outcome
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from vitedit.config import ImagesConfig
from vitedit.data import class_names
from vitedit.data.images import ImageSet, open_images, read_classes
from vitedit.errors import ConfigError, ImageError

TABLE = b'file,label,split\na.png,disc,train\nb.png,square,val\n"c.png",disc,"1"\n'
LABELS = json.dumps({"disc": 0, "square": [1], "both": [0, 1]}).encode()
CLASSES = b"n01440764 tench, Tinca tinca\ndisc spotted\nsquare\n"
CELLS = st.one_of(
    st.text(max_size=12), st.sampled_from(["a.png", "b.png", "c.png", "disc", "square", "1", "-1"])
)


def images(folder: Path, **files: bytes) -> ImagesConfig:
    """A set of three images with a table and perhaps a label map."""
    (folder / "set").mkdir(exist_ok=True)
    for name in "abc":
        Image.new("L", (2, 2)).save(folder / "set" / f"{name}.png")
    for name, content in files.items():
        (folder / name).write_bytes(content)
    given = {key: folder / key for key in ("csv", "label_map") if key in files}
    return ImagesConfig(path=folder / "set", labels="csv", **given)


def opened(folder: Path, classes: list[str] | None = None, **files: bytes) -> object:
    config = images(folder, **files)
    return outcome(lambda: open_images("x", config, classes))


@FUZZ
@given(damage=damages())
def test_a_damaged_table(tmp_path: Path, damage: Damage) -> None:
    opened(tmp_path, ["disc", "square"], csv=damage(TABLE))


@FUZZ
@given(damage=damages())
def test_a_damaged_label_map(tmp_path: Path, damage: Damage) -> None:
    opened(tmp_path, csv=TABLE, label_map=damage(LABELS))


@FUZZ
@given(damage=damages())
def test_a_damaged_list_of_classes(tmp_path: Path, damage: Damage) -> None:
    (tmp_path / "classes.txt").write_bytes(damage(CLASSES))
    classes = outcome(lambda: read_classes(tmp_path / "classes.txt"))
    assert isinstance(classes, list | ConfigError)


@FUZZ
@given(
    rows=st.lists(st.lists(CELLS, max_size=4), max_size=5), classes=st.none() | st.lists(CELLS, min_size=1)
)
def test_any_cells(tmp_path: Path, rows: list[list[str]], classes: list[str] | None) -> None:
    lines = ["file,label", *(",".join(row) for row in rows)]
    opened(tmp_path, classes, csv="\n".join(lines).encode("utf-8", "surrogatepass"))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | CELLS,
    lambda inner: st.lists(inner) | st.dictionaries(CELLS, inner),
)


@FUZZ
@given(content=JSON)
def test_any_label_map(tmp_path: Path, content: object) -> None:
    opened(tmp_path, csv=TABLE, label_map=json.dumps(content).encode())


def test_they_are_read_where_they_are_whole(tmp_path: Path) -> None:
    found = opened(tmp_path, csv=TABLE, label_map=LABELS)
    assert isinstance(found, ImageSet) and found.labels is not None and found.labels.tolist() == [0, 1, 0]


@pytest.mark.parametrize("label", ["9" * 10, "9" * 30, "9" * 5000, "٣" * 12])
def test_an_index_beyond_any_array(tmp_path: Path, label: str) -> None:
    found = opened(tmp_path, csv=f"file,label\na.png,{label}\n".encode())
    assert isinstance(found, ImageError) and "line 2" in str(found) and "is no class index" in str(found)
    config = images(tmp_path, csv=TABLE, label_map=b'{"disc": %s}' % (b"9" * len(label)))
    found = outcome(lambda: open_images("x", config))
    assert isinstance(found, ImageError) and "label" in str(found)


@pytest.mark.parametrize("labels", ["folder", "groups"])
@pytest.mark.parametrize("name", ["9" * 30, "9" * 30 + "_x", "1_\n", "..", "$(touch x)", "<b>", "\u202e"])
def test_class_folders(tmp_path: Path, labels: str, name: str) -> None:
    folder = tmp_path / "set" / name
    folder.mkdir(parents=True, exist_ok=True)
    Image.new("L", (2, 2)).save(folder / "a.png")
    config = ImagesConfig.model_validate({"path": tmp_path / "set", "labels": labels})
    outcome(lambda: open_images("x", config))
    assert {path.name for path in tmp_path.iterdir()} <= {"set", "a.png"}


def test_a_table_that_would_fill_the_memory(tmp_path: Path) -> None:
    """A million cells in the first line, and so in each of ten thousand lines of one letter."""
    wide = b"file,label," + b"," * 1_000_000 + b"\n" + b"a\n" * 10_000
    config = images(tmp_path, csv=wide)
    found = lean(lambda: open_images("x", config, None))
    assert isinstance(found, ImageError) and "1,000,003 columns" in str(found)


def test_a_cell_without_end(tmp_path: Path) -> None:
    found = opened(tmp_path, csv=b'file,label\na.png,"' + b"x" * 10_000_000)
    assert isinstance(found, ImageError) and "cannot be read (field larger than field limit" in str(found)


def test_a_label_map_nested_without_end(tmp_path: Path) -> None:
    found = opened(tmp_path, csv=TABLE, label_map=b'{"disc": ' + b"[" * 100_000)
    assert isinstance(found, ImageError) and "label map" in str(found) and "cannot be read" in str(found)


def test_only_one_of_many_unknown_names_is_compared_with_all_classes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A wrong column may hold a name a line, and a comparison takes milliseconds."""
    compared: list[str] = []
    monkeypatch.setattr(class_names, "get_close_matches", lambda name, *_, **__: compared.append(name) or [])
    found = opened(tmp_path, ["disc"], csv=b"file,label\na.png,what\nb.png,which\nc.png,who\n")
    assert isinstance(found, ImageError) and "line 2: 'what'" in str(found) and compared == ["what"]
