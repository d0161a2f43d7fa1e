"""The stages build_benchmark and build_locality from files to manifests, with a model that reads its answer off the image."""

import importlib
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from vitedit.artifacts import load_table
from vitedit.config import Config
from vitedit.config_files import parse
from vitedit.errors import ArtifactError, ConfigError, ImageError
from vitedit.lineage import depends
from vitedit.stages.build_benchmark import build_benchmark
from vitedit.stages.build_locality import build_locality

CPU = torch.device("cpu")
CODE = {"right": 0, "wrong": 60, "unsure": 120, "unsure_wrong": 180}


class Reader(nn.Module):
    """Class from the red level (50 a class), behaviour from the green level; `wrong` predicts the next class.

    The stronger model is always right.
    """

    def __init__(self, always_right: bool) -> None:
        super().__init__()
        self.always_right = always_right

    def forward(self, images: Tensor) -> Tensor:
        levels = ((images.mean(dim=(2, 3)) * 0.5 + 0.5) * 255).round()
        label = (levels[:, 0] / 50).round().long()
        code = (levels[:, 1] / 60).round().long()
        code = torch.zeros_like(code) if self.always_right else code
        logits = 6 * nn.functional.one_hot((label + code % 2) % 4, 4).float()
        rival = (5.97 * nn.functional.one_hot((label + (code + 1) % 2) % 4, 4)).float()
        return logits + rival * (code >= 2)[:, None]


def paint(folder: Path, labelled: bool, rows: list[tuple[int, str]]) -> None:
    """Images named by their number; the blue corner tells those of one kind apart (else they were duplicates)."""
    for at, (label, kind) in enumerate(rows):
        pixels = np.zeros((16, 16, 3), np.uint8)
        pixels[...] = (50 * label, CODE[kind], 0)
        pixels[at // 4 :, at % 4 * 4 :, 2] = 255
        place = folder / f"class{label}" if labelled else folder
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(place / f"{at:02}.png")


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Config:
    natural = [
        (0, "right"),
        (0, "wrong"),
        (0, "wrong"),
        (1, "wrong"),
        (1, "unsure_wrong"),
        (2, "wrong"),
        (2, "wrong"),
        (2, "wrong"),
    ]
    paint(tmp_path / "natural", False, natural)
    Image.open(tmp_path / "natural" / "05.png").save(tmp_path / "natural" / "08.png")  # stored twice
    paint(
        tmp_path / "oil",
        True,
        [
            (0, "wrong"),
            (0, "unsure_wrong"),
            (0, "right"),
            (3, "wrong"),
            (3, "wrong"),
            (1, "wrong"),
            (2, "right"),
        ],
    )
    paint(tmp_path / "val", True, [(0, "unsure"), (1, "right"), (2, "unsure_wrong"), (3, "unsure")])
    for stage in ("build_benchmark", "build_locality"):
        module = importlib.import_module(f"vitedit.stages.{stage}")
        monkeypatch.setattr(
            module, "load_vit", lambda _, checkpoint, device: Reader("stronger" in str(checkpoint))
        )
    return parse(values(tmp_path), "test")


def values(folder: Path, **changes: Any) -> dict[str, Any]:
    transform = {"size": 16}
    model = {"name": "any", "transform": transform}
    return {
        "run": "test",
        "backbones": ["base"],
        "models": {name: model | {"checkpoint": f"{name}.safetensors"} for name in ("base", "stronger")},
        "images": {
            "natural": {"path": str(folder / "natural"), "labels": "none"},
            "oil": {"path": str(folder / "oil")},
            "val": {"path": str(folder / "val")},
        },
        "benchmark": {
            "rule": "mad",
            "images": "natural",
            "stronger": "stronger",
            "styles": ["oil"],
            "max_edits": 2,
        }
        | changes,
        "locality": {"sources": ["val"], "min_images": 1},
        "meta_train": {"pseudo": {"images": "val"}},
        "editors": {"ft": {}},
    }


def groups(table: pd.DataFrame) -> dict[tuple[str, str], list[str]]:
    found: dict[tuple[str, str], list[str]] = {}
    for subset, group, file in zip(table["subset"], table["group"], table["file"], strict=True):
        found.setdefault((subset, group), []).append(file)
    return found


def test_benchmark_manifest(config: Config, tmp_path: Path) -> None:
    """Image 4 is unsure, 08 is a copy of 05, group 1_2 has one image only; oil 1 is unsure but wrong, so it enters."""
    build_benchmark(config, backbone="base", output=tmp_path / "b.parquet", device=CPU)
    table = load_table(tmp_path / "b.parquet", depends(config, "build_benchmark", backbone="base"))
    assert groups(table) == {
        ("natural", "2_3"): ["05.png", "06.png", "07.png"],
        ("natural", "0_1"): ["01.png", "02.png"],
        ("oil", "0"): ["class0/00.png", "class0/01.png"],
        ("oil", "3"): ["class3/03.png", "class3/04.png"],
    }
    assert table["is_edit"].tolist() == [True, True, False] + [True] * 6
    assert (table["label"] != table["predicted"]).all()
    assert table["confidence_stronger"].isna().tolist() == [False] * 5 + [True] * 4
    assert table.dtypes[["label", "predicted", "is_edit"]].tolist() == [np.int64, np.int64, np.bool_]
    with pytest.raises(ArtifactError, match="another configuration"):
        load_table(
            tmp_path / "b.parquet",
            depends(parse(values(tmp_path, max_edits=1), "x"), "build_benchmark", backbone="base"),
        )


def test_two_builds_are_equal(config: Config, tmp_path: Path) -> None:
    for name in ("one", "two"):
        build_benchmark(config, backbone="base", output=tmp_path / name, device=CPU)
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()


def test_errors_rule(config: Config, tmp_path: Path) -> None:
    changed = parse(values(tmp_path, rule="errors", images="oil", styles=[], same_prediction=False), "x")
    build_benchmark(changed, backbone="base", output=tmp_path / "b.parquet", device=CPU)
    table = load_table(tmp_path / "b.parquet")
    assert list(groups(table)) == [("natural", "0"), ("natural", "3")] and set(table["images"]) == {"oil"}
    unlabelled = parse(values(tmp_path, rule="errors"), "x")
    with pytest.raises(ImageError, match=r"images\.natural: labels are needed"):
        build_benchmark(unlabelled, backbone="base", output=tmp_path / "no.parquet", device=CPU)
    assert not (tmp_path / "no.parquet").exists()


def test_locality_manifest(config: Config, tmp_path: Path) -> None:
    build_locality(config, backbone="base", output=tmp_path / "l.parquet", device=CPU)
    table = load_table(tmp_path / "l.parquet", depends(config, "build_locality", backbone="base"))
    assert table["file"].tolist() == ["class0/00.png", "class3/03.png"] and table["label"].tolist() == [0, 3]
    assert (table["gap"] < 0.05).all() and (table["predicted"] == table["label"]).all()


def test_locality_refuses_the_unlabelled_pool(config: Config, tmp_path: Path) -> None:
    changed = parse(values(tmp_path) | {"locality": {"sources": ["natural", "val"]}}, "x")
    with pytest.raises(ConfigError, match="'natural' is the pool"):
        build_locality(changed, backbone="base", output=tmp_path / "l.parquet", device=CPU)
