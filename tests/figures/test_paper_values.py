"""What the paper printed hangs together, and captions and claims use it."""

from pathlib import Path

import pytest
import yaml

from vitedit.measure.tabulate import window_name

VALUES = yaml.safe_load((Path(__file__).parents[2] / "config" / "paper_values.yaml").read_text())


def test_printed_shares_are_those_of_three_ffns_of_a_vit_b() -> None:
    """Sparsity counts the weights of six matrices without biases; shares are of the backbone without its head."""
    weights = VALUES["weights"]
    assert weights["three_ffns"] == 6 * 768 * 3072
    shares = weights["share_of_weights_percent"]
    assert sorted(shares) == [0.25, 0.5, 0.75, 0.9, 0.95]
    for sparsity, percent in shares.items():
        share = 100 * (1 - sparsity) * weights["three_ffns"] / weights["backbone_without_head"]
        assert percent == pytest.approx(share, abs=0.03 if percent > 10 else 0.006)


def test_claims_test_the_chosen_run() -> None:
    chosen = VALUES["layer_search"]["chosen"]
    first, *_, last = chosen["blocks"]
    assert f"{chosen['part']} {first}-{last}" == window_name("mlp", 7, 9) == "FFN 8-10"


def test_every_entry_says_where_it_stands() -> None:
    assert all(entry["where"] for entry in VALUES.values())
