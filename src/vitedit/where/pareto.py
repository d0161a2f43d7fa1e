"""Both rates in one number, and which points no other dominates."""

import numpy as np
from jaxtyping import Bool, Float


def harmonic(gr: np.ndarray, lr: np.ndarray) -> np.ndarray:
    """Harmonic mean of both rates, 0 where both are: high only where both rates are high."""
    return 2 * gr * lr / np.maximum(gr + lr, 1e-12)


def pareto_front(gr: Float[np.ndarray, "runs"], lr: Float[np.ndarray, "runs"]) -> Bool[np.ndarray, "runs"]:
    """True where no other run is at least as good in both rates and better in one."""
    as_good = (gr[None, :] >= gr[:, None]) & (lr[None, :] >= lr[:, None])
    better = (gr[None, :] > gr[:, None]) | (lr[None, :] > lr[:, None])
    return np.logical_not((as_good & better).any(axis=1))
