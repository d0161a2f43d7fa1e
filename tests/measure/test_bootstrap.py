"""The hierarchical bootstrap against loops, and its coverage on simulated groups."""

import numpy as np
import pytest

from vitedit.measure.bootstrap import interval, resampled_means, weights

GROUPS = np.array([0, 0, 0, 1, 2, 2])


def test_as_measured_is_the_mean_of_group_means_and_every_draw_weighs_one() -> None:
    values = np.array([0.0, 0.3, 0.6, 1.0, 0.5, 0.7])
    means = resampled_means(values[:, None], GROUPS, 50, 0)
    assert means.shape == (51, 1) and means[0, 0] == pytest.approx((0.3 + 1.0 + 0.6) / 3)
    drawn = np.concatenate(list(weights(GROUPS, 50, 0)))
    assert drawn.sum(1) == pytest.approx(1) and (drawn @ values) == pytest.approx(means[:, 0])
    of_groups = np.stack([drawn[:, group == GROUPS].sum(1) for group in range(3)], 1) * 3
    assert of_groups == pytest.approx(np.round(of_groups))  # whole groups are drawn


def test_quantities_are_paired_and_the_same_seed_draws_the_same() -> None:
    values = np.random.default_rng(0).random(6)
    both = resampled_means(np.stack([values, values + 0.1], 1), GROUPS, 200, 3)
    assert both[:, 1] - both[:, 0] == pytest.approx(0.1)
    assert resampled_means(values[:, None], GROUPS, 200, 3)[:, 0] == pytest.approx(both[:, 0])
    assert not np.allclose(resampled_means(values[:, None], GROUPS, 200, 4)[1:, 0], both[1:, 0])


def test_missing_values_are_left_out() -> None:
    values = np.array([np.nan, 0.2, 0.4, np.nan, 0.9, 0.9])
    assert resampled_means(values[:, None], GROUPS, 10, 0)[0, 0] == pytest.approx(
        (2 / 3 * 0.3 + 0.9) / (2 / 3 + 1)
    )
    assert np.isnan(resampled_means(np.full((6, 1), np.nan), GROUPS, 10, 0)).all()


def test_an_interval_needs_nearly_all_resamples() -> None:
    draws = np.concatenate([[0.5], np.linspace(0, 1, 101)])
    assert interval(draws) == pytest.approx((0.5, 0.025, 0.975))
    assert np.isnan(interval(np.concatenate([draws, np.full(10, np.nan)]))[1:]).all()
    assert not np.isnan(interval(np.concatenate([draws, np.full(3, np.nan)]))).any()


def test_coverage_on_groups_that_differ_and_width_beside_a_bootstrap_over_edits() -> None:
    """30 groups of 4 edits whose means differ by more than their edits: about 95 % hold the truth, of the naive far fewer."""
    rng, groups = np.random.default_rng(1), np.repeat(np.arange(30), 4)
    hits, naive, wider = [], [], []
    for trial in range(300):
        values = (rng.normal(0, 1, 30)[groups] + rng.normal(0, 0.5, 120))[:, None]
        _, low, high = interval(resampled_means(values, groups, 300, trial)[:, 0])
        _, flat_low, flat_high = interval(resampled_means(values, np.zeros(120, int), 300, trial)[:, 0])
        hits.append(low <= 0 <= high)
        naive.append(flat_low <= 0 <= flat_high)
        wider.append(high - low > flat_high - flat_low)
    assert 0.9 <= np.mean(hits) <= 0.99
    assert np.mean(naive) < 0.85 and all(wider)
