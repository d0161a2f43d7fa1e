"""The stages, one after the other, by the command line."""

import json

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from vitedit.artifacts import load_table
from vitedit.config import ImagesConfig
from vitedit.data.images import open_images
from vitedit.model.patch import checksum
from vitedit.stages.edit_groups import COLUMNS
from vitedit.stages.unused import unused
from vitedit.tensors import load_tensors


def test_the_search_compares_every_run_on_one_group(chain):
    rows = load_table(chain.results / "layers.parquet")
    assert sorted(set(zip(rows["part"], rows["first"], rows["last"], strict=True))) == [
        (part, first, first + 1) for part in ("attn", "mlp") for first in range(3)
    ]
    assert (rows.groupby(["part", "first"]).size() == 2).all() and rows["lr"].between(0, 1).all()
    choice = json.loads((chain.results / "layers.json").read_text())
    assert choice["by"] == "search" and len(choice["sites"]) == 4


def test_rows_have_every_column_and_one_edit_a_sample_and_setting(chain):
    benchmark = load_table(chain.results / "benchmark.parquet")
    samples = benchmark[benchmark["is_edit"] & (benchmark["subset"] == "natural")]
    rows = load_table(chain.results / "edits" / "hypernet.parquet")
    assert list(rows.columns) == COLUMNS and len(rows) == 2 * len(samples)
    assert sorted(rows["setting"].unique()) == ["sparsity=0.5", "sparsity=0.9"]
    assert (
        rows[["gr", "gr_ref", "lr", "loss", "norm"]].notna().all(axis=None)
        and rows["steps"].between(0, 8).all()
    )
    assert set(rows["status"]) <= {"converged", "not_converged"} and rows["seconds"].gt(0).all()
    # gr excludes the edit sample, gr_ref subtracts one hit: (N - 1) gr + sr - 1 = N gr_ref
    size = rows["group"].map(benchmark[benchmark["subset"] == "natural"].groupby("group").size())
    np.testing.assert_allclose((size - 1) * rows["gr"] + rows["sr"] - 1, size * rows["gr_ref"], atol=1e-9)


def test_sparser_masks_change_fewer_weights(chain):
    rows = load_table(chain.results / "edits" / "hypernet.parquet")
    moved = rows[rows["steps"] > 0].groupby("value")["fraction"].mean()
    assert 0 < moved[0.9] < moved[0.5] < 1


def test_edits_do_not_depend_on_how_they_are_batched(chain, monkeypatch, tmp_path):
    monkeypatch.setattr("vitedit.stages.backbone.planned", lambda cut: 1)
    assert chain.edit("random_mask", tmp_path / "single.parquet") == 0
    one, many = (
        load_table(path).drop(columns=["batch", "seconds"])
        for path in (tmp_path / "single.parquet", chain.results / "edits" / "random_mask.parquet")
    )
    exact = ["file", "sr", "steps", "status"]
    pd.testing.assert_frame_equal(one[exact], many[exact])
    pd.testing.assert_frame_equal(one, many, rtol=1e-3, atol=1e-3)


def test_specificity_compares_every_pair(chain):
    benchmark = load_table(chain.results / "benchmark.parquet")
    count = int((benchmark["subset"] == "natural").sum())
    table = load_table(chain.results / "specificity.parquet")
    assert len(table) == count * (count - 1) // 2 and table["iou"].between(0, 1).all()


def test_the_selected_units_of_all_sites_are_those_that_the_sparsity_leaves(chain):
    table = load_table(chain.results / "sites.parquet")
    benchmark = load_table(chain.results / "benchmark.parquet")
    natural = benchmark[benchmark["subset"] == "natural"]
    choice = json.loads((chain.results / "layers.json").read_text())
    assert table["site"].unique().tolist() == [site["name"] for site in choice["sites"]]
    units = dict(zip(table["site"].unique(), choice["model"]["units"], strict=True))
    for group, part in table.groupby("group"):
        assert (part["masks"] == (natural["group"] == group).sum()).all()
        selected = sum(units[row["site"]] * row["share"] for row in part.to_dict("records"))
        total = sum(units.values())
        assert selected == pytest.approx(int(0.1 * total + 1e-9))


def test_the_search_leaves_the_sizes_of_the_model(chain):
    facts = json.loads((chain.results / "layers.json").read_text())["model"]
    assert facts["classes"] == 5 and facts["weights"] > facts["site_weights"] > 0


def test_meta_training_uses_no_image_of_the_benchmark_or_the_locality_set(chain):
    log = load_table(chain.results / "hypernet_log.parquet")
    assert len(log) == 34
    _, made = load_tensors(chain.results / "hypernet.safetensors")
    assert made["stage"] == "meta_train" and made["depends"]["meta_train"]["iterations"] == 4
    assert made["base_model"] == checksum(load_file(chain.folder / "tiny.safetensors"))
    assert not (chain.folder / "state.pt").exists(), "the state is of no use once the training is complete"


def test_fixed_blocks_overrule_the_search(world):
    world.configure(sites={"blocks": [0], "part": "attn"})
    for stage in ("build-benchmark", "build-locality", "search-layers"):
        assert world.run(stage) == 0
    choice = json.loads((world.results / "layers.json").read_text())
    assert choice["by"] == "config" and [s["name"] for s in choice["sites"]] == [
        "blocks.0.attn.qkv.weight",
        "blocks.0.attn.proj.weight",
    ]
    assert world.edit("ft", "ft.parquet") == 0
    assert load_table(world.folder / "ft.parquet")["fraction"].gt(0).any()


@pytest.mark.parametrize("threads", ["1", "2"])
def test_the_same_edits_come_twice(chain, tmp_path, threads):
    tables = []
    for name in ("a", "b"):
        assert chain.edit("ft", tmp_path / name, "--threads", threads) == 0
        tables.append(load_table(tmp_path / name).drop(columns="seconds"))
    pd.testing.assert_frame_equal(*tables, check_exact=True)
    torch.set_num_threads(1)


def test_a_second_copy_of_a_photograph_is_no_pseudo_sample(world):
    first = world.folder / "world" / "class0" / "00.png"
    Image.open(first).convert("RGB").save(
        world.folder / "world" / "class0" / "copy.jpg", quality=100, subsampling=0
    )
    images = open_images("world", ImagesConfig(path=world.folder / "world"))
    listed = pd.DataFrame({"images": ["world"], "file": ["class0/00.png"]})
    assert "class0/copy.jpg" not in {images.files[i] for i in unused(images, listed)}
    elsewhere = listed.assign(images="another set")
    assert len(unused(images, elsewhere)) == len(images)
