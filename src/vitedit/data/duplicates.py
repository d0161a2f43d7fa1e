"""Photographs that a set holds twice, for instance stored with other JPEG settings."""

from collections.abc import Iterable

import numpy as np
from jaxtyping import Bool, Int64
from PIL import Image

from vitedit.data.images import ImageSet

SIDE = 16
THRESHOLD = 3.0
"""Mean difference of two thumbnails, of 255 levels. Re-encoding a photograph changes them by well below 1,
while distinct photographs, and distinct pictures of the embedded world, differ by more than 12."""


def thumbnail(picture: Image.Image) -> np.ndarray:
    """The averages of a picture over 16 x 16 cells and three channels, (768,) float32 in [0, 255]."""
    return np.asarray(picture.resize((SIDE, SIDE), Image.Resampling.BOX), np.float32).reshape(-1)


def repeats(images: ImageSet, classes: Int64[np.ndarray, " n"], indices: Iterable[int]) -> set[int]:
    """Those of `indices` that show the same photograph as an earlier image of their class in the set.

    Two stages that both leave these out therefore agree on which copy of a photograph stands for it.
    Decodes all images of the classes concerned, except of classes with one image.
    """
    asked = set(map(int, indices))
    found: set[int] = set()
    for label in np.unique(classes[sorted(asked)]):
        members = np.flatnonzero(classes == label)
        if len(members) > 1:
            thumbnails = np.stack([thumbnail(images.picture(int(member))) for member in members])
            found |= set(members[repeated(thumbnails)].tolist())
    return found & asked


def repeated(thumbnails: np.ndarray) -> Bool[np.ndarray, " n"]:
    """Which thumbnails (n, 768) equal an earlier one up to `THRESHOLD`."""
    return np.array([_near(thumbnails[:at], thumbnails[at]) for at in range(len(thumbnails))], bool)


def _near(earlier: np.ndarray, thumbnail: np.ndarray) -> bool:
    return bool((np.abs(earlier - thumbnail).mean(axis=1) <= THRESHOLD).any())
