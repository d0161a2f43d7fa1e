"""Trials on held-out groups, their table, and the configuration that the best of them make."""

import json

import pandas as pd
import pytest
import yaml

from vitedit.artifacts import load_table
from vitedit.cli import main
from vitedit.config_files import load


@pytest.fixture(scope="module")
def tuned(chain):
    output = chain.results / "tuning" / "ft-random_mask.parquet"
    assert chain.run("tune", "--methods", "ft-random_mask", "--output", str(output)) == 0
    words = ["tuning", "--config", "config.yaml", "--output", "tuning.parquet", "--tuned", "tuned.yaml"]
    assert main(words) == 0
    return load_table(chain.folder / "tuning.parquet")


def test_groups_for_tuning_are_held_out(chain):
    benchmark = load_table(chain.results / "benchmark.parquet")
    held_out = benchmark[benchmark["subset"] == "tuning"]
    assert held_out["group"].nunique() > 0 and held_out["group"].str.startswith("natural ").all()
    measured = benchmark[benchmark["subset"] == "natural"]
    assert not set(held_out["file"]) & set(measured["file"])
    assert held_out.groupby("group")["is_edit"].sum().le(2).all()
    smallest = measured.groupby("group").size().min()
    assert held_out.groupby("group").size().max() <= smallest, "the largest groups are measured"


def test_one_row_a_trial_and_one_for_the_publication(tuned):
    ft = tuned[tuned["method"] == "ft"]
    assert [json.loads(text) for text in ft["parameters"]] == [
        {"learning_rate": 1e-3},
        {"learning_rate": 3e-3},
        {"learning_rate": 1e-4},
    ]
    assert ft["origin"].tolist() == ["trial", "trial", "original"]
    score = 2 * tuned["gr"] * tuned["lr"] / (tuned["gr"] + tuned["lr"]).clip(lower=1e-12)
    pd.testing.assert_series_equal(tuned["score"], score, check_names=False)
    assert ft.loc[0, "steps"] >= ft.loc[1, "steps"] and ft["sr"].iloc[1] > 0


def test_the_best_trial_becomes_configuration_but_a_knob_keeps_its_values(chain, tuned):
    best = tuned[tuned["best"]].set_index("method")
    assert sorted(best.index) == ["ft", "random_mask"]
    assert best.loc["ft", "score"] == tuned.query("method == 'ft' and origin == 'trial'")["score"].max()
    overlay = yaml.safe_load((chain.folder / "tuned.yaml").read_text())["editors"]
    assert overlay["ft"] == json.loads(best.loc["ft", "parameters"])
    assert overlay["random_mask"] == {"learning_rate": 3e-3}
    config = load(chain.folder / "config.yaml", chain.folder / "tuned.yaml")
    assert config.editors["random_mask"].parameters["sparsity"] == [0.5]
    assert config.editors["ft"].parameters["learning_rate"] == overlay["ft"]["learning_rate"]
