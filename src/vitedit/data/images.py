"""Image sets: named, sorted lists of images with or without labels, decoded on demand."""

import io
import posixpath
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float32, Int64, UInt8
from PIL import Image, ImageOps
from torch import Tensor

from vitedit.config import IMAGENET, ImagesConfig, TransformConfig
from vitedit.data.arrays import read_flags
from vitedit.data.labels import read_labels
from vitedit.data.sources import Source, open_source, remedy
from vitedit.errors import ConfigError, ImageError, UnknownNameError

FILTERS = {"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC}
SIXTEEN_TO_EIGHT_BITS = 257  # maps 65535 to 255
FORMATS = ("BMP", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP")
"""Pillow's names of the formats of `SUFFIXES`. Left to itself it goes by content, and starts Ghostscript for PostScript."""
HALF_LETTER = re.compile("[\ud800-\udfff]")
"""Stands in a name for bytes that are no text."""
MOST_PIXELS = 89_000_000
"""Of one image, where Pillow begins to warn; decoding takes a few times its 0.3 GB."""
MOST_STRETCH = 100
"""Longer side over the shorter. The shorter is made as long as the model's input, and the longer with it."""


@dataclass(frozen=True, eq=False)
class ImageSet:
    """A set of images: name, files below the set's folder in sorted order, and class indices if it has any.

    Reading is safe in several threads and after a fork.
    """

    name: str
    files: tuple[str, ...]
    labels: Int64[np.ndarray, " n"] | None
    source: Source = field(repr=False)

    def __len__(self) -> int:
        return len(self.files)

    @cached_property
    def places(self) -> Mapping[str, int]:
        """Index of every file."""
        return {file: at for at, file in enumerate(self.files)}

    def picture(self, index: int) -> Image.Image:
        """One image, upright and RGB, in its own size.

        Raises:
            ImageError: Missing, truncated or unreadable.
        """
        return _picture(self.name, self.source, self.files[index])

    def read(
        self, indices: Sequence[int] | np.ndarray, transform: TransformConfig
    ) -> Float32[Tensor, "n 3 S S"]:
        """Images as the model's input.

        Raises:
            ImageError: One is missing, truncated or unreadable.
        """
        return _stack([fit(self.picture(int(index)), transform) for index in indices], transform)


def open_images(name: str, config: ImagesConfig, classes: Sequence[str] | None = None) -> ImageSet:
    """Lists the images of a set, sorted by name, and their labels; decodes nothing.

    Raises:
        ImageError: Nothing there, no or too few images, a mask that does not fit them, an image without a label, a label that fits
            no class or several (see `read_labels`).
    """
    source = open_source(name, config)
    files = source.names()
    if len(files) < (least := config.min_images or 1):
        place, wanted = config.path / config.folder, f", {least} are needed (`min_images`)" if least > 1 else ""
        raise ImageError(f"images.{name}: {len(files) or 'no'} images in {place}{wanted}. {remedy(config.path)}")
    labels = None if config.labels == "none" else read_labels(name, config, files, classes)
    listed = sorted(_unmasked(name, config, files).intersection(files if labels is None else labels))
    if not listed:
        raise ImageError(f"images.{name}: `mask`, `rows` and `label_map` leave no image of {len(files)}.")
    if odd := next(filter(HALF_LETTER.search, listed), None):
        raise ImageError(f"images.{name}: the name {odd!r} is not UTF-8, so no table can hold it; rename the file.")
    indices = None if labels is None else np.array([labels[file] for file in listed], np.int64)
    return ImageSet(name, tuple(listed), indices, source)


def _unmasked(name: str, config: ImagesConfig, files: Sequence[str]) -> set[str]:
    """Files that the set's mask keeps; all without one."""
    if config.mask is None:
        return set(files)
    try:
        flags = read_flags(config.mask, config.mask_key)
    except (OSError, ValueError) as error:
        raise ImageError(f"images.{name}: mask {config.mask}: {error}. {remedy(config.mask)}") from error
    if len(flags) != len(files):
        raise ImageError(
            f"images.{name}: the mask {config.mask} has {len(flags)} entries for {len(files)} images, so it is unclear "
            "which image each is about; the set is incomplete, or the mask that of another."
        )
    ordered = sorted(files, key=lambda file: (file.split("/", 1)[0], *posixpath.split(file)))
    return {file for file, flag in zip(ordered, flags, strict=True) if flag}


def read_classes(path: Path | None) -> list[str] | None:
    """Class names, one a line in the order of the indices, or ImageNet-1k's; None without a file.

    Raises:
        ConfigError: The file is missing, not text, empty, or has an empty line between names.
    """
    if path is None:
        return None
    if path == IMAGENET:
        from timm.data.imagenet_info import ImageNetInfo  # seconds that no other set of images needs

        known = ImageNetInfo()
        return [f"{wnid} {known.label_name_to_description(wnid)}" for wnid in known.label_names()]
    try:
        names = [line.strip() for line in Path(path).read_text(encoding="utf-8").rstrip().splitlines()]
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"classes: {path} cannot be read ({error}). {remedy(path)}") from None
    if not all(names) or not names:
        raise ConfigError(
            f"classes: {path} has an empty line, so the indices of what follows are unclear; one name a line."
        )
    return names


def read_files(
    config: Mapping[str, ImagesConfig],
    images: Sequence[str],
    files: Sequence[str],
    transform: TransformConfig,
) -> Float32[Tensor, "n 3 S S"]:
    """Images of a manifest's rows in their order: row i is the file `files[i]` of the set `images[i]`.

    Raises:
        ImageError: An image is missing, truncated or unreadable.
        UnknownNameError: A set is not in the configuration.
    """
    unknown = sorted(set(images) - set(config))
    if unknown:
        raise UnknownNameError(f"images.{unknown[0]}: not defined; defined: {', '.join(config)}.")
    sources = {name: open_source(name, config[name]) for name in set(images)}
    pairs = zip(images, files, strict=True)
    return _stack([fit(_picture(name, sources[name], file), transform) for name, file in pairs], transform)


def read_picture(path: Path) -> Image.Image:
    """One image file, upright and RGB.

    Raises:
        ImageError: Missing, truncated or unreadable.
    """
    try:
        return _decode(Path(path).read_bytes())
    except Exception as error:  # decoders raise almost anything on damaged files
        raise ImageError(f"{path}: no readable image ({error}).") from error


def fit(picture: Image.Image, transform: TransformConfig) -> UInt8[np.ndarray, "S S 3"]:
    """Resizes the shorter side (antialiased) and crops the centre."""
    size, shorter = transform.size, transform.resize or transform.size
    width, height = picture.size
    least = min(width, height)
    target = (int(shorter * width / least), int(shorter * height / least))
    resized = picture if target == picture.size else picture.resize(target, FILTERS[transform.interpolation])
    left, top = round((target[0] - size) / 2), round((target[1] - size) / 2)
    return np.asarray(resized.crop((left, top, left + size, top + size)))


def normalize(pixels: UInt8[np.ndarray, "n S S 3"], transform: TransformConfig) -> Float32[Tensor, "n 3 S S"]:
    """Pixels as the model's input: scaled to [0, 1], then (value - mean) / std in each channel."""
    unit = torch.from_numpy(pixels).permute(0, 3, 1, 2).to(torch.float32) / 255
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in (transform.mean, transform.std))
    return ((unit - mean) / std).contiguous()


def _stack(pixels: list[np.ndarray], transform: TransformConfig) -> Tensor:
    side = transform.size
    return normalize(np.stack(pixels) if pixels else np.empty((0, side, side, 3), np.uint8), transform)


def _picture(name: str, source: Source, file: str) -> Image.Image:
    try:
        return _decode(source.read(file))
    except Exception as error:  # decoders raise almost anything on damaged files
        raise ImageError(
            f"images.{name}: {file} is missing or no readable image ({error}). Restore or remove the file."
        ) from error


def _decode(content: bytes) -> Image.Image:
    """Upright RGB image from the bytes of a file of one of the `FORMATS`, of any depth."""
    with Image.open(io.BytesIO(content), formats=FORMATS) as image:
        _check_sides(*image.size)
        if image.mode == "F":
            raise OSError("floating-point pixels have no fixed range; save it with 8 or 16 bits")
        upright = ImageOps.exif_transpose(image)
        if upright.mode.startswith("I"):  # convert() would clip 16 bits instead of scaling them
            grey = np.asarray(upright, np.float32) / SIXTEEN_TO_EIGHT_BITS
            upright = Image.fromarray(grey.round().clip(0, 255).astype(np.uint8))
        if upright.mode == "P" and "transparency" in upright.info:
            upright = upright.convert("RGBA")  # what Pillow warns to do first
        return upright.convert("RGB")


def _check_sides(width: int, height: int) -> None:
    """Refuses what would take too much memory, before anything is decoded."""
    if not 0 < width * height <= MOST_PIXELS:
        raise OSError(f"{width} x {height} pixels; from 1 to {MOST_PIXELS:,} are read")
    if max(width, height) > MOST_STRETCH * min(width, height):
        raise OSError(f"{width} x {height} pixels; the longer side may be {MOST_STRETCH} times the shorter")
