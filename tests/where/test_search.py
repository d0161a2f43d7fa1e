import numpy as np
import pandas as pd
import pytest

from vitedit.errors import ConfigError
from vitedit.where.pareto import pareto_front
from vitedit.where.search import Window, choose, windows


def test_every_window_of_three_of_twelve_blocks():
    every = list(windows(12, 3))
    assert len(every) == 20 and every[0] == Window("mlp", 0, 2) and every[-1] == Window("attn", 9, 11)
    assert every[7].blocks == [7, 8, 9]


def test_a_window_longer_than_the_model_is_refused():
    with pytest.raises(ConfigError, match="window of 5 blocks does not fit into a model of 4"):
        list(windows(4, 5))


def test_pareto_front_by_hand():
    gr = np.array([0.9, 0.5, 0.9, 0.2, 0.1])
    lr = np.array([0.4, 0.8, 0.3, 0.8, 0.9])
    assert pareto_front(gr, lr).tolist() == [True, True, False, False, True]


def test_equal_points_are_both_on_the_front():
    assert pareto_front(np.array([0.5, 0.5]), np.array([0.5, 0.5])).tolist() == [True, True]


def rows(points):
    return pd.DataFrame([{"part": p, "first": f, "last": f + 2, "gr": g, "lr": r} for p, f, g, r in points])


def test_the_most_balanced_window_of_the_front_is_chosen():
    table = rows([("mlp", 0, 0.0, 1.0), ("mlp", 7, 0.8, 0.9), ("mlp", 7, 0.6, 0.7), ("attn", 3, 0.9, 0.3)])
    assert choose(table) == Window("mlp", 7, 9)


def test_an_edit_without_neighbours_does_not_hide_the_others():
    assert choose(rows([("mlp", 1, np.nan, 0.9), ("mlp", 1, 0.5, 0.9), ("mlp", 2, 0.1, 0.9)])) == Window(
        "mlp", 1, 3
    )
