"""Sensitivity of single weights, and the mask of the most sensitive ones (SPT; He et al., ICCV 2023, section 3.1)."""

from collections.abc import Mapping

import torch
from torch import Tensor

from vitedit.model.edits import Samples
from vitedit.model.factors import gradients
from vitedit.model.vit import Split, Weights
from vitedit.where.masks import kept_units


def measure_sensitivity(split: Split, samples: Samples) -> Weights:
    """Squared gradient of each edit's cross-entropy for every weight of the sites, {site name: (E, *shape)}.

    The sum over batches in the paper has one term here: the samples of an edit are one batch.
    """

    tokens, labels = split.prefix_samples(samples.images), samples.labels.to(split.device)
    return {name: gradient.square_() for name, gradient in gradients(split, tokens, labels).items()}


def mask_highest(scores: Mapping[str, Tensor], sparsity: float) -> Weights:
    """True for exactly the highest-scored weights of each edit, over all matrices together.

    Args:
        scores: {site name: (E, *shape)}.
        sparsity: Share of the weights of all matrices together that stay frozen.

    Returns:
        Boolean masks of the scores' shapes.

    Raises:
        ConfigError: The sparsity is not in [0, 1), or leaves no weight.
    """
    masks = {name: torch.zeros_like(score, dtype=torch.bool) for name, score in scores.items()}
    sizes = [score[0].numel() for score in scores.values()]
    kept = kept_units(sparsity, sum(sizes))
    for edit in range(
        len(next(iter(scores.values())))
    ):  # one at a time: the indices take more room than the scores
        flat = torch.cat([score[edit].flatten() for score in scores.values()])
        best = flat.topk(kept, sorted=False).indices
        chosen = torch.zeros_like(flat, dtype=torch.bool).index_fill_(0, best, True)
        for mask, part in zip(masks.values(), chosen.split(sizes), strict=True):
            mask[edit] = part.view_as(mask[edit])
    return masks
