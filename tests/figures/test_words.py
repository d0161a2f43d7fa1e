"""Verdicts follow from intervals; sentences hold whatever the numbers are."""

import numpy as np
import pandas as pd
import pytest

from vitedit.figures.claims import (
    change,
    claims,
    comparison_claims,
    layer_claims,
    outcome,
    overlap_claims,
    percentages,
    points,
    training_claims,
)
from vitedit.figures.words import (
    claims_markdown,
    curves_table,
    differences_table,
    groups_markdown,
    groups_table,
)

NAN = float("nan")


@pytest.mark.parametrize(
    ("gr", "lr", "expected"),
    [
        ((0.01, 0.2), (-0.1, 0.1), "better"),
        ((0.01, 0.2), (0.1, 0.2), "better"),
        ((-0.1, 0.1), (-0.2, -0.1), "worse"),
        ((0.01, 0.2), (-0.2, -0.1), "mixed"),
        ((-0.1, 0.1), (0.0, 0.1), "open"),
        ((NAN, NAN), (NAN, NAN), "open"),
    ],
)
def test_outcome(gr: tuple[float, float], lr: tuple[float, float], expected: str) -> None:
    assert outcome(gr, lr) == expected


def differences(gains: list[tuple[float, float]], reference: str = "random_mask") -> pd.DataFrame:
    """Differences in (GR, LR), each with an interval of 0.02 on both sides, at sparsities 0.1, 0.2, ..."""
    rows = []
    for at, both in enumerate(gains):
        for metric, gain in zip(("gr", "lr"), both, strict=True):
            place = {
                "backbone": "b",
                "subset": "all",
                "knob": "sparsity",
                "value": (at + 1) / 10,
                "metric": metric,
                "groups": 5,
            }
            ours = {
                "method": "hypernet",
                "reference": reference,
                "difference": gain,
                "low": gain - 0.02,
                "high": gain + 0.02,
            }
            rows.append(place | ours)
            if reference == "random_mask":
                swapped = {"method": reference, "reference": "hypernet", "difference": -gain}
                rows.append(place | swapped | {"low": -gain - 0.02, "high": -gain + 0.02})
    return pd.DataFrame(rows)


@pytest.mark.parametrize(
    ("gains", "verdict"),
    [
        ([(0.1, 0.0), (0.0, 0.1), (0.01, 0.01)], "reproduced"),
        ([(0.1, 0.0), (0.0, 0.01), (0.01, 0.01)], "undecided"),
        ([(0.1, 0.0), (0.1, 0.0), (0.0, -0.1)], "undecided"),
        ([(-0.1, 0.0), (0.0, -0.1), (0.01, 0.01)], "not reproduced"),
        ([(0.1, -0.1), (0.1, -0.1)], "undecided"),
    ],
)
def test_comparison(gains: list[tuple[float, float]], verdict: str) -> None:
    (claim,) = comparison_claims(differences(gains), "b")
    assert (claim.verdict, claim.source) == (verdict, "Figure 5a")
    last = gains[-1][0]
    assert f"at {len(gains) / 10:g} GR {points(last, last - 0.02, last + 0.02)}" in claim.measured
    least, most = (100 * end(gain for gain, _ in gains) for end in (min, max))
    assert f"GR {least:+.1f} to {most:+.1f}".replace("-", "−") in claim.measured
    (plain,) = comparison_claims(differences(gains, "ft"), "b")
    assert (plain.verdict, plain.source) == (verdict, "Figure 4")


def test_comparison_at_one_setting() -> None:
    (claim,) = comparison_claims(differences([(0.1, 0.0)]), "b")
    assert claim.measured == (
        "Better at 0.1. Gains in percentage points: GR +10.0 [+8.0, +12.0], LR +0.0 [−2.0, +2.0]."
    )


def test_comparison_without_numbers() -> None:
    (claim,) = comparison_claims(
        differences([(0.1, 0.1), (0.2, 0.2)]).assign(difference=NAN, low=NAN, high=NAN), "b"
    )
    assert claim.verdict == "undecided" and claim.measured.endswith("GR not measured, LR not measured.")


def layers(*runs: tuple[str, float, float, bool]) -> pd.DataFrame:
    """Runs of layers as (name, gr, lr, on the front) with intervals of 0.05 on both sides."""
    table = pd.DataFrame(runs, columns=["name", "gr", "lr", "on_front"]).assign(chosen=False)
    return table.assign(
        **{
            f"{n}_{end}": table[n] + shift
            for n in ("gr", "lr")
            for end, shift in (("low", -0.05), ("high", 0.05))
        }
    )


@pytest.mark.parametrize(
    ("runs", "verdict"),
    [
        ([("FFN 8-10", 0.5, 0.5, True), ("FFN 9-11", 0.4, 0.6, True)], "undecided"),
        ([("FFN 8-10", 0.7, 0.7, True), ("FFN 9-11", 0.5, 0.5, False)], "reproduced"),
        ([("FFN 8-10", 0.7, 0.7, True), ("FFN 9-11", 0.61, 0.61, False)], "undecided"),
        (
            [("FFN 8-10", 0.7, 0.7, True), ("FFN 9-11", 0.61, 0.3, False), ("MSA 1-3", 0.1, 0.9, True)],
            "reproduced",
        ),
        (
            [("FFN 8-10", 0.7, 0.7, True), ("MSA 1-3", 0.1, 0.9, True), ("FFN 9-11", 0.61, 0.7, False)],
            "undecided",
        ),
        ([("FFN 8-10", 0.5, 0.5, False), ("FFN 9-11", 0.51, 0.52, True)], "undecided"),
        ([("FFN 8-10", 0.5, 0.5, False), ("FFN 9-11", 0.7, 0.7, True)], "not reproduced"),
        ([("FFN 8-10", 0.1, 0.9, True), ("FFN 9-11", 0.7, 0.7, True)], "not reproduced"),
        ([("FFN 8-10", 0.7, 0.7, True)], "undecided"),
        ([("FFN 1-3", 0.5, 0.5, True)], "undecided"),
    ],
)
def test_layers(runs: list[tuple[str, float, float, bool]], verdict: str) -> None:
    (claim,) = layer_claims(layers(*runs), "b")
    assert claim.verdict == verdict
    assert ("This model has no FFN 8-10." in claim.measured) == (runs[0][0] != "FFN 8-10")


def test_layers_without_intervals_decide_nothing() -> None:
    bare = layers(("FFN 8-10", 0.9, 0.9, True), ("FFN 9-11", 0.1, 0.1, False))
    (claim,) = layer_claims(bare.assign(gr_low=NAN, gr_high=NAN), "b")
    assert claim.verdict == "undecided"
    assert "FFN 9-11: GR 10.0 %, LR 10.0 % [5.0, 15.0]." in claim.measured


@pytest.mark.parametrize(
    ("low", "high", "verdict"),
    [(0.01, 0.2, "reproduced"), (-0.2, -0.1, "not reproduced"), (-0.1, 0.2, "undecided")],
)
def test_overlap(low: float, high: float, verdict: str) -> None:
    row = {
        "within": 0.5,
        "between": 0.4,
        "difference": 0.1,
        "within_pairs": 7,
        "between_pairs": 9,
        "sparsity": 0.95,
        "chance": 0.0256,
    }
    row |= {f"{name}_{end}": 0.3 for name in ("within", "between") for end in ("low", "high")}
    (claim,) = overlap_claims(pd.DataFrame([row | {"difference_low": low, "difference_high": high}]), "b")
    assert claim.verdict == verdict and "0.500 [0.300, 0.300] (7 pairs)" in claim.measured


def training(sparsity: np.ndarray, kl: np.ndarray) -> pd.DataFrame:
    return pd.DataFrame({"phase": "search", "sparsity_predicted": sparsity, "kl": kl})


def test_training() -> None:
    up, noise = np.linspace(0, 1, 50), np.tile([0.0, 1.0], 25)
    verdicts = [
        training_claims(training(*both), "b")[0].verdict
        for both in ((up, -up), (up, noise), (up, up), (-up, -up))
    ]
    assert verdicts == ["reproduced", "undecided", "not reproduced", "not reproduced"]
    assert training_claims(training(up[:5], up[:5]), "b") == []


def test_change_by_hand() -> None:
    mean, low, high = change(np.array([1.0, 3.0, *[9.0] * 6, 5.0, 5.0]))
    assert (mean, low, high) == (3.0, 2.0, 4.0)


def test_numbers_in_words() -> None:
    assert percentages(0.4123, 0.35, 0.4711) == "41.2 % [35.0, 47.1]"
    assert percentages(0.5, NAN, NAN) == "50.0 %" and percentages(NAN, 0.1, 0.2) == "not measured"
    assert points(-0.042, -0.061, 0.003) == "−4.2 [−6.1, +0.3]"


def test_every_claim_is_written_out(tables: dict[str, pd.DataFrame]) -> None:
    found = claims(tables)
    compared = [
        *["Figure 4"] * 3,
        "Figure 5a",
        "beyond the paper",
    ]  # FT, KN, SPT; random masks; the unknown one
    assert [claim.source for claim in found] == [
        *["Figure 2"] * 2,
        *compared,
        *compared,
        *["Figure 6"] * 2,
        *["Figure H"] * 2,
    ]
    assert [claim.backbone for claim in found[2:12]] == [*["base"] * 5, *["small"] * 5]
    assert all(len(claim.measured) < 260 for claim in found if claim.source in compared)
    text = claims_markdown(found)
    assert text.count("\n- ") + 1 == len(found) and "nan" not in text
    assert claims_markdown(found, "Figure 6").startswith(
        "- ✔ **reproduced** (Figure 6, base). *Masks of errors of one kind"
    )
    assert "nothing that tests a claim" in claims_markdown([], "Figure 6")


def test_tables_for_reading(tables: dict[str, pd.DataFrame]) -> None:
    groups = tables["groups"]
    row = groups_table(groups).iloc[0]
    assert row.tolist() == [
        "base",
        "natural images",
        "0_1",
        "heart spotted",
        "heart striped",
        groups["images"][0],
        8,
    ]
    assert "4 groups" in groups_markdown(
        groups
    ) and "90.0 % of the images bear their true label" in groups_markdown(groups)
    shown = curves_table(tables["curves"])
    assert shown["Method"].nunique() == 14 and shown["Weights changed"].iloc[0] == "12.38 %"
    gains = differences_table(tables["differences"], subset="all")
    others = ["Fine-tuning (FT)", "Knowledge neurons (KN)", "SPT", "Random mask", "newest"]
    assert sorted(set(gains["Against"])) == sorted(others) and gains.notna().all(axis=None)
    assert len(gains) == 2 * 5 * 5 and set(gains["Subset"]) == {"all groups"}
    two = differences_table(tables["differences"], references=("ft", "random_mask"))
    assert set(two["Against"]) == {"Fine-tuning (FT)", "Random mask"} and two["Subset"].nunique() == 3


def test_gains_of_a_run_without_the_proposed_method() -> None:
    others = differences([(0.1, 0.1)], "ft").assign(method="kn")
    assert differences_table(others).columns.tolist() == [
        "Subset",
        "Against",
        "Sparsity",
        "Gain in GR",
        "Gain in LR",
    ]
    assert differences_table(others).empty and comparison_claims(others, "b") == []
