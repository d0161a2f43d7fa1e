"""What labels mean: indices, WordNet ids, names, groups, and words that a map explains."""

import json
import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from vitedit.config import ImagesConfig
from vitedit.data.class_names import ClassNames
from vitedit.data.images import open_images, read_classes
from vitedit.errors import ImageError

FEW = ["n01440764 tench, Tinca tinca", "n02012849 crane", "n03126707 crane", "n03710721 maillot, tank suit"]
PHOTOS = Path(__file__).parents[2] / "photos"


@pytest.fixture(scope="module")
def imagenet() -> list[str]:
    names = read_classes(Path("imagenet"))
    assert names is not None
    return names


def folders(tmp_path: Path, names: list[str], classes: list[str] | None, **more: Any) -> dict[str, int]:
    """Index of every class folder of a set with one image in each."""
    for name in names:
        (tmp_path / "set" / name).mkdir(parents=True)
        Image.new("L", (2, 2)).save(tmp_path / "set" / name / "0.png")
    images = open_images("x", ImagesConfig.model_validate({"path": tmp_path / "set"} | more), classes)
    assert images.labels is not None
    return {file.split("/")[0]: int(label) for file, label in zip(images.files, images.labels, strict=True)}


def table(tmp_path: Path, text: str, classes: list[str] | None, **more: Any) -> dict[str, int]:
    """Index of every file of a set of five flat images, by a table with the columns file, label and perhaps more."""
    (tmp_path / "set").mkdir(exist_ok=True)
    for name in "abcde":
        Image.new("L", (2, 2)).save(tmp_path / "set" / f"{name}.png")
    (tmp_path / "t.csv").write_text(text, encoding="utf-8")
    values = {"path": tmp_path / "set", "labels": "csv", "csv": tmp_path / "t.csv"}
    images = open_images("x", ImagesConfig.model_validate(values | more), classes)
    assert images.labels is not None
    return dict(zip(images.files, images.labels.tolist(), strict=True))


def test_a_name_that_fits_several_classes_is_not_guessed():
    names = ClassNames(["n01 tench, Tinca", "great shark", "great owl", "crane", "crane", "owl"])
    found = [names.by_name(name) for name in ("n01", "n01 tench, Tinca", "great owl", "owl", "shark")]
    assert found[:4] == [0, 0, 2, 5] and "is no class index" in str(found[4])
    for name, which in (("great", "1 (great shark), 2 (great owl)"), ("crane", "3 (crane), 4 (crane)")):
        assert f"is the name of several classes: {which}" in str(names.by_name(name))


@pytest.mark.parametrize(
    ("name", "index"),
    [
        ("tench", 0),
        ("Tinca tinca", 0),
        ("tench, Tinca tinca", 0),
        ("n01440764 tench, Tinca tinca", 0),
        ("TENCH", 0),
        ("great_white_shark", 2),
        ("cardigan", 474),  # the garment; the dog is written with a capital
        ("Cardigan", 264),
        ("missile", 657),  # not the projectile, which is also called so
        ("projectile", 744),
        ("polecat", 358),
        ("sunglasses", 837),
        ("maillot, tank suit", 639),
        ("Crème_brûlée", "is no class index, WordNet id or name of a class"),
        ("crane", "is the name of several classes: 134 (n02012849 crane), 517 (n03126707 crane)"),
        ("Crane", "is the name of several classes: 134"),
        ("maillot", "638 (n03710637 maillot), 639 (n03710721 maillot, tank suit)"),
        ("CARDIGAN", "264 (n02113186 Cardigan, Cardigan Welsh corgi), 474 (n02963159 cardigan)"),
    ],
)
def test_names_of_imagenet(imagenet: list[str], name: str, index: int | str):
    found = ClassNames(imagenet).by_name(name)
    assert found == index if isinstance(index, int) else index in str(found)


def test_a_misspelt_name_gets_a_hint(imagenet: list[str], tmp_path: Path):
    with pytest.raises(ImageError, match=r"'bathtubb': it is no class index.*; similar: bathtub\."):
        folders(tmp_path, ["tench", "bathtubb"], imagenet)


def test_every_class_of_imagenet_is_found_by_its_id_line_and_names(imagenet: list[str]):
    names = ClassNames(imagenet)
    for index, line in enumerate(imagenet):
        assert names.by_id(line[:9]) == names.by_name(line) == index
        if index not in (134, 517, 638, 639):
            assert names.by_name(line[10:]) == names.by_name(line[10:].split(",")[0]) == index


@pytest.mark.parametrize(
    ("names", "indices"),
    [
        (["3", "1", "02"], [3, 1, 2]),
        (["n03126707", "n02012849", "n01440764"], [2, 1, 0]),
        (["n03126707-crane", "n02012849_crane", "n01440764 tench"], [2, 1, 0]),
        (["tench", "maillot"], [0, 3]),
        (["Tinca_tinca", "n03710721 maillot, tank suit"], [0, 3]),
    ],
)
def test_class_folders_by_index_id_or_name(tmp_path: Path, names: list[str], indices: list[int]):
    assert folders(tmp_path, names, FEW) == dict(zip(names, indices, strict=True))


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (
            ["tench", "crane"],
            r"1 class folders fit .*'crane': it is the name of several.*1 \(.*2 \(n03126707 crane",
        ),
        (
            ["n01440764", "n02012849", "n99999999"],
            r"1 class folders .*'n99999999': it is no WordNet id of `classes`",
        ),
        (["n01440764", "n02012849", "crane"], r"first 'crane': it is the name of several"),
        (["0", "1", "crane"], r"first 'crane': it is no class index \(0, 1, 2, \.\.\.\)"),
        (["sketch"], r"first 'sketch'.* If the class folders lie in it, set `folder: sketch`\."),
    ],
)
def test_a_folder_without_a_class_is_named(tmp_path: Path, names: list[str], message: str):
    with pytest.raises(ImageError, match=message):
        folders(tmp_path, names, FEW)


def test_numbers_are_indices_even_without_a_list_of_classes(tmp_path: Path):
    assert folders(tmp_path, ["10", "2", "0"], None) == {"0": 0, "10": 10, "2": 2}


def test_ids_without_a_list_of_classes_are_refused(tmp_path: Path):
    with pytest.raises(
        ImageError, match=r"2 class folders.*`classes: imagenet`.*one missing class would shift"
    ):
        folders(tmp_path, ["n01440764", "n02012849"], None)
    with pytest.raises(
        ImageError, match=r"line 2: 'n01440764' in column `label` is a WordNet id, whose index"
    ):
        table(tmp_path, "file,label\na.png,n01440764\n", None)
    with pytest.raises(ImageError, match=r"line 2: 'tench' in column `label` is no class index .*`classes`"):
        table(tmp_path, "file,label\na.png,tench\n", None)


@pytest.mark.parametrize("labels", [("0", "2", "3"), ("n01440764", "n03126707", "n03710721")])
def test_tables_by_index_or_id(tmp_path: Path, labels: tuple[str, ...]):
    rows = "".join(f"{file}.png,{label}\n" for file, label in zip("cad", labels, strict=True))
    assert table(tmp_path, "file,label\n" + rows, FEW) == {"a.png": 2, "c.png": 0, "d.png": 3}


def test_tables_by_name(tmp_path: Path):
    rows = 'file,label\na.png,Maillot\nb.png,"tench, Tinca tinca"\nc.png,tench\n'
    assert table(tmp_path, rows, FEW) == {"a.png": 3, "b.png": 0, "c.png": 0}
    with pytest.raises(ImageError, match=r"t\.csv, line 5: 'crane' in column `label` is the name of several"):
        table(tmp_path, rows + "d.png,crane\n", FEW)


def test_the_odd_one_out_is_the_mistake(tmp_path: Path):
    with pytest.raises(ImageError, match=r"line 3: 'tench' in column `label` is no class index"):
        table(tmp_path, "file,label\na.png,1\nb.png,tench\nc.png,2\n", FEW)
    with pytest.raises(
        ImageError, match=r"line 3: '7' in column `label` is no class index, WordNet id or name"
    ):
        table(tmp_path, "file,label\na.png,tench\nb.png,7\nc.png,maillot\n", FEW)


def test_a_number_that_is_another_classs_name_is_refused(tmp_path: Path):
    rows = "file,label\na.png,1\nb.png,2\n"
    with pytest.raises(ImageError, match=r"'1' .* could be the class index 1 or the name of class 0; rename"):
        table(tmp_path, rows, ["1", "2", "3"])
    assert table(tmp_path, rows, ["0", "1", "2"]) == {"a.png": 1, "b.png": 2}


def test_rows_are_chosen_by_value(tmp_path: Path):
    rows = "file,label,light,yaw\na.png,1,Default,0\nb.png,2,Red,0.0\nc.png,3,Red,45\nd.png,0,Red,\n"
    assert table(tmp_path, rows, None, rows={"light": "Red"}) == {"b.png": 2, "c.png": 3, "d.png": 0}
    assert table(tmp_path, rows, None, rows={"yaw": 0}) == {"a.png": 1, "b.png": 2}
    assert table(tmp_path, rows, None, rows={"yaw": 45.0, "light": "Red"}) == {"c.png": 3}
    left = table(tmp_path, rows, None, except_rows={"light": "Default"}, rows={"yaw": 0})
    assert left == {"b.png": 2}
    with pytest.raises(
        ImageError, match=r"no rows with light = default \(`except_rows`\); values of light: Def"
    ):
        table(tmp_path, rows, None, except_rows={"light": "default"})
    assert table(tmp_path, rows, None, except_rows={"light": "Default", "yaw": 45}) == {
        "b.png": 2,
        "d.png": 0,
    }
    assert table(tmp_path, rows, None, rows={"yaw": 0}, except_rows={"light": "Red"}) == {"a.png": 1}
    with pytest.raises(
        ImageError, match=r"no rows with light = red \(`except_rows`\); values of light: Default, Red"
    ):
        table(tmp_path, rows, None, except_rows={"light": "red"})
    for chosen, message in (
        ({"light": "Blue"}, r"no rows with light = Blue \(`rows`\); values of light: Default, Red\."),
        ({"light": "Default", "yaw": 45}, r"no rows with light = Default, yaw = 45 together \(`rows`\)"),
        ({"lihgt": "Red"}, r"no column 'lihgt', only file, label, light, yaw"),
    ):
        with pytest.raises(ImageError, match=message):
            table(tmp_path, rows, None, rows=chosen)


def test_rows_left_out_may_name_absent_files_and_repeat_others(tmp_path: Path):
    rows = "file,label,light\na.png,1,Red\na.png,2,Blue\ngone.png,1,Blue\n"
    assert table(tmp_path, rows, None, rows={"light": "Red"}) == {"a.png": 1}


MAP = {"Wolf": [1, 2], "Goldfish": [3], "Hen": 0, "Unused": []}


def test_labels_of_several_classes_are_left_out_and_counted(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    (tmp_path / "map.json").write_text(json.dumps(MAP))
    rows = "file,label\na.png,Wolf\nb.png,Goldfish\nc.png,Wolf\nd.png,Hen\n"
    with caplog.at_level(logging.INFO, logger="vitedit"):
        found = table(tmp_path, rows, FEW, label_map=tmp_path / "map.json")
    assert found == {"b.png": 3, "d.png": 0}
    assert "images.x: 2 of 4 images left out" in caplog.text and caplog.text.rstrip().endswith("labels: Wolf")


def test_a_map_explains_class_folders(tmp_path: Path):
    (tmp_path / "map.json").write_text(json.dumps(MAP))
    assert folders(tmp_path, ["Wolf", "Goldfish", "Hen"], None, label_map=tmp_path / "map.json") == {
        "Goldfish": 3,
        "Hen": 0,
    }


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, r"label map .*map\.json cannot be read"),
        ("{", r"cannot be read"),
        ("[1]", r"holds no mapping"),
        ('{"Wolf": "269"}', r"maps 'Wolf' to '269', which is no class index"),
        ('{"Wolf": [true]}', r"maps 'Wolf' to \[True\]"),
        ('{"Wolf": [-1]}', r"maps 'Wolf' to \[-1\]"),
        ('{"Fox": [1]}', r"line 2: 'Wolf' in column `label` is not explained in .*map\.json"),
        ('{"Wolf": [1, 2]}', r"no image has a label of a single class"),
    ],
)
def test_a_bad_map(tmp_path: Path, content: str | None, message: str):
    if content is not None:
        (tmp_path / "map.json").write_text(content)
    with pytest.raises(ImageError, match=message):
        table(tmp_path, "file,label\na.png,Wolf\n", FEW, label_map=tmp_path / "map.json")


def test_group_folders_begin_with_the_class_index(tmp_path: Path):
    names = ["890_430", "890_805", "7", "12_a b"]
    assert folders(tmp_path, names, None, labels="groups") == dict(zip(names, [890, 890, 7, 12], strict=True))
    (tmp_path / "set" / "890-430").mkdir()
    Image.new("L", (2, 2)).save(tmp_path / "set" / "890-430" / "0.png")
    with pytest.raises(ImageError, match=r"1 class folders.*'890-430': it is no group folder"):
        open_images("x", ImagesConfig(path=tmp_path / "set", labels="groups"))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"rows": {"a": 1}}, "there is no `csv`"),
        ({"except_rows": {"a": 1}}, "there is no `csv`"),
        ({"label_map": "m.json", "labels": "groups"}, "not `labels: groups`"),
        ({"label_map": "m.json", "labels": "none"}, "not `labels: none`"),
        ({"mask_key": "a"}, "there is no `mask`"),
        ({"rows": {"a": True}, "labels": "csv", "csv": "t.csv"}, "rows.a"),
    ],
)
def test_settings_that_do_not_go_together(values: dict[str, Any], message: str):
    with pytest.raises(ValueError, match=message):
        ImagesConfig.model_validate({"path": "set"} | values)


def test_accents_written_in_two_ways_are_one_name(tmp_path: Path):
    """`é` is one character in most tables and two (e and an accent) in the file names that a Mac writes."""
    (tmp_path / "set").mkdir()
    Image.new("L", (2, 2)).save(tmp_path / "set" / "cafe\u0301.png")
    assert table(tmp_path, "file,label\ncaf\u00e9.png,4\n", None) == {"cafe\u0301.png": 4}
    with pytest.raises(ImageError, match="listed twice"):
        table(tmp_path, "file,label\ncaf\u00e9.png,4\ncafe\u0301.png,4\n", None)


@pytest.mark.skipif(not (PHOTOS / "photos.csv").exists(), reason="the photographs at photos/ are absent")
def test_real_photographs_by_index_id_and_name(tmp_path: Path, imagenet: list[str]):
    """The same labels from three columns; the names crane and maillot are refused and so left out first."""

    def labels(column: str, path: Path) -> dict[str, int]:
        config = ImagesConfig.model_validate(
            {"path": PHOTOS, "labels": "csv", "csv": path, "label_column": column}
        )
        images = open_images("photos", config, imagenet)
        assert images.labels is not None
        return dict(zip(images.files, images.labels.tolist(), strict=True))

    whole, clear = PHOTOS / "photos.csv", tmp_path / "clear.csv"
    lines = whole.read_text(encoding="utf-8").splitlines(keepends=True)
    clear.write_text("".join(line for line in lines if ",crane," not in line and ",maillot," not in line))
    by_index = labels("imagenet_index", whole)
    assert len(by_index) == len(lines) - 1 and by_index == labels("wnid", whole)
    by_name = labels("name", clear)
    assert by_name.items() <= by_index.items()
    assert {by_index[file] for file in by_index.keys() - by_name} == {134, 517, 638, 639}
    with pytest.raises(
        ImageError, match=r"'(crane|maillot)' in column `name` is the name of several classes"
    ):
        labels("name", whole)
    assert np.unique(list(by_index.values())).size == 1000
