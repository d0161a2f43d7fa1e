"""Tables of a run, checked against numbers worked out by hand and against plain loops."""

import numpy as np
import pandas as pd
import pytest

from vitedit.measure import tabulate
from vitedit.measure.claims_places import overlap_claim


def rows(*entries: tuple, **common: object) -> pd.DataFrame:
    """Edits from (method, value, subset, group, gr, lr); everything else the same."""
    fixed = {
        "run": "r",
        "backbone": "b",
        "edit": 0,
        "file": "f",
        "label": 0,
        "predicted": 1,
        "sr": True,
        "loss": 0.0,
        "norm": 1.0,
    }
    fixed |= {"steps": 4, "seconds": 2.0, "fraction": 0.1, "seed": 0, "status": "converged"} | common
    table = []
    for method, value, subset, group, gr, lr in entries:
        knob = "" if value is None else "sparsity"
        place = {
            "method": method,
            "knob": knob,
            "setting": f"{knob}={value}" if knob else "",
            "value": value,
            "subset": subset,
        }
        table.append(fixed | place | {"group": group, "gr": gr, "gr_ref": gr, "gr_style": gr / 4, "lr": lr})
    return pd.DataFrame(table).astype({"value": float})


def test_groups_count_the_same_whatever_their_size() -> None:
    edits = rows(
        *[("m", 0.5, "natural", "1_2", 1.0, 0.8)] * 3,
        ("m", 0.5, "natural", "3_4", 0.0, 0.4),
        ("m", 0.5, "oil", "1_2", 0.2, 0.9),
    )
    table = tabulate.curves(edits, 100, 0).set_index("subset")
    assert list(table.index) == ["natural", "oil", "all"]
    assert table["gr"].to_dict() == pytest.approx({"natural": 0.5, "oil": 0.2, "all": 0.4})
    assert table["lr"].to_dict() == pytest.approx({"natural": 0.6, "oil": 0.9, "all": 0.7})
    assert table["groups"].to_dict() == {"natural": 2, "oil": 1, "all": 3}
    assert table["edits"].to_dict() == {"natural": 4, "oil": 1, "all": 5}
    assert table.loc["natural", ["gr_low", "gr_high"]].tolist() == [0.0, 1.0]
    assert np.isnan(table.loc["oil", ["gr_low", "gr_high"]].astype(float)).all()  # one group has no spread


def test_columns_are_those_that_readers_expect() -> None:
    table = tabulate.curves(rows(("m", None, "natural", "1_2", 0.5, 0.5)), 10, 0)
    assert list(table.columns) == [
        *(
            "backbone",
            "method",
            "setting",
            "knob",
            "value",
            "subset",
            "sr",
            "gr",
            "gr_ref",
            "gr_style",
            "lr",
            "sr_low",
            "gr_low",
            "lr_low",
        ),
        *("sr_high", "gr_high", "lr_high", "groups", "edits", "steps", "converged", "seconds", "fraction"),
    ]
    assert table[["steps", "converged", "seconds", "fraction"]].iloc[0].tolist() == [4.0, 1.0, 2.0, 0.1]


def test_share_of_converged_edits() -> None:
    done = rows(("m", 0.5, "natural", "1_2", 0.5, 0.5), ("m", 0.5, "natural", "3_4", 0.5, 0.5))
    open_ = rows(*[("m", 0.5, "natural", "3_4", 0.5, 0.5)] * 3, status="not_converged")
    table = tabulate.curves(pd.concat([done, open_]), 10, 0).set_index("subset")
    assert table.loc["natural", "converged"] == pytest.approx((1 + 0.25) / 2)


def test_a_group_without_generalization_is_left_out() -> None:
    edits = rows(("m", 0.5, "natural", "1_2", np.nan, 0.5), ("m", 0.5, "natural", "3_4", 0.3, 0.7))
    table = tabulate.curves(edits, 100, 0).set_index("subset").loc["natural"]
    assert table["gr"] == 0.3 and np.isnan(table["gr_low"])
    assert table["lr"] == pytest.approx(0.6) and table["lr_low"] == 0.5


def test_bootstrap_against_a_loop_and_the_normal_interval() -> None:
    values = np.random.default_rng(7).normal(0.4, 0.2, 300)
    low, high = tabulate.bootstrap_interval(values, 4000, 1)
    wide = 1.96 * values.std() / np.sqrt(300)
    assert (low, high) == pytest.approx((values.mean() - wide, values.mean() + wide), abs=0.1 * wide)
    rng = np.random.default_rng(3)
    means = [np.mean([values[at] for at in row]) for row in rng.integers(0, 300, (50, 300))]
    assert tabulate.bootstrap_interval(values, 50, 3) == pytest.approx(
        tuple(np.quantile(means, [0.025, 0.975]))
    )
    with_gap = np.insert(values, 10, np.nan)
    assert tabulate.bootstrap_interval(with_gap, 4000, 1) == (low, high)
    assert np.isnan(tabulate.bootstrap_interval(np.array([0.3]), 10, 0)).all()


def test_differences_are_paired() -> None:
    """Groups differ by far more than methods: unpaired intervals would hold zero, paired ones do not."""
    levels = np.linspace(0.1, 0.9, 9)
    ours = [("a", 0.5, "natural", f"{at}_0", level + 0.05, 0.5) for at, level in enumerate(levels)]
    theirs = [("b", 0.5, "natural", f"{at}_0", level, 0.6) for at, level in enumerate(levels)]
    other = [("b", 0.9, "natural", f"{at}_0", 0.0, 0.0) for at in range(9)]
    plain = [("c", None, "natural", f"{at}_0", level - 0.1, 0.5) for at, level in enumerate(levels)]
    table = tabulate.differences(rows(*ours, *theirs[::-1], *other, *plain), 500, 0)
    table = table[table["subset"] == "natural"].set_index(["method", "reference", "metric", "value"])
    against = table.loc[("a", "b", "gr", 0.5)]
    assert (
        against[["difference", "low", "high"]].tolist() == pytest.approx([0.05] * 3)
        and against["groups"] == 9
    )
    assert table.loc[("b", "a", "gr", 0.5), "difference"] == pytest.approx(-0.05)
    assert table.loc[("a", "c", "gr", 0.5), "difference"] == pytest.approx(0.15)
    assert table.loc[("a", "b", "lr", 0.5), "difference"] == pytest.approx(-0.1)
    assert ("a", "b", "gr", 0.9) not in table.index and "c" not in table.index.get_level_values("method")


def test_groups_of_one_name_in_two_subsets_stay_apart() -> None:
    ours = [("a", 0.5, "oil", "7", 0.9, 1.0), ("a", 0.5, "light", "7", 0.1, 1.0)]
    theirs = [("b", 0.5, "light", "7", 0.1, 1.0), ("b", 0.5, "oil", "7", 0.8, 1.0)]
    table = tabulate.differences(rows(*ours, *theirs), 200, 0)
    everything = table[
        (table["subset"] == "all") & (table["metric"] == "gr") & (table["method"] == "a")
    ].iloc[0]
    assert everything[["difference", "low", "high"]].tolist() == pytest.approx([0.05, 0.0, 0.1])


def test_layers_front_and_choice() -> None:
    rates = {
        ("mlp", 0): (0.2, 0.9),
        ("mlp", 1): (0.5, 0.7),
        ("attn", 0): (0.5, 0.6),
        ("attn", 1): (np.nan, 0.99),
    }
    edits = [
        {"part": part, "first": first, "last": first + 2, "sr": edit == 0, "gr": gr + shift, "lr": lr - shift}
        for (part, first), (gr, lr) in rates.items()
        for edit, shift in enumerate((-0.05, 0.05))
    ]
    searched = pd.DataFrame(edits).assign(subset="natural", group="x")
    table = tabulate.layers(searched, {"part": "mlp", "blocks": [1, 2, 3]}, 200, 0)
    assert table["name"].tolist() == ["FFN 1-3", "FFN 2-4", "MSA 1-3", "MSA 2-4"]
    assert table["on_front"].tolist() == [True, True, False, False]
    assert table["chosen"].tolist() == [False, True, False, False]
    assert table.loc[1, ["gr", "gr_low", "gr_high", "lr", "sr"]].tolist() == pytest.approx(
        [0.5, 0.45, 0.55, 0.7, 0.5]
    )
    assert tabulate.window_name("attn", 11, 11) == "MSA 12"


PAIRS = pd.DataFrame(
    [
        ("x", "x", 0, 1, 0.8),
        ("x", "x", 0, 2, 0.6),
        ("x", "y", 0, 0, 0.3),
        ("y", "x", 1, 0, 0.1),
        ("y", "y", 0, 1, 0.5),
        ("x", "z", 1, 0, 0.2),
        ("z", "y", 1, 0, 0.4),
        ("z", "z", 0, 1, 0.9),
    ],
    columns=["group_a", "group_b", "edit_a", "edit_b", "iou"],
)


def test_iou_matrix_is_symmetric() -> None:
    table = tabulate.specificity(PAIRS).set_index(["group_a", "group_b"])
    assert table.loc[("x", "x"), ["iou", "pairs"]].tolist() == pytest.approx([0.7, 2])
    for pair, mean, count in ((("x", "y"), 0.2, 2), (("x", "z"), 0.2, 1), (("y", "z"), 0.4, 1)):
        for way in (pair, pair[::-1]):
            assert table.loc[way, ["iou", "pairs"]].tolist() == pytest.approx([mean, count])
    assert len(table) == 9


def test_overlap_is_the_claims() -> None:
    """Means of the pairs known, within a group each group the same; the interval is that of the claim on the same pairs."""
    row = tabulate.overlap(PAIRS, 0.95, 300, 5)
    assert row["within"] == pytest.approx((0.7 + 0.5 + 0.9) / 3)
    assert row["between"] == pytest.approx(
        np.average([0.3, 0.1, 0.2, 0.4], weights=1 / np.array([6, 6, 6, 4]))
    )
    assert (row["within_pairs"], row["between_pairs"], row["groups"]) == (4, 4, 3)
    assert row["chance"] == pytest.approx(0.05 / 1.95)
    claim = overlap_claim(
        PAIRS, "b", {"mask_overlap": {"claim": "", "iou_within": 1, "iou_between": 0}}, 300, 5
    )
    ends = [row[name] for name in ("difference", "difference_low", "difference_high")]
    np.testing.assert_array_equal([claim.value, claim.low, claim.high], ends)


def test_overlap_of_one_group_has_no_between() -> None:
    one = tabulate.overlap(PAIRS[(PAIRS["group_a"] == "x") & (PAIRS["group_b"] == "x")], 0.95, 50, 0)
    assert one["within"] == pytest.approx(0.7) and np.isnan([one["between"], one["difference_low"]]).all()


def test_groups_and_truth() -> None:
    benchmark = pd.DataFrame(
        [
            ("natural", "3_1", 3, 1, "a", True),
            ("natural", "3_1", 3, 1, "b", False),
            ("oil", "5", 5, 0, "a", True),
            ("oil", "5", 5, 2, "c", True),
        ],
        columns=["subset", "group", "label", "predicted", "file", "is_edit"],
    )
    table = tabulate.groups(benchmark, lambda index: f"name {index}")
    assert table[["predicted", "predicted_name", "images", "edits"]].to_numpy().tolist() == [
        [1, "name 1", 2, 1],
        [-1, "various", 2, 2],
    ]
    known = tabulate.add_truth(table, benchmark, {"a": 3, "b": 4})["label_correct"]
    assert known[0] == 0.5 and np.isnan(known[1])  # file "a" of another subset is another image
    assert tabulate.add_truth(table, benchmark, None)["label_correct"].isna().all()
