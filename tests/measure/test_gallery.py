"""Thumbnails and the whole `tabulate` stage on a run of two groups."""

import io
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from vitedit.artifacts import load_table, provenance, save_json, save_table
from vitedit.config import Config, EditorConfig
from vitedit.config_files import load, overlay, parse
from vitedit.data.images import open_images, read_classes
from vitedit.errors import ArtifactError, ImageError
from vitedit.figures import TABLES
from vitedit.lineage import depends
from vitedit.measure.gallery import SHOWN_COLUMNS, gallery, thumbnail
from vitedit.measure.verdicts import PAPER_VALUES
from vitedit.stages.tabulate import class_names, tabulate

ROOT = Path(__file__).parents[2]


def picture(path: Path, colour: tuple[int, int, int], size: tuple[int, int] = (8, 6)) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, colour).save(path)


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Config:
    """The embedded run's configuration on folders of a few pictures, with one method."""
    paper = PAPER_VALUES.resolve()
    monkeypatch.chdir(tmp_path)
    PAPER_VALUES.parent.mkdir()
    shutil.copy(paper, PAPER_VALUES)
    for at in range(4):
        picture(Path(f"images/natural/{at}.png"), (60 * at, 0, 0))
        for name in ("arrow", "n01440764"):
            picture(Path(f"images/train/{name}/{at}.png"), (0, 60 * at, 0), (300, 150))
    Path("classes.txt").write_text("arrow\nn01440764 star_fish, sea star\n")
    folders = {
        name: {"path": f"images/{name}", "folder": "", "labels": labels}
        for name, labels in (("natural", "none"), ("train", "folder"))
    }
    changes = {
        "classes": "classes.txt",
        "backbones": ["base"],
        "images": folders,
        "benchmark": {"styles": []},
        "locality": {"sources": ["train"]},
        "show": {"methods": ["ft"]},
    }
    base = load(ROOT / "config" / "config.yaml").model_dump(mode="json")
    base["images"], base["editors"], base["ablations"] = {}, {"ft": {}}, {}
    return parse(overlay(base, changes), "test")


MANIFEST = pd.DataFrame(
    {
        "subset": "natural",
        "group": ["0_1", "0_1", "0_1", "1_0"],
        "images": "natural",
        "file": [f"{at}.png" for at in range(4)],
    }
    | {
        "label": [0, 0, 0, 1],
        "predicted": [1, 1, 1, 0],
        "confidence": 0.9,
        "confidence_stronger": 0.9,
        "is_edit": [False, True, True, True],
    }
)
NEAR = pd.DataFrame(
    {
        "images": "train",
        "file": ["n01440764/3.png", "n01440764/2.png"],
        "label": 1,
        "predicted": 1,
        "gap": [0.01, 0.07],
        "held_out": [False, True],
    }
)


SHOWN = pd.DataFrame(
    {"method": "ft", "setting": "", "subset": "natural", "group": "0_1"}
    | {
        "role": ["edit", "neighbour", "flipped"],
        "images": ["natural", "natural", "train"],
        "file": ["1.png", "3.png", "n01440764/3.png"],
        "label": [0, 0, 1],
        "before": [1, 1, 1],
        "after": [0, 1, 7],
    }
    | {"neighbours": 2, "neighbours_right": 1, "locality": 1, "locality_flipped": 1}
)


SITES = [{"name": f"blocks.{block}.mlp.fc1.weight", "axis": 0} for block in (7, 8, 9)]
MODEL = {"blocks": 12, "width": 96, "classes": 2, "weights": 1000, "site_weights": 160, "units": [4, 4, 4]}
NETWORK = {"iteration": [0, 1], "loss_edit": [2.0, 1.0], "kl": 0.1, "success": 0.5, "success_before": 0.25}


def write_run(config: Config) -> None:
    """What the stages before leave behind."""
    folder = config.results / "base"

    def made(stage: str, method: str = "") -> dict:
        return provenance(stage, depends(config, stage, backbone="base", method=method))

    save_table(folder / "benchmark.parquet", MANIFEST, made("build_benchmark"))
    save_table(folder / "locality.parquet", NEAR, made("build_locality"))
    search = pd.DataFrame(
        {
            "part": "mlp",
            "first": 7,
            "last": 9,
            "edit": [0, 1],
            "file": "1.png",
            "sr": True,
            "gr": [0.2, 0.4],
            "lr": 0.9,
            "steps": 3,
        }
    )
    save_table(folder / "layers.parquet", search, made("search_layers"))
    save_json(
        folder / "layers.json",
        {"part": "mlp", "blocks": [7, 8, 9], "sites": SITES, "by": "search", "model": MODEL},
        made("search_layers"),
    )
    log = pd.DataFrame(
        {"iteration": [0], "phase": "search", "kl": 0.1, "sparsity_searched": 0.5, "sparsity_predicted": 0.5}
    )
    save_table(
        folder / "hypernet_log.parquet", log.assign(regression_loss=0.6, seconds=1.0), made("meta_train")
    )
    pairs = pd.DataFrame(
        {
            "group_a": ["0_1", "0_1"],
            "group_b": ["0_1", "1_0"],
            "edit_a": 0,
            "edit_b": [1, 2],
            "file_a": "a",
            "file_b": "b",
        }
    )
    save_table(folder / "specificity.parquet", pairs.assign(iou=[0.6, 0.2]), made("specificity"))
    shares = pd.DataFrame({"subset": "natural", "group": ["0_1"], "site": "s", "block": 7, "matrix": "fc1"})
    save_table(folder / "sites.parquet", shares.assign(share=0.25, masks=2), made("specificity"))
    edits = pd.DataFrame(
        {
            "run": "embedded",
            "backbone": "base",
            "method": "ft",
            "setting": "",
            "knob": "",
            "value": [np.nan] * 3,
        }
    )
    edits = edits.assign(
        subset="natural",
        group=["0_1", "0_1", "1_0"],
        edit=[0, 1, 0],
        file="f",
        label=0,
        predicted=1,
        sr=True,
        gr=[0.5, 1.0, np.nan],
    )
    edits = edits.assign(
        gr_ref=0.4,
        gr_style=np.nan,
        lr=0.9,
        steps=9,
        loss=0.0,
        seconds=1.0,
        fraction=0.2,
        norm=1.0,
        seed=0,
        status="converged",
        samples=1,
    )
    save_table(folder / "edits" / "ft.parquet", edits, made("edit_groups", "ft"))
    save_table(folder / "shown_edits.parquet", SHOWN, made("show_edits", "ft"))


def with_methods(config: Config, *names: str) -> Config:
    """The run with more methods, each of which needs the artefact of its own name, and their edits."""
    more = config.editors | {name: EditorConfig(artifacts=[name]) for name in names}
    both = config.model_copy(update={"editors": more})
    edits = load_table(config.results / "base" / "edits" / "ft.parquet")
    for name in names:
        made = provenance("edit_groups", depends(both, "edit_groups", backbone="base", method=name))
        save_table(config.results / "base" / "edits" / f"{name}.parquet", edits.assign(method=name), made)
    return both


def test_stage_writes_every_table(config: Config, tmp_path: Path) -> None:
    write_run(config)
    Path("truth.csv").write_text("file,label\n0.png,0\n1.png,0\n2.png,1\n3.png,1\n")
    tabulate(with_methods(config, "hypernet"), output=tmp_path / "tables", truth=Path("truth.csv"))
    assert {path.name for path in (tmp_path / "tables").iterdir()} == {
        f"{n}.{ending}" for n, ends in TABLES.items() for ending in ends
    }
    tables = {name: load_table(tmp_path / "tables" / f"{name}.parquet") for name in TABLES}
    assert all("backbone" in table for name, table in tables.items() if name != "inputs")
    assert tables["curves"].query("subset == 'all'")["gr"].tolist() == [0.75, 0.75]
    assert tables["groups"][["label_name", "predicted_name", "images", "edits"]].to_numpy().tolist() == [
        ["arrow", "star fish", 3, 2],
        ["star fish", "arrow", 1, 1],
    ]
    assert tables["groups"]["label_correct"].tolist() == pytest.approx([2 / 3, 1])
    assert tables["layers"][["name", "on_front", "chosen"]].to_numpy().tolist() == [["FFN 8-10", True, True]]
    assert tables["layers"][["subset", "group", "edits"]].to_numpy().tolist() == [["natural", "0_1", 2]]
    assert tables["overlap"]["within"].item() == 0.6
    assert tables["sites"][["share", "sparsity"]].to_numpy().tolist() == [[0.25, config.specificity.sparsity]]
    system = tables["system"].iloc[0]
    assert system[["edited", "units", "share", "hypernet_blocks"]].tolist() == ["8 9 10", 12, 0.16, 3]
    text = dict.fromkeys(("setting", "knob"), str)
    read = pd.read_csv(tmp_path / "tables" / "edits.csv", dtype=text).fillna(dict.fromkeys(text, ""))
    pd.testing.assert_frame_equal(read, tables["edits"], check_dtype=False)


def test_groups_held_out_for_tuning_stay_out(config: Config, tmp_path: Path) -> None:
    write_run(config)
    made = provenance("build_benchmark", depends(config, "build_benchmark", backbone="base"))
    held_out = MANIFEST.assign(subset="tuning", file="read_by_nobody.png")
    save_table(config.results / "base" / "benchmark.parquet", pd.concat([held_out, MANIFEST]), made)
    tabulate(config, output=tmp_path / "tables")
    tables = {name: load_table(tmp_path / "tables" / f"{name}.parquet") for name in ("groups", "gallery")}
    assert tables["groups"]["subset"].tolist() == ["natural", "natural"]
    assert set(tables["gallery"]["subset"]) == {"natural", ""}
    assert tables["groups"]["images"].tolist() == [3, 1]


def test_logs_of_networks_that_edit(config: Config, tmp_path: Path) -> None:
    """Only of those that a configured method needs, each checked against its own configuration."""
    write_run(config)
    tabulate(config, output=tmp_path / "none")
    assert load_table(tmp_path / "none" / "editor_training.parquet").empty
    both = with_methods(config, "mend", "hypernet")
    with pytest.raises(ArtifactError, match="mend_log"):
        tabulate(both, output=tmp_path / "some")
    log = pd.DataFrame(NETWORK).assign(multiplier=np.nan, margin=np.nan, seconds=0.1)
    made = provenance("train_editor", depends(both, "train_editor", backbone="base", method="mend"))
    save_table(config.results / "base" / "mend_log.parquet", log, made)
    tabulate(both, output=tmp_path / "some")
    table = load_table(tmp_path / "some" / "editor_training.parquet")
    assert table[["backbone", "network", "iteration", "loss_edit"]].to_numpy().tolist() == [
        ["base", "mend", 0, 2.0],
        ["base", "mend", 1, 1.0],
    ]
    assert set(load_table(tmp_path / "some" / "edits.parquet")["method"]) == {"ft", "mend", "hypernet"}


def test_stage_refuses_another_configuration(config: Config, tmp_path: Path) -> None:
    write_run(config)
    other = config.model_copy(update={"descent": config.descent.model_copy(update={"max_steps": 3})})
    with pytest.raises(ArtifactError, match="descent.max_steps: made with 100, configuration says 3"):
        tabulate(other, output=tmp_path / "tables")
    fewer = config.model_copy(update={"show": config.show.model_copy(update={"groups": 3})})
    with pytest.raises(ArtifactError, match=r"shown_edits.*show.groups: made with 16, configuration says 3"):
        tabulate(fewer, output=tmp_path / "tables")
    assert not (tmp_path / "tables").exists()


def red(png: bytes) -> int:
    with Image.open(io.BytesIO(png)) as image:
        pixel = image.getpixel((0, 0))
    assert isinstance(pixel, tuple)
    return int(pixel[0])


def test_gallery_shows_the_right_pictures(config: Config) -> None:
    classes = read_classes(config.classes)
    sets = {name: open_images(name, images, classes) for name, images in config.images.items()}
    table = gallery(MANIFEST, NEAR, sets, "train", class_names(config))
    group = table[table["group"] == "0_1"]
    assert group["role"].tolist() == ["edit", "neighbour", "neighbour", *["pretraining"] * 6]
    assert [red(png) for png in group["png"][:3]] == [60, 0, 120]  # the first edit sample is the second image
    assert group["label_name"].tolist() == ["arrow"] * 6 + ["star fish"] * 3
    assert group["file"].tolist()[:4] == ["1.png", "0.png", "2.png", "arrow/0.png"]
    assert table.iloc[-1][["role", "label_name"]].tolist() == ["locality", "star fish"]
    with pytest.raises(ImageError, match="gone.png: not in the image set 'natural'"):
        gallery(MANIFEST.assign(file="gone.png"), NEAR, sets, "train", class_names(config))


def test_shown_edits_have_names_and_pictures(config: Config, tmp_path: Path) -> None:
    """Right goes by class, not by name: here two classes share one."""
    Path("classes.txt").write_text("arrow\nn01440764 arrow\n")
    write_run(config)
    tabulate(config, output=tmp_path / "tables")
    table = load_table(tmp_path / "tables" / "shown_edits.parquet")
    assert list(table.columns) == ["backbone", *SHOWN_COLUMNS] and set(table["backbone"]) == {"base"}
    assert table[["label_name", "before_name", "after_name"]].to_numpy().tolist() == [
        ["arrow", "arrow", "arrow"],
        ["arrow", "arrow", "arrow"],
        ["arrow", "arrow", "class 7"],
    ]
    assert table[["right_before", "right_after"]].to_numpy().tolist() == [
        [False, True],
        [False, False],
        [True, False],
    ]
    assert [red(png) for png in table["png"]] == [60, 180, 0]
    kept = [name for name in SHOWN.columns if name not in ("label", "before", "after")]
    pd.testing.assert_frame_equal(table[kept], SHOWN[kept])


def test_without_shown_methods_the_table_is_empty(config: Config, tmp_path: Path) -> None:
    write_run(config)
    (config.results / "base" / "shown_edits.parquet").unlink()
    none = config.model_copy(update={"show": config.show.model_copy(update={"methods": []})})
    tabulate(none, output=tmp_path / "tables")
    table = load_table(tmp_path / "tables" / "shown_edits.parquet")
    assert table.empty and list(table.columns) == ["backbone", *SHOWN_COLUMNS]


def test_typical_pictures_are_in_no_group(config: Config) -> None:
    """Where groups come from the very set that shows what is typical, as in a run on photographs."""
    classes = read_classes(config.classes)
    sets = {name: open_images(name, images, classes) for name, images in config.images.items()}
    erring = MANIFEST.head(2).assign(images="train", file=["arrow/0.png", "arrow/2.png"])
    table = gallery(erring, NEAR, sets, "train", class_names(config))
    typical = table[(table["role"] == "pretraining") & (table["label_name"] == "arrow")]
    assert typical["file"].tolist() == ["arrow/1.png", "arrow/3.png"]


def test_thumbnails_are_central_squares_and_never_grow() -> None:
    wide = Image.new("L", (300, 150), 255)
    wide.paste(0, (0, 0, 70, 150))
    for picture_, side in ((wide, 112), (Image.new("L", (8, 6), 255), 6)):
        with Image.open(io.BytesIO(thumbnail(picture_))) as image:
            assert image.size == (side, side) and image.mode == "RGB"
            assert image.getextrema() == ((255, 255),) * 3
