"""Synthetic tables, made once, and their figures, drawn once."""

from collections.abc import Callable
from functools import cache

import matplotlib as mpl
import pandas as pd
import pytest
import synthetic
from drawing import DRAW, Tables
from matplotlib.figure import Figure

mpl.use("agg")


@pytest.fixture(scope="session")
def tables() -> dict[str, pd.DataFrame]:
    """Tables of a run on two backbones with two subsets, thirteen known methods and one that nobody knows."""
    return synthetic.tables({"natural": 4, "stage_light": 2}, (*synthetic.METHODS, "newest"))


@pytest.fixture(scope="session")
def drawn(tables: Tables) -> Callable[[str], Figure]:
    """Every figure of the synthetic run, drawn once; for tests that only look at it."""
    return cache(lambda name: DRAW[name](tables))
