"""The bilevel search of masks, for many samples at once (paper eq. 2-3; published code)."""

import math
from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor
from torch.func import grad, grad_and_value, vmap

from vitedit.config import MaskSearchConfig
from vitedit.errors import NumericalError
from vitedit.model.objectives import kl_divergence
from vitedit.model.vit import Split, Weights
from vitedit.where.masks import owners, split

SEARCH_SHARPNESS = 10.0
"""c of the sigmoid in the mask search; the regression target softens with another (deviation D8)."""


def random_logits(
    base: Split, generators: Sequence[torch.Generator], count: int, tied: bool
) -> Float[Tensor, "images free"]:
    """Where searches start: free logits uniform in [-1, 1), `count` rows of each generator in turn."""
    free = int(owners(base, tied).max()) + 1
    drawn = [2 * torch.rand(count, free, generator=generator) - 1 for generator in generators]
    return torch.cat(drawn).to(base.device)


def search_masks(
    base: Split,
    tokens: Float[Tensor, "images tokens width"],
    teacher: Float[Tensor, "images classes"],
    start: Float[Tensor, "images free"],
    settings: MaskSearchConfig,
) -> tuple[Float[Tensor, "images units"], float]:
    """Free mask logits m for each sample: argmin KL_i(W + m . Delta_i(m)) + lambda mean(m) (paper eq. 2-3).

    The gradient is of first order: Delta_i is the inner loop's sum of steps, held constant (D6); it is accumulated directly,
    without the published division by m (D5). With `tied` the logits of a block's two matrices are one.

    Args:
        base: The base model, cut before the sites.
        tokens: Prefix tokens of the samples.
        teacher: Logits that the edited model shall have.
        start: First logits (`random_logits`).
        settings: Steps and step sizes of both loops.

    Returns:
        The logits of every hidden unit, and the mean KL of the last but one logits (the last evaluated).

    Raises:
        NumericalError: The search left the finite numbers.
    """
    logits, square, kl = start, torch.zeros_like(start), torch.tensor(math.nan)
    own = owners(base, settings.tied).to(start.device)

    def soft(free: Tensor) -> Tensor:
        return (SEARCH_SHARPNESS * free[..., own]).sigmoid()

    def outer(free: Tensor, delta: Weights, token: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        mask = soft(free)
        divergence = _kl(base, _apply(base, mask, delta), token, target, settings.temperature)
        return divergence + settings.sparsity_weight * mask.mean(), divergence

    for _ in range(settings.search_steps):
        delta = _inner_loop(base, soft(logits), tokens, teacher, settings)
        gradient, (_, kl) = vmap(grad_and_value(outer, has_aux=True))(logits, delta, tokens, teacher)
        square = 0.99 * square + 0.01 * gradient.square()
        logits = logits - settings.search_learning_rate * gradient / (square.sqrt() + 1e-8)
    if not (logits.isfinite().all() and kl.isfinite().all()):
        raise NumericalError(
            f"mask search: KL became {kl.tolist()}; lower inner_learning_rate (now {settings.inner_learning_rate}) of "
            "meta_train, or of the method that searches."
        )
    return logits[:, own], kl.mean().item()


def _inner_loop(
    base: Split, masks: Tensor, tokens: Tensor, teacher: Tensor, settings: MaskSearchConfig
) -> Weights:
    """Delta after the inner gradient steps of every sample: W_t = W + m . Delta_t, Delta_t+1 = Delta_t - lr grad KL(W_t)."""

    def divergence(weights: Weights, token: Tensor, target: Tensor) -> Tensor:
        return _kl(base, weights, token, target, settings.temperature)

    delta = {
        name: torch.zeros(len(tokens), *weight.shape, device=weight.device)
        for name, weight in base.weights.items()
    }
    for _ in range(settings.inner_steps):
        gradients = vmap(grad(divergence))(
            vmap(lambda m, d: _apply(base, m, d))(masks, delta), tokens, teacher
        )
        delta = {name: delta[name] - settings.inner_learning_rate * gradients[name] for name in delta}
    return delta


def _apply(base: Split, mask: Float[Tensor, "units"], delta: Weights) -> Weights:
    """W + m . Delta of one sample."""
    masks = split(mask, base.sites, base.vit)
    weights = base.weights
    return {
        site.name: weights[site.name] + site.expand(masks[site.name]) * delta[site.name]
        for site in base.sites
    }


def _kl(base: Split, weights: Weights, token: Tensor, target: Tensor, temperature: float) -> Tensor:
    return kl_divergence(target[None], base.call(weights, token[None]), temperature)
