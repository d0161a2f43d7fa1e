"""What is said on the terminal."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from patches import ABOUT

from vitedit.model.patch import Patch
from vitedit.tool import text
from vitedit.tool.earlier import Remembered
from vitedit.tool.editing import Outcome
from vitedit.tool.layout import few, printable, table
from vitedit.tool.measuring import Seen
from vitedit.tool.samples_text import of_remembered, of_samples, right_class


def test_columns_are_aligned_and_nothing_acts_on_the_terminal():
    assert table([("a", "bb", "c"), ("ddd", "e", "")]) == "a    bb  c\nddd  e"
    assert table([("\x1b[31mred\n", "x")]) == "?[31mred?  x"
    assert printable("mouse 🐭 µ") == "mouse 🐭 µ"


def test_a_training_is_shown_by_its_ends_and_searches_without_the_replay():
    log = pd.DataFrame({column: [float(at) for at in range(30)] for column in text.LOGGED})
    log.loc[20:, ["kl", "sparsity_searched"]] = float("nan")
    lines = [line.split() for line in text.of_training(log).splitlines()]
    assert lines[0][:7] == ["20", "iterations,", "10", "steps", "of", "the", "replay"]
    assert text.of_training(log.head(20)).startswith("20 iterations  ")
    assert [line[-2:] for line in lines[1:4]] == [["1", "28"], ["0.5", "18.5"], ["0.5", "18.5"]]


def test_of_many_names_the_first_are_shown():
    names = [f"{at}.png" for at in range(14)]
    assert few(names[:12]).endswith("11.png") and few(names).endswith("11.png and 2 more") and few([]) == ""


def outcome(count, wrong):
    """An edit of `count` failures of two classes that is wrong about some."""
    records = [
        ABOUT.images[0].model_copy(
            update={"name": f"{at}.png", "label": 3 + at % 2, "after": 0 if at in wrong else 3 + at % 2}
        )
        for at in range(count)
    ]
    seen = Seen(*(np.zeros(shape, kind) for shape in (count, (1, count)) for kind in (np.int64, np.float64)))
    return Outcome(Patch({}, "", "", ABOUT.model_copy(update={"images": tuple(records)})), seen, None, None)


@pytest.mark.parametrize(
    ("way", "method", "setting", "said"),
    [
        ("merge", "spt", {"sparsity": 0.95}, "disturb each other: try `--way joint`."),
        ("merge", "kn_slots", {}, "try `--way joint` with another method, as spt."),
        ("joint", "spt", {"sparsity": 0.9, "learning_rate": 1, "max_steps": 2}, "max_steps=...`), or lower `--sparsity`."),
        ("joint", "rome", {"max_steps": 2}, "Raise the steps (`--set max_steps=...`)."),
    ],
)  # fmt: skip
def test_what_to_try_after_a_failure_is_what_the_method_has(way, method, setting, said):
    made = outcome(12, {3, 5})
    measured = made.patch.about.measured.model_copy(update={"success": 10 / 12, "steps": 913})
    update = {"way": way, "method": method, "setting": setting, "measured": measured}
    patch = replace(made.patch, about=made.patch.about.model_copy(update=update))
    shown = text.failed(replace(made, patch=patch))
    assert f"still wrong about 2 of 12 samples ({method}, {way}, 913 steps)." in shown and shown.endswith(
        said
    )


def test_samples_that_were_not_found_are_one_or_several():
    one, two = (Remembered(Path("fix"), [], names) for names in (["a.png"], ["a.png", "b.png"]))
    assert "a.png, so whether it is still right was not measured." in of_remembered([one], None)
    assert "a.png, b.png, so whether they are still right was not measured." in of_remembered([two], None)


def test_few_failures_are_all_shown_and_of_many_those_that_are_still_wrong():
    shown = of_samples(outcome(12, {5}), None).splitlines()
    assert len(shown) == 13 and [line for line in shown if line.endswith("still wrong")] == [shown[6]]
    shown = of_samples(outcome(13, {5, 7}), None).splitlines()
    assert [line.split()[0] for line in shown[1:]] == ["5.png", "7.png"] and shown[0].startswith(
        "still wrong"
    )
    assert of_samples(outcome(13, ()), None) == "", "none is left to be named"
    assert "still wrong" not in of_samples(outcome(2, ()), None)
    assert right_class(outcome(13, ()).patch.about) == "13 failures of 2 classes"


def patch_of(about, base="a" * 64, edited="b" * 64):
    return Patch({}, base, edited, about, Path(f"{edited[0]}.safetensors"))


def test_classes_are_named_where_they_are_known():
    (image,) = ABOUT.images
    known = ABOUT.model_copy(update={"images": (image.model_copy(update={"before_name": "disc"}),)})
    for about, said in ((ABOUT, "3 (ring); before: 1"), (known, "3 (ring); before: 1 (disc)")):
        assert dict(text.facts(patch_of(about)))["right class"] == said


def test_patches_of_many_failures_are_compared_by_their_number():
    made = ABOUT.measured.model_copy(update={"locality": 0.5, "locality_images": 48, "stand_in": True})
    many = outcome(8, {5}).patch.about.model_copy(update={"measured": made})
    said = text.of_comparison(patch_of(many), patch_of(many, edited="c" * 64), [])
    assert "8 failures of 2 classes" in said and "0.png" not in said and "; give" not in said
    assert "keep their prediction, 50.0% (of a stand-in)  24 of" in said
    assert "0.png, 1.png" in text.of_patch(patch_of(many))


def test_which_patch_is_on_top_of_which_is_said():
    first, second, third = (
        patch_of(ABOUT.model_copy(update={"after": after}), base, edited)
        for after, base, edited in (
            ((), "a" * 64, "b" * 64),
            (("a" * 64,), "b" * 64, "c" * 64),
            (("a" * 64, "b" * 64), "c" * 64, "d" * 64),
        )
    )
    for one, other in ((first, second), (second, first)):
        said = text.of_comparison(one, other, [])
        assert (
            "c.safetensors was made on top of b.safetensors: `vitedit apply b.safetensors c.safetensors`"
            in said
        )
        assert "`apply` and `revert` alike in the order in which they were made" in said
    assert "`vitedit apply b.safetensors ... d.safetensors`" in text.of_comparison(first, third, [])
    assert "made after" not in text.of_patch(first) and "another patch, on the original" in text.of_patch(
        second
    )
    assert "2 other patches, on the original model sha256 aaaa" in text.of_patch(third)


@pytest.mark.parametrize(
    ("way", "converged", "steps", "said"),
    [
        ("joint", False, 100, True),
        ("joint", True, 100, False),
        ("joint", False, 1, False),
        ("sequence", False, 100, True),
    ],
)
def test_a_descent_that_ran_out_of_steps_says_so(way, converged, steps, said):
    made = ABOUT.measured.model_copy(update={"converged": converged, "steps": steps})
    about = ABOUT.model_copy(update={"measured": made, "way": way, "setting": {"max_steps": 100}})
    assert ("(stopped at max_steps)" in dict(text.rates(about))["edit"]) == said
    many = outcome(3, ()).patch.about.images
    assert (
        "stopped" not in dict(text.rates(about.model_copy(update={"way": "merge", "images": many})))["edit"]
    )
