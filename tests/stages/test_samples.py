"""Edits from several samples, against a plain computation of each on whole models."""

import copy
import json

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from tiny_run import CONFIG

from vitedit.artifacts import load_table
from vitedit.config_files import load
from vitedit.data.images import read_files


def edited(world, tmp_path, method, count, **more):
    """Rows of a method under another number of samples."""
    (tmp_path / "over.yaml").write_text(yaml.safe_dump({"samples": count, **more}))
    both = ["--config", "config.yaml", str(tmp_path / "over.yaml")]
    code = world.edit(method, tmp_path / "rows.parquet", *both)
    return load_table(tmp_path / "rows.parquet") if code == 0 else None


RATE = 2e-4
"""Step size with which some images are right after an edit and some are not."""


def plain_edit(vit, names, images, label):
    """The edited model and its updates: torch's RMSprop on the mean cross-entropy of the samples."""
    model = copy.deepcopy(vit)
    weights = [model.get_parameter(name).requires_grad_() for name in names]
    optimiser = torch.optim.RMSprop(weights, lr=RATE)
    labels, budget = torch.full((len(images),), label), CONFIG["descent"]
    for step in range(budget["max_steps"]):
        logits = model(images)
        loss = torch.nn.functional.cross_entropy(logits, labels)
        if (logits.argmax(-1) == labels).all() and loss <= budget["stop_loss"]:
            return model, step
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    return model, budget["max_steps"]


@pytest.mark.parametrize("count", [2, 3])
def test_rows_are_those_of_a_plain_computation(chain, tmp_path, vit, count):
    rows = edited(chain, tmp_path, "ft", count, editors={"ft": {"learning_rate": RATE}})
    manifest = load_table(chain.results / "benchmark.parquet").query("subset == 'natural'")
    near = load_table(chain.results / "locality.parquet").query("not held_out")
    names = [site["name"] for site in json.loads((chain.results / "layers.json").read_text())["sites"]]
    config = load(chain.folder / "config.yaml")

    def read(table):
        transform = config.models["tiny"].transform
        return read_files(config.images, list(table["images"]), list(table["file"]), transform)

    assert (rows["samples"] == count).all() and rows["group"].nunique() > 1
    for row in rows.itertuples():
        group = manifest[manifest["group"] == row.group]
        own = [(row.edit + at) % len(group) for at in range(count)]
        assert group["file"].iloc[row.edit] == row.file and group["is_edit"].iloc[row.edit]
        images = read(group)
        model, steps = plain_edit(vit, names, images[own], row.label)
        right = (model(images).argmax(-1) == row.label).numpy()
        others = [at for at in range(len(group)) if at not in own]
        kept = model(read(near)).argmax(-1) == vit(read(near)).argmax(-1)
        assert row.steps == steps and row.sr == pytest.approx(right[own].mean())
        assert row.gr == pytest.approx(right[others].mean())
        assert row.gr_ref == pytest.approx((right.sum() - count) / len(group))
        assert row.lr == pytest.approx(kept.float().mean().item())
    assert rows["gr"].nunique() > 1, "rates must differ for this test to mean something"


@pytest.mark.parametrize("method", CONFIG["editors"])
def test_one_sample_gives_the_rows_that_the_chain_has(chain, tmp_path, method):
    rows = edited(chain, tmp_path, method, 1)
    known = load_table(chain.results / "edits" / f"{method}.parquet")
    pd.testing.assert_frame_equal(rows.drop(columns="seconds"), known.drop(columns="seconds"))
    assert set(rows["sr"]) <= {0.0, 1.0} and (rows["samples"] == 1).all()


def test_groups_without_a_neighbour_left_give_no_row(chain, tmp_path, capsys):
    manifest = load_table(chain.results / "benchmark.parquet").query("subset == 'natural'")
    sizes = manifest.groupby("group").size()
    rows = edited(chain, tmp_path, "random_mask", int(sizes.max()) - 1)
    assert set(rows["group"]) == set(sizes[sizes == sizes.max()].index)
    assert edited(chain, tmp_path, "random_mask", int(sizes.max())) is None
    text = capsys.readouterr().err
    assert f"needs groups of at least {sizes.max() + 1}, the largest has {sizes.max()}" in text


def test_the_first_image_follows_the_last():
    from vitedit.stages.backbone import own_positions

    group = pd.DataFrame({"file": list("abcd")}, index=[7, 8, 9, 10])
    np.testing.assert_array_equal(own_positions(group, group.iloc[[3, 1]], 3), [[3, 0, 1], [1, 2, 3]])
