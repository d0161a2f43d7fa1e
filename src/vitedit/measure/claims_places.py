"""Claims about where to edit: the layer search, the masks, their training, and the share of the weights."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float

from vitedit.measure.bootstrap import interval, resampled_means
from vitedit.measure.fronts import escape
from vitedit.measure.overlap import resampled_overlap
from vitedit.measure.tabulate import PARTS, window_name
from vitedit.measure.verdicts import (
    NOT_DEFINED,
    UNKNOWN,
    Claim,
    Paper,
    Statement,
    signed,
    too_few,
)

_END = 0.2
"""Share of the iterations that counts as the beginning and as the end."""


def layer_claims(rows: pd.DataFrame, backbone: str, paper: Paper, resamples: int, seed: int) -> list[Claim]:
    """Fig. 2: the chosen FFNs are on the front of all windows, and FFNs keep more than MSAs.

    The search edits one group, as the paper's figure does, so edits are the units, and the verdict is about that group only.
    """
    chosen = paper["layer_search"]["chosen"]
    asked = f"{chosen['part']} {chosen['blocks'][0]}-{chosen['blocks'][-1]}"
    named = rows.assign(
        window=[window_name(*at) for at in zip(rows["part"], rows["first"], rows["last"], strict=True)]
    )
    rates = {}
    for rate in ("gr", "lr"):
        wide = named.pivot(index="edit", columns="window", values=rate)
        rates[rate] = resampled_means(wide.to_numpy(float), np.zeros(len(wide), int), resamples, seed)
    columns, edits = list(wide.columns), len(wide)
    own, few = (
        np.array([name == asked for name in columns]),
        too_few(edits, "edits of the one group searched"),
    )
    on_front = Statement(
        "Figure 2",
        backbone,
        f"The FFNs of blocks {asked.removeprefix('FFN ')} are on the Pareto front of the layer search.",
        "Lead by which this window of blocks escapes domination by any other",
        f"chosen: {asked}",
    )
    if own.any() and not own.all():
        numbers = interval(
            escape(rates["gr"][:, own], rates["lr"][:, own], rates["gr"][:, ~own], rates["lr"][:, ~own])
        )
        gr, lr = (100 * rates[rate][0, own].item() for rate in ("gr", "lr"))
        text = f"{asked} has GR {gr:.1f} % and LR {lr:.1f} %. "
        text += f"{on_front.statistic}: {signed(numbers)}; {edits} edits of one group."
        found = [on_front.tested(numbers, text, few)]
    else:
        found = [on_front.untested(f"This model's search has no {asked} beside other windows.")]
    return found + _part_claims(rates["lr"], columns, backbone, edits, few)


def _part_claims(
    lr: Float[np.ndarray, "draws windows"], columns: list[str], backbone: str, edits: int, few: str
) -> list[Claim]:
    """Mean locality of all windows of FFNs less that of all windows of MSAs."""
    ffn, msa = (np.array([name.startswith(part) for name in columns]) for part in PARTS.values())
    if not ffn.any() or not msa.any():
        return []
    statement = Statement(
        "Figure 2",
        backbone,
        "Editing MSAs costs locality: windows of FFNs keep more.",
        "LR of FFN windows less that of MSA windows, means over windows",
    )
    numbers = interval(lr[:, ffn].mean(1) - lr[:, msa].mean(1))
    means = [100 * lr[0, own].mean() for own in (ffn, msa)]
    text = f"LR is {means[0]:.1f} % over {ffn.sum()} windows of FFNs and {means[1]:.1f} % over {msa.sum()} of MSAs. "
    text += f"Difference: {signed(numbers)}; {edits} edits of one group."
    return [statement.tested(numbers, text, few)]


def overlap_claim(pairs: pd.DataFrame, backbone: str, paper: Paper, resamples: int, seed: int) -> Claim:
    """Fig. 6: mean IoU of pairs within a group less that of pairs across groups.

    Groups are drawn, then edits within them; a pair of an edit with its own copy does not count.
    """
    section = paper["mask_overlap"]
    statement = Statement(
        "Figure 6",
        backbone,
        "Masks of errors of one kind overlap more than masks of different kinds.",
        "Mean IoU within groups less that between groups",
        f"{section['claim']}; {_printed(section)}",
    )
    within, between, groups = resampled_overlap(pairs, resamples, seed)
    numbers = interval(within - between)
    same = (pairs["group_a"] == pairs["group_b"]).sum()
    text = f"Mean IoU is {within[0]:.3f} within groups ({same} pairs) and {between[0]:.3f} "
    text += f"between them ({len(pairs) - same} pairs). "
    count = int(groups.max()) + 1
    text += f"Difference: {signed(numbers, '+.3f')}; {count} groups, {len(groups)} edits."
    return statement.tested(numbers, text, too_few(count, "groups"))


def _printed(section: Mapping[str, Any]) -> str:
    within, between = section["iou_within"], section["iou_between"]
    known = f"within {within}, between {between}"
    return "the means are not known here" if UNKNOWN in (within, between) else known


def training_claims(
    training: pd.DataFrame, backbone: str, paper: Paper, resamples: int, seed: int
) -> list[Claim]:
    """Fig. H: sparsity rises, the outer divergence falls. Iterations are the units: there are no groups in training."""
    search = training[training["phase"] == "search"]
    printed = paper["training_curves"]["claim"]
    rise = Statement(
        "Figure H",
        backbone,
        "While the hypernetwork trains, the masks grow sparser.",
        "Sparsity of the predicted masks in the last fifth of the iterations less the first",
        printed,
    )
    fall = Statement(
        "Figure H",
        backbone,
        "While the hypernetwork trains, the outer divergence falls.",
        "Outer divergence in the first fifth of the iterations less the last",
        printed,
    )
    note = " It is measured with masks that are searched for each batch anew, without the hypernetwork (docs/deviations.md)."
    return [
        _trend(rise, search["sparsity_predicted"].to_numpy(float), 1, "pp", "", resamples, seed),
        _trend(fall, search["kl"].to_numpy(float), -1, "+.4f", note, resamples, seed),
    ]


def _trend(
    statement: Statement, values: np.ndarray, sign: int, form: str, note: str, resamples: int, seed: int
) -> Claim:
    kept = values[~np.isnan(values)]
    size = int(_END * len(kept))
    if size < 1:
        return statement.untested(f"{len(kept)} iterations have no first and last fifth.", NOT_DEFINED)
    first, last = (
        resampled_means(part[:, None], np.zeros(size, int), resamples, own)[:, 0]
        for part, own in ((kept[:size], seed), (kept[-size:], seed + 1))
    )
    numbers = interval(sign * (last - first))
    text = f"From {first[0]:.4f} in the first to {last[0]:.4f} in the last fifth of {len(kept)} iterations.{note} "
    text += f"{statement.statistic}: {signed(numbers, form)}."
    return statement.tested(numbers, text, too_few(size, "iterations at either end"))


def ffn_share(blocks: int, width: int, hidden: int, patch: int, tokens: int, ffns: int) -> float:
    """Share of a plain ViT's weights, head not counted, that the two matrices of some FFNs hold.

    Args:
        blocks: Transformer blocks.
        width: Of a token.
        hidden: Units of an FFN.
        patch: Side of a patch of three colours, pixels.
        tokens: Of an image, the CLS token included.
        ffns: Whose matrices are counted.
    """
    attention = 4 * width * width + 4 * width
    ffn = 2 * width * hidden + hidden + width
    embedding = 3 * patch * patch * width + width + width + tokens * width
    total = blocks * (attention + ffn + 4 * width) + embedding + 2 * width
    return ffns * 2 * width * hidden / total


def formula_claim(paper: Paper) -> Claim:
    """The shares that the paper prints for its ViT-B/16, by the closed formula: exact, so the interval is the value itself."""
    section = paper["weights"]
    share, printed = ffn_share(**section["architecture"]), section["share_of_weights_percent"]
    room = min(
        10.0 ** -len(f"{percent}".partition(".")[2]) - abs(100 * (1 - sparsity) * share - percent)
        for sparsity, percent in printed.items()
    )
    shares = ", ".join(f"{100 * (1 - sparsity) * share:.3f} %" for sparsity in printed)
    statement = Statement(
        "Section 4",
        section["model"],
        f"Masks of sparsity {', '.join(map(str, printed))} change {', '.join(map(str, printed.values()))} % of the weights.",
        "One unit of the last printed digit less the deviation, the least of five, as a share of the weights",
        ", ".join(f"{percent} %" for percent in printed.values()),
        kind="check",
    )
    text = f"By the closed formula from the architecture, without the head: {shares}. No edit is behind it."
    return statement.tested((room / 100,) * 3, text)
