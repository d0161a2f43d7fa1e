"""Optimisers of the inner loop, batched over edits: torch's formulas and defaults.

Each turns a gradient into the numerator and the denominator of a step: value <- value - learning_rate * numerator / denominator.
The denominator, which does not depend on the learning rate, is also what a proximal step needs to know.
"""

from collections.abc import Callable

import torch
from torch import Tensor

State = list[Tensor]
"""Running moments of one parameter, one tensor a slot."""
Step = Callable[[Tensor, State, int], tuple[Tensor, Tensor]]
"""(gradient, state, number of the step from 1) -> (numerator, denominator); the state is updated in place."""

EPSILON = 1e-8


def rmsprop(gradient: Tensor, state: State, step: int) -> tuple[Tensor, Tensor]:
    """torch.optim.RMSprop without momentum, decay 0.99 (published code): the first step is ten times the learning rate."""
    (square,) = state
    square.mul_(0.99).addcmul_(gradient, gradient, value=0.01)
    return gradient, square.sqrt().add_(EPSILON)


def sgd_rmsprop(gradient: Tensor, state: State, step: int) -> tuple[Tensor, Tensor]:
    """One step of plain gradient descent, then RMSprop, which has not seen the first gradient (published fine-tuning, D17)."""
    return (gradient, torch.ones_like(gradient)) if step == 1 else rmsprop(gradient, state, step)


def adam(gradient: Tensor, state: State, step: int) -> tuple[Tensor, Tensor]:
    """torch.optim.Adam with decays 0.9 and 0.999."""
    mean, square = state
    mean.lerp_(gradient, 0.1)
    square.mul_(0.999).addcmul_(gradient, gradient, value=0.001)
    return mean / (1 - 0.9**step), (square / (1 - 0.999**step)).sqrt().add_(EPSILON)


OPTIMISERS: dict[str, tuple[Step, int]] = {
    "rmsprop": (rmsprop, 1),
    "sgd_rmsprop": (sgd_rmsprop, 1),
    "adam": (adam, 2),
}
"""Name -> its step and the number of slots in its state."""


def start_state(optimiser: str, values: dict[str, Tensor]) -> dict[str, State]:
    """Moments of zero for every parameter."""
    slots = OPTIMISERS[optimiser][1]
    return {name: [torch.zeros_like(value) for _ in range(slots)] for name, value in values.items()}
