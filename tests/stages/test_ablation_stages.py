"""Ablations as rows of the run: a training of its own or the run's, and the tables that show them."""

import pandas as pd
import pytest
import yaml

from vitedit.artifacts import load_table
from vitedit.cli import main
from vitedit.config_files import load
from vitedit.errors import ArtifactError
from vitedit.stages.tabulate import tabulate
from vitedit.tensors import load_tensors

ABLATIONS = {
    "ablations": {
        "samples": {"two": {"samples": 2}},
        "inner_steps": {"two": {"meta_train": {"inner_steps": 2}}},
    },
    "methods_per_job": 1,
}


@pytest.fixture(scope="module")
def ablated(chain):
    """A world whose ablations have been trained and edited with, by the command line."""
    (chain.folder / "over.yaml").write_text(yaml.safe_dump(ABLATIONS))
    folder = chain.results / "ablations"
    for name in ("samples/two", "inner_steps/two"):
        words = ["--config", "config.yaml", "over.yaml", "--ablation", name]
        own = name.startswith("inner")
        hypernet = (folder / name if own else chain.results) / "hypernet.safetensors"
        if own:
            files = ["--output", str(hypernet), "--log-table", str(folder / name / "hypernet_log.parquet")]
            assert chain.run("meta-train", *words, *files) == 0
        given = ["--artifact", f"hypernet={hypernet}"]
        assert chain.edit("hypernet", folder / name / "edits.parquet", *words, *given) == 0
    return chain


@pytest.fixture
def config(ablated):
    return load(ablated.folder / "config.yaml", ablated.folder / "over.yaml")


def test_a_variant_is_trained_under_its_own_settings_and_says_so(ablated):
    folder = ablated.results / "ablations" / "inner_steps" / "two"
    _, made = load_tensors(folder / "hypernet.safetensors")
    _, own = load_tensors(ablated.results / "hypernet.safetensors")
    assert (made["depends"]["meta_train"]["inner_steps"], own["depends"]["meta_train"]["inner_steps"]) == (
        2,
        1,
    )
    ours, theirs = (load_table(place / "hypernet_log.parquet")["kl"] for place in (folder, ablated.results))
    assert not ours.equals(theirs)


def test_a_network_of_another_setting_is_refused(ablated, tmp_path, capsys):
    words = ["--config", "config.yaml", "over.yaml", "--ablation", "inner_steps/two"]
    assert ablated.edit("hypernet", tmp_path / "x.parquet", *words) == 2
    assert "meta_train.inner_steps: made with 1, configuration says 2" in capsys.readouterr().err


def shown(config, folder, **files):
    """The two tables of ablations."""
    tabulate(config, output=folder, **files)
    return [load_table(folder / f"{name}.parquet") for name in ("ablation_edits", "ablations")]


def test_what_needs_no_training_is_always_shown_and_the_rest_if_it_is_there(ablated, config, tmp_path):
    words = ["--config", "config.yaml", "over.yaml", "--output"]
    assert main(["ablations", *words, str(tmp_path / "own.parquet")]) == 0
    edits, curves = shown(config, tmp_path / "none")
    assert set(edits["family"]) == set(curves["family"]) == {"samples"}
    assert edits.groupby("variant")["samples"].unique().map(list).to_dict() == {"default": [1], "two": [2]}
    edits, curves = shown(config, tmp_path / "own", appendix=tmp_path / "own.parquet")
    assert set(edits["family"]) == {"samples", "inner_steps"} and not edits["released"].any()
    run = load_table(ablated.results / "edits" / "hypernet.parquet")
    for _, rows in edits[edits["default"]].groupby("family"):
        pd.testing.assert_frame_equal(rows[run.columns].reset_index(drop=True), run)
    assert {"family", "variant", "default", "released", "gr_low", "value"} <= set(curves.columns)
    released = load_table(tmp_path / "own.parquet").assign(released=False)
    released.to_parquet(tmp_path / "released.parquet")
    edits, curves = shown(config, tmp_path / "released", released=tmp_path / "released.parquet")
    for table in (edits, curves):
        assert table.groupby("family")["released"].unique().map(list).to_dict() == {
            "inner_steps": [True],
            "samples": [False],
        }


def test_an_appendix_of_another_configuration_is_refused(ablated, config, tmp_path):
    words = ["--config", "config.yaml", "over.yaml", "--output", str(tmp_path / "own.parquet")]
    assert main(["ablations", *words]) == 0
    families = ABLATIONS["ablations"] | {"inner_steps": {"two": {"meta_train": {"inner_steps": 3}}}}
    other = config.model_copy(update={"ablations": families})
    with pytest.raises(ArtifactError, match=r"inner_steps: made with 2, configuration says 3"):
        shown(other, tmp_path, appendix=tmp_path / "own.parquet")


def test_with_a_budget_the_default_is_another_training(ablated, tmp_path, capsys):
    (tmp_path / "budget.yaml").write_text("ablation_budget: {meta_train: {iterations: 3}}\n")
    words = ["--config", "config.yaml", "over.yaml", str(tmp_path / "budget.yaml")]
    assert main(["ablations", *words, "--output", "x.parquet"]) == 2
    assert "tiny/ablations/default/edits.parquet" in capsys.readouterr().err
