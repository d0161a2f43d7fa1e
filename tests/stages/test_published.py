"""A benchmark that comes in group folders, a locality set that comes as it is, and the two readings of a style's neighbours."""

from pathlib import Path
from zipfile import ZipFile

import numpy as np
import pytest
import torch

from vitedit.artifacts import load_table
from vitedit.config import TransformConfig
from vitedit.config_files import load
from vitedit.data.images import open_images
from vitedit.stages.edit_groups import COLUMNS

GROUPS = {"0_1": 0, "3_2": 3, "4": 4}


@pytest.fixture
def published(world):
    """The world's images as the authors' two archives, and once more as a style."""
    with ZipFile("natural.zip", "w") as natural, ZipFile("sensitive.zip", "w") as sensitive:
        for group, label in GROUPS.items():
            for at in range(10):
                natural.write(f"world/class{label}/{at:02d}.png", f"subset/{group}/{at:02d}.png")
        for label in range(5):
            sensitive.write(f"world/class{label}/11.png", f"images/{label}.png")
    sets = {
        "world": {"path": "world"},
        "natural": {"path": "natural.zip", "folder": "subset", "labels": "groups"},
        "sensitive": {"path": "sensitive.zip", "folder": "images", "labels": "none"},
        "oil": {"path": "world"},
    }
    benchmark = {
        "rule": "published",
        "images": "natural",
        "styles": ["oil"],
        "style_neighbours": 7,
        "groups": 3,
        "style_groups": 2,
    }
    locality = {"sources": ["world"], "gap": 0.5, "published": "sensitive"}
    sites = {"blocks": [1, 2], "part": "mlp"}
    world.configure(images=sets, benchmark=benchmark, locality=locality, sites=sites)
    return world


def predictions(vit, images, indices=None):
    """Of the whole model, image by image."""
    with torch.no_grad():
        pixels = images.read(range(len(images)) if indices is None else indices, TransformConfig(size=24))
        return vit(pixels).argmax(-1).numpy()


def test_groups_are_the_folders_less_what_the_model_gets_right(published, vit):
    assert published.run("build-benchmark") == 0
    table = load_table(published.results / "benchmark.parquet")
    natural = table[table["subset"] == "natural"]
    config = load(Path("config.yaml"))
    images = open_images("natural", config.images["natural"])
    right = predictions(vit, images) == images.labels
    expected = {file for file, correct in zip(images.files, right, strict=True) if not correct}
    sizes = {group: sum(file.startswith(f"{group}/") for file in expected) for group in GROUPS}
    kept = {group for group, size in sizes.items() if size >= 2}
    assert kept and set(natural["group"]) == kept
    assert set(natural["file"]) == {file for file in expected if file.split("/")[0] in kept}
    assert (natural["label"] == natural["group"].map(GROUPS)).all()


def test_a_published_locality_set_is_measured_whole_and_sources_serve_for_tuning(published, vit):
    assert published.run("build-locality") == 0
    table = load_table(published.results / "locality.parquet")
    measured = table[~table["held_out"]]
    assert measured["images"].eq("sensitive").all() and len(measured) == 5
    assert table.loc[table["held_out"], "images"].eq("world").all() and table["held_out"].any()
    images = open_images("sensitive", load(Path("config.yaml")).images["sensitive"])
    assert measured["predicted"].tolist() == predictions(vit, images).tolist()


def test_both_readings_of_a_styles_neighbours_are_measured(published, vit):
    for stage in ("build-benchmark", "build-locality", "search-layers"):
        assert published.run(stage) == 0
    assert published.edit("ft", "ft.parquet") == 0
    rows = load_table(Path("ft.parquet"))
    assert list(rows.columns) == COLUMNS
    styled = rows["subset"] == "oil"
    assert rows.loc[~styled, "gr_style"].isna().all() and rows.loc[styled, "gr_style"].notna().all()
    table = load_table(published.results / "benchmark.parquet")
    style = table[table["subset"] == "oil"].reset_index(drop=True)
    some = style.iloc[np.arange(7) * len(style) // 7]
    assert some["label"].nunique() == 2, "both classes are among the seven images"
    for row in rows[styled].to_dict("records"):
        others = (some["file"] != row["file"]).sum()
        hits = row["gr_style"] * others
        assert hits == pytest.approx(round(hits), abs=1e-9) and others in (6, 7)


def test_the_same_set_cannot_serve_twice(published, capsys):
    locality = {"sources": ["world"], "published": "world"}
    published.configure(locality=locality)
    assert published.run("build-locality") == 2
    assert "serves for something else too" in capsys.readouterr().err
    published.configure(benchmark={"rule": "published", "images": "world", "groups": 2})
    assert published.run("build-benchmark") == 2
    assert "belong together" in capsys.readouterr().err
