"""Every claim comes out in all three ways on rows made for it, and says why where it is undecided."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import timm

from vitedit.errors import ConfigError
from vitedit.measure import verdicts
from vitedit.measure.claims_edits import edit_claims, sample_claim, share_claims
from vitedit.measure.claims_places import (
    ffn_share,
    formula_claim,
    layer_claims,
    overlap_claim,
    training_claims,
)

PAPER = verdicts.read_paper_values(Path(__file__).parents[2] / verdicts.PAPER_VALUES)
THREE = pytest.mark.parametrize(
    ("shift", "verdict"), [(0.1, "reproduced"), (-0.1, "not reproduced"), (0.0, "undecided")]
)
"""How far the rows lean towards the statement, and what follows."""
SPARSITIES = (0.5, 0.75, 0.95)
STEPS = {"hypernet": "0.002", "random_mask": "0.005"}
AVERAGE, MIDDLE = "reach on average over their settings", "reach at the middle value of each knob"


def edits(*methods: tuple, groups: int = 12, noise: float = 0.02, sr: float = 1.0) -> pd.DataFrame:
    """Two edits a group from (method, value, gr, lr): groups differ by far more than the noise that methods do not share."""
    rng = np.random.default_rng(0)
    level = np.repeat(rng.normal(0, 0.05, groups), 2)
    place = pd.DataFrame({"subset": "natural", "group": np.repeat(np.arange(groups), 2).astype(str)})
    place = place.assign(edit=np.tile([0, 1], groups), sr=sr)
    tables = [
        place.assign(
            method=method,
            value=value,
            setting=f"v={value}",
            fraction=0.2 * (1 - value),
            gr=gr + level + rng.normal(0, noise, len(place)),
            lr=lr + level + rng.normal(0, noise, len(place)),
        )
        for method, value, gr, lr in methods
    ]
    return pd.concat(tables, ignore_index=True)


def curve(method: str, shift: float = 0.0) -> list[tuple]:
    """Three settings whose GR falls as LR rises."""
    return [(method, value, 0.6 - 0.1 * at + shift, 0.5 + 0.1 * at) for at, value in enumerate(SPARSITIES)]


def one(claims: list[verdicts.Claim], words: str) -> verdicts.Claim:
    (claim,) = [claim for claim in claims if words in claim.statement + claim.statistic]
    return claim


def of(rows: pd.DataFrame, words: str) -> verdicts.Claim:
    return one(edit_claims(rows, "b", STEPS, PAPER, 300, 0), words)


@THREE
def test_the_rule(shift: float, verdict: str) -> None:
    assert verdicts.verdict(shift - 0.05, shift + 0.05) == verdict
    assert verdicts.verdict(np.nan, np.nan) == "undecided"


@THREE
def test_above_each_competitor(shift: float, verdict: str) -> None:
    claim = of(edits(*curve("hypernet", shift), *curve("kn")), "generalizes more than KN")
    assert claim.verdict == verdict and claim.value == pytest.approx(shift, abs=0.03)
    assert claim.source == "Figure 4" and "12 groups, 24 edits" in claim.measured
    single = edits(*curve("hypernet", shift), ("ft", np.nan, 0.5, 0.6))
    assert of(single, "generalizes more than FT").verdict == verdict


def test_curves_that_share_no_locality_are_undecided_in_words() -> None:
    rows = edits(*curve("hypernet"), ("rome", 1.0, 0.1, 0.95), ("rome", 2.0, 0.2, 0.9))
    claim = of(rows, "generalizes more than ROME")
    assert claim.verdict == "undecided" and "share no locality" in claim.measured and np.isnan(claim.value)


@pytest.mark.parametrize(
    ("rival", "verdict"),
    [((0.3, 0.5), "reproduced"), ((0.9, 0.9), "not reproduced"), ((0.5, 0.6), "undecided")],
)
def test_on_the_front(rival: tuple[float, float], verdict: str) -> None:
    rows = edits(("hypernet", 0.5, 0.5, 0.6), ("kn", 0.5, *rival))
    assert of(rows, "Pareto front of all methods").verdict == verdict


@THREE
def test_sparsity_trades(shift: float, verdict: str) -> None:
    rows = edits(
        *[("hypernet", value, 0.5 - shift * at, 0.5 + shift * at) for at, value in enumerate(SPARSITIES)]
    )
    assert of(rows, "Sparsity trades").verdict == verdict


def test_sparsity_that_costs_both_rates_trades_nothing() -> None:
    rows = edits(
        *[("hypernet", value, 0.8 - 0.1 * at, 0.8 - 0.1 * at) for at, value in enumerate(SPARSITIES)]
    )
    assert of(rows, "Sparsity trades").verdict == "not reproduced"


@THREE
def test_learned_against_random_masks(shift: float, verdict: str) -> None:
    claim = of(edits(*curve("hypernet", shift), *curve("random_mask")), "Learned masks beat random masks")
    assert claim.verdict == verdict


@THREE
def test_more_so_where_sparser(shift: float, verdict: str) -> None:
    ours = [("hypernet", value, 0.5 + shift * at, 0.5) for at, value in enumerate(SPARSITIES)]
    rows = edits(*ours, *[("random_mask", value, 0.5, 0.5) for value in SPARSITIES])
    assert of(rows, "by more where masks are sparser").verdict == verdict


@THREE
def test_penalties(shift: float, verdict: str) -> None:
    assert of(edits(*curve("ft_l1", shift), *curve("ft_l2")), "FT-l1 edits better").verdict == verdict


@pytest.mark.parametrize(("sr", "verdict"), [(1.0, "reproduced"), (0.0, "not reproduced")])
def test_success(sr: float, verdict: str) -> None:
    assert of(edits(*curve("hypernet"), *curve("kn"), sr=sr), AVERAGE).verdict == verdict


def test_success_of_one_method_in_ten_may_fail_and_a_rate_at_the_limit_is_undecided() -> None:
    names = list(PAPER["main_results"]["methods"])[:10]
    rows = edits(*[(name, 0.5, 0.5, 0.5) for name in names])
    rows.loc[rows["method"] == "kn", "sr"] = 0.0
    claim = of(rows, AVERAGE)
    assert claim.verdict == "reproduced" and "not KN (0 %)" in claim.measured
    rows.loc[(rows["method"] == "ft") & (rows["group"] == "0") & (rows["edit"] == 0), "sr"] = 0.0
    assert of(rows, AVERAGE).verdict == "undecided"


def test_success_at_one_setting_leaves_weak_settings_out() -> None:
    rows = edits(*curve("hypernet"), *curve("kn"))
    rows.loc[rows["value"] == 0.95, "sr"] = 0.0
    assert of(rows, AVERAGE).verdict == "not reproduced" and of(rows, MIDDLE).verdict == "reproduced"
    rows.loc[rows["value"] == 0.75, "sr"] = 0.0
    assert of(rows, MIDDLE).verdict == "not reproduced"


@pytest.mark.parametrize(
    ("spread", "other", "verdict"),
    [(0.3, 0.02, "reproduced"), (0.02, 0.3, "not reproduced"), (0.1, 0.1, "undecided")],
)
def test_variation(spread: float, other: float, verdict: str) -> None:
    rows = pd.concat(
        [edits(("t_patcher", 0.5, 0.5, 0.5), noise=spread), edits(("kn", 0.5, 0.5, 0.5), noise=other)]
    )
    assert of(rows, "edits on average over").verdict == of(rows, "edits at the middle").verdict == verdict


def test_the_most_varying_at_one_setting() -> None:
    """Wide at the ends, narrow in the middle."""
    wide = [(0.5, 0.3), (0.75, 0.01), (0.95, 0.3)]
    parts = [edits(("t_patcher", value, 0.5, 0.5), noise=noise) for value, noise in wide]
    parts += [edits(("kn", value, 0.5, 0.5), noise=0.1) for value, _ in wide]
    rows = pd.concat(parts, ignore_index=True)
    assert of(rows, "edits on average over").verdict == "reproduced"
    assert of(rows, "edits at the middle").verdict == "not reproduced"


@THREE
def test_samples(shift: float, verdict: str) -> None:
    parts = [
        edits(("hypernet", 0.5, 0.4 + shift * count, 0.5), noise=0.02 + count / 1000).assign(
            samples=count, variant=str(count), family="samples", backbone="b"
        )
        for count in (1, 2, 3)
    ]
    rows = pd.concat(parts, ignore_index=True)
    assert sample_claim(rows, "b", PAPER, 300, 0).verdict == verdict
    alone = sample_claim(rows[rows["samples"] == 1], "b", PAPER, 300, 0)
    assert alone.verdict == "undecided" and alone.measured.startswith("Not measured")


def test_masks_are_compared_with_their_step_sizes() -> None:
    rows = edits(*curve("hypernet"), *curve("random_mask"))
    assert "0.002 for learned masks, 0.005 for random ones" in of(rows, "same sparsity").measured
    same = dict.fromkeys(STEPS, "0.001")
    claim = one(edit_claims(rows, "b", same, PAPER, 50, 0), "same sparsity")
    assert "Step size of both: 0.001." in claim.measured


def test_why_a_claim_is_undecided() -> None:
    number = verdicts.Statement("Figure 1", "b", "It holds.", "A number")
    assert [number.tested((0.1, low, 0.2), "", few).why for low, few in [(0.0, ""), (0.05, ""), (0.05, "few")]] == [
        verdicts.TIED, "", verdicts.TOO_FEW,
    ]  # fmt: skip
    assert number.tested((0.1, np.nan, np.nan), "").why == verdicts.NOT_DEFINED
    assert number.untested("").why == verdicts.NOT_MEASURED
    far = edits(*curve("hypernet"), ("ft", np.nan, 0.5, 0.1))
    assert of(far, "more than FT.").why == verdicts.NOT_DEFINED


def test_checks_hold_by_construction() -> None:
    checks = [formula_claim(PAPER), *share_claims(edits(*curve("hypernet")), "b", 0.2, 2000, PAPER)]
    assert {claim.kind for claim in checks} == {"check"}
    found = edit_claims(edits(*curve("hypernet"), *curve("kn")), "b", STEPS, PAPER, 50, 0)
    assert {claim.kind for claim in found} == {"finding"}


def test_few_groups_decide_nothing() -> None:
    claim = of(edits(*curve("hypernet", 0.3), *curve("kn"), groups=5), "generalizes more than KN")
    assert claim.low > 0 and claim.verdict == "undecided" and "fewer than 6 groups" in claim.measured


def layer_rows(ffn: tuple[float, float], other: tuple[float, float], edits: int = 12) -> pd.DataFrame:
    """FFN 8-10 against FFN 9-11 and MSA 8-10 of the same rates."""
    rng = np.random.default_rng(0)
    runs = {("mlp", 7): ffn, ("mlp", 8): other, ("attn", 7): other}
    return pd.DataFrame(
        [
            {"part": part, "first": first, "last": first + 2, "edit": edit}
            | {"gr": gr + rng.normal(0, 0.03), "lr": lr + rng.normal(0, 0.03)}
            for (part, first), (gr, lr) in runs.items()
            for edit in range(edits)
        ]
    )


@THREE
def test_layers(shift: float, verdict: str) -> None:
    rows = layer_rows((0.5 + shift, 0.5 + shift), (0.5, 0.5))
    front, cost = layer_claims(rows, "b", PAPER, 300, 0)
    assert (front.verdict, front.source) == (verdict, "Figure 2") and front.paper == "chosen: FFN 8-10"
    assert cost.verdict == verdict and "1 of MSAs" in cost.measured


def test_few_edits_or_other_layers_decide_nothing() -> None:
    front, cost = layer_claims(layer_rows((0.9, 0.9), (0.5, 0.5), edits=2), "b", PAPER, 300, 0)
    assert {front.verdict, cost.verdict} == {"undecided"} and "fewer than 6 edits" in front.measured
    rows = layer_rows((0.9, 0.9), (0.5, 0.5)).assign(first=0, last=2).drop_duplicates(["part", "edit"])
    assert "no FFN 8-10" in layer_claims(rows, "b", PAPER, 300, 0)[0].measured


def mask_pairs(shift: float) -> pd.DataFrame:
    """Overlaps of three edits of each of eight groups."""
    rng = np.random.default_rng(0)
    named = [(group, edit) for group in "abcdefgh" for edit in range(3)]
    pairs = [
        (*first, *second, 0.5 + shift * (first[0] == second[0]) + rng.normal(0, 0.05))
        for at, first in enumerate(named)
        for second in named[at + 1 :]
    ]
    return pd.DataFrame(pairs, columns=["group_a", "edit_a", "group_b", "edit_b", "iou"])


@THREE
def test_overlap(shift: float, verdict: str) -> None:
    pairs = mask_pairs(shift)
    claim = overlap_claim(pairs, "b", PAPER, 300, 0)
    same = pairs["group_a"] == pairs["group_b"]
    assert (
        claim.verdict == verdict and "24 pairs" in claim.measured and "8 groups, 24 edits" in claim.measured
    )
    assert claim.value == pytest.approx(pairs["iou"][same].mean() - pairs["iou"][~same].mean())


def test_overlap_of_one_group_or_single_edits_is_undecided() -> None:
    pairs = mask_pairs(0.3)
    alone = pairs[(pairs["group_a"] == "a") & (pairs["group_b"] == "a")]
    single = pairs[(pairs["edit_a"] == 0) & (pairs["edit_b"] == 0)]
    for some in (alone, single):
        claim = overlap_claim(some, "b", PAPER, 50, 0)
        assert claim.verdict == "undecided" and "not defined" in claim.measured


@THREE
def test_training(shift: float, verdict: str) -> None:
    ramp = np.linspace(0, 1, 60) * shift + np.random.default_rng(0).normal(0, 0.01, 60)
    log = pd.DataFrame({"phase": "search", "sparsity_predicted": ramp, "kl": -ramp})
    assert [claim.verdict for claim in training_claims(log, "b", PAPER, 300, 0)] == [verdict] * 2
    short = training_claims(log.iloc[[0, -1]], "b", PAPER, 300, 0)
    assert {claim.verdict for claim in short} == {"undecided"}


def test_the_closed_formula_counts_what_timm_builds() -> None:
    model = timm.create_model("vit_base_patch16_224", pretrained=False)
    counted = sum(weight.numel() for name, weight in model.named_parameters() if "head" not in name)
    sites = sum(
        model.get_submodule(f"blocks.{block}.mlp.{name}").get_parameter("weight").numel()
        for block in (7, 8, 9)
        for name in ("fc1", "fc2")
    )
    architecture = PAPER["weights"]["architecture"]
    assert ffn_share(**architecture) == pytest.approx(sites / counted, rel=1e-12)
    assert (counted, sites) == (PAPER["weights"]["backbone_without_head"], PAPER["weights"]["three_ffns"])


def changed(paper: dict, percent: float) -> dict:
    shares = {**paper["weights"]["share_of_weights_percent"], 0.5: percent}
    return {**paper, "weights": {**paper["weights"], "share_of_weights_percent": shares}}


def test_printed_shares() -> None:
    claim = formula_claim(PAPER)
    assert claim.verdict == "reproduced" and "12.374 %" in claim.measured and "12.4 %" in claim.paper
    assert formula_claim(changed(dict(PAPER), 8.35)).verdict == "not reproduced"


def test_measured_shares() -> None:
    rows = edits(*curve("hypernet"))
    (claim,) = share_claims(rows, "b", 0.2, 2000, PAPER)
    assert claim.verdict == "reproduced" and "10.00 % at 0.5" in claim.measured
    assert share_claims(rows, "b", 0.25, 2000, PAPER)[0].verdict == "not reproduced"
    few = edits(*curve("hypernet")).assign(value=0.95, fraction=0.2 * 57 / 1152)  # 57.6 units are 57
    assert share_claims(few, "b", 0.2, 1152, PAPER)[0].verdict == "reproduced"


def test_methods_beyond_the_paper_take_no_part() -> None:
    rows = edits(*curve("hypernet", 0.1), *curve("kn"), *curve("somebodys", 0.3))
    found = edit_claims(rows, "b", STEPS, PAPER, 100, 0)
    assert one(found, "Pareto front").verdict == "reproduced"
    assert not [claim for claim in found if "somebodys" in claim.measured]
    assert edit_claims(edits(*curve("somebodys")), "b", STEPS, PAPER, 100, 0) == []


def test_paper_values_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        verdicts.read_paper_values(tmp_path / "none.yaml")
    (tmp_path / "list.yaml").write_text("[1]")
    with pytest.raises(ConfigError, match="mapping of sections"):
        verdicts.read_paper_values(tmp_path / "list.yaml")


@pytest.mark.parametrize("form", ["pp", "+.3f"])
def test_numbers_in_words(form: str) -> None:
    number: Callable[..., str] = verdicts.signed
    assert number((-0.1, -0.2, 0.05), form) in ("−10.0 [−20.0, +5.0] pp", "−0.100 [−0.200, +0.050]")
    assert number((np.nan, np.nan, np.nan), form) == "not defined"
