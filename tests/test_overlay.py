"""Pieces of configuration laid over a run's: what they may hold, and what they change."""

from pathlib import Path

import pytest
import yaml

from vitedit import cli
from vitedit.config_files import load, overlay, parse
from vitedit.errors import ConfigError, UnknownNameError
from vitedit.lineage import depends

BELOW = Path(__file__).parents[1] / "config" / "config.yaml"
VALUES = yaml.safe_load(BELOW.read_text()) | {"ablations": {}, "ablation_budget": None}
FAMILIES = {
    "samples": {"two": {"samples": 2}, "three": {"samples": 3}},
    "blocks": {
        "one": {"meta_train": {"blocks": 1}},
        "wide": {"meta_train": {"blocks": 5, "heads": 3}, "editors": {"hypernet": {"sparsity": [0.5]}}},
    },
}


def run(**values):
    """The embedded run with ablations of its own."""
    return parse(overlay(VALUES, values), "c.yaml")


def edits(config, ablation):
    """What the edits of an ablation depend on."""
    return depends(config.under(ablation), "edit_groups", backbone="base", method="hypernet")


def test_an_ablation_changes_what_it_names_and_nothing_else():
    config = run(ablations=FAMILIES)
    assert config.ablation_names(trained=False) == ["samples/two", "samples/three"]
    assert config.ablation_names(trained=True) == config.trained_ablations == ["blocks/one", "blocks/wide"]
    wide = config.under("blocks/wide")
    assert (wide.meta_train.blocks, wide.meta_train.heads) == (5, 3)
    assert wide.editors["hypernet"].parameters == config.editors["hypernet"].parameters | {"sparsity": [0.5]}
    own = {"meta_train", "editors", "show"}
    assert wide.model_dump(exclude=own) == config.model_dump(exclude=own)
    unshown = config.show.model_copy(update={"methods": []})
    assert config.under("samples/three") == config.model_copy(update={"samples": 3, "show": unshown})


def test_a_budget_lies_under_all_that_are_trained_and_makes_their_default():
    budget = {"meta_train": {"iterations": 7, "blocks": 2}}
    config = run(ablations=FAMILIES, ablation_budget=budget)
    assert config.trained_ablations == ["default", "blocks/one", "blocks/wide"]
    assert config.ablation_names(trained=True) == ["blocks/one", "blocks/wide"]
    trained = {name: config.under(name).meta_train for name in config.trained_ablations}
    assert {name: meta.iterations for name, meta in trained.items()} == dict.fromkeys(trained, 7)
    assert [meta.blocks for meta in trained.values()] == [2, 1, 5]
    assert config.under("samples/two").meta_train == config.meta_train
    assert run(ablation_budget=budget).trained_ablations == [], "nothing to compare it with"


def test_null_drops_what_a_configuration_below_has():
    config = run(ablations=FAMILIES | {"samples": {"two": {"samples": 2}, "three": None}, "blocks": None})
    assert config.ablation_names(trained=False) == ["samples/two"] and not config.trained_ablations
    with pytest.raises(UnknownNameError, match="no ablation 'blocks/one'. Ablations: samples/two"):
        config.under("blocks/one")


def test_a_run_without_the_ablated_method_has_none():
    config = run(ablations=FAMILIES, methods=["ft"])
    assert not config.ablation_names(trained=False) and not config.trained_ablations
    other = run(ablations={"samples": {"two": {"samples": 2}}}, methods=["ft"], ablated_method="ft")
    assert other.ablation_names(trained=False) == ["samples/two"]


def test_a_variant_trains_where_the_run_takes_a_network_over():
    taken = {"meta_train": {"checkpoint": "h.pth"}}
    config = run(ablations=FAMILIES, **taken)
    assert config.under("blocks/one").meta_train.checkpoint is None
    assert config.under("samples/two").meta_train.checkpoint == Path("h.pth")
    other = run(ablations={"origin": {"imported": taken}})
    assert other.under("origin/imported").meta_train.checkpoint == Path("h.pth")


@pytest.mark.parametrize(
    ("families", "message"),
    [
        (
            {"a": {"b": {"meta_train": {"inner_step": 1}}}},
            r"c\.yaml: ablations\.a\.b: unknown key 'meta_train\.inner_step'\. Keys there: .*inner_steps",
        ),
        ({"a": {"b": {"samples": 0}}}, r"ablations\.a\.b: samples: .*greater than 0"),
        ({"a": {"b": {"meta_train": {"pseudo": {"images": "no"}}}}}, r"ablations\.a\.b: .*no not defined"),
        ({"a": {"b": {"sites": {"part": "attn"}}}}, r"ablations\.a\.b: .*cannot change 'sites'; it may"),
        ({"a": {"b": {}}}, r"ablations\.a\.b: .*changes something"),
        ({"a": {"b": {"samples": 2}, "c": {"meta_train": {"blocks": 1}}}}, r"ablations\.a: .*or none"),
        (
            {"a": {"default": {"samples": 2}}},
            r"ablations\.a: .*'default' is the name of the run as configured",
        ),
    ],
)
def test_a_wrong_ablation_is_refused_by_name(families, message):
    with pytest.raises(ConfigError, match=message):
        run(ablations=families)


def test_a_wrong_budget_or_method_is_refused():
    with pytest.raises(ConfigError, match=r"ablations\.default: unknown key 'meta_train\.iteration'"):
        run(ablations=FAMILIES, ablation_budget={"meta_train": {"iteration": 3}})
    with pytest.raises(ConfigError, match=r"ablated_method: no method 'hypernt'\. Methods: hypernet"):
        run(ablated_method="hypernt")


def test_settings_that_only_models_know_are_checked_under_every_ablation(tmp_path, capsys):
    over = tmp_path / "over.yaml"
    over.write_text("ablations: {blocks: {one: {meta_train: {heads: 7}}}}\n")
    assert cli.main(["check", "--config", str(BELOW), str(over)]) == 2
    assert "ablations.blocks.one: meta_train.heads: 7 heads do not divide" in capsys.readouterr().err
    over.write_text("ablations: {samples: {two: {editors: {hypernet: {sparsty: 0.5}}}}}\n")
    assert cli.main(["check", "--config", str(BELOW), str(over)]) == 2
    assert "ablations.samples.two: editors.hypernet: unknown ['sparsty']" in capsys.readouterr().err


def test_the_flag_takes_a_stage_to_its_ablation(monkeypatch, capsys):
    got = []

    def tabulate(config: object, *, output: Path) -> None:
        got.append(config)

    monkeypatch.setattr(cli, "stage_function", lambda name: tabulate)
    words = ["tabulate", "--config", str(BELOW), "--output", "x"]
    assert cli.main([*words, "--ablation", "samples/two"]) == 0 and got[0].samples == 2
    assert cli.main(words) == 0 and got[1] == load(BELOW)
    assert cli.main([*words, "--ablation", "samples/four"]) == 2
    assert "no ablation 'samples/four'. Ablations: " in capsys.readouterr().err


def test_provenance_differs_between_variants_by_what_they_change():
    config = run(ablations=FAMILIES)
    names = ["samples/two", "samples/three", "blocks/one", "blocks/wide"]
    made = [edits(config, name) for name in names]
    own = depends(config, "edit_groups", backbone="base", method="hypernet")
    assert all(one != other for at, one in enumerate([own, *made]) for other in made[at:])
    assert {key for key in own if made[0][key] != own[key]} == {"samples"}
    assert {key for key in own if made[3][key] != own[key]} == {"meta_train", "editors.hypernet"}
    training = [depends(config.under(name), "meta_train", backbone="base") for name in names]
    assert training[0] == training[1] == depends(config, "meta_train", backbone="base") != training[2]


def test_another_variant_or_budget_leaves_the_others_fresh():
    before = run(ablations=FAMILIES)
    changed = {"blocks": {"one": {"meta_train": {"blocks": 2}}}}
    after = run(ablations=overlay(FAMILIES, changed))
    names = [*before.ablation_names(trained=False), *before.trained_ablations]
    assert [name for name in names if edits(before, name) != edits(after, name)] == ["blocks/one"]
