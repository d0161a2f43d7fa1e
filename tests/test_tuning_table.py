"""The published table of trials and the configuration agree."""

import json
from itertools import product
from pathlib import Path

import pandas as pd
import pytest

from vitedit.config_files import load

ROOT = Path(__file__).parents[1]
CONFIG = load(ROOT / "config/config.yaml")
TABLE = pd.read_csv(ROOT / "docs/tuning.csv")


@pytest.mark.parametrize("method", CONFIG.tuned_methods)
def test_the_configured_values_are_the_best_trials(method):
    section, rows = CONFIG.editors[method], TABLE[TABLE["method"] == method]
    trials = rows[rows["origin"] == "trial"]
    assert set(trials["backbone"]) == set(CONFIG.backbones)
    for _, tried in trials.groupby("backbone"):
        grid = [dict(zip(section.tune, values, strict=True)) for values in product(*section.tune.values())]
        assert [json.loads(text) for text in tried["parameters"]] == grid
    (best,) = set(trials.loc[trials["best"], "parameters"])
    scores = trials.groupby("parameters")["score"].mean()
    assert scores[best] == scores.max()
    for name, value in json.loads(best).items():
        if name != section.knob:
            assert section.parameters[name] == value, "results/embedded/tuned.yaml has the values"


def test_documents_that_are_linked_exist():
    import re

    for page in [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md"), *ROOT.glob("*/README.md")]:
        for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text()):
            assert (page.parent / target).exists(), f"{page.name} links {target}"


@pytest.mark.parametrize("over", [[], ["photos.yaml"], ["paper.yaml"]])
def test_the_searched_mask_has_the_step_sizes_of_the_proposed_method(over):
    folder = ROOT / "config"
    config = load(folder / "config.yaml", *(folder / name for name in over))
    searched, proposed = (config.editors[name].settings()[0] for name in ("searched_mask", "hypernet"))
    assert searched["learning_rate"] == proposed["learning_rate"]
    assert searched["inner_learning_rate"] == config.meta_train.inner_learning_rate
