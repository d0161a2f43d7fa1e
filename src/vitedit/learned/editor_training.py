"""Meta-training of networks that predict edits, on CutMix pseudo-samples.

The edit: the mixed image x~ shall be predicted as the base model predicts the original x. That label needs no annotation and is
what the hypernetwork of the proposed method learns from too. Generalization: another mixture of x (a *view*). Locality: other
pre-training images.
"""

import math
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Generic, TypeVar

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from vitedit.config import KeTrainConfig, MendTrainConfig
from vitedit.data.pseudo import Views
from vitedit.errors import NumericalError
from vitedit.learned.conditioner import KeNetwork
from vitedit.learned.mend import MendNetwork
from vitedit.learned.network import EditNetwork
from vitedit.model.objectives import kl_divergence
from vitedit.model.vit import Split

Batches = Callable[[int, int, int], Views]
"""(iteration, edits, others) -> images of one iteration."""


@dataclass(frozen=True)
class Batch:
    """One iteration as the base model sees it."""

    tokens: Float[Tensor, "edits 2 tokens width"]
    """Prefix tokens of the edited image and of its view."""
    others: Float[Tensor, "others tokens width"]
    """Prefix tokens of other images."""
    labels: Int[Tensor, "edits"]
    """What the base model predicts for the original."""
    teacher: Float[Tensor, "others classes"]
    """Logits of the base model for the other images."""
    before: Float[Tensor, "edits classes"]
    """Logits of the base model for the views."""

    @classmethod
    @torch.no_grad()
    def of(cls, base: Split, images: Views) -> "Batch":
        """Runs the base model on the images."""
        parts = [images.originals, images.mixed, images.views, images.others]
        sizes = [len(part) for part in parts]
        tokens = base.prefix(torch.cat(parts))
        originals, mixed, views, others = tokens.split(sizes)
        labels, _, before, teacher = base.suffix(tokens).split(sizes)
        return cls(torch.stack([mixed, views], dim=1), others, labels.argmax(-1), teacher, before)


@dataclass(frozen=True)
class Outcome:
    """One iteration as the edited models see it."""

    own: Float[Tensor, ""]
    """Mean cross-entropy of the edited images."""
    view: Float[Tensor, ""]
    """Mean cross-entropy of their views."""
    kl: Float[Tensor, ""]
    """Mean KL(base || edited) on other images: plain softmax over the classes."""
    right: Float[Tensor, "2"]
    """Share of the edited images and of the views that are predicted as asked."""


def outcome(base: Split, changed: Mapping[str, Tensor], batch: Batch) -> Outcome:
    """Runs every edited model on its own image, its view and all other images."""
    others = batch.others.expand(len(batch.tokens), *batch.others.shape)
    logits = base.call(changed, torch.cat([batch.tokens, others], dim=1))
    own, students = logits[:, :2], logits[:, 2:]
    pairs = batch.labels[:, None].expand(-1, 2)
    losses = F.cross_entropy(own.transpose(1, 2), pairs, reduction="none").mean(0)
    kl = kl_divergence(batch.teacher, students, 1.0).mean()
    return Outcome(losses[0], losses[1], kl, (own.detach().argmax(-1) == pairs).float().mean(0))


Settings = TypeVar("Settings", KeTrainConfig, MendTrainConfig)


class EditorTraining(ABC, Generic[Settings]):
    """Network, optimiser and log of one meta-training; `vitedit.training.run` drives it.

    What is random in an iteration is in its batch, which depends on the seed and the iteration's number only.
    """

    name: ClassVar[str]
    """Section of `train_editor` in the configuration."""

    def __init__(
        self,
        base: Split,
        settings: Settings,
        batches: Batches,
        network: EditNetwork,
        optimiser: torch.optim.Optimizer,
        clip: float = math.inf,
    ) -> None:
        """A training from the start; `clip` is the greatest norm of a gradient."""
        self.base, self.settings, self.batches, self.clip = base, settings, batches, clip
        self.network = network.to(base.device).train()
        self.optimiser = optimiser
        self.rows: list[dict[str, Any]] = []

    @abstractmethod
    def loss(self, after: Outcome) -> Tensor:
        """What the network minimises."""

    @abstractmethod
    def rates(self, iteration: int) -> list[float]:
        """Step size of each group of parameters."""

    def adapt(self, after: Outcome) -> None:
        """What else changes after an iteration, whose row is the last one."""

    def measured(self) -> dict[str, float]:
        """Columns of a row that only some trainings have."""
        return {"multiplier": math.nan, "margin": math.nan}

    def step(self, iteration: int) -> None:
        """Edits once for each pseudo-sample of a batch and improves the network by what came of it."""
        began, settings = time.perf_counter(), self.settings
        batch = Batch.of(self.base, self.batches(iteration, settings.batch_size, settings.others))
        updates = self.network.update(self.base, batch.tokens[:, :1], batch.labels)
        changed = {name: self.base.weights[name] - update for name, update in updates.items()}
        after = outcome(self.base, changed, batch)
        self._descend(self.loss(after), self.rates(iteration))
        self.rows.append(
            {
                "iteration": iteration,
                "loss_edit": after.view.item(),
                "kl": after.kl.item(),
                "success": after.right[1].item(),
                "success_before": (batch.before.argmax(-1) == batch.labels).float().mean().item(),
                "success_own": after.right[0].item(),
                **self.measured(),
            }
        )
        self.adapt(after)
        self.rows[-1]["seconds"] = time.perf_counter() - began

    def _descend(self, loss: Tensor, rates: list[float]) -> None:
        """One step of the optimiser.

        Raises:
            NumericalError: Loss or gradient became NaN or infinite.
        """
        for group, rate in zip(self.optimiser.param_groups, rates, strict=True):
            group["lr"] = rate
        self.optimiser.zero_grad()
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(self.network.parameters(), self.clip)
        if not (loss.isfinite() and norm.isfinite()):
            raise NumericalError(
                f"meta-training of '{self.name}': after {len(self.rows)} iterations the loss became {loss.item()}, its gradient "
                f"{norm.item()}; lower train_editor.{self.name}.learning_rate (now {self.settings.learning_rate})."
            )
        self.optimiser.step()

    def state(self) -> dict[str, Any]:
        """Everything that the rest of the training depends on."""
        return {
            "network": self.network.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "rows": self.rows,
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Goes back to a kept state."""
        self.network.load_state_dict(state["network"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.rows = list(state["rows"])


class MendTraining(EditorTraining[MendTrainConfig]):
    """MEND: weighted sum of the views' cross-entropy and the divergence (published code; the softmax divergence is ours)."""

    name = "mend"

    def __init__(self, base: Split, settings: MendTrainConfig, batches: Batches) -> None:
        network = MendNetwork.for_split(base, settings)
        groups = [{"params": list(network.transforms.parameters())}, {"params": [network.alphas]}]
        super().__init__(base, settings, batches, network, torch.optim.Adam(groups), settings.clip)

    def loss(self, after: Outcome) -> Tensor:
        """c_e CE(view) + c_loc KL."""
        return self.settings.edit_weight * after.view + self.settings.locality_weight * after.kl

    def rates(self, iteration: int) -> list[float]:
        """Constant, one for the layers and one for alpha."""
        return [self.settings.learning_rate, self.settings.alpha_learning_rate]


@dataclass
class Constraint:
    """KL <= margin, by a Lagrange multiplier."""

    settings: KeTrainConfig
    margin: float
    multiplier: float = 1.0

    def ascend(self, kl: float) -> None:
        """Gradient ascent of multiplier (KL - margin), at least 0."""
        step = self.settings.multiplier_learning_rate * (kl - self.margin)
        self.multiplier = max(0.0, self.multiplier + step)

    def tighten(self, success: float) -> None:
        """A smaller margin if the edits of late succeeded."""
        if success > self.settings.margin_success:
            self.margin = max(self.settings.margin_floor, self.margin * self.settings.margin_factor)


class KeTraining(EditorTraining[KeTrainConfig]):
    """KE: cross-entropy of edited images and views, subject to a bound on the divergence (published code)."""

    name = "ke"

    def __init__(self, base: Split, settings: KeTrainConfig, batches: Batches) -> None:
        network = KeNetwork.for_split(base, settings)
        optimiser = torch.optim.RMSprop(network.parameters(), centered=True)
        super().__init__(base, settings, batches, network, optimiser)
        self.constraint = Constraint(settings, settings.margin)

    def loss(self, after: Outcome) -> Tensor:
        """Mean cross-entropy of image and view, plus multiplier (KL - margin)."""
        return (after.own + after.view) / 2 + self.constraint.multiplier * (after.kl - self.constraint.margin)

    def rates(self, iteration: int) -> list[float]:
        """Rises in `warmup` iterations and falls to 0 at the end, both linearly."""
        total, warmup = self.settings.iterations, self.settings.warmup
        rising, falling = (iteration + 1) / (warmup + 1), (total - iteration) / max(total - warmup, 1)
        return [self.settings.learning_rate * min(rising, falling)]

    def adapt(self, after: Outcome) -> None:
        """Moves the multiplier, and the margin now and then."""
        self.constraint.ascend(after.kl.item())
        every = self.settings.margin_every
        if len(self.rows) % every == 0:
            self.constraint.tighten(sum(row["success_own"] for row in self.rows[-every:]) / every)

    def measured(self) -> dict[str, float]:
        """The constraint that the iteration ran under."""
        return {"multiplier": self.constraint.multiplier, "margin": self.constraint.margin}

    def state(self) -> dict[str, Any]:
        """Everything that the rest of the training depends on, the constraint included."""
        return {**super().state(), "constraint": [self.constraint.margin, self.constraint.multiplier]}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Goes back to a kept state."""
        super().restore(state)
        self.constraint = Constraint(self.settings, *state["constraint"])
