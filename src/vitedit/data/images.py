"""Image sets: named, sorted lists of images with or without labels, decoded on demand."""

import csv
import io
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float32, Int64, UInt8
from PIL import Image, ImageOps
from torch import Tensor

from vitedit.config import IMAGENET, ImagesConfig, TransformConfig
from vitedit.data.sources import Source, open_source, remedy
from vitedit.errors import ConfigError, ImageError, UnknownNameError

FILTERS = {"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC}
SIXTEEN_TO_EIGHT_BITS = 257  # maps 65535 to 255


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

    With `classes` a class folder's index is the place of its name there (see `class_index`), otherwise its
    place among the set's own sorted class folders.

    Raises:
        ImageError: Nothing there, no images, an image without a label, a folder or row that fits nothing.
    """
    source = open_source(name, config)
    files = source.names()
    if not files:
        place = config.path / config.folder
        raise ImageError(f"images.{name}: no images in {place}. {remedy(config.path)}")
    match config.labels:
        case "none":
            return ImageSet(name, tuple(files), None, source)
        case "folder":
            return ImageSet(name, tuple(files), _folder_labels(name, files, classes), source)
        case "csv":
            table = _table_labels(name, config, files)
            listed = tuple(sorted(table))
            return ImageSet(name, listed, np.array([table[file] for file in listed], np.int64), source)


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


def class_index(classes: Sequence[str]) -> dict[str, int]:
    """Index of every name a class folder may have: a whole line of the class file, or a line's first word.

    The first word serves lists such as `n01440764 tench`. Names that fit several classes are left out.
    """
    lines, words = Counter(classes), Counter(line.split()[0] for line in classes)
    index = {line.split()[0]: at for at, line in enumerate(classes) if words[line.split()[0]] == 1}
    return index | {line: at for at, line in enumerate(classes) if lines[line] == 1}


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
    """Upright RGB image from the bytes of a file of any common format and depth."""
    with Image.open(io.BytesIO(content)) as image:
        if image.mode == "F":
            raise OSError("floating-point pixels have no fixed range; save it with 8 or 16 bits")
        upright = ImageOps.exif_transpose(image)
        if upright.mode.startswith("I"):  # convert() would clip 16 bits instead of scaling them
            grey = np.asarray(upright, np.float32) / SIXTEEN_TO_EIGHT_BITS
            upright = Image.fromarray(grey.round().clip(0, 255).astype(np.uint8))
        return upright.convert("RGB")


def _folder_labels(name: str, files: list[str], classes: Sequence[str] | None) -> Int64[np.ndarray, " n"]:
    loose = next((file for file in files if "/" not in file), None)
    if loose is not None:
        raise ImageError(
            f"images.{name}: {loose} lies in no class folder; move it, or set `labels: none` or `csv`."
        )
    folders = [file.split("/", 1)[0] for file in files]
    index = class_index(classes if classes is not None else sorted(set(folders)))
    if classes is None:
        index = {folder: at for at, folder in enumerate(sorted(set(folders)))}
    unknown = sorted(set(folders) - set(index))
    if unknown:
        raise ImageError(
            f"images.{name}: {len(unknown)} class folders fit no class or several, first '{unknown[0]}'. "
            f"Classes are {', '.join(list(index)[:3])}, ...: correct the file `classes` or the folder's name."
        )
    return np.array([index[folder] for folder in folders], np.int64)


def _table_labels(name: str, config: ImagesConfig, files: list[str]) -> dict[str, int]:
    """Class index of every file in the set's table."""
    assert config.csv is not None  # the configuration makes sure
    existing, labels = set(files), dict[str, int]()
    for line, row in enumerate(_rows(name, config), start=2):
        place = f"images.{name}: {config.csv}, line {line}"
        file, label = row[config.file_column], row[config.label_column]
        if file not in existing:
            raise ImageError(
                f"{place}: no image '{file}' in {config.path / config.folder}. {remedy(config.path)}"
            )
        if file in labels:
            raise ImageError(f"{place}: '{file}' is listed twice; keep one row.")
        if not (label or "").isdecimal():
            raise ImageError(
                f"{place}: '{label}' in column `{config.label_column}` is no class index (0, 1, 2, ...)."
            )
        labels[file] = int(label)
    if not labels:
        raise ImageError(f"images.{name}: {config.csv} has no rows.")
    return labels


def _rows(name: str, config: ImagesConfig) -> list[dict[str, str]]:
    """Rows of the set's table, columns checked."""
    try:
        with open(str(config.csv), newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            rows, columns = list(reader), list(reader.fieldnames or [])
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ImageError(
            f"images.{name}: the table {config.csv} cannot be read ({error}). {remedy(Path(str(config.csv)))}"
        ) from error
    missing = [column for column in (config.file_column, config.label_column) if column not in columns]
    if missing:
        raise ImageError(
            f"images.{name}: {config.csv} has no column '{missing[0]}', only {', '.join(columns)}; "
            "set `file_column` and `label_column`."
        )
    return rows
