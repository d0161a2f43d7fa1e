from pathlib import Path

import pytest
import yaml

from vitedit.config_files import load, overlay, parse
from vitedit.data.catalogue import needed
from vitedit.errors import ConfigError

CONFIG = Path(__file__).parents[1] / "config"
VALUES = yaml.safe_load((CONFIG / "config.yaml").read_text())


def changed(place, value):
    """The embedded configuration with one value replaced."""
    *sections, key = place.split(".")
    change = {key: value}
    for section in reversed(sections):
        change = {section: change}
    return overlay(VALUES, change)


@pytest.mark.parametrize(
    "files", [["config.yaml"], ["config.yaml", "photos.yaml"], ["config.yaml", "paper.yaml"]]
)
def test_the_projects_own_configurations_are_valid(files):
    assert load(*(CONFIG / name for name in files)).run == {1: "embedded"}.get(
        len(files), files[-1].removesuffix(".yaml")
    )


def test_the_papers_numbers():
    config = load(CONFIG / "config.yaml", CONFIG / "paper.yaml")
    assert (
        config.sites.blocks == [7, 8, 9]
        and config.search.learning_rate == 2e-5
        and config.descent.max_steps == 100
    )
    meta = config.meta_train
    assert (meta.inner_steps, meta.inner_learning_rate, meta.search_steps, meta.temperature) == (
        5,
        1e-3,
        10,
        5.0,
    )
    assert meta.replay is None and meta.sparsity_weight == 1 / 8 and meta.pseudo.patches == (3, 8)
    assert [s["sparsity"] for s in config.editors["hypernet"].settings()] == [0.25, 0.5, 0.75, 0.9, 0.95]


@pytest.mark.parametrize(
    ("place", "value", "message"),
    [
        ("benchmrk", 1, r"c\.yaml: unknown key 'benchmrk'\. Keys there: .*backbones, benchmark,"),
        ("meta_train.iteratoins", 1, r"unknown key 'meta_train\.iteratoins'\. Keys there: .*iterations"),
        (
            "models.base.transform.sise",
            1,
            r"unknown key 'models\.base\.transform\.sise'\. Keys there: .*size",
        ),
        (
            "meta_train.iterations",
            "many",
            r"meta_train\.iterations: Input should be a valid integer, got 'many'",
        ),
        ("meta_train.iterations", "5", r"meta_train\.iterations: .*got '5'"),
        ("meta_train.iterations", 0, r"meta_train\.iterations: .*greater than 0, got 0"),
        (
            "search.learning_rate",
            "2e-5",
            r"search\.learning_rate: .*valid number, got '2e-5' \(YAML reads it as text; write 2\.0e-5\)",
        ),
        ("meta_train.iterations", "7e3", r"iterations: .*got '7e3' \(YAML reads it as text; write 7000\)"),
        (
            "editors.ft.learning_rate",
            "1e-3",
            r"ft: .*learning_rate: YAML reads '1e-3' as text; write 1\.0e-3",
        ),
        ("editors.ft_l1.penalty_weight", [0.1, "1e3"], r"penalty_weight: YAML reads '1e3' .* write 1\.0e\+3"),
        ("editors.ft.tune", {"learning_rate": ["2.5E-4"]}, r"learning_rate: .* write 2\.5e-4"),
        ("editors.ft.original", {"learning_rate": "2e-5"}, r"learning_rate: .* write 2\.0e-5"),
        ("editors.FT", {"learning_rate": 0.1}, r"c\.yaml: editors: no method 'FT'\. Methods: hypernet, ft, "),
        ("methods", ["ft", "rmoe"], r"methods: rmoe not defined; defined: hypernet, ft, "),
        ("methods", [], r"methods: .*at least 1 item"),
        ("methods", ["ft", "ft"], r"methods: .*ft given more than once"),
        ("methods", "ft", r"methods: .*valid list, got 'ft'"),
        ("editors.hypernet.sparsity", [0.5, 1.5], r"sparsity: 1\.5 is not a number in \[0, 1\)"),
        ("editors.random_mask.sparsity", [-0.1], r"sparsity: -0\.1 is not a number in \[0, 1\)"),
        ("specificity.sparsity", 1.2, r"specificity\.sparsity: .*less than 1, got 1\.2"),
        ("backbones", ["bsae"], r"models: bsae not defined; defined: base, "),
        ("locality.sources", ["vall"], r"images: vall not defined; defined: "),
        ("benchmark.stronger", None, r"rule `mad` needs `stronger"),
        ("images.train.labels", "csv", r"labels: csv"),
        ("run", "a/b", r"run: .*pattern"),
        (
            "models.base.transform.resize",
            16,
            r"transform: .*a centre of 48 pixels cannot be cropped after `resize: 16`",
        ),
        ("meta_train.pseudo.patches", [4, 1], r"pseudo: .*\[least, greatest\]"),
        ("backbones", [], r"backbones: .*at least 1 item"),
        ("backbones", ["base", "base"], r"backbones: .*base given more than once"),
        ("locality.sources", [], r"sources: .*at least 1 item"),
        ("benchmark.styles", ["sketch", "sketch"], r"styles: .*sketch given more than once"),
        ("sites.blocks", [], r"sites\.blocks: .*at least 1 item"),
        ("sites.blocks", [7, 7], r"sites\.blocks: .*7 given more than once"),
        ("editors.hypernet.sparsity", [], r"sparsity: \[\] must hold at least one value"),
        ("editors.hypernet.sparsity", [0.5, 0.5], r"each only once"),
        ("search.subset", "sketches", r"sketches not defined; defined: natural, oil_painting"),
        ("models.stronger.pretrain.start_from", "bsae", r"start_from.*bsae not defined"),
        ("models.base.transform.std", [0.5, 0.0, 0.5], r"std.*greater than 0"),
        ("search.learning_rate", float("inf"), r"learning_rate: .*finite"),
        ("benchmark.min_size", 1, r"min_size: .*greater than or equal to 2"),
    ],
)
def test_a_wrong_value_names_file_key_and_remedy(place, value, message):
    with pytest.raises(ConfigError, match=message):
        parse(changed(place, value), "c.yaml")


def test_a_missing_key_is_named():
    with pytest.raises(ConfigError, match="locality: Field required"):
        parse({key: value for key, value in VALUES.items() if key != "locality"}, "c.yaml")


def test_two_knobs_are_refused():
    with pytest.raises(ConfigError, match="only one hyper-parameter may be a list"):
        parse(changed("editors.hypernet", {"sparsity": [0.5], "other": [1, 2]}), "c.yaml")


def test_mappings_merge_and_the_rest_is_replaced():
    below = {"a": {"x": 1, "y": [1, 2]}, "b": 1, "c": {"d": 1}}
    assert overlay(below, {"a": {"y": [3]}, "b": {"z": 1}, "c": None}) == {
        "a": {"x": 1, "y": [3]},
        "b": {"z": 1},
        "c": None,
    }


@pytest.mark.parametrize(
    ("text", "message"),
    [(None, "no such configuration"), ("a: [", "not valid YAML"), ("- a", "this is list")],
)
def test_an_unreadable_file_is_an_error(tmp_path, text, message):
    path = tmp_path / "c.yaml"
    if text is not None:
        path.write_text(text)
    with pytest.raises(ConfigError, match=message):
        load(path)


def test_released_and_own_checkpoints_have_different_paths():
    config = load(CONFIG / "config.yaml")
    own = config.model_copy(update={"use_released": False})
    assert config.checkpoint("base") == Path("data/embedded/checkpoints/base.safetensors")
    assert own.checkpoint("base") == Path("results/embedded/pretrain/base.safetensors")


def test_one_setting_for_each_value_of_the_knob():
    editors = load(CONFIG / "config.yaml").editors
    assert [s["sparsity"] for s in editors["hypernet"].settings()] == [0.25, 0.5, 0.75, 0.9, 0.95]
    assert (
        editors["ft"].settings() == [{"learning_rate": editors["ft"].parameters["learning_rate"]}]
        and editors["ft"].knob == ""
        and editors["hypernet"].knob == "sparsity"
    )


def test_methods_leaves_the_others_out_of_everything():
    kept = parse(changed("methods", ["rome", "ft"]), "c.yaml")
    assert list(kept.editors) == ["ft", "rome"] and kept.tuned_methods == ["ft", "rome"]
    assert kept.editors["rome"] == parse(VALUES, "c.yaml").editors["rome"]
    assert kept.artifacts == {"covariance"}
    assert parse(kept.model_dump(mode="json"), "effective") == kept
    assert needed(kept) == needed(load(CONFIG / "config.yaml"))


def test_what_only_a_left_out_method_needs_is_not_asked_for():
    def files(*methods):
        over = {
            "statistics": {"images": "sketch"},
            "locality": {"sources": ["val"]},
            "methods": list(methods),
        }
        over["meta_train"] = {"checkpoint": "hypernet.pth"}
        return {path.name for path in needed(parse(overlay(VALUES, over), "c.yaml"))}

    assert not {"sketch.zip", "hypernet.pth"} & files("ft")
    assert {"sketch.zip", "hypernet.pth"} & files("rome") == {"sketch.zip"}
    assert {"sketch.zip", "hypernet.pth"} & files("hypernet", "t_patcher") == {"sketch.zip", "hypernet.pth"}


def test_a_section_given_twice_is_refused_and_an_anchor_may_be_overruled(tmp_path: Path) -> None:
    twice = tmp_path / "twice.yaml"
    twice.write_text("run: a\nlocality: { gap: 0.1 }\nlocality: { gap: 0.2 }\n")
    with pytest.raises(ConfigError, match=r"the key 'locality' is given twice(.|\n)*line 1"):
        load(CONFIG / "config.yaml", twice)
    merged = tmp_path / "merged.yaml"
    merged.write_text("descent: &some { max_steps: 7 }\nsearch: { <<: *some }\n")
    with pytest.raises(ConfigError, match="unknown key 'search.max_steps'"):
        load(CONFIG / "config.yaml", merged)
