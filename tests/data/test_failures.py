"""Failures, neighbours and other images of labelled sets."""

import numpy as np
import pandas as pd
import pytest

from vitedit.data.failures import COLUMNS, EDIT, NEIGHBOUR, OTHER, sort_images, split_failures
from vitedit.errors import ConfigError

FILES = [f"{at}.png" for at in range(8)]
LABELS = np.array([0, 0, 1, 1, 2, 2, 0, 0])
PREDICTED = np.array([1, 1, 1, 0, 2, 2, 1, 2])


def probabilities(classes):
    return np.eye(3, dtype=np.float32)[classes]


def sorted_images(left_out=frozenset()):
    return sort_images("world", FILES, probabilities(PREDICTED), LABELS, set(left_out))


def test_what_is_wrong_is_a_failure_of_its_pair_of_classes():
    table = sorted_images()
    assert list(table.columns) == COLUMNS and list(table["file"]) == FILES
    assert list(table["role"]) == [EDIT, EDIT, OTHER, EDIT, OTHER, OTHER, EDIT, EDIT]
    assert list(table["group"]) == ["0_1", "0_1", "", "1_0", "", "", "0_1", "0_2"]
    assert list(table["predicted"]) == PREDICTED.tolist()


def test_a_set_without_failures_has_other_images_only():
    table = sort_images("easy", FILES, probabilities(LABELS), LABELS, set())
    assert set(table["role"]) == {OTHER} and set(table["group"]) == {""}


def test_images_that_serve_elsewhere_are_left_out():
    table = sorted_images({"0.png", "4.png"})
    assert list(table["file"]) == [file for file in FILES if file not in ("0.png", "4.png")]


def test_every_second_failure_of_a_group_becomes_a_neighbour():
    many = pd.concat([sorted_images().assign(images=f"set{at}") for at in range(5)], ignore_index=True)
    table = split_failures(many, 12, 6, np.random.default_rng(0))
    sizes = table[table["role"] != OTHER].groupby(["group", "role"]).size()
    assert sizes["0_1"].to_dict() == {EDIT: 8, NEIGHBOUR: 7}
    assert sizes["1_0"].to_dict() == sizes["0_2"].to_dict() == {EDIT: 3, NEIGHBOUR: 2}
    assert (table["role"] == OTHER).sum() == 6
    assert not table.duplicated(["images", "file"]).any()
    again = split_failures(many, 12, 6, np.random.default_rng(0))
    other = split_failures(many, 12, 6, np.random.default_rng(1))
    pd.testing.assert_frame_equal(table, again)
    assert not table.equals(other)


def test_too_few_failures_are_counted_in_the_message():
    with pytest.raises(ConfigError, match=r"9 failures .* 5 mistakes in world, of which 4 are left .* at 4 or below"):
        split_failures(sorted_images(), 9, 2, np.random.default_rng(0))
