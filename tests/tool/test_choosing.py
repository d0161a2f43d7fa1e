"""Which sparsity is kept."""

import numpy as np
import pytest
from patches import ABOUT

from vitedit.model.patch import Patch
from vitedit.tool.choosing import Bounds, choose
from vitedit.tool.editing import Outcome
from vitedit.tool.measuring import Seen


def outcome(success, generalization, locality):
    measured = ABOUT.measured.model_copy(
        update={"success": float(success), "generalization": generalization, "locality": locality}
    )
    patch = Patch({}, "", "", ABOUT.model_copy(update={"measured": measured}))
    nobody = np.zeros(0, np.int64), np.zeros(0), np.zeros((1, 0), np.int64), np.zeros((1, 0))
    return Outcome(patch, Seen(*nobody), None, None)


@pytest.mark.parametrize(
    ("rates", "chosen"),
    [
        ([(1, None, 0.9), (1, None, 0.98), (1, None, 1.0)], 1),
        ([(1, 0.9, 0.9), (1, 0.5, 0.98), (1, 0.6, 1.0)], 2),
        ([(1, 0.5, 0.99), (1, 0.5, 1.0), (1, 0.5, 1.0)], 1),
        ([(0.5, 0.9, 1.0), (1, 0.1, 1.0)], 1),
        ([(1, 0.9, 0.97), (0, 0.0, 1.0)], None),
    ],
)
def test_the_best_generalizing_within_the_bound_then_the_most_local_then_the_least_sparse(rates, chosen):
    assert choose([outcome(*one) for one in rates], Bounds(locality=0.98)) == chosen


def test_without_a_bound_success_is_enough():
    assert Bounds().kept_by(outcome(1, None, 0.0)) and not Bounds().kept_by(outcome(0.5, None, 1.0))


def test_of_edits_that_succeed_for_enough_samples_the_one_that_succeeds_for_most():
    outcomes = [outcome(0.7, 1.0, 1.0), outcome(0.9, 0.5, 1.0), outcome(0.8, 0.9, 1.0)]
    assert choose(outcomes, Bounds(success=0.8)) == 1 and choose(outcomes, Bounds(success=0.95)) is None
