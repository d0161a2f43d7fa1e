"""Images that an edit is made from and measured on: given ones, folders, and rendered ones where no photographs are given."""

import hashlib
import io
import re
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from PIL import Image
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor

from vitedit.config import ImagesConfig, TransformConfig
from vitedit.data.images import ImageSet, fit, normalize, open_images, read_picture
from vitedit.data.sources import remedy
from vitedit.embedded.render import BALANCED, sample
from vitedit.errors import ConfigError, ImageError
from vitedit.tool.tables import is_table, read_table

Given = str | Path | Image.Image | Tensor
"""A file, a Pillow image, or the model's input (3, S, S) itself."""

NEEDS_TABLE = (
    "--neighbours {}: give a CSV file with the columns file,label, for failures have classes of their own and so have their "
    "neighbours; a folder goes with `--image` and `--label`."
)
RENDERED, NEAREST = 96, 48
"""Rendered pictures, and how many of them, those that a model is least sure of, stand in for a locality set."""
RENDER_SEED = 2411
BATCH = 32
OBJECT = re.compile(r"cannot identify image file <[^>]*>")
"""What Pillow says of a file that is no image."""


@dataclass(frozen=True)
class Rendered:
    """Pictures of the embedded world as files of a source, made when they are read."""

    def names(self) -> list[str]:
        """Names of all of them."""
        return [f"rendered/{index:03}.png" for index in range(RENDERED)]

    def read(self, name: str) -> bytes:
        """Content of one, as a PNG file."""
        pixels, _, _ = sample(RENDER_SEED, "evaluate", int(Path(name).stem), typical_share=BALANCED)
        content = io.BytesIO()
        Image.fromarray(pixels).save(content, "PNG")
        return content.getvalue()


class Sample(NamedTuple):
    """An image that an edit is made from, without its pixels."""

    name: str
    sha256: str


def read_samples(
    given: Sequence[Given], transform: TransformConfig
) -> tuple[Float[Tensor, "samples 3 side side"], tuple[Sample, ...]]:
    """The samples of an edit as the model's input, and what a patch keeps of them.

    Raises:
        ImageError: None, the same twice, an unreadable one, or a tensor of another shape.
    """
    if not given:
        raise ImageError("no image to edit from; give at least one.")
    read = [read_sample(one, number, transform) for number, one in enumerate(given)]
    samples = tuple(sample for _, sample in read)
    if len({sample.sha256 for sample in samples}) < len(samples):
        raise ImageError(f"the same image is given twice ({', '.join(sample.name for sample in samples)}).")
    return torch.stack([pixels for pixels, _ in read]), samples


def read_sample(given: Given, number: int, transform: TransformConfig) -> tuple[Tensor, Sample]:
    """One image as the model's input (3, S, S), with its name, where it has none by its number, and its checksum.

    Raises:
        ImageError: It is unreadable, or a tensor of another shape.
    """
    if isinstance(given, Tensor):
        if given.shape != (3, transform.size, transform.size):
            raise ImageError(
                f"an image of shape {tuple(given.shape)}; the input has (3, {transform.size}, {transform.size}), normalized."
            )
        if not given.is_floating_point() or not bool(given.isfinite().all()):
            raise ImageError(
                "an image as a tensor has to be the model's input: finite floating-point numbers, normalized."
            )
        pixels = given.detach().cpu().float().contiguous()
        return pixels, Sample(f"tensor {number}", sha256(pixels.numpy().tobytes()))
    if isinstance(given, Image.Image):
        picture = given.convert("RGB")
        sample = Sample(f"picture {number}", sha256(np.asarray(picture).tobytes()))
    else:
        path = Path(given)
        if not path.exists():
            raise ImageError(f"{path}: no such file.")
        with in_words():
            picture = read_picture(path)
        sample = Sample(path.name, sha256(path.read_bytes()))
    return normalize(np.stack([fit(picture, transform)]), transform)[0], sample


@contextmanager
def in_words() -> Iterator[None]:
    """Lets messages about unreadable images name no object in memory."""
    try:
        yield
    except ImageError as error:
        raise ImageError(OBJECT.sub("no image of a format that is read", str(error))) from None


@dataclass(frozen=True)
class Files:
    """Single files as a source."""

    paths: Sequence[Path]

    def names(self) -> list[str]:
        """Their names as they were given."""
        return [str(path) for path in self.paths]

    def read(self, name: str) -> bytes:
        """Content of one."""
        return Path(name).read_bytes()


def open_files(what: str, paths: Sequence[Path], labels: Sequence[int]) -> ImageSet:
    """Single image files with their right classes as a set."""
    source = Files(paths)
    return ImageSet(what, tuple(source.names()), np.array(labels, np.int64), source)


def checksums(images: ImageSet) -> list[str]:
    """SHA-256 of every file of a set.

    Raises:
        ImageError: One is missing or damaged.
    """
    return [_content(images, file) for file in images.files]


def open_place(what: str, path: Path) -> ImageSet:
    """All images of a folder and those below it, or of a zip or tar file.

    Args:
        what: The flag that names it, without dashes.
        path: The folder or archive.

    Raises:
        ImageError: Nothing there, no images, or no archive.
    """
    if not path.exists():
        raise ImageError(f"--{what} {path}: no such folder or archive.")
    try:
        return open_images(what, ImagesConfig(path=path, labels="none"))
    except ImageError as error:
        reason = str(error).removeprefix(f"images.{what}: ").removesuffix(remedy(path)).strip()
        raise ImageError(f"--{what} {path}: {reason}") from None


def open_folder(
    what: str, path: Path, without: Collection[str] = (), besides: str = "those that the edit is made from"
) -> ImageSet:
    """The images of a folder and those below it, or of a zip or tar file, less those of some checksums.

    Args:
        what: "neighbours" or "locality", for messages.
        path: The folder or archive.
        without: Checksums of images that do not count: the samples of the edit.
        besides: Which these are, for messages.

    Raises:
        ImageError: Nothing there, or no images besides those.
    """
    images = open_place(what, path)
    known = zip(images.files, checksums(images), strict=True)
    kept = tuple(file for file, checksum in known if checksum not in without)
    if not kept:
        raise ImageError(f"--{what} {path}: no images but {besides}.")
    return ImageSet(what, kept, None, images.source)


def open_neighbours(
    path: Path, own: Collection[str], labels: Collection[int], classes: Sequence[str] | None, count: int
) -> ImageSet:
    """Images of the same failures, each with its right class: from a table, or a folder that needs no table.

    Args:
        path: A table as `read_table` reads it, a folder or an archive.
        own: Checksums of the samples, which do not count.
        labels: Right classes of the samples.
        classes: Names of the model's classes.
        count: Number of the model's classes.

    Raises:
        ConfigError: A folder, but the samples are of several classes.
        ImageError: Nothing there, or no images besides the samples.
        UnknownNameError: The model has no such class.
    """
    if not is_table(path):
        if len(set(labels)) > 1:
            raise ConfigError(NEEDS_TABLE.format(path))
        images = open_folder("neighbours", path, own)
        return ImageSet(images.name, images.files, np.full(len(images), next(iter(labels))), images.source)
    listed = read_table("--neighbours", path, classes, count)
    images = open_files("neighbours", [one.path for one in listed], [one.label for one in listed])
    for one in listed:
        one.require()
    known = zip(listed, checksums(images), strict=True)
    if not (kept := [one for one, checksum in known if checksum not in own]):
        raise ImageError(f"--neighbours {path}: no images but those that the edit is made from.")
    files, right = tuple(str(one.path) for one in kept), np.array([one.label for one in kept], np.int64)
    return ImageSet(images.name, files, right, images.source)


def open_locality(path: Path, own: Collection[str], neighbours: ImageSet | None) -> ImageSet:
    """The locality set of an edit, without its samples and neighbours: no image counts twice.

    Raises:
        ImageError: Nothing there, or no images besides those.
    """
    near = checksums(neighbours) if neighbours else ()
    also = ", or that are neighbours" if neighbours else ""
    return open_folder("locality", path, {*own, *near}, f"those that the edit is made from{also}")


def left_out(neighbours: ImageSet | None, locality: ImageSet | None) -> list[str]:
    """What is to be said of images of the given sets that do not count."""
    reasons = ((neighbours, "a sample"), (locality, "a sample or a neighbour"))
    found = [
        (images.name, len(images.source.names()) - len(images), why) for images, why in reasons if images
    ]
    return [_left_out(name, count, why) for name, count, why in found if count]


def _left_out(name: str, count: int, why: str) -> str:
    which = "1 image is left out: it is" if count == 1 else f"{count} images are left out: each is"
    return f"--{name}: {which} {why} too."


def stand_in(vit: VisionTransformer, transform: TransformConfig) -> ImageSet:
    """Rendered pictures that a model is least sure of: a locality set where nobody has given one.

    They are no photographs. What an edit does to them says little about photographs, but more than nothing.
    """
    everything = ImageSet("rendered", tuple(Rendered().names()), None, Rendered())
    gaps, device = [], next(vit.parameters()).device
    with torch.no_grad():
        for start in range(0, RENDERED, BATCH):
            images = everything.read(range(start, min(start + BATCH, RENDERED)), transform)
            first, second = vit(images.to(device)).softmax(-1).topk(2).values.T
            gaps.append((first - second).cpu())
    nearest = torch.cat(gaps).argsort(stable=True)[:NEAREST].sort().values
    return ImageSet("rendered", tuple(everything.files[index] for index in nearest), None, Rendered())


def _content(images: ImageSet, file: str) -> str:
    try:
        return sha256(images.source.read(file))
    except FileNotFoundError:
        raise ImageError(f"{file}: no such file.") from None
    except Exception as error:  # archives raise almost anything of damaged members
        raise ImageError(f"{images.name}: {file} is missing or damaged ({error}).") from error


def sha256(content: bytes) -> str:
    """Checksum of some bytes."""
    return hashlib.sha256(content).hexdigest()
