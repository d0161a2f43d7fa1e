"""The inner loop: masked descent for many edits at once, each with its own early stop."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.func import grad_and_value, vmap

from vitedit.config import DescentConfig
from vitedit.errors import NumericalError
from vitedit.model.edits import Edits
from vitedit.model.objectives import cross_entropy
from vitedit.model.vit import Split, Weights

DECAY, EPSILON = 0.99, 1e-8  # torch's defaults for RMSprop, which the published code uses


@dataclass
class Live:
    """The edits that have not stopped yet, packed together."""

    which: Int[Tensor, "live"]
    weights: Weights
    squares: Weights
    allowed: Weights
    tokens: Float[Tensor, "live samples tokens width"]
    labels: Int[Tensor, "live"]

    def keep(self, rows: Bool[Tensor, "live"]) -> "Live":
        """Only the edits of the given rows."""
        some = [
            {name: tensor[rows] for name, tensor in group.items()}
            for group in (self.weights, self.squares, self.allowed)
        ]
        return Live(self.which[rows], some[0], some[1], some[2], self.tokens[rows], self.labels[rows])

    def update(self, gradients: Mapping[str, Tensor], learning_rate: float) -> None:
        """One RMSprop step (torch.optim.RMSprop without momentum) on masked gradients; weights with mask 0 keep their bits."""
        for name, gradient in gradients.items():
            gradient = gradient * self.allowed[name]
            square = self.squares[name].mul_(DECAY).addcmul_(gradient, gradient, value=1 - DECAY)
            self.weights[name].addcdiv_(gradient, square.sqrt().add_(EPSILON), value=-learning_rate)


def descend(
    split: Split,
    tokens: Float[Tensor, "edits samples tokens width"],
    labels: Int[Tensor, "edits"],
    allowed: Mapping[str, Tensor],
    settings: DescentConfig,
) -> Edits:
    """Masked fine-tuning on each edit's own samples (paper eq. 1 and 5; published code).

    Before each update an edit stops if all its samples are predicted right and its loss is at most `stop_loss`; after
    `max_steps` updates it stops anyway. Edits that have stopped leave the batch.

    Args:
        split: The base model, cut before the edited matrices.
        tokens: Prefix tokens of the samples.
        labels: Target classes.
        allowed: Factor of each gradient, {parameter name: (E, ...) broadcastable to (E, *shape)}, 1 = may change, 0 = frozen.
        settings: Step size and stop rule.

    Raises:
        NumericalError: A loss became NaN or infinite.
    """
    base = {name: split.vit.get_parameter(name) for name in allowed}
    changed = {name: tensor.expand(len(labels), *tensor.shape).clone() for name, tensor in base.items()}
    squares = {name: torch.zeros_like(tensor) for name, tensor in changed.items()}
    everything = torch.arange(len(labels), device=labels.device)
    live = Live(everything, changed, squares, dict(allowed), tokens, labels)
    edits = Edits(
        {n: t.clone() for n, t in changed.items()},
        labels,
        torch.zeros_like(labels),
        torch.zeros(len(labels), device=labels.device),
        labels < 0,
    )
    for step in range(settings.max_steps + 1):
        gradients, losses, right = _gradients(split, live)
        _check(losses, live, step)
        done = right & (losses <= settings.stop_loss)
        ended = done | (step == settings.max_steps)
        if bool(ended.any()):
            _record(edits, live, ended, step, losses, done)
            if bool(ended.all()):
                break
            live, gradients = live.keep(~ended), {name: tensor[~ended] for name, tensor in gradients.items()}
        live.update(gradients, settings.learning_rate)
    return edits


def _gradients(split: Split, live: Live) -> tuple[Weights, Float[Tensor, "live"], Bool[Tensor, "live"]]:
    """Gradients, losses, and whether all samples are predicted right, of every live edit."""

    def loss(weights: Weights, tokens: Tensor, label: Tensor) -> tuple[Tensor, Tensor]:
        logits = split.call(weights, tokens)
        return cross_entropy(logits, label), (logits.argmax(-1) == label).all()

    gradients, (losses, right) = vmap(grad_and_value(loss, has_aux=True))(
        live.weights, live.tokens, live.labels
    )
    return gradients, losses, right


def _record(edits: Edits, live: Live, ended: Tensor, step: int, losses: Tensor, done: Tensor) -> None:
    """Writes the edits that stop now into the result."""
    which = live.which[ended]
    edits.steps[which] = step
    edits.losses[which] = losses[ended]
    edits.converged[which] = done[ended]
    for name, tensor in live.weights.items():
        edits.changed[name][which] = tensor[ended]


def _check(losses: Tensor, live: Live, step: int) -> None:
    if not losses.isfinite().all():
        bad = live.which[~losses.isfinite()].tolist()
        raise NumericalError(
            f"editing loss became NaN or infinite at step {step} in edits {bad[:8]}; lower descent.learning_rate."
        )
