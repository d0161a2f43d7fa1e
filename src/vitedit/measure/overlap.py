"""Overlap of masks within and between groups (paper Fig. 6), as measured and in resamples of groups and edits."""

import numpy as np
import pandas as pd

from vitedit.measure.bootstrap import weights


def resampled_overlap(
    pairs: pd.DataFrame, resamples: int, seed: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mean IoU within groups and between them, entry 0 as measured, then the resamples; and the number of each edit's group."""
    iou, groups = _matrix(pairs)
    return *_within_between(iou, groups, resamples, seed), groups


def _matrix(pairs: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """IoU of every two edits, NaN where it is not known, and the number of each edit's group."""
    ends = [
        pd.MultiIndex.from_frame(pairs[[f"group_{end}", f"edit_{end}"]], names=["group", "edit"])
        for end in "ab"
    ]
    edits = ends[0].append(ends[1]).unique()
    iou = np.full((len(edits),) * 2, np.nan)
    first, second = (edits.get_indexer(end) for end in ends)
    iou[first, second] = iou[second, first] = pairs["iou"]
    np.fill_diagonal(iou, np.nan)
    return iou, edits.get_level_values("group").factorize()[0]


def _within_between(
    iou: np.ndarray, groups: np.ndarray, resamples: int, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Mean IoU within and between groups: as measured, then in each resample.

    Within, every group that has a pair counts the same.
    """
    same, known = groups[:, None] == groups[None], ~np.isnan(iou)
    filled, member = np.nan_to_num(iou), np.eye(groups.max() + 1)[groups]
    within, between = [], []
    for part in weights(groups, resamples, seed):
        pairs, total = (((part @ (which * same)) * part) @ member for which in (known, filled))
        mean = np.divide(total, pairs, out=np.zeros_like(total), where=pairs > 0)
        drawn = (part @ member) * (pairs > 0)
        within.append(_ratio((mean * drawn).sum(1), drawn.sum(1)))
        across = [((part @ (which * ~same)) * part).sum(1) for which in (filled, known)]
        between.append(_ratio(*across))
    return np.concatenate(within), np.concatenate(between)


def _ratio(total: np.ndarray, count: np.ndarray) -> np.ndarray:
    return np.divide(total, count, out=np.full_like(total, np.nan), where=count > 0)
