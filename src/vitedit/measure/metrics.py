"""The paper's rates as functions of booleans, one value an edit, in [0, 1] (section 4.1)."""

import numpy as np
from jaxtyping import Bool, Float, Int


def generalization(
    right: Bool[np.ndarray, "edits images"], own: Int[np.ndarray, "edits"]
) -> Float[np.ndarray, "edits"]:
    """GR: share of an edit's neighbours, the other images of its group, that the edited model gets right.

    Args:
        right: Whether the edited model predicts the group's label, for every image of the group.
        own: Position of the edit's own sample among the images.

    Returns:
        GR over the N - 1 neighbours; NaN for a group of one image.
    """
    edits, images = right.shape
    if images < 2:
        return np.full(edits, np.nan)
    others = right.sum(1) - right[np.arange(edits), own]
    return others / (images - 1)


def generalization_reference(right: Bool[np.ndarray, "edits images"]) -> Float[np.ndarray, "edits"]:
    """The published code's GR, (number right - 1) / N: its greatest value is (N - 1)/N, its least -1/N (deviation D2)."""
    return (right.sum(1) - 1) / right.shape[1]


def generalization_style(
    right: Bool[np.ndarray, "edits images"], own: Bool[np.ndarray, "edits images"]
) -> Float[np.ndarray, "edits"]:
    """GR with the whole style as neighbours: share of its images, of any class, that the edited model gets right.

    Args:
        right: Whether the edited model predicts the image's own label.
        own: Whether the image is the edit's own sample, which does not count.
    """
    return (right & ~own).sum(1) / (~own).sum(1)


def locality(
    after: Int[np.ndarray, "edits images"], before: Int[np.ndarray, "images"]
) -> Float[np.ndarray, "edits"]:
    """LR: share of the locality set whose prediction is the unedited model's."""
    return (after == before).mean(1)
