"""Statistics of GR-LR curves, for many resamples of them at once."""

import numpy as np
from jaxtyping import Float

_STEPS = 65
"""Localities at which the gap between two curves is measured."""


def escape(
    gr: Float[np.ndarray, "draws ours"],
    lr: Float[np.ndarray, "draws ours"],
    other_gr: Float[np.ndarray, "draws others"],
    other_lr: Float[np.ndarray, "draws others"],
) -> Float[np.ndarray, "draws"]:
    """By how much the best of our points escapes domination: positive on the Pareto front, negative behind it.

    Against one other point a point escapes by the larger of its two leads, against all by the smallest of these.
    """
    leads = np.maximum(gr[:, :, None] - other_gr[:, None], lr[:, :, None] - other_lr[:, None])
    return leads.min(2).max(1)


def area(
    gr: Float[np.ndarray, "draws ours"],
    lr: Float[np.ndarray, "draws ours"],
    other_gr: Float[np.ndarray, "draws others"],
    other_lr: Float[np.ndarray, "draws others"],
) -> Float[np.ndarray, "draws"]:
    """Mean height of our curve above the other over the localities that both reach: the area between them by its width.

    A curve is the straight lines through a method's settings in the order of their locality. Beyond its ends a curve has no
    height, so only the common range counts; a method of one setting is compared at that setting's locality. NaN where the curves
    have no locality in common.
    """
    low = np.maximum(lr.min(1), other_lr.min(1))
    high = np.minimum(lr.max(1), other_lr.max(1))
    at = low[:, None] + (high - low)[:, None] * np.linspace(0, 1, _STEPS)
    gap = _height(at, lr, gr) - _height(at, other_lr, other_gr)
    inner = (gap[:, 1:] + gap[:, :-1]).mean(1) / 2
    return np.where(high >= low, inner, np.nan)


def _height(at: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Heights of curves at given places within them; one curve a row."""
    if x.shape[1] == 1:
        return np.broadcast_to(y, at.shape)
    order = np.argsort(x, axis=1, kind="stable")
    x, y = np.take_along_axis(x, order, 1), np.take_along_axis(y, order, 1)
    left = np.clip((at[:, :, None] >= x[:, None]).sum(2) - 1, 0, x.shape[1] - 2)
    x0, x1 = (np.take_along_axis(x, left + step, 1) for step in (0, 1))
    y0, y1 = (np.take_along_axis(y, left + step, 1) for step in (0, 1))
    width = x1 - x0
    part = np.divide(at - x0, width, out=np.ones_like(width), where=width > 0)
    return y0 + np.clip(part, 0, 1) * (y1 - y0)
