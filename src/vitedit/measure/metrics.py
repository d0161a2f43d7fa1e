"""The paper's rates as functions of booleans, one value an edit, in [0, 1] (section 4.1)."""

import numpy as np
from jaxtyping import Bool, Float, Int


def generalization(
    right: Bool[np.ndarray, "edits images"], own: Int[np.ndarray, "edits samples"]
) -> Float[np.ndarray, "edits"]:
    """GR: share of an edit's neighbours, the other images of its group, that the edited model gets right.

    Args:
        right: Whether the edited model predicts the group's label, for every image of the group.
        own: Positions of the edit's own n samples among the images.

    Returns:
        GR over the N - n neighbours; NaN for a group without any.
    """
    edits, images = right.shape
    neighbours = images - own.shape[1]
    if neighbours < 1:
        return np.full(edits, np.nan)
    return (right.sum(1) - own_right(right, own).sum(1)) / neighbours


def own_right(
    right: Bool[np.ndarray, "edits images"], own: Int[np.ndarray, "edits samples"]
) -> Bool[np.ndarray, "edits samples"]:
    """Whether the edited model gets each of the edit's own samples right; their mean is SR."""
    return np.take_along_axis(right, own, axis=1)


def generalization_reference(
    right: Bool[np.ndarray, "edits images"], samples: int
) -> Float[np.ndarray, "edits"]:
    """The published code's GR, for n samples an edit (number right - n) / N: between -n/N and (N - n)/N (deviation D2)."""
    return (right.sum(1) - samples) / right.shape[1]


def generalization_style(
    right: Bool[np.ndarray, "edits images"], own: Bool[np.ndarray, "edits images"]
) -> Float[np.ndarray, "edits"]:
    """GR with the whole style as neighbours: share of its images, of any class, that the edited model gets right.

    Args:
        right: Whether the edited model predicts the image's own label.
        own: Whether the image is one of the edit's own samples, which do not count.
    """
    return (right & ~own).sum(1) / (~own).sum(1)


def locality(
    after: Int[np.ndarray, "edits images"], before: Int[np.ndarray, "images"]
) -> Float[np.ndarray, "edits"]:
    """LR: share of the locality set whose prediction is the unedited model's."""
    return (after == before).mean(1)
