"""The hierarchical bootstrap: groups are drawn, then edits within each drawn group.

Edits of one group share its images and its kind of error, so they are no independent observations. Drawing edits alone would
take two edits of one group for as much evidence as one edit of each of two, and give intervals that are too narrow.
"""

from collections.abc import Iterator

import numpy as np
from jaxtyping import Float, Int

LEVELS = (0.025, 0.975)
_ENTRIES = 4_000_000
"""Most entries of the weights that are held at once."""


def weights(
    groups: Int[np.ndarray, "edits"], resamples: int, seed: int
) -> Iterator[Float[np.ndarray, "some edits"]]:
    """What each edit weighs in the mean over groups of group means: as measured (a first part of one row), then in each resample.

    A resample draws as many groups as there are, with replacement, and for each draw as many of its edits as it has, with
    replacement. Whoever reads several values off one set of weights compares them on the same drawn edits: paired.

    Args:
        groups: Number of the group, from 0, of each edit; every number occurs.
        resamples: How many are drawn.
        seed: Of the draws; the same for the same groups, whatever is measured.

    Yields:
        Parts of the resamples, few enough to fit in memory; every row sums to 1.
    """
    sizes = np.bincount(groups)
    count = len(sizes)
    yield (1 / (count * sizes[groups]))[None]
    members = np.argsort(groups, kind="stable")
    starts = np.concatenate([[0], np.cumsum(sizes)[:-1]])
    rng, most = np.random.default_rng(seed), max(1, _ENTRIES // (count * sizes.max()))
    for first in range(0, resamples, most):
        some = min(most, resamples - first)
        drawn = rng.integers(0, count, (some, count))
        within = (rng.random((some, count, sizes.max())) * sizes[drawn][..., None]).astype(int)
        kept = np.arange(sizes.max()) < sizes[drawn][..., None]
        edits = members[np.minimum(starts[drawn][..., None] + within, len(groups) - 1)]
        share = np.where(kept, 1 / (count * sizes[drawn][..., None]), 0.0)
        flat = np.arange(some)[:, None, None] * len(groups) + edits
        total = np.bincount(flat.ravel(), share.ravel(), some * len(groups))
        yield total.reshape(some, len(groups))


def resampled_means(
    values: Float[np.ndarray, "edits quantities"],
    groups: Int[np.ndarray, "edits"],
    resamples: int,
    seed: int,
) -> Float[np.ndarray, "draws quantities"]:
    """Means over groups of group means: row 0 as measured, then one row a resample, the same draws for every quantity.

    A missing value is left out, as generalization is in a group of one image; NaN where a draw has none.
    """
    known = ~np.isnan(values)
    filled = np.where(known, values, 0.0)
    parts = []
    for part in weights(groups, resamples, seed):
        weight = part @ known.astype(float)
        parts.append(np.divide(part @ filled, weight, out=np.full_like(weight, np.nan), where=weight > 1e-12))
    return np.concatenate(parts)


def interval(draws: Float[np.ndarray, "draws"]) -> tuple[float, float, float]:
    """The value as measured (entry 0) with its 95 % percentile interval over resamples.

    The interval is (NaN, NaN) where more than one resample in twenty leaves the value undefined.
    """
    known = draws[1:][~np.isnan(draws[1:])]
    if np.isnan(draws[0]) or len(known) < 0.95 * len(draws[1:]) or not len(known):
        return float(draws[0]), np.nan, np.nan
    low, high = np.quantile(known, LEVELS)
    return float(draws[0]), float(low), float(high)
