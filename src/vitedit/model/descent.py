"""The inner loop: descent for many edits at once, each with its own early stop."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from vitedit.config import DescentConfig
from vitedit.errors import NumericalError
from vitedit.model.changes import Changes
from vitedit.model.edits import Edits
from vitedit.model.objectives import Labels, cross_entropy, per_sample
from vitedit.model.optimisers import OPTIMISERS, State, start_state
from vitedit.model.vit import Split, Weights

Optimiser = Literal["rmsprop", "sgd_rmsprop", "adam"]


Inputs = Tensor | Mapping[str, Tensor]
"""What stays the same in a descent, one entry an edit: tokens, and whatever else the objective reads."""


@dataclass(frozen=True)
class Objective:
    """What edits minimise, each on its own: cross-entropy of its logits plus a penalty. No edit's part depends on another's."""

    logits: Callable[[Weights, Any], Tensor]
    """(parameters {name: (E, ...)}, inputs) -> logits (E, n, C)."""
    penalty: Callable[[Weights, Any], Tensor] | None = None
    """(parameters, inputs) -> what is added to the cross-entropy of each edit (E,)."""
    settled: Callable[[Weights, Any], Tensor] | None = None
    """(parameters, inputs) -> whether each edit may stop (E,), beyond the shared stop rule."""
    project: Callable[[Weights, Weights, Any], Weights] | None = None
    """(parameters, step sizes of each entry, inputs) -> parameters, after every update."""


@dataclass(frozen=True)
class Descent:
    """Where E descents ended."""

    values: Weights
    """Parameters {name: (E, *shape)}."""
    steps: Int[Tensor, "edits"]
    """Updates made."""
    losses: Float[Tensor, "edits"]
    """Cross-entropy at the end, without the penalty."""
    converged: Bool[Tensor, "edits"]
    """Whether the stop rule was met."""

    def edits(self, labels: Labels, changes: Changes) -> Edits:
        """As edits of a model that the values change so."""
        return Edits(changes, labels, self.steps, self.losses, self.converged)


@dataclass
class Live:
    """The edits that have not stopped yet, packed together."""

    which: Int[Tensor, "live"]
    values: Weights
    state: dict[str, State]
    allowed: Weights
    inputs: Inputs
    labels: Labels

    def keep(self, rows: Bool[Tensor, "live"]) -> "Live":
        """Only the edits of the given rows."""
        return Live(
            self.which[rows],
            {name: value[rows] for name, value in self.values.items()},
            {name: [moment[rows] for moment in moments] for name, moments in self.state.items()},
            {name: mask[rows] for name, mask in self.allowed.items()},
            self.inputs[rows]
            if isinstance(self.inputs, Tensor)
            else {n: t[rows] for n, t in self.inputs.items()},
            self.labels[rows],
        )


def descend(
    objective: Objective,
    start: Mapping[str, Tensor],
    inputs: Inputs,
    labels: Labels,
    settings: DescentConfig,
    learning_rate: float,
    *,
    allowed: Mapping[str, Tensor] | None = None,
    optimiser: Optimiser = "rmsprop",
) -> Descent:
    """Minimises each edit's objective on its own samples (paper eq. 1 and 5; published code).

    Before each update an edit stops if all its samples are predicted right and its cross-entropy is at most `stop_loss`;
    after `max_steps` updates it stops anyway. Edits that have stopped leave the batch.

    Args:
        objective: What is minimised.
        start: First values of the parameters, {name: (E, *shape)}; not written to.
        inputs: What the objective reads beside the parameters: prefix tokens of the samples, or several tensors.
        labels: Target classes.
        settings: Stop rule.
        learning_rate: Step size.
        allowed: Factor of each gradient, {name: (E, ...) broadcastable to (E, *shape)}: 1 = may change, 0 = frozen (keeps its
            bits). A parameter without one is free.
        optimiser: "rmsprop" (published code), "sgd_rmsprop" (its fine-tuning) or "adam".

    Raises:
        NumericalError: A loss became NaN or infinite.
    """
    count, device = len(labels), labels.device
    values = {name: value.clone() for name, value in start.items()}
    everything = torch.arange(count, device=device)
    live = Live(everything, values, start_state(optimiser, values), dict(allowed or {}), inputs, labels)
    ends = Descent(
        {name: torch.empty_like(value) for name, value in values.items()},
        labels.new_zeros(count),
        torch.zeros(count, dtype=next(iter(values.values())).dtype, device=device),
        torch.zeros(count, dtype=torch.bool, device=device),
    )
    for step in range(settings.max_steps + 1):
        gradients, losses, met = _gradients(objective, live)
        _check(losses, live, step)
        done = met & (losses <= settings.stop_loss)
        ended = done | (step == settings.max_steps)
        if bool(ended.any()):
            _record(ends, live, ended, step, losses, done)
            if bool(ended.all()):
                break
            live, gradients = live.keep(~ended), {name: tensor[~ended] for name, tensor in gradients.items()}
        _update(objective, live, gradients, step + 1, learning_rate, optimiser)
    return ends


def closed_form(
    split: Split,
    changes: Changes,
    tokens: Float[Tensor, "edits samples tokens width"],
    labels: Labels,
    settings: DescentConfig,
    steps: Int[Tensor, "edits"] | None = None,
) -> Edits:
    """Edits whose weights were computed rather than descended to; the stop rule is applied to the edited model.

    Args:
        split: The base model, cut at or before the changed matrices.
        changes: The new weights.
        tokens: Prefix tokens of the samples.
        labels: Target classes.
        settings: Stop rule.
        steps: Updates that it took to compute the weights; 0 without.
    """
    made = labels.new_zeros(len(labels)) if steps is None else steps
    return Edits(changes, labels, made, *judge(split, changes, tokens, labels, settings))


@torch.no_grad()
def judge(
    split: Split,
    changes: Changes,
    tokens: Float[Tensor, "edits samples tokens width"],
    labels: Labels,
    settings: DescentConfig,
) -> tuple[Float[Tensor, "edits"], Bool[Tensor, "edits"]]:
    """Cross-entropy of each edit's samples, and whether the stop rule is met; without changes, of the base model."""
    logits = split.run(tokens, changes)
    losses = cross_entropy(logits, labels)
    return losses, _right(logits, labels) & (losses <= settings.stop_loss)


def _right(logits: Tensor, labels: Labels) -> Bool[Tensor, "edits"]:
    return (logits.argmax(-1) == per_sample(labels, logits.shape[1])).all(1)


def _gradients(
    objective: Objective, live: Live
) -> tuple[Weights, Float[Tensor, "live"], Bool[Tensor, "live"]]:
    """Gradients of the objective, cross-entropies, and whether every live edit may stop as far as predictions go."""
    values = {name: value.detach().requires_grad_() for name, value in live.values.items()}
    with torch.enable_grad():
        logits = objective.logits(values, live.inputs)
        losses = cross_entropy(logits, live.labels)
        total = losses if objective.penalty is None else losses + objective.penalty(values, live.inputs)
        gradients = torch.autograd.grad(total.sum(), list(values.values()))
    met = _right(logits, live.labels)
    if objective.settled is not None:
        with torch.no_grad():
            met = met & objective.settled(live.values, live.inputs)
    return dict(zip(values, gradients, strict=True)), losses.detach(), met


def _update(
    objective: Objective,
    live: Live,
    gradients: Mapping[str, Tensor],
    step: int,
    learning_rate: float,
    optimiser: str,
) -> None:
    """One step of the optimiser on masked gradients, then the projection."""
    update, rates = OPTIMISERS[optimiser][0], {}
    for name, gradient in gradients.items():
        if name in live.allowed:
            gradient = gradient * live.allowed[name]
        numerator, denominator = update(gradient, live.state[name], step)
        live.values[name].addcdiv_(numerator, denominator, value=-learning_rate)
        if objective.project is not None:
            rates[name] = learning_rate / denominator
    if objective.project is not None:
        live.values = objective.project(live.values, rates, live.inputs)


def _record(ends: Descent, live: Live, ended: Tensor, step: int, losses: Tensor, done: Tensor) -> None:
    """Writes the edits that stop now into the result."""
    which = live.which[ended]
    ends.steps[which] = step
    ends.losses[which] = losses[ended]
    ends.converged[which] = done[ended]
    for name, value in live.values.items():
        ends.values[name][which] = value[ended]


def _check(losses: Tensor, live: Live, step: int) -> None:
    if not losses.isfinite().all():
        bad = live.which[~losses.isfinite()].tolist()
        raise NumericalError(
            f"editing loss became NaN or infinite at step {step} in edits {bad[:8]}; lower the learning rate."
        )
