"""What `vitedit check` finds out about a run before any job."""

import pytest
import yaml

from vitedit.cli import main

GAP = {"class_token": False, "global_pool": "avg"}


def checked(world, capsys, architecture=None, **changes):
    """Exit code and message of `vitedit check` with some of the configuration changed."""
    world.configure(**changes)
    values = yaml.safe_load((world.folder / "config.yaml").read_text())
    values["models"]["tiny"]["architecture"] |= architecture or {}
    (world.folder / "config.yaml").write_text(yaml.safe_dump(values))
    return main(["check", "--config", "config.yaml"]), capsys.readouterr().err


def test_a_possible_run_passes(world, capsys):
    (world.folder / "classes.txt").write_text("a\nb\nc\nd\ne\n")
    assert checked(world, capsys, classes="classes.txt") == (0, "")
    assert checked(world, capsys, classes="not_there_yet.txt") == (0, "")


def test_names_and_outputs_must_be_as_many(world, capsys):
    (world.folder / "classes.txt").write_text("a\nb\nc\n")
    code, text = checked(world, capsys, classes="classes.txt")
    assert code == 2 and "classes.txt names 3 classes, but the model 'tiny' has 5 outputs" in text


@pytest.mark.parametrize(
    ("architecture", "meta", "message"),
    [
        ({}, {"heads": 7}, "7 heads do not divide the width 24 of 'tiny'"),
        (
            {},
            {"pseudo": {"images": "world", "patches": [1, 4]}},
            "[1, 4] does not fit the 3 x 3 patches of 'tiny'",
        ),
        (
            GAP,
            {},
            "'tiny' has no CLS token, which the hypernetwork reads. Keep other methods (`methods: [...]`)",
        ),
    ],
)
def test_what_would_stop_a_training_is_found_at_once(world, capsys, architecture, meta, message):
    meta = {"pseudo": {"images": "world", "patches": [1, 2]}, "heads": 6} | meta
    code, text = checked(world, capsys, architecture, meta_train=meta)
    assert code == 2 and message in text


def test_methods_that_need_no_hypernetwork_do_without_a_cls_token(world, capsys):
    assert checked(world, capsys, GAP, methods=["ft", "random_mask"]) == (0, "")
    rome = {"rome": {"artifacts": ["covariance"], "clamp": [4.0], "learning_rate": 0.5, "ridge": 1.0}}
    code, text = checked(world, capsys, GAP, editors=rome)
    assert code == 2 and "T-Patcher, ROME and X-Edit need one that reads the CLS token" in text
    heads = {"refine_heads": {"artifacts": ["anchors"], "protection": [1.0], "learning_rate": 0.01}}
    code, text = checked(world, capsys, GAP, editors=heads)
    assert code == 2 and "refine_heads needs one that reads the CLS token" in text
