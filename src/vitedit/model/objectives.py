"""Losses, as equations."""

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

Labels = Int[Tensor, "edits"] | Int[Tensor, "edits samples"]
"""Target classes: one for all samples of an edit, or one for each sample."""


def per_sample(labels: Labels, samples: int) -> Int[Tensor, "edits samples"]:
    """The target class of every sample."""
    return labels if labels.dim() == 2 else labels[:, None].expand(-1, samples)


def cross_entropy(logits: Float[Tensor, "edits samples classes"], labels: Labels) -> Float[Tensor, "edits"]:
    """Editing loss -log p(y | x; theta') of each edit, mean over its samples (paper eq. 5)."""
    return F.cross_entropy(logits.mT, per_sample(labels, logits.shape[1]), reduction="none").mean(1)


def kl_divergence(
    teacher: Float[Tensor, "*#edits images classes"],
    student: Float[Tensor, "*edits images classes"],
    temperature: float,
) -> Float[Tensor, "*edits"]:
    """T^2 KL(p_teacher/T || p_student/T) of two sets of logits, summed over classes, mean over images (paper eq. 2)."""
    p = F.softmax(teacher / temperature, dim=-1)
    divergence = p * (
        F.log_softmax(teacher / temperature, dim=-1) - F.log_softmax(student / temperature, dim=-1)
    )
    return temperature**2 * divergence.sum(-1).mean(-1)


def squared_change(values: Mapping[str, Tensor], base: Mapping[str, Tensor]) -> Float[Tensor, "edits"]:
    """1/2 sum ||W - W0||_F^2 over the matrices of each edit."""
    return torch.stack([(values[name] - base[name]).square().sum((-2, -1)) for name in base]).sum(0) / 2


def absolute_change(values: Mapping[str, Tensor], base: Mapping[str, Tensor]) -> Float[Tensor, "edits"]:
    """sum |W - W0| over the matrices of each edit; its subgradient at W0 is 0."""
    return torch.stack([(values[name] - base[name]).abs().sum((-2, -1)) for name in base]).sum(0)


def soft_threshold(
    change: Float[Tensor, "*shape"], threshold: Float[Tensor, "*shape"]
) -> Float[Tensor, "*shape"]:
    """sign(x) max(|x| - threshold, 0): the proximal operator of the absolute value."""
    return change.sign() * (change.abs() - threshold).clamp(min=0)
