"""Masks over hidden units, keyed by site: 1 = may change, 0 = frozen. Sparsity is the share of zeros in all masks together."""

import math
from collections.abc import Mapping, Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from vitedit.config import DescentConfig
from vitedit.errors import ConfigError
from vitedit.model.changes import Thin
from vitedit.model.descent import Objective, descend
from vitedit.model.edits import Edits, Samples
from vitedit.model.sites import Site
from vitedit.model.vit import Split

DENSE = 0.5
"""Share of hidden units from which on an edit is computed with whole matrices."""

Masks = dict[str, Tensor]
"""Site name -> (E, H), or soft scores of that shape."""


def join(masks: Mapping[str, Tensor]) -> Float[Tensor, "*edits units"]:
    """All sites' entries side by side, in the mapping's order."""
    return torch.cat(list(masks.values()), dim=-1)


def units(base: Split) -> int:
    """Number of hidden units of all sites together."""
    return sum(site.size(base.vit) for site in base.sites)


def owners(base: Split, tied: bool = False) -> Int[Tensor, "units"]:
    """Position of every hidden unit's entry among the free entries of a mask; with `tied` the matrices of a block share theirs.

    Raises:
        ConfigError: Tied matrices have different numbers of hidden units.
    """
    free: dict[str, Tensor] = {}
    parts = []
    for site in base.sites:
        key, size = site.module if tied else site.name, site.size(base.vit)
        if key not in free:
            free[key] = torch.arange(size) + sum(map(len, free.values()))
        if len(free[key]) != size:
            raise ConfigError(
                f"meta_train.tied: the matrices of {key} have {len(free[key])} and {size} hidden units and cannot share a mask. "
                "FFNs can: set `sites: {part: mlp}`."
            )
        parts.append(free[key])
    return torch.cat(parts)


def split(flat: Float[Tensor, "*edits units"], sites: Sequence[Site], model: nn.Module) -> Masks:
    """Inverse of `join` for masks in the order of `sites`."""
    parts = flat.split([site.size(model) for site in sites], dim=-1)
    return {site.name: part for site, part in zip(sites, parts, strict=True)}


def kept_units(sparsity: float, units: int) -> int:
    """Number of ones of a mask: the integer part of density * units, as in the published code (13,824 ... 921 of 18,432).

    Raises:
        ConfigError: The sparsity is not in [0, 1), or leaves no unit.
    """
    if not 0 <= sparsity < 1:
        raise ConfigError(f"sparsity {sparsity} is not in [0, 1).")
    kept = math.floor((1 - sparsity) * units + 1e-9)
    if kept == 0:
        raise ConfigError(f"sparsity {sparsity} leaves none of {units} units to edit.")
    return kept


def binarise(
    scores: Float[Tensor, "*edits units"], sparsity: float, strict: bool = False
) -> Float[Tensor, "*edits units"]:
    """1 for exactly the k highest scores over all sites together (paper eq. 6); of equal scores the first wins.

    With `strict`, 1 for the scores above the k-th highest, as in the published code: k - 1 ones, and fewer where several
    scores equal the k-th (deviation D1); none at all where the k highest are equal.
    """
    kept = kept_units(sparsity, scores.shape[-1])
    ordered, places = scores.sort(dim=-1, descending=True, stable=True)
    if strict:
        return (scores > ordered[..., kept - 1 : kept]).to(scores.dtype)
    return torch.zeros_like(scores).scatter(-1, places[..., :kept], 1.0)


def iou(masks: Float[Tensor, "edits units"]) -> Float[Tensor, "edits edits"]:
    """Intersection over union of every pair of binary masks (paper Fig. 6)."""
    common = masks @ masks.T
    sizes = masks.sum(-1)
    return common / (sizes[:, None] + sizes[None, :] - common)


def expand(flat: Float[Tensor, "*edits units"], sites: Sequence[Site], model: nn.Module) -> Masks:
    """Masks as factors of the sites' gradients, {site name: (E, H, 1) or (E, 1, H)}."""
    masks = split(flat, sites, model)
    return {site.name: site.expand(masks[site.name]) for site in sites}


def edit_under(
    base: Split,
    samples: Samples,
    masks: Float[Tensor, "edits units"],
    settings: DescentConfig,
    learning_rate: float,
) -> Edits:
    """Masked fine-tuning of each edit's samples under its binary mask over hidden units (paper eq. 1).

    Sparse edits descend on their own rows and columns alone; where most units may change, that costs more than it saves.
    """
    masks = masks.to(base.device)
    if masks.mean() > DENSE:
        return fine_tune(base, samples, settings, learning_rate, expand(masks, base.sites, base.vit))
    return _fine_tune_thin(base, samples, split(masks, base.sites, base.vit), settings, learning_rate)


def fine_tune(
    base: Split,
    samples: Samples,
    settings: DescentConfig,
    learning_rate: float,
    allowed: Mapping[str, Tensor] | None = None,
    objective: Objective | None = None,
    *,
    sgd_first: bool = False,
) -> Edits:
    """Fine-tuning of the sites' matrices from their base values by RMSprop.

    Args:
        base: The base model, cut before the sites.
        samples: What the edits are made from.
        settings: Stop rule.
        learning_rate: Step size.
        allowed: Factor of each gradient (`descend`); without it everything may change.
        objective: What is minimised; without it the cross-entropy alone.
        sgd_first: Begin with a step of plain gradient descent, as the published fine-tuning does (deviation D17).
    """
    labels = samples.labels.to(base.device)
    start = {name: weight.expand(len(labels), *weight.shape) for name, weight in base.weights.items()}
    tokens = base.prefix_samples(samples.images)
    objective = objective or Objective(base.call)
    optimiser = "sgd_rmsprop" if sgd_first else "rmsprop"
    ends = descend(
        objective, start, tokens, labels, settings, learning_rate, allowed=allowed, optimiser=optimiser
    )
    return ends.edits(labels, base.full(ends.values))


def _fine_tune_thin(
    base: Split, samples: Samples, masks: Mapping[str, Tensor], settings: DescentConfig, learning_rate: float
) -> Edits:
    """The same from additions of zero to the rows and columns that the masks name."""
    labels = samples.labels.to(base.device)
    places = {name: chosen(mask) for name, mask in masks.items()}
    index = {name: where for name, (where, _) in places.items()}

    def changes(added: Mapping[str, Tensor], index: Mapping[str, Tensor]) -> dict[str, Thin]:
        weights = base.weights
        return {s.name: Thin(weights[s.name], s.axis, index[s.name], added[s.name]) for s in base.sites}

    start = {
        s.name: base.weights[s.name].new_zeros(*index[s.name].shape, base.weights[s.name].shape[1 - s.axis])
        for s in base.sites
    }
    shared = base.share(base.prefix_samples(samples.images), changes(start, index))
    ends = descend(
        Objective(lambda added, inputs: base.run({n: inputs[n] for n in shared}, changes(added, inputs))),
        start,
        {**shared, **index},
        labels,
        settings,
        learning_rate,
        allowed={name: real[:, :, None] for name, (_, real) in places.items()},
    )
    return ends.edits(labels, changes(ends.values, index))


def chosen(
    mask: Float[Tensor, "edits hidden"],
) -> tuple[Int[Tensor, "edits k"], Float[Tensor, "edits k"]]:
    """Where each edit's ones are, filled up to the most of any edit (at least one), and 1 for those that are ones indeed."""
    most = max(1, int(mask.sum(1).max()))
    index = mask.sort(dim=1, descending=True, stable=True).indices[:, :most]
    return index, mask.gather(1, index)
