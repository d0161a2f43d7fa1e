"""Attention heads: how much each speaks for the wrong prediction, and their removal (RefineViT; Huang et al., NeurIPS 2025).

A head's features are what its columns of a block's `attn.proj.weight` carry into the residual stream, at every token. With the
columns at zero the head is gone; nothing else of the block changes.
"""

from collections.abc import Iterator
from itertools import pairwise

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from vitedit.errors import ConfigError
from vitedit.model.changes import Thin
from vitedit.model.objectives import Labels, cross_entropy, per_sample
from vitedit.model.vit import PASS_BYTES, Split, blocks_of, reads_cls


def cut_before_heads(base: Split, blocks: int) -> Split:
    """The model cut before the self-attentions of its last `blocks`, or of all; their output projections are the sites.

    Raises:
        ConfigError: The classification head reads more than the CLS token.
    """
    depth = len(base.vit.blocks)
    if not reads_cls(base.vit):
        raise ConfigError(
            f"the head pools tokens by '{base.vit.global_pool}'; refine_heads needs one that reads the CLS token "
            "(`global_pool: token`). Keep other methods (`methods: [...]`), or take another model."
        )
    both = base.at("attn", range(max(0, depth - blocks), depth))
    return Split(base.vit, tuple(site for site in both.sites if site.axis == 1))


@torch.no_grad()
def score_heads(
    split: Split, tokens: Float[Tensor, "edits samples tokens width"], labels: Labels
) -> Float[Tensor, "edits heads"]:
    """How much the editing loss falls when the features of one head are removed: exact, one edited model a head.

    The models without one of a block's H heads share what comes before the block and pass through the rest as one batch: for
    k blocks about H k (k + 1) / 2 passes of a block a sample, forward only.

    Args:
        split: The base model, cut by `cut_before_heads`.
        tokens: Prefix tokens of the samples.
        labels: Target classes, one an edit or one a sample.

    Returns:
        Base loss minus loss without the head, for the heads of all blocks side by side in forward order.
    """
    images = tokens.flatten(0, 1)
    wanted = per_sample(labels, tokens.shape[1]).flatten()
    before = cross_entropy(split.run(images[:, None], {}), wanted)
    falls = [before - _losses_without(part, entering, wanted) for part, entering in _entering(split, images)]
    return torch.cat(falls).T.unflatten(0, tokens.shape[:2]).mean(1)


def _entering(
    split: Split, tokens: Float[Tensor, "images tokens width"]
) -> Iterator[tuple[Split, Float[Tensor, "images tokens width"]]]:
    """The model cut before each site, and the tokens that enter there."""
    yield Split(split.vit, split.sites[:1]), tokens
    for earlier, site in pairwise(split.sites):
        for block in blocks_of(split.vit)[earlier.point[0] : site.point[0]]:
            tokens = block(tokens)
        yield Split(split.vit, (site,)), tokens


def _losses_without(
    split: Split, tokens: Float[Tensor, "images tokens width"], labels: Int[Tensor, "images"]
) -> Float[Tensor, "heads images"]:
    """Cross-entropy of each image without each head of the split's one site, in as many passes as memory asks for."""
    heads = _heads(split)
    change = remove_heads(split, torch.eye(heads, dtype=torch.bool, device=split.device))
    room = PASS_BYTES[split.device.type] // (4 * tokens[0].numel() * tokens.element_size() * heads)
    parts = zip(tokens.split(max(1, room)), labels.split(max(1, room)), strict=True)
    losses = [
        cross_entropy(split.run(some[None], change).flatten(0, 1)[:, None], wanted.repeat(heads))
        for some, wanted in parts
    ]
    return torch.cat([loss.unflatten(0, (heads, -1)) for loss in losses], dim=1)


def choose_heads(scores: Float[Tensor, "edits heads"], most: int) -> Bool[Tensor, "edits heads"]:
    """The `most` heads of highest score of each edit, without those whose removal raises the loss: True = removed."""
    best = scores.topk(min(most, scores.shape[1])).indices
    return torch.zeros_like(scores, dtype=torch.bool).scatter(1, best, True) & (scores > 0)


def remove_heads(split: Split, removed: Bool[Tensor, "edits heads"]) -> dict[str, Thin]:
    """The output projections with the columns of removed heads at zero.

    Args:
        split: The base model, cut by `cut_before_heads`.
        removed: The heads of all its blocks side by side in forward order; True = removed.

    Returns:
        {site name: change}, of every site: an edit that removes fewer heads of a block than another adds zeros there.
    """
    parts = removed.split(_heads(split), dim=1)
    return {
        site.name: _zeroed(split.vit.get_parameter(site.name), part)
        for site, part in zip(split.sites, parts, strict=True)
    }


def _zeroed(weight: Float[Tensor, "width width"], removed: Bool[Tensor, "edits heads"]) -> Thin:
    """One matrix; k columns an edit, as many as the edit with most of its heads removed asks for."""
    size = weight.shape[1] // removed.shape[1]
    most = int(removed.sum(1).max())
    gone, heads = removed.int().sort(dim=1, descending=True, stable=True)
    columns = heads[:, :most, None] * size + torch.arange(size, device=weight.device)
    index = columns.flatten(1)
    factors = gone[:, :most].repeat_interleave(size, dim=1)
    return Thin(weight, 1, index, -weight.T[index] * factors[..., None])


def _heads(split: Split) -> int:
    """Attention heads of a block."""
    heads = blocks_of(split.vit)[split.sites[0].point[0]].attn.num_heads
    assert isinstance(heads, int)
    return heads
