"""The bilevel search of masks, for many samples at once (paper eq. 2-3; published code)."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from jaxtyping import Float
from torch import Tensor

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
    search = _Search(base, tokens[:, None], teacher[:, None], settings)
    for _ in range(settings.search_steps):
        free = logits.detach().requires_grad_()
        with torch.enable_grad():
            mask = (SEARCH_SHARPNESS * free[..., own]).sigmoid()
            kl = search.divergence(search.apply(mask, search.inner_loop(mask.detach())))
            loss = kl + settings.sparsity_weight * mask.mean(-1)
            (gradient,) = torch.autograd.grad(loss.sum(), free)
        square = 0.99 * square + 0.01 * gradient.square()
        logits = logits - settings.search_learning_rate * gradient / (square.sqrt() + 1e-8)
    if not (logits.isfinite().all() and kl.isfinite().all()):
        raise NumericalError(
            f"mask search: KL became {kl.tolist()}; lower inner_learning_rate (now {settings.inner_learning_rate}) of "
            "meta_train, or of the method that searches."
        )
    return logits[:, own], kl.mean().item()


@dataclass(frozen=True)
class _Search:
    """Inner loop and divergence of one search."""

    base: Split
    tokens: Float[Tensor, "images 1 tokens width"]
    teacher: Float[Tensor, "images 1 classes"]
    settings: MaskSearchConfig

    def inner_loop(self, masks: Float[Tensor, "images units"]) -> Weights:
        """Delta after the inner gradient steps of every sample: W_t = W + m . Delta_t, Delta_t+1 = Delta_t - lr grad KL(W_t)."""
        rate, delta = self.settings.inner_learning_rate, self._first_step
        for _ in range(1, self.settings.inner_steps):
            gradients = self._gradients(self.apply(masks, delta))
            delta = {name: torch.sub(delta[name], gradients[name], alpha=rate) for name in delta}
        return delta

    @cached_property
    def _first_step(self) -> Weights:
        """Delta_1: at W_0 = W, whatever the masks are."""
        count, rate = len(self.tokens), self.settings.inner_learning_rate
        start = {name: weight.expand(count, *weight.shape) for name, weight in self.base.weights.items()}
        return {name: -rate * gradient for name, gradient in self._gradients(start).items()}

    def _gradients(self, weights: Weights) -> Weights:
        leaves = {name: weight.detach().requires_grad_() for name, weight in weights.items()}
        with torch.enable_grad():
            made = torch.autograd.grad(self.divergence(leaves).sum(), list(leaves.values()))
        return dict(zip(leaves, made, strict=True))

    def apply(self, masks: Float[Tensor, "images units"], delta: Weights) -> Weights:
        """W + m . Delta of every sample."""
        parts, weights = split(masks, self.base.sites, self.base.vit), self.base.weights
        return {
            site.name: torch.addcmul(weights[site.name], site.expand(parts[site.name]), delta[site.name])
            for site in self.base.sites
        }

    def divergence(self, weights: Weights) -> Float[Tensor, "images"]:
        """KL of every sample."""
        return kl_divergence(self.teacher, self.base.call(weights, self.tokens), self.settings.temperature)
