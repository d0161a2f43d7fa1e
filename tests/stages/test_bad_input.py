"""What a person can get wrong: one clear message, exit code 2, and nothing left that looks like a result."""

import shutil

import pandas as pd
import pytest
import torch
from safetensors.torch import load_file, save_file
from tiny import TINY

from vitedit.model.vit import build_vit

OUTPUTS = {"build-benchmark": "benchmark.parquet", "build-locality": "locality.parquet"}


def refused(world, capsys, stage, *more):
    """The message of a stage that must fail with exit code 2 and leave no output."""
    before = {path for path in world.folder.rglob("*") if path.is_file()}
    assert world.run(stage, *more) == 2
    assert {path for path in world.folder.rglob("*") if path.is_file()} == before
    return capsys.readouterr().err


def prepared(world, *stages):
    for stage in stages:
        assert world.run(stage) == 0
    return world


EDIT = ("edit-groups", "--methods", "ft", "--output", "ft.parquet")


def test_an_unknown_key(world, capsys):
    world.configure(benchmrk={})
    assert "unknown key 'benchmrk'" in refused(world, capsys, "build-benchmark")


def test_a_wrong_type(world, capsys):
    world.configure(seed="zero")
    assert "seed: Input should be a valid integer, got 'zero'" in refused(world, capsys, "build-benchmark")


def test_a_sparsity_outside_its_range(world, capsys):
    world.configure(editors={"random_mask": {"sparsity": [1.5]}})
    assert "sparsity: 1.5 is not a number in [0, 1)" in refused(world, capsys, "build-benchmark")


def test_a_misspelt_hyper_parameter_is_found_before_any_work(world, capsys):
    world.configure(editors={"random_mask": {"sparisty": [0.5]}})
    assert "unknown ['sparisty'], missing ['learning_rate', 'sparsity']" in refused(
        world, capsys, "build-benchmark"
    )


def test_a_missing_checkpoint(world, capsys):
    (world.folder / "tiny.safetensors").unlink()
    assert "tiny.safetensors: no such checkpoint" in refused(world, capsys, "build-benchmark")


def test_a_checkpoint_of_another_architecture(world, capsys):
    wider = build_vit(
        TINY.model_copy(update={"architecture": {**(TINY.architecture or {}), "embed_dim": 48}})
    )
    save_file(wider.state_dict(), world.folder / "tiny.safetensors")
    assert "is no checkpoint of vit_tiny_patch16_224" in refused(world, capsys, "build-locality")


def test_a_missing_set_of_images(world, capsys):
    shutil.rmtree(world.folder / "world")
    assert "world" in refused(world, capsys, "build-benchmark")


def test_an_unreadable_image(world, capsys):
    (world.folder / "world" / "class2" / "03.png").write_bytes(b"no image")
    message = refused(world, capsys, "build-benchmark")
    assert "class2/03.png" in message and "images.world" in message


def test_an_image_that_vanished_after_the_benchmark_was_built(world, capsys):
    prepared(world, "build-benchmark", "build-locality", "search-layers")
    shutil.rmtree(world.folder / "world" / "class1")
    shutil.rmtree(world.folder / "world" / "class0")
    assert "class" in refused(world, capsys, *EDIT)


def test_no_group_is_large_enough(world, capsys):
    world.configure(benchmark={"rule": "errors", "images": "world", "min_size": 99})
    assert "`benchmark.min_size` is 99" in refused(world, capsys, "build-benchmark")


def test_a_subset_without_groups(world, capsys):
    world.configure(benchmark={"rule": "errors", "images": "world", "same_prediction": False, "groups": 3})
    prepared(world, "build-benchmark", "build-locality", "search-layers")
    message = refused(world, capsys, "tune", "--methods", "ft", "--output", "x.parquet")
    assert "no groups in the subset 'tuning'. Subsets: natural" in message
    assert "`benchmark.held_out_groups`" in message


def test_an_unknown_group_to_search_on(world, capsys):
    prepared(world, "build-benchmark", "build-locality")
    world.configure(search={"window": 2, "group": "7_8"})
    assert "search.group: no group '7_8'" in refused(world, capsys, "search-layers")


def test_an_unknown_method(world, capsys):
    prepared(world, "build-benchmark", "build-locality", "search-layers")
    world.configure(editors={"fft": {}})
    assert "no method 'fft'. Methods: hypernet, ft" in refused(world, capsys, *EDIT)
    world.configure()
    words = ("--methods", "fft", "--output", "ft.parquet")
    assert "no 'fft'. It has: ft, hypernet, random_mask" in refused(world, capsys, "edit-groups", *words)
    assert "no 'fft'. It has: ft, hypernet, random_mask" in refused(world, capsys, "tune", *words)


def test_a_misspelt_site(world, capsys):
    prepared(world, "build-benchmark", "build-locality", "search-layers")
    choice = world.results / "layers.json"
    choice.write_text(
        choice.read_text().replace("fc1.weight", "fc1.wieght").replace("qkv.weight", "qkv.wieght")
    )
    assert "wieght' is no parameter" in refused(world, capsys, *EDIT)


@pytest.mark.parametrize(
    ("section", "stage"), [("benchmark", "build_benchmark"), ("locality", "build_locality")]
)
def test_a_stale_artefact(world, capsys, section, stage):
    prepared(world, "build-benchmark", "build-locality", "search-layers")
    change = {
        "benchmark": {"rule": "errors", "images": "world", "groups": 2},
        "locality": {"sources": ["world"], "gap": 0.5},
    }
    world.configure(**{section: change[section]})
    message = refused(world, capsys, *EDIT)
    assert "made under another configuration" in message and "Run rule" in message


@pytest.mark.parametrize("section", ["benchmark", "locality"])
def test_a_stale_artefact_before_meta_training(world, capsys, section):
    prepared(world, "build-benchmark", "build-locality", "search-layers")
    change = {
        "benchmark": {"rule": "errors", "images": "world", "groups": 2},
        "locality": {"sources": ["world"], "gap": 0.5},
    }
    world.configure(**{section: change[section]})
    assert "made under another configuration" in refused(world, capsys, "meta-train")


def test_a_block_the_model_does_not_have(world, capsys):
    prepared(world, "build-benchmark", "build-locality")
    world.configure(sites={"blocks": [99]})
    assert "'blocks.99.mlp.fc1.weight' is no parameter" in refused(world, capsys, "search-layers")


def test_a_run_longer_than_the_model(world, capsys):
    prepared(world, "build-benchmark", "build-locality")
    world.configure(search={"window": 9})
    assert "a window of 9 blocks does not fit" in refused(world, capsys, "search-layers")


def test_a_mask_search_that_becomes_nan(world, capsys):
    prepared(world, "build-benchmark", "build-locality", "search-layers")
    world.configure(
        meta_train={"pseudo": {"images": "world", "patches": [1, 2]}, "inner_learning_rate": 1e30}
    )
    assert "lower inner_learning_rate (now 1e+30) of meta_train" in refused(world, capsys, "meta-train")


def test_a_stale_hypernetwork(world, capsys):
    prepared(world, "build-benchmark", "build-locality", "search-layers", "meta-train")
    world.configure(meta_train={"pseudo": {"images": "world"}, "iterations": 5})
    words = ("--methods", "hypernet", "--output", "x.parquet")
    message = refused(
        world, capsys, "edit-groups", *words, "--artifact", f"hypernet={world.results}/hypernet.safetensors"
    )
    assert "hypernet.safetensors: made under another configuration" in message and "iterations" in message


def test_an_artefact_that_is_not_given(world, capsys):
    prepared(world, "build-benchmark", "build-locality", "search-layers")
    words = ("--methods", "hypernet", "--output", "x.parquet")
    assert "Add --artifact hypernet=PATH" in refused(world, capsys, "edit-groups", *words)


def test_weights_that_are_not_finite(world, capsys):
    weights = load_file(world.folder / "tiny.safetensors")
    weights["blocks.0.mlp.fc1.weight"][0, 0] = torch.nan
    save_file(weights, world.folder / "tiny.safetensors")
    assert "NaN or infinite weights in blocks.0.mlp.fc1.weight" in refused(world, capsys, "build-benchmark")


def test_a_loss_that_becomes_nan(world, capsys):
    prepared(world, "build-benchmark", "build-locality")
    world.configure(search={"learning_rate": 1e38, "window": 2})
    assert "lower the learning rate" in refused(world, capsys, "search-layers")


def test_an_output_that_cannot_be_written(world, capsys):
    (world.folder / "file").write_text("")
    prepared(world, "build-benchmark", "build-locality", "search-layers")
    assert "could not be written" in refused(world, capsys, *EDIT[:-1], "file/ft.parquet")


def test_a_label_the_model_does_not_have(world, capsys):
    files = sorted(
        str(p.relative_to(world.folder / "world")) for p in (world.folder / "world").rglob("*.png")
    )
    pd.DataFrame({"file": files, "label": [7] * len(files)}).to_csv(world.folder / "labels.csv", index=False)
    world.configure(images={"world": {"path": "world", "labels": "csv", "csv": "labels.csv"}})
    assert "label 7, but the model has 5 classes" in refused(world, capsys, "build-benchmark")
