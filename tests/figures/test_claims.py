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
    assert f"GR {points(gains[0][0], gains[0][0] - 0.02, gains[0][0] + 0.02)}" in claim.measured
    (plain,) = comparison_claims(differences(gains, "ft"), "b")
    assert (plain.verdict, plain.source) == (verdict, "Figure 4")


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
        ([("FFN 8-10", 0.5, 0.5, True), ("FFN 9-11", 0.4, 0.6, True)], "reproduced"),
        ([("FFN 8-10", 0.5, 0.5, False), ("FFN 9-11", 0.51, 0.52, True)], "undecided"),
        ([("FFN 8-10", 0.5, 0.5, False), ("FFN 9-11", 0.7, 0.5, True)], "not reproduced"),
        ([("FFN 1-3", 0.5, 0.5, True)], "undecided"),
    ],
)
def test_layers(runs: list[tuple[str, float, float, bool]], verdict: str) -> None:
    (claim,) = layer_claims(layers(*runs), "b")
    assert claim.verdict == verdict
    assert ("This model has no FFN 8-10." in claim.measured) == (runs[0][0] != "FFN 8-10")


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
    assert [claim.source for claim in found] == [
        "Figure 2",
        "Figure 4",
        "Figure 4",
        "Figure 5a",
        "Figure 5a",
        "Figure 6",
        "Figure H",
    ]
    text = claims_markdown(found)
    assert text.count("\n- ") + 1 == len(found) and "nan" not in text
    assert claims_markdown(found, "Figure 6").startswith(
        "- ✔ **reproduced** (Figure 6). *Masks of errors of one kind"
    )
    assert "nothing that tests a claim" in claims_markdown([], "Figure 6")


def test_tables_for_reading(tables: dict[str, pd.DataFrame]) -> None:
    groups = tables["groups"]
    row = groups_table(groups).iloc[0]
    assert row.tolist() == ["natural images", "0_1", "heart spotted", "heart striped", groups["images"][0], 8]
    assert "4 groups" in groups_markdown(
        groups
    ) and "90.0 % of the images bear their true label" in groups_markdown(groups)
    shown = curves_table(tables["curves"])
    assert shown["Method"].nunique() == 5 and shown["Weights changed"].iloc[0] == "12.38 %"
    gains = differences_table(tables["differences"])
    assert set(gains["Against"]) == {
        "Random mask",
        "Fine-tuning (FT)",
        "gradient mask",
        "newest",
    } and gains.notna().all(axis=None)
