from pathlib import Path

import pytest

from vitedit import editors
from vitedit.config import EditorConfig
from vitedit.config_files import load
from vitedit.errors import ConfigError, UnknownNameError

CONFIG = load(Path(__file__).parents[2] / "config" / "config.yaml")


def with_editor(name, **section):
    return CONFIG.model_copy(update={"editors": {name: EditorConfig(**section)}})


def test_the_configured_methods_pass():
    editors.check(CONFIG)


@pytest.mark.parametrize(
    ("name", "section", "error", "message"),
    [
        ("hypernett", {}, UnknownNameError, "no method 'hypernett'. Methods: hypernet, ft"),
        (
            "hypernet",
            {"sparsity": [0.5]},
            ConfigError,
            r"hypernet\.artifacts: \[\] given, the method needs \['hypernet'\]",
        ),
        (
            "random_mask",
            {"sparisty": [0.5], "learning_rate": 1e-3},
            ConfigError,
            r"unknown \['sparisty'\], missing \['sparsity'\]\. Hyper-parameters: learning_rate, sparsity",
        ),
        (
            "random_mask",
            {"sparsity": "half", "learning_rate": 1e-3},
            ConfigError,
            r"random_mask\.sparsity: .*got 'half'",
        ),
        (
            "random_mask",
            {"sparsity": 1.0, "learning_rate": 1e-3},
            ConfigError,
            r"random_mask\.sparsity: .*less than 1",
        ),
        ("ft", {"sparsity": 0.5}, ConfigError, r"unknown \['sparsity'\].*Hyper-parameters: learning_rate"),
        ("own", {"artifacts": ["secret"]}, UnknownNameError, "no method 'own'"),
        ("ft", {"learning_rate": -1.0}, ConfigError, r"ft\.learning_rate: .*greater than 0"),
        ("ft", {"learning_rate": 1.0, "tune": {"rate": [1.0]}}, ConfigError, r"ft: unknown \['rate'\]"),
        ("ft", {"learning_rate": 1.0, "original": {"learning_rate": 0.0}}, ConfigError, "greater than 0"),
    ],
)
def test_a_wrong_section_is_refused_before_any_work(name, section, error, message):
    with pytest.raises(error, match=message):
        editors.check(with_editor(name, **section))


@pytest.mark.parametrize(
    ("values", "error", "message"),
    [
        (
            {"methods": ["ft", "hypernett"]},
            UnknownNameError,
            "show.methods: no method 'hypernett'. Methods: hyp",
        ),
        (
            {"setting": 5},
            ConfigError,
            "show.setting: 5 given, but sparsity of 'hypernet' has 5 values.* -5 to 4",
        ),
        ({"setting": -6}, ConfigError, "show.setting: -6 given"),
    ],
)
def test_edits_to_show_are_checked_before_any_work(values, error, message):
    with pytest.raises(error, match=message):
        editors.check(CONFIG.model_copy(update={"show": CONFIG.show.model_copy(update=values)}))


def test_a_method_without_a_knob_is_shown_with_its_one_setting():
    alone = CONFIG.show.model_copy(update={"methods": ["ft", "kn_slots"], "setting": 4})
    config = CONFIG.model_copy(update={"show": alone})
    editors.check(config)
    assert config.shown_methods == ["ft"] and config.shown_setting("ft") == CONFIG.editors["ft"].settings()[0]


def test_a_method_is_built_from_its_section_and_the_runs():
    editor = editors.build("random_mask", {"sparsity": 0.5, "learning_rate": 1e-3}, CONFIG, {})
    assert (editor.sparsity, editor.seed, editor.descent) == (0.5, CONFIG.seed, CONFIG.descent)
    assert not editor.reference
    published = CONFIG.model_copy(update={"reference": True})
    for method in ("random_mask", "ft"):
        assert editors.build(method, CONFIG.editors[method].middle(), published, {}).reference
    assert editors.build("spt", CONFIG.editors["spt"].middle(), published, {}), (
        "the others know no such switch"
    )
