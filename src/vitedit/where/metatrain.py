"""Decoupled meta-training of the hypernetwork (paper section 3.2-3.3; published code).

Each iteration searches, for a batch of pseudo-samples, the masks under which a few gradient steps pull the mixed image's
prediction to the original's (bilevel, first order), and then regresses the hypernetwork on the searched masks.
"""

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd
import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor
from torch.func import grad, grad_and_value, vmap

from vitedit.artifacts import torch_rng
from vitedit.config import MetaTrainConfig
from vitedit.errors import NumericalError
from vitedit.model.objectives import kl_divergence
from vitedit.model.vit import Split, Weights
from vitedit.training import run
from vitedit.where.hypernet import SHARPNESS, Hypernet, soften
from vitedit.where.masks import join, split, units

SEARCH_SHARPNESS = 10.0
"""c of the sigmoid in the mask search; the regression target softens with SHARPNESS (deviation D8)."""
REGRESSION_WEIGHT = 0.1
"""Weight of the regression loss in the published code (nearly without effect under RMSprop, D11)."""

Batches = Callable[[int, int], tuple[Tensor, Tensor]]
"""(iteration, size) -> originals and mixed images, each (size, 3, S, S)."""


@dataclass
class Pairs:
    """CLS tokens of pseudo-samples and the mask logits that were searched for them."""

    cls: list[Tensor] = field(default_factory=list)
    logits: list[Tensor] = field(default_factory=list)

    def draw(self, size: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """A random batch of stored pairs."""
        cls, logits = torch.cat(self.cls), torch.cat(self.logits)
        some = torch.randint(len(cls), (size,), generator=generator)
        return cls[some], logits[some]


class MetaTraining:
    """Hypernetwork, optimiser and log of one meta-training; everything random depends on (seed, iteration) only."""

    def __init__(self, base: Split, network: Hypernet, settings: MetaTrainConfig, seed: int) -> None:
        self.base = base
        self.network = network.to(base.device)
        self.settings = settings
        self.seed = seed
        self.optimiser = torch.optim.RMSprop(network.parameters(), lr=settings.learning_rate)
        self.pairs = Pairs()
        self.rows: list[dict[str, Any]] = []

    def search_iteration(self, iteration: int, originals: Tensor, mixed: Tensor) -> None:
        """Searches masks for one batch, regresses on them, and keeps them for replay."""
        began = time.perf_counter()
        base, settings = self.base, self.settings
        teacher, tokens, cls = base.suffix(base.prefix(originals)), base.prefix(mixed), base.cls(mixed)
        logits, kl = search_masks(base, tokens, teacher, settings, torch_rng(self.seed, "search", iteration))
        rate = settings.learning_rate * _cosine(iteration / settings.schedule)
        losses = [self._regress(cls, logits, rate) for _ in range(settings.regression_steps)]
        if settings.replay is not None:
            self.pairs.cls.append(cls.cpu())
            self.pairs.logits.append(logits.cpu())
        self._log(
            iteration,
            "search",
            losses[0],
            began,
            kl=kl,
            sparsity_searched=1 - (SEARCH_SHARPNESS * logits).sigmoid().mean().item(),
            cls=cls,
        )

    def replay_iteration(self, iteration: int, step: int) -> None:
        """One regression step on stored pairs."""
        began = time.perf_counter()
        assert self.settings.replay is not None
        drawn = self.pairs.draw(self.settings.replay.batch_size, torch_rng(self.seed, "replay", step))
        cls, logits = (tensor.to(self.base.device) for tensor in drawn)
        rate = self.settings.learning_rate * _cosine(step / self.settings.replay.steps)
        self._log(iteration, "replay", self._regress(cls, logits, rate), began, cls=cls)

    def _regress(self, cls: Tensor, logits: Tensor, rate: float) -> float:
        """One RMSprop step of the binary cross-entropy between predicted and searched soft masks."""
        target = (SHARPNESS * logits).sigmoid()
        loss = F.binary_cross_entropy(soften(join(self.network(cls))), target)
        if not loss.isfinite():
            raise NumericalError(
                f"regression loss of the hypernetwork became {loss.item()} after {len(self.rows)} iterations; "
                "lower meta_train.learning_rate."
            )
        for group in self.optimiser.param_groups:
            group["lr"] = rate
        self.optimiser.zero_grad()
        (REGRESSION_WEIGHT * loss).backward()
        self.optimiser.step()
        return loss.item()

    def _log(
        self,
        iteration: int,
        phase: str,
        loss: float,
        began: float,
        *,
        cls: Tensor,
        kl: float = math.nan,
        sparsity_searched: float = math.nan,
    ) -> None:
        with torch.no_grad():
            predicted = 1 - soften(join(self.network(cls))).mean().item()
        self.rows.append(
            {
                "iteration": iteration,
                "phase": phase,
                "kl": kl,
                "sparsity_searched": sparsity_searched,
                "sparsity_predicted": predicted,
                "regression_loss": loss,
                "seconds": time.perf_counter() - began,
            }
        )

    def state(self) -> dict[str, Any]:
        """Everything that the rest of the training depends on."""
        return {
            "network": self.network.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "rows": self.rows,
            "cls": self.pairs.cls,
            "logits": self.pairs.logits,
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Goes back to a kept state."""
        self.network.load_state_dict(state["network"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.rows = list(state["rows"])
        self.pairs = Pairs(list(state["cls"]), list(state["logits"]))


def meta_train(
    training: MetaTraining, batches: Batches, state: Path, depends: Mapping[str, Any]
) -> pd.DataFrame:
    """Trains the hypernetwork in place, resuming from `state` if it is there; returns the log, one row an iteration.

    On the CPU a training that was killed and resumed ends with the same bits as an undisturbed one.
    """
    settings = training.settings
    total = settings.iterations + (settings.replay.steps if settings.replay else 0)
    return run(
        _Steps(training, batches),
        total,
        settings.checkpoint_every,
        state,
        depends,
        "meta-training iterations",
    )


@dataclass(frozen=True)
class _Steps:
    """Searches, then replays, as the shared loop runs them."""

    training: MetaTraining
    batches: Batches

    @property
    def rows(self) -> list[dict[str, Any]]:
        return self.training.rows

    def step(self, iteration: int) -> None:
        settings = self.training.settings
        if iteration < settings.iterations:
            self.training.search_iteration(iteration, *self.batches(iteration, settings.batch_size))
        else:
            self.training.replay_iteration(iteration, iteration - settings.iterations)

    def state(self) -> dict[str, Any]:
        return self.training.state()

    def restore(self, state: Mapping[str, Any]) -> None:
        self.training.restore(state)


def search_masks(
    base: Split,
    tokens: Float[Tensor, "images tokens width"],
    teacher: Float[Tensor, "images classes"],
    settings: MetaTrainConfig,
    generator: torch.Generator,
) -> tuple[Float[Tensor, "images units"], float]:
    """Free mask logits m for each pseudo-sample: argmin KL_i(W + m . Delta_i(m)) + lambda mean(m) (paper eq. 2-3).

    The gradient is of first order: Delta_i is the inner loop's sum of steps, held constant (D6); it is accumulated directly,
    without the published division by m (D5).

    Returns:
        The logits, and the mean KL of the last but one logits (the last evaluated).
    """
    logits = (2 * torch.rand(len(tokens), units(base), generator=generator) - 1).to(tokens.device)
    square, kl = torch.zeros_like(logits), torch.tensor(math.nan)

    def outer(logit: Tensor, delta: Weights, token: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        mask = (SEARCH_SHARPNESS * logit).sigmoid()
        divergence = _kl(base, _apply(base, mask, delta), token, target, settings.temperature)
        return divergence + settings.sparsity_weight * mask.mean(), divergence

    for _ in range(settings.search_steps):
        delta = _inner_loop(base, (SEARCH_SHARPNESS * logits).sigmoid(), tokens, teacher, settings)
        gradient, (_, kl) = vmap(grad_and_value(outer, has_aux=True))(logits, delta, tokens, teacher)
        square = 0.99 * square + 0.01 * gradient.square()
        logits = logits - settings.search_learning_rate * gradient / (square.sqrt() + 1e-8)
    if not (logits.isfinite().all() and kl.isfinite().all()):
        raise NumericalError(
            f"mask search: KL became {kl.tolist()}; lower meta_train.inner_learning_rate (now {settings.inner_learning_rate})."
        )
    return logits, kl.mean().item()


def _inner_loop(
    base: Split, masks: Tensor, tokens: Tensor, teacher: Tensor, settings: MetaTrainConfig
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


def _cosine(progress: float) -> float:
    """Factor of a cosine schedule, 1 at the start and 0 at the end."""
    return 0.5 * (1 + math.cos(math.pi * progress))
