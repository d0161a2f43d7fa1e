"""Pseudo-samples for meta-training: CutMix, or another strategy (paper section 3.3; published code)."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float32, Int64, UInt8
from PIL import Image
from torch import Tensor

from vitedit.artifacts import numpy_rng
from vitedit.config import PseudoConfig, TransformConfig
from vitedit.data.images import FILTERS, ImageSet, normalize
from vitedit.data.strategies import STRATEGIES
from vitedit.errors import ConfigError, ImageError

ASPECT = (3 / 4, 4 / 3)
TRIES = 10
ROOM = 1 << 30  # bytes of decoded images kept in memory

Box = tuple[int, int, int, int]


@dataclass(frozen=True)
class Views:
    """Images, two mixtures of each with different donors, and other images."""

    originals: Float32[Tensor, "size 3 S S"]
    mixed: Float32[Tensor, "size 3 S S"]
    views: Float32[Tensor, "size 3 S S"]
    others: Float32[Tensor, "others 3 S S"]


class PseudoSamples:
    """Pairs of an image and the same image changed by the configured strategy, by default with a patch-aligned rectangle of
    another pasted in.

    Batch i depends on the seed and on i only, so a meta-training resumes anywhere. Unlike in the published
    code the last row and column of patches can be replaced too.
    """

    def __init__(
        self,
        images: ImageSet,
        indices: Sequence[int] | np.ndarray,
        transform: TransformConfig,
        patch_size: int,
        config: PseudoConfig,
        seed: int,
    ) -> None:
        grid = transform.size // patch_size
        if config.patches[1] > grid or config.patches[0] > config.patches[1]:
            raise ConfigError(
                f"meta_train.pseudo.patches: {list(config.patches)} does not fit "
                f"the model's {grid} x {grid} patches; give a least and a greatest side of at most {grid}."
            )
        self.images, self.indices, self.transform = images, np.asarray(indices, np.int64), transform
        self.patch_size, self.grid, self.config, self.seed = patch_size, grid, config, seed
        self._kept: dict[int, UInt8[np.ndarray, "H W 3"]] = {}
        self._room = ROOM

    def batch(
        self, iteration: int, size: int
    ) -> tuple[Float32[Tensor, "size 3 S S"], Float32[Tensor, "size 3 S S"]]:
        """Originals and pseudo-samples; 2 * size different images are drawn, original i is changed with donor i.

        Raises:
            ImageError: Fewer than 2 * size images, or an unreadable one.
        """
        rng = numpy_rng("pseudo", self.seed, iteration)
        drawn = self._draw(2 * size, f"a batch of {size}", rng)
        originals, donors = drawn.split([size, size])
        return originals, self._mix(originals, donors, rng)

    def views(self, iteration: int, size: int, others: int) -> Views:
        """Originals mixed twice, with other donors and rectangles, and other images; all 3 * size + others are different.

        Raises:
            ImageError: There are fewer images, or an unreadable one.
        """
        rng = numpy_rng("views", self.seed, iteration)
        drawn = self._draw(3 * size + others, f"a batch of {size} with two views and {others} others", rng)
        originals, first, second, rest = drawn.split([size, size, size, others])
        return Views(originals, self._mix(originals, first, rng), self._mix(originals, second, rng), rest)

    def _draw(self, count: int, what: str, rng: np.random.Generator) -> Float32[Tensor, "count 3 S S"]:
        """Random parts of different images."""
        if len(self.indices) < count:
            raise ImageError(
                f"meta_train.pseudo: {what} needs {count} images, '{self.images.name}' has "
                f"{len(self.indices)} outside benchmark and locality set; "
                "lower the training's `batch_size` or give more images."
            )
        drawn = rng.choice(self.indices, count, replace=False)
        return normalize(np.stack([self._crop(int(index), rng) for index in drawn]), self.transform)

    def _mix(self, originals: Tensor, donors: Tensor, rng: np.random.Generator) -> Tensor:
        """Original i changed by the strategy, with donor i and a rectangle of its own."""
        change = STRATEGIES[self.config.strategy]
        return torch.stack(
            [
                change(original, donor, self._rectangle(rng), rng)
                for original, donor in zip(originals, donors, strict=True)
            ]
        )

    def _crop(self, index: int, rng: np.random.Generator) -> UInt8[np.ndarray, "S S 3"]:
        """A random part of an image at the model's input size."""
        picture = Image.fromarray(self._pixels(index))
        part = picture.crop(random_box(*picture.size, self.config.scale, rng))
        side = self.transform.size
        return np.asarray(part.resize((side, side), FILTERS[self.transform.interpolation]))

    def _pixels(self, index: int) -> UInt8[np.ndarray, "H W 3"]:
        """A decoded image, kept in memory while there is room."""
        if index in self._kept:
            return self._kept[index]
        pixels = np.asarray(self.images.picture(index))
        if pixels.nbytes <= self._room:
            self._kept[index] = pixels
            self._room -= pixels.nbytes
        return pixels

    def _rectangle(self, rng: np.random.Generator) -> tuple[slice, slice]:
        """Rows and columns of pixels, patch-aligned, anywhere on the grid."""
        low, high = self.config.patches
        lengths = rng.integers(low, high, 2, endpoint=True)
        offsets = rng.integers(0, self.grid - lengths, endpoint=True)
        first, last = offsets * self.patch_size, (offsets + lengths) * self.patch_size
        return slice(int(first[0]), int(last[0])), slice(int(first[1]), int(last[1]))


def random_box(width: int, height: int, scale: tuple[float, float], rng: np.random.Generator) -> Box:
    """(left, top, right, bottom) of a random part: area uniform in `scale`, aspect log-uniform in 3/4..4/3.

    If ten draws do not fit into a very long image, the largest central part of a permitted aspect is taken.
    """
    for _ in range(TRIES):
        area = rng.uniform(*scale) * width * height
        aspect = np.exp(rng.uniform(*np.log(ASPECT)))
        wide, high = round(np.sqrt(area * aspect)), round(np.sqrt(area / aspect))
        if 0 < wide <= width and 0 < high <= height:
            left, top = rng.integers(0, (width - wide, height - high), endpoint=True)
            return int(left), int(top), int(left) + wide, int(top) + high
    wide, high = min(width, max(1, round(height * ASPECT[1]))), min(height, max(1, round(width / ASPECT[0])))
    left, top = (width - wide) // 2, (height - high) // 2
    return left, top, left + wide, top + high


def remaining(images: ImageSet, *manifests: pd.DataFrame) -> Int64[np.ndarray, " k"]:
    """Places in the set of images that no manifest lists; manifests have the columns images and file."""
    listed = {file for table in manifests for file in table.loc[table["images"] == images.name, "file"]}
    return np.array([place for place, file in enumerate(images.files) if file not in listed], np.int64)
