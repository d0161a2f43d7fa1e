"""What Python callers give, in the one form that the tool works with; anything else is refused in words."""

from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AnySet
from operator import index
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn

from vitedit.config import TransformConfig
from vitedit.errors import ConfigError, ImageError, UnknownNameError
from vitedit.model.patch import Patch
from vitedit.model.vit import uneditable
from vitedit.tool.earlier import check_order
from vitedit.tool.pictures import Given

UNORDERED = (AnySet, Mapping, bytes)
"""Collections whose members have no order, or none that is meant."""


def editable(model: Any, transform: TransformConfig | None) -> VisionTransformer:
    """A model that can be edited as it is.

    Raises:
        ConfigError: It cannot: with the reason.
    """
    if not isinstance(model, nn.Module):
        raise ConfigError(
            f"the model is a {type(model).__name__}; give one from `load_vit` or `timm.create_model`."
        )
    if reason := uneditable(model, transform.size if transform else None):
        raise ConfigError(f"the model cannot be edited: {reason}.")
    if model.training:
        raise ConfigError("the model is in training mode; call `model.eval()` before an edit.")
    if (dtype := next(model.parameters()).dtype) != torch.float32:
        raise ConfigError(f"the model is in {dtype}; edits are made in single precision: `model.float()`.")
    assert isinstance(model, VisionTransformer)
    return model


def images_of(images: Any) -> list[Given]:
    """One image or several, one by one.

    Raises:
        ImageError: Something else.
    """
    single = isinstance(images, str | Path | Image.Image) or (
        isinstance(images, Tensor) and images.dim() != 4
    )
    every: list[Any] | None = [images] if single else _members(images)
    for number, one in enumerate(every or []):
        if not isinstance(one, str | Path | Image.Image | Tensor):
            raise ImageError(
                f"image {number} is a {type(one).__name__}; give a file, a Pillow image (`Image.fromarray(array)`), or "
                "the model's input as a tensor (3, S, S)."
            )
    if every is None:
        raise ImageError(f"images: a {type(images).__name__}; give one image or a list of images.")
    return every


def labels_of(labels: Any) -> list[str | int]:
    """One label or several, whichever integers of numpy or torch they are.

    Raises:
        UnknownNameError: Something else.
    """
    single = isinstance(labels, str) or getattr(labels, "ndim", 1) == 0 or not isinstance(labels, Iterable)
    every = [labels] if single else _members(labels)
    if every is None:
        raise UnknownNameError(
            f"labels: a {type(labels).__name__}; give one label, or a list in the order of the images."
        )
    return [_label(one) for one in every]


def _label(label: Any) -> str | int:
    if isinstance(label, str):
        return str(label)
    try:
        return index(label)
    except TypeError:
        raise UnknownNameError(f"label {label!r}: give a class index, a WordNet id or a name.") from None


def classes_of(classes: Any, count: int) -> Sequence[str] | None:
    """Names of a model's classes.

    Raises:
        ConfigError: Not one for each class.
    """
    if classes is None:
        return None
    names = None if isinstance(classes, str) else _members(classes)
    if names is None or not all(isinstance(name, str) for name in names):
        raise ConfigError("classes: give a list of names, in the order of the model's outputs.")
    if len(names) != count:
        raise ConfigError(f"classes: {len(names)} names for a model of {count} classes.")
    return names


def patches_of(after: Any) -> list[Patch]:
    """Patches that are made on top of each other.

    Raises:
        ConfigError: Something else.
        ArtifactError: One was not made on top of the one before.
    """
    patches = [after] if isinstance(after, Patch) else _members(after)
    if patches is None or not all(isinstance(patch, Patch) for patch in patches):
        raise ConfigError(
            "after: give patches (`vitedit.Patch.load(FILE)`), in the order in which they were made."
        )
    check_order(patches)
    return patches


def _members(several: Any) -> list[Any] | None:
    """The members of an ordered collection; None of anything else."""
    return list(several) if isinstance(several, Iterable) and not isinstance(several, UNORDERED) else None
