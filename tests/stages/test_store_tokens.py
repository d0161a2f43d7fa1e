"""Stored prefix tokens are those that a job would compute, mapped from their files, and never more than the bound."""

import logging
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import save_file

from vitedit.artifacts import load_table
from vitedit.config_files import load
from vitedit.measure.evaluate import Reference
from vitedit.model.sites import PARTS
from vitedit.stages import backbone as backbone_module
from vitedit.stages.backbone import Backbone
from vitedit.stages.token_store import TokenStore, write_set, write_table

CPU = torch.device("cpu")
TABLE = "tokens/images.parquet"


@pytest.fixture(scope="module")
def stored(chain):
    """The chain with the tokens of its images stored."""
    assert chain.run("store-tokens") == 0
    return chain


@pytest.fixture
def base(stored):
    """The backbone with its store."""
    config = load(Path("config.yaml"))
    return Backbone.chosen(config, "tiny", stored.results / "layers.json", CPU, stored.results / TABLE)


def rows_of(world):
    """Manifests of the groups and of the locality set, in one table."""
    return [load_table(world.results / f"{name}.parquet") for name in ("benchmark", "locality")]


def without_time(path):
    return load_table(Path(path)).drop(columns="seconds")


@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize("block", range(4))
def test_tokens_of_any_cut_are_those_computed_from_the_images(stored, base, part, block):
    cut = base.split.at(part, [block])
    for rows in [
        *(group for _, group in rows_of(stored)[0].groupby(["subset", "group"])),
        rows_of(stored)[1],
    ]:
        ours, plain = base.reference(cut, rows), Reference.of(cut, base.read(rows))
        torch.testing.assert_close(ours.tokens, plain.tokens, rtol=1e-6, atol=1e-6)
        np.testing.assert_array_equal(ours.before, plain.before)
        assert ours.tokens.shape[1] == (1 if (block, part) == (3, "mlp") else 10)


def test_edits_measured_on_stored_tokens_give_the_same_rows_and_read_no_other_image(
    stored, tmp_path, monkeypatch
):
    assert stored.edit("ft-random_mask", tmp_path / "plain.parquet") == 0
    read, plain = [], backbone_module.read_files
    monkeypatch.setattr(
        backbone_module,
        "read_files",
        lambda sets, images, files, transform: read.extend(files) or plain(sets, images, files, transform),
    )
    words = ("--tokens", str(stored.results / TABLE))
    assert stored.edit("ft-random_mask", tmp_path / "stored.parquet", *words) == 0
    pd.testing.assert_frame_equal(
        without_time(tmp_path / "stored.parquet"), without_time(tmp_path / "plain.parquet"), check_exact=True
    )
    benchmark = rows_of(stored)[0]
    assert read and set(read) <= set(benchmark.loc[benchmark["is_edit"], "file"])


def test_tokens_are_mapped_from_their_file_without_a_copy(stored, base):
    near = base.locality(stored.results / "locality.parquet")
    tokens = base.reference(base.split, near).tokens
    file = next((stored.results / "tokens").glob("blocks.*")).parent.resolve()
    maps = [line.split() for line in Path("/proc/self/maps").read_text().splitlines() if str(file) in line]
    ranges = [tuple(int(end, 16) for end in words[0].split("-")) for words in maps]
    assert any(first <= tokens.data_ptr() < last for first, last in ranges)


def test_images_that_are_not_stored_are_read(base, caplog):
    rows = pd.DataFrame({"images": ["world"], "file": ["none/such.png"]})
    with caplog.at_level(logging.INFO):
        assert base.tokens.find(base.split.point, rows) is None
    assert "without these 1 images" in caplog.text


def test_what_exceeds_the_bound_is_left_out_and_said(world, capsys):
    for stage in ("build-benchmark", "build-locality"):
        assert world.run(stage) == 0
    for bound, kept in (
        (0.0, 0),
        (2e-5, 1),
        (1.0, 3),
    ):  # one cut takes 3.5e-5 GB, the last FFN's CLS tokens a tenth
        world.configure(token_store_gb=bound, sites={"blocks": [1, 2]})
        assert world.run("search-layers") == 0
        capsys.readouterr()
        assert world.run("store-tokens", "--output", f"stored/{kept}/images.parquet") == 0
        assert len(list(Path(f"stored/{kept}").glob("blocks.*"))) == kept
        assert Path(f"stored/{kept}/images.parquet").exists()
        assert capsys.readouterr().err.count("left of `token_store_gb`") == 3 - kept
        assert world.edit("ft", f"{kept}.parquet", "--tokens", f"stored/{kept}/images.parquet") == 0
    for kept in (0, 1):
        pd.testing.assert_frame_equal(
            without_time(f"{kept}.parquet"), without_time("3.parquet"), check_exact=True
        )


def test_stale_damaged_and_absent_tokens_are_refused(world, capsys):
    for stage in ("build-benchmark", "build-locality", "search-layers", "store-tokens"):
        assert world.run(stage) == 0
    table = world.results / TABLE
    words = ("ft", "rows.parquet", "--tokens", str(table))
    world.configure(descent={"max_steps": 7, "stop_loss": 0.05})
    assert world.run("search-layers") == 0
    assert world.edit(*words) == 2 and "another configuration" in capsys.readouterr().err
    assert world.run("store-tokens") == 0
    for path in table.parent.glob("blocks.*/*.safetensors"):
        content = bytearray(path.read_bytes())
        content[-100] ^= 1
        path.write_bytes(content)
    assert world.edit(*words) == 2 and "damaged" in capsys.readouterr().err
    table.unlink()
    assert world.edit(*words) == 2 and "no such file" in capsys.readouterr().err
    assert not Path("rows.parquet").exists()


def test_another_checkpoint_under_the_same_name_is_noticed(world, vit, capsys):
    for stage in ("build-benchmark", "build-locality", "search-layers", "store-tokens"):
        assert world.run(stage) == 0
    weights = {name: tensor + 1e-3 for name, tensor in vit.state_dict().items()}
    save_file(weights, "tiny.safetensors")
    assert world.edit("ft", "rows.parquet", "--tokens", str(world.results / TABLE)) == 2
    said = capsys.readouterr().err
    assert "inputs.tiny.safetensors" in said and "`snakemake --forcerun store_tokens`" in said


def test_another_device_predicts_anew(stored, base, monkeypatch):
    near = base.locality(stored.results / "locality.parquet")
    plain = base.reference(base.split, near)
    monkeypatch.setattr(backbone_module, "device_name", lambda device: "another")
    anew = np.full(len(near), -1)
    monkeypatch.setattr(Reference, "at", classmethod(lambda cls, split, tokens, batch: cls(tokens, anew)))
    other = base.reference(base.split, near)
    assert other.before is anew and torch.equal(other.tokens, plain.tokens)


def test_a_second_store_leaves_nothing_of_the_first(world):
    for stage in ("build-benchmark", "build-locality"):
        assert world.run(stage) == 0
    for blocks in ([1, 2], [2, 3]):
        world.configure(sites={"blocks": blocks})
        assert world.run("search-layers") == 0 and world.run("store-tokens") == 0
    assert not (world.results / "tokens/blocks.1.mlp").exists()
    assert world.edit("ft", "rows.parquet", "--tokens", str(world.results / TABLE)) == 0


def test_the_store_reads_what_it_wrote(tmp_path):
    made = {"depends": {"seed": 1}, "device": "cpu"}
    rows = pd.DataFrame({"images": list("aabb"), "file": list("1213"), "label": 0})
    every = Reference(torch.randn(4, 5, 4), np.array([2, 0, 1, 3]))
    sets = [[0, 1, 2], [3], [0]]  # the first image in two of them
    for number, part in enumerate(sets):
        some = Reference(every.tokens[part], every.before[part])
        write_set(tmp_path, number, {(1, 0): some, (2, 1): some}, made)
    write_table(tmp_path / "images.parquet", [rows.iloc[part] for part in sets], made)
    store = TokenStore.open(tmp_path / "images.parquet", made["depends"])
    assert store.find((0, 1), rows[:3]) is None
    assert store.find((1, 0), rows) is None, "no set has all"
    for asked, found in (((1, 0), (1, 0)), ((2, 0), (1, 0)), ((2, 1), (2, 1)), ((7, 0), (2, 1))):
        for order in ([2, 0], [0, 1, 2], [1, 2, 0], [3], [0]):
            point, device, some = store.find(asked, rows.iloc[order])
            assert (point, device) == (found, "cpu") and some.before.tolist() == every.before[order].tolist()
            assert torch.equal(some.tokens, every.tokens[order])
