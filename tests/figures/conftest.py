"""Synthetic tables, made once."""

import matplotlib as mpl
import pandas as pd
import pytest
import synthetic

mpl.use("agg")


@pytest.fixture(scope="session")
def tables() -> dict[str, pd.DataFrame]:
    """Tables of a run with two subsets, a method that nobody knows and one group without generalization."""
    methods = ("hypernet", "random_mask", "ft", "gradient_mask", "newest")
    return synthetic.tables({"natural": 4, "stage_light": 2}, methods)
