"""Variants against each other, on the edits that all of them have."""

from pathlib import Path

import pandas as pd
import pytest

from vitedit.config_files import load
from vitedit.measure import tabulate
from vitedit.measure.ablations import NAMES, curves, in_common, named, tried

CONFIG = Path(__file__).parents[2] / "config" / "config.yaml"

COLUMNS = {
    "run": "r", "backbone": "b", "method": "m", "setting": "s=1", "knob": "s", "value": 1.0, "subset": "natural", "gr_ref": 0.0,
    "gr_style": float("nan"), "lr": 1.0, "steps": 1, "seconds": 1.0, "fraction": 0.1, "status": "converged", "sr": 1.0,
    "samples": 1,
}  # fmt: skip


def edits(rates, **more):
    """Rows of one variant: {(group, edit): gr}."""
    keys = pd.DataFrame(list(rates), columns=["group", "edit"])
    return keys.assign(**COLUMNS | more, gr=list(rates.values()))


@pytest.fixture
def rows():
    own = edits({("large", 0): 0.2, ("large", 1): 0.4, ("small", 0): 1.0})
    again = edits({("large", 0): 0.6, ("small", 0): 0.8})
    few = edits({("large", 0): 0.9, ("large", 1): 0.9})
    tables = [named(own, "a", "default"), named(again, "a", "x"), named(few, "a", "y").assign(released=True)]
    return pd.concat([*tables, named(own, "c", "default"), named(own, "c", "z")], ignore_index=True)


def test_only_edits_of_all_variants_of_a_family_are_compared(rows):
    kept = in_common(rows)
    assert set(kept.query("family == 'a'")[["group", "edit"]].itertuples(index=False, name=None)) == {
        ("large", 0)
    }
    assert len(kept.query("family == 'c'")) == 6


def test_a_point_a_variant_with_the_columns_of_the_curves(rows):
    table = curves(rows, 20, 0).query("subset == 'all'").set_index(["family", "variant"])
    assert table["gr"].to_dict() == pytest.approx(
        {("a", "default"): 0.2, ("a", "x"): 0.6, ("a", "y"): 0.9, ("c", "default"): 0.65, ("c", "z"): 0.65}
    )
    assert table["default"].tolist() == [True, False, False, True, False]
    assert table["released"].tolist() == [False, False, True, False, False]
    plain = tabulate.curves(rows.query("family == 'c' and default"), 20, 0)
    assert list(curves(rows, 20, 0).columns) == [*plain.columns, *NAMES, "samples"]


def test_no_ablations_are_an_empty_table(rows):
    empty = curves(rows.iloc[:0], 20, 0)
    assert empty.empty and list(empty.columns) == list(curves(rows, 20, 0).columns)


def test_values_tried(tmp_path):
    """Numbers, words and switches, of the default as the run has them; of several keys all, a missing one as the run has it."""
    above = tmp_path / "above.yaml"
    two = "{ meta_train: { inner_steps: 7, tied: true } }"
    above.write_text(f"ablations: {{ own: {{ two: {two}, one: {{ meta_train: {{ tied: true }} }} }} }}")
    found = tried(load(CONFIG, above))
    assert (
        found["own", "default"] == "5, no"
        and found["own", "two"] == "7, yes"
        and found["own", "one"] == "5, yes"
    )
    assert found["pseudo", "default"] == "cutmix" and found["samples", "three"] == "3"
    assert found["inner_learning_rate", "lower"] == "0.003"
