"""What later edits undo, and the tables of many edits."""

import numpy as np
import pandas as pd
import pytest

from vitedit.measure.many import COLUMNS, COMBINED, RELATIONS, SEQUENCE, conflicts, relations, summary, undone


@pytest.mark.parametrize(
    ("label", "predicted", "relation"),
    [
        (1, 2, "same"),
        (1, 3, "class"),
        (2, 1, "opposite"),
        (3, 1, "away"),
        (2, 3, "towards"),
        (3, 2, "other"),
        (4, 3, "other"),
    ],
)
def test_relations_to_an_edit_of_label_1_where_2_was_predicted(label, predicted, relation):
    earlier = pd.DataFrame({"label": [1], "predicted": [2]})
    assert relations({"label": label, "predicted": predicted}, earlier).tolist() == [relation]


def test_edits_that_held_and_do_not_any_more_are_counted_by_relation():
    earlier = pd.DataFrame({"label": [1, 1, 4, 3], "predicted": [2, 2, 5, 1]})
    before, after = np.array([True, True, False, True]), np.array([True, False, False, False])
    counted = undone({"label": 1, "predicted": 2}, earlier, before, after)
    assert counted["held_same"] == 2 and counted["lost_same"] == 1
    assert counted["held_towards"] == counted["lost_towards"] == 1  # its 3 was taken for 1
    assert sum(counted[f"held_{name}"] for name in RELATIONS) == 3
    assert sum(counted[f"lost_{name}"] for name in RELATIONS) == 2


def rows(*made):
    known = {"backbone": "base", "method": "ft", "setting": "", "released": False}
    return pd.DataFrame([known | row for row in made]).reindex(columns=[*COLUMNS, "released"])


def test_combined_edits_of_a_size_are_one_row_and_a_step_without_rates_is_no_row():
    rates = {"success": 1.0, "gr": 0.5, "kept": 0.9}
    table = summary(
        rows(
            {"experiment": SEQUENCE, "way": "first order", "count": 1, "lr": 0.6, "retention": 1.0, **rates},
            {"experiment": SEQUENCE, "way": "first order", "count": 2},
            {"experiment": COMBINED, "way": "merge", "count": 3, "lr": 0.2, **rates},
            {"experiment": COMBINED, "way": "merge", "count": 3, "lr": 0.4, **rates},
        )
    ).set_index("experiment")
    assert len(table) == 2 and table.loc[SEQUENCE, "edits"] == 1 and table.loc[COMBINED, "edits"] == 2
    assert table.loc[COMBINED, "lr"] == pytest.approx(0.3)
    assert (table.loc[COMBINED, "lr_low"], table.loc[COMBINED, "lr_high"]) == (0.2, 0.4)
    assert np.isnan(table.loc[COMBINED, "retention"])


def test_an_edit_that_did_not_stay_finite_counts_as_a_failed_one():
    lost = {"experiment": COMBINED, "way": "merge", "count": 3, "status": "not_finite", "success": 0.0}
    good = {
        "experiment": COMBINED,
        "way": "merge",
        "count": 3,
        "lr": 0.4,
        "gr": 0.5,
        "kept": 0.9,
        "success": 1.0,
    }
    table = summary(rows(lost, good))
    assert table["success"].tolist() == [0.5] and table["lr"].tolist() == [0.4]


def test_conflicts_are_summed_over_orders():
    held, lost = (
        {f"{what}_{name}": number for name in RELATIONS} for what, number in (("held", 4), ("lost", 1))
    )
    edits = [
        {"experiment": SEQUENCE, "way": way, "count": 2, **held, **lost}
        for way in ("first order", "random order 1")
    ]
    table = conflicts(rows(*edits, {"experiment": SEQUENCE, "way": "first order", "count": 3}))
    assert list(table["relation"]) == list(RELATIONS)
    assert (table["held"] == 8).all() and (table["lost"] == 2).all() and (table["share"] == 0.25).all()


def test_without_rows_the_tables_keep_their_columns():
    empty = rows()
    assert {"method", "way", "count", "gr_low", "released"} <= set(summary(empty).columns)
    assert {"method", "relation", "share", "released"} <= set(conflicts(empty).columns)
