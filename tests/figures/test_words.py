"""Numbers, claims and tables in words."""

import pandas as pd

from vitedit.figures.words import (
    claims_markdown,
    curves_table,
    differences_table,
    groups_markdown,
    groups_table,
    percentages,
    points,
)

NAN = float("nan")


def test_numbers_in_words() -> None:
    assert percentages(0.4123, 0.35, 0.4711) == "41.2 % [35.0, 47.1]"
    assert percentages(0.5, NAN, NAN) == "50.0 %" and percentages(NAN, 0.1, 0.2) == "not measured"
    assert points(-0.042, -0.061, 0.003) == "−4.2 [−6.1, +0.3]"


def test_every_claim_is_written_out(tables: dict[str, pd.DataFrame]) -> None:
    found = tables["claims"]
    text = claims_markdown(found)
    assert text.count("\n- ") + 1 == len(found) and "nan" not in text
    overlap = found[found["source"] == "Figure 6"]
    assert claims_markdown(found, "Figure 6").count("Masks of errors of one kind") == len(overlap) == 2
    assert "nothing that tests a claim" in claims_markdown(found, "Figure 9")


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


def test_gains_of_a_run_without_the_proposed_method(tables: dict[str, pd.DataFrame]) -> None:
    others = tables["differences"].query("method == 'kn'")
    empty = differences_table(others)
    assert empty.empty and {"Against", "Sparsity", "Gain in GR", "Gain in LR"} <= set(empty.columns)
