"""Losses, as equations."""

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor


def cross_entropy(logits: Float[Tensor, "images classes"], label: Int[Tensor, ""]) -> Float[Tensor, ""]:
    """Editing loss -log p(y | x; theta'), mean over the samples of one edit (paper eq. 5)."""
    return F.cross_entropy(logits, label.expand(len(logits)))


def kl_divergence(
    teacher: Float[Tensor, "images classes"], student: Float[Tensor, "images classes"], temperature: float
) -> Float[Tensor, ""]:
    """T^2 KL(p_teacher/T || p_student/T) of two sets of logits, summed over classes, mean over images (paper eq. 2)."""
    p = F.softmax(teacher / temperature, dim=-1)
    divergence = p * (
        F.log_softmax(teacher / temperature, dim=-1) - F.log_softmax(student / temperature, dim=-1)
    )
    return temperature**2 * divergence.sum(-1).mean()


def squared_change(values: Mapping[str, Tensor], base: Mapping[str, Tensor]) -> Float[Tensor, ""]:
    """1/2 sum ||W - W0||_F^2 over the matrices of one edit."""
    return torch.stack([(values[name] - base[name]).square().sum() for name in base]).sum() / 2


def absolute_change(values: Mapping[str, Tensor], base: Mapping[str, Tensor]) -> Float[Tensor, ""]:
    """sum |W - W0| over the matrices of one edit; its subgradient at W0 is 0."""
    return torch.stack([(values[name] - base[name]).abs().sum() for name in base]).sum()


def soft_threshold(
    change: Float[Tensor, "*shape"], threshold: Float[Tensor, "*shape"]
) -> Float[Tensor, "*shape"]:
    """sign(x) max(|x| - threshold, 0): the proximal operator of the absolute value."""
    return change.sign() * (change.abs() - threshold).clamp(min=0)
