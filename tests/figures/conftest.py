"""Synthetic tables, made once."""

import matplotlib as mpl
import pandas as pd
import pytest
import synthetic

mpl.use("agg")


@pytest.fixture(scope="session")
def tables() -> dict[str, pd.DataFrame]:
    """Tables of a run on two backbones with two subsets, thirteen known methods and one that nobody knows."""
    return synthetic.tables({"natural": 4, "stage_light": 2}, (*synthetic.METHODS, "newest"))
