"""How an image becomes a pseudo-sample: CutMix (paper section 3.3) and the alternatives of the appendix's ablation.

Of the alternatives the paper is known to compare only their kind; how strong they were is unknown. Where a rectangle
tells how much changes, all of them change as much as CutMix does (docs/deviations.md).
"""

from collections.abc import Callable

import numpy as np
import torch.nn.functional as F
from jaxtyping import Float32
from torch import Tensor

NOISE = 0.5
"""Standard deviation of the noise, in units of normalized pixels."""
PART = (0.1, 0.5)
"""Share of the area that the second crop keeps."""

Image = Float32[Tensor, "3 S S"]
Rectangle = tuple[slice, slice]
Strategy = Callable[[Image, Image, Rectangle, np.random.Generator], Image]
"""(original, another image, rectangle of pixels, random numbers) -> pseudo-sample."""


def cutmix(original: Image, donor: Image, rectangle: Rectangle, rng: np.random.Generator) -> Image:
    """The rectangle comes from another image."""
    return _replaced(original, donor, rectangle)


def mixup(original: Image, donor: Image, rectangle: Rectangle, rng: np.random.Generator) -> Image:
    """A weighted mean of both images; the other's weight is the rectangle's share of the area."""
    rows, columns = rectangle
    share = (rows.stop - rows.start) * (columns.stop - columns.start) / original[0].numel()
    return original + share * (donor - original)


def cutout(original: Image, donor: Image, rectangle: Rectangle, rng: np.random.Generator) -> Image:
    """The rectangle is grey: the mean that normalization subtracts."""
    return _replaced(original, original.new_zeros(original.shape), rectangle)


def crop(original: Image, donor: Image, rectangle: Rectangle, rng: np.random.Generator) -> Image:
    """A square part of the original, enlarged to its size."""
    side = original.shape[-1]
    part = max(1, round(side * np.sqrt(rng.uniform(*PART))))
    top, left = rng.integers(0, side - part, 2, endpoint=True)
    inner = original[None, :, top : top + part, left : left + part]
    return F.interpolate(inner, (side, side), mode="bilinear", align_corners=False)[0]


def noise(original: Image, donor: Image, rectangle: Rectangle, rng: np.random.Generator) -> Image:
    """Gaussian noise on every pixel."""
    drawn = rng.standard_normal(original.shape, dtype=np.float32)
    return original + NOISE * original.new_tensor(drawn)


def none(original: Image, donor: Image, rectangle: Rectangle, rng: np.random.Generator) -> Image:
    """The original itself: nothing to correct."""
    return original.clone()


STRATEGIES: dict[str, Strategy] = {
    "cutmix": cutmix,
    "mixup": mixup,
    "cutout": cutout,
    "crop": crop,
    "noise": noise,
    "none": none,
}
"""Value of `meta_train.pseudo.strategy` -> what it does."""


def _replaced(original: Image, other: Image, rectangle: Rectangle) -> Image:
    mixed = original.clone()
    mixed[:, *rectangle] = other[:, *rectangle]
    return mixed
