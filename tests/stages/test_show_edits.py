"""Predictions of single images before and after edits, against whole models with the edited weights put in."""

import copy

import numpy as np
import pytest
import torch
import yaml

from vitedit.artifacts import load_table
from vitedit.config_files import load
from vitedit.editors import build, editor_class
from vitedit.lineage import depends
from vitedit.model.edits import Samples
from vitedit.stages.backbone import Backbone
from vitedit.stages.show_edits import COLUMNS
from vitedit.stages.trained import load_trained

COUNTS = ["neighbours", "neighbours_right", "locality", "locality_flipped"]
ALL = {"neighbours": 99, "flipped": 99}


def show(world, output, **sections):
    """What the stage writes under some changed sections."""
    (output.parent / "show.yaml").write_text(yaml.safe_dump(sections))
    configs = ["config.yaml", str(output.parent / "show.yaml")]
    assert world.show("--config", *configs, "--output", str(output)) == 0
    return load_table(output)


@pytest.fixture(scope="module")
def shown(chain, tmp_path_factory):
    """All images of the edits of both methods."""
    return show(chain, tmp_path_factory.mktemp("shown") / "rows.parquet", show=ALL)


@pytest.fixture(scope="module")
def base(chain):
    """The backbone with its images."""
    config = load(chain.folder / "config.yaml")
    return Backbone.chosen(config, "tiny", chain.results / "layers.json", torch.device("cpu"))


@pytest.fixture(scope="module")
def manifest(chain, base):
    return base.manifest(chain.results / "benchmark.parquet", ["natural"])


def edited(base, chain, method, rows):
    """The whole model after an edit that is made alone, from the images of some rows."""
    given = {"hypernet": chain.results / "hypernet.safetensors"}
    trained = load_trained(base, editor_class(method), given)
    editor = build(method, base.config.editors[method].settings()[-1], base.config, trained)
    first = rows.iloc[0]
    key = f"{first['images']}/{first['file']}"
    edits = editor.edit(base.split, Samples(base.read(rows)[None], torch.tensor([first["label"]]), (key,)))
    model = copy.deepcopy(base.split.vit)
    for name, tensor in edits.changed.items():
        model.get_parameter(name).data.copy_(tensor[0])
    return model


def predictions(model, base, rows):
    with torch.no_grad():
        return model(base.read(rows)).argmax(-1).numpy()


def test_predictions_are_those_of_whole_models(chain, base, manifest, shown):
    near = base.locality(chain.results / "locality.parquet")
    assert set(shown["method"]) == {"hypernet", "ft"} and shown["group"].nunique() > 1
    assert set(shown.loc[shown["method"] == "hypernet", "setting"]) == {"sparsity=0.9"}
    for (method, group), rows in shown.groupby(["method", "group"]):
        members = manifest[manifest["group"] == group]
        first = members[members["is_edit"]].head(1)
        others = members.drop(first.index)
        model = edited(base, chain, method, first)
        was, is_now = (predictions(one, base, near) for one in (base.split.vit, model))
        expected = {"edit": first, "neighbour": others, "flipped": near[was != is_now]}
        for role, images in expected.items():
            found = rows[rows["role"] == role]
            assert found["file"].tolist() == images["file"].tolist()
            assert found["label"].tolist() == images["label"].tolist()
            if len(images):
                assert found["before"].tolist() == predictions(base.split.vit, base, images).tolist()
                assert found["after"].tolist() == predictions(model, base, images).tolist()
        right = (predictions(model, base, others) == first["label"].item()).sum()
        counts = [len(others), right, len(near), (was != is_now).sum()]
        assert (rows[COUNTS] == counts).all(axis=None)
    for role in ("neighbour", "flipped"):
        some = shown[shown["role"] == role]
        assert len(some) and (some["before"] != some["after"]).any(), "or this test means nothing"


def test_fewer_images_are_the_first_and_the_counts_stay(chain, shown, tmp_path):
    few = show(
        chain, tmp_path / "few.parquet", show={"groups": 1, "neighbours": 2, "flipped": 1, "setting": 0}
    )
    ours, every = few[few["method"] == "ft"], shown[shown["method"] == "ft"]
    assert set(ours["group"]) == {every["group"].iloc[0]} and list(few.columns) == COLUMNS
    every = every[every["group"] == ours["group"].iloc[0]]
    kept = {"edit": 1, "neighbour": 2, "flipped": 1}
    expected = [row for role, count in kept.items() for row in every[every["role"] == role].index[:count]]
    assert ours.to_numpy().tolist() == every.loc[expected].to_numpy().tolist()
    assert set(few.loc[few["method"] == "hypernet", "setting"]) == {"sparsity=0.5"}


def test_an_edit_from_several_samples_has_several_pictures(chain, manifest, tmp_path):
    rows = show(chain, tmp_path / "two.parquet", samples=2, show=ALL)
    for group, some in rows[rows["method"] == "ft"].groupby("group"):
        members = manifest[manifest["group"] == group].reset_index(drop=True)
        first = int(np.flatnonzero(members["is_edit"])[0])
        own = [members["file"][(first + at) % len(members)] for at in (0, 1)]
        assert some.loc[some["role"] == "edit", "file"].tolist() == own
        assert not set(own) & set(some.loc[some["role"] == "neighbour", "file"])
        assert (some["neighbours"] == len(members) - 2).all()


def test_methods_that_the_run_leaves_out_are_skipped(chain, tmp_path):
    rows = show(chain, tmp_path / "ft.parquet", methods=["ft"])
    assert set(rows["method"]) == {"ft"}
    none = show(chain, tmp_path / "none.parquet", show={"methods": []})
    assert none.empty and list(none.columns) == COLUMNS


def test_what_is_shown_belongs_to_the_provenance(base):
    def needs(**values):
        config = base.config.model_copy(update={"show": base.config.show.model_copy(update=values)})
        return depends(config, "show_edits", backbone="tiny", method="-".join(config.shown_methods))

    assert needs() != needs(flipped=1) and needs() != needs(methods=["ft"])
    assert "meta_train" in needs() and "meta_train" not in needs(methods=["ft"])
