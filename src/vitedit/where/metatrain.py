"""Decoupled meta-training of the hypernetwork (paper section 3.2-3.3; published code).

Each iteration searches, for a batch of pseudo-samples, the masks under which a few gradient steps pull the mixed image's
prediction to the original's (bilevel, first order), and then regresses the hypernetwork on the searched masks.
"""

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd
import torch
import torch.nn.functional as F
from torch import Tensor

from vitedit.artifacts import seed_of
from vitedit.config import MetaTrainConfig
from vitedit.errors import NumericalError
from vitedit.model.vit import Split
from vitedit.tensors import torch_rng
from vitedit.training import run
from vitedit.where.hypernet import SHARPNESS, Hypernet, soften
from vitedit.where.mask_search import SEARCH_SHARPNESS, random_logits, search_masks
from vitedit.where.masks import join

REGRESSION_WEIGHT = 0.1
"""Weight of the regression loss in the published code (nearly without effect under RMSprop, D11)."""

Batches = Callable[[int, int], tuple[Tensor, Tensor]]
"""(iteration, size) -> originals and mixed images, each (size, 3, S, S)."""


class Seen(NamedTuple):
    """What the hypernetwork sees of pseudo-samples, and the mask logits that were searched for them."""

    cls: Tensor
    """CLS tokens (B, width)."""
    labels: Tensor
    """Classes that the unedited model sees in the originals (B,)."""
    logits: Tensor
    """Searched logits (B, units)."""

    def to(self, device: torch.device | str) -> "Seen":
        """The same on another device."""
        return Seen(*(tensor.to(device) for tensor in self))


def new_hypernet(base: Split, settings: MetaTrainConfig, seed: int) -> Hypernet:
    """A hypernetwork for the sites with seeded random weights, as a meta-training begins with.

    Raises:
        ConfigError: The heads do not divide the width.
    """
    classes = base.vit.num_classes if settings.condition_on_label else 0
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed_of(seed, "hypernet"))
        return Hypernet.for_sites(
            base.vit, base.sites, base.vit.embed_dim, settings.blocks, settings.heads, settings.tied, classes
        )


class MetaTraining:
    """Hypernetwork, optimiser and log of one meta-training; everything random depends on (seed, iteration) only."""

    def __init__(self, base: Split, network: Hypernet, settings: MetaTrainConfig, seed: int) -> None:
        self.base = base
        self.network = network.to(base.device)
        self.settings = settings
        self.seed = seed
        self.optimiser = torch.optim.RMSprop(network.parameters(), lr=settings.learning_rate)
        self.seen: list[Seen] = []
        self.rows: list[dict[str, Any]] = []

    def search_iteration(self, iteration: int, originals: Tensor, mixed: Tensor) -> None:
        """Searches masks for one batch, regresses on them, and keeps them for replay."""
        began = time.perf_counter()
        base, settings = self.base, self.settings
        teacher, tokens, cls = base.suffix(base.prefix(originals)), base.prefix(mixed), base.cls(mixed)
        start = random_logits(base, [torch_rng(self.seed, "search", iteration)], len(tokens), settings.tied)
        logits, kl = search_masks(base, tokens, teacher, start, settings)
        seen = Seen(cls, teacher.argmax(-1), logits)
        rate = settings.learning_rate * _cosine(iteration / settings.schedule)
        losses = [self._regress(seen, rate) for _ in range(settings.regression_steps)]
        if settings.replay is not None:
            self.seen.append(seen.to("cpu"))
        sparsity = 1 - (SEARCH_SHARPNESS * logits).sigmoid().mean().item()
        self._log(iteration, "search", losses[0], began, seen, kl=kl, sparsity_searched=sparsity)

    def replay_iteration(self, iteration: int, step: int) -> None:
        """One regression step on what was searched before."""
        began = time.perf_counter()
        assert self.settings.replay is not None
        every = Seen(*map(torch.cat, zip(*self.seen, strict=True)))
        rng = torch_rng(self.seed, "replay", step)
        some = torch.randint(len(every.cls), (self.settings.replay.batch_size,), generator=rng)
        drawn = Seen(*(tensor[some] for tensor in every)).to(self.base.device)
        rate = self.settings.learning_rate * _cosine(step / self.settings.replay.steps)
        self._log(iteration, "replay", self._regress(drawn, rate), began, drawn)

    def _regress(self, seen: Seen, rate: float) -> float:
        """One RMSprop step of the binary cross-entropy between predicted and searched soft masks."""
        target, predicted = (SHARPNESS * seen.logits).sigmoid(), self._predict(seen)
        if not predicted.isfinite().all():  # the loss itself does not take such masks
            raise NumericalError(
                f"the hypernetwork's masks became NaN after {len(self.rows)} iterations; lower meta_train.learning_rate."
            )
        loss = F.binary_cross_entropy(predicted, target)
        for group in self.optimiser.param_groups:
            group["lr"] = rate
        self.optimiser.zero_grad()
        (REGRESSION_WEIGHT * loss).backward()
        self.optimiser.step()
        return loss.item()

    def _predict(self, seen: Seen) -> Tensor:
        """Soft masks (B, units)."""
        return soften(join(self.network(seen.cls, seen.labels)))

    def _log(
        self,
        iteration: int,
        phase: str,
        loss: float,
        began: float,
        seen: Seen,
        *,
        kl: float = math.nan,
        sparsity_searched: float = math.nan,
    ) -> None:
        with torch.no_grad():
            predicted = 1 - self._predict(seen).mean().item()
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
            "seen": [tuple(seen) for seen in self.seen],
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Goes back to a kept state."""
        self.network.load_state_dict(state["network"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.rows = list(state["rows"])
        self.seen = [Seen(*seen) for seen in state["seen"]]


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


def _cosine(progress: float) -> float:
    """Factor of a cosine schedule, 1 at the start and 0 at the end."""
    return 0.5 * (1 + math.cos(math.pi * progress))
