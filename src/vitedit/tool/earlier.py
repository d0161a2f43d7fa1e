"""Patches that were made one on top of the other: applied in order, and whether their samples stay right."""

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from copy import deepcopy
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path, PurePosixPath

import torch
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor

from vitedit.data.sources import MOST_BYTES
from vitedit.errors import ArtifactError
from vitedit.model.about import ImageRecord
from vitedit.model.patch import SHORT, Patch, checksum
from vitedit.tool.editing import Outcome
from vitedit.tool.measuring import look_through
from vitedit.tool.models import history_of
from vitedit.tool.pictures import BATCH, read_sample, sha256


@dataclass(frozen=True)
class Remembered:
    """What a later edit does to the samples of an earlier patch."""

    patch: Path
    seen: Sequence[ImageRecord]
    """Those whose files were found: taken for what before and after the later edit."""
    absent: Sequence[str]
    """Names of the others."""


def read_chain(paths: Sequence[Path], edited: Path | None = None) -> list[Patch]:
    """Patches in the order in which they were made, each on top of the one before.

    Args:
        paths: Their files.
        edited: Where the weights of a model with all of them in it will go, if anywhere.

    Raises:
        ArtifactError: One cannot be read, was not made on top of the one before, or adds neurons, for which timm has no place.
    """
    patches = [Patch.load(path) for path in paths]
    check_order(patches)
    if edited and (grown := [patch.path for patch in patches if patch.grows]):
        raise ArtifactError(
            f"--edited: {grown[0]} adds neurons, so timm cannot load the edited weights. Leave --edited out; the patches "
            "work as they are (`patch.applied(model)`)."
        )
    return patches


def check_order(patches: Sequence[Patch]) -> None:
    """Refuses patches that were not made each on top of the one before.

    Raises:
        ArtifactError: With the first two that do not follow each other.
    """
    named = [(str(patch.path or f"patch {at}"), patch) for at, patch in enumerate(patches)]
    for (first, below), (second, above) in pairwise(named):
        if above.base != below.edited:
            raise ArtifactError(
                f"{second} was not made on top of {first}: it is for the model with checksum {above.base[:SHORT]}, and {first} "
                f"leads to {below.edited[:SHORT]}. Give patches in the order in which they were made."
            )


def on_top(outcome: Outcome, patches: Sequence[Patch], vit: VisionTransformer) -> Outcome:
    """An edit that records the patches below it: those in the file of the model, and those of a chain on top of them."""
    below = (*history_of(vit), *(patch.base for patch in patches))
    about = outcome.patch.about.model_copy(update={"after": below})
    return replace(outcome, patch=replace(outcome.patch, about=about))


def apply_all(patches: Sequence[Patch], weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The state dict with all patches of a chain in it.

    Raises:
        ArtifactError: It is not that of the first one's base model, or a patch adds neurons.
    """
    _refuse_applied(patches, weights)
    for patch in patches:
        weights = patch.apply(weights)
    return dict(weights)


def revert_all(patches: Sequence[Patch], weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The state dict without any patch of a chain, of which the last is taken out first.

    Raises:
        ArtifactError: It is not that of the last one's edited model.
    """
    for patch in reversed(patches):
        weights = patch.revert(weights)
    return dict(weights)


def patched(vit: VisionTransformer, patches: Sequence[Patch]) -> VisionTransformer:
    """A copy of a model with all patches of a chain in it; the model itself without any.

    Raises:
        ArtifactError: It is not the first one's base model.
    """
    _refuse_applied(patches, vit.state_dict())
    with ExitStack() as applied:
        for patch in patches:
            applied.enter_context(patch.applied(vit))
        return deepcopy(vit) if patches else vit


def _refuse_applied(patches: Sequence[Patch], weights: Mapping[str, Tensor]) -> None:
    """Refuses a model with several of the patches in it; of the first alone the patch itself does."""
    if len(patches) < 2:
        return
    found = checksum(weights)
    for count, patch in enumerate(patches, 1):
        if count > 1 and patch.edited == found:
            names = ", ".join(str(one.path) for one in patches[:count])
            raise ArtifactError(
                f"{names} are already applied: the model has these edits in it (checksum {found[:SHORT]}). Leave them "
                "out, give the base model, or take the edits out with `vitedit revert`."
            )


def remember(
    patch: Patch,
    vit: VisionTransformer,
    paths: Sequence[Path],
    chain: Sequence[Patch],
    folders: Sequence[Path],
) -> list[Remembered]:
    """What a patch does to the samples of those that it was made on top of, as far as their files are found.

    Args:
        patch: The new one.
        vit: Its base model.
        paths: Files of the earlier patches.
        chain: The earlier patches.
        folders: Where files of the recorded names are looked for; their content must be that of the sample.

    Raises:
        ImageError: A file that is found is no readable image.
    """
    found = []
    for path, one in zip(paths, chain, strict=True):
        places = {image.sha256: _find(image, [*folders, path.parent]) for image in one.about.images}
        there = [image for image in one.about.images if places[image.sha256] is not None]
        absent = [image.name for image in one.about.images if places[image.sha256] is None]
        found.append(Remembered(path, _look(patch, vit, there, places), absent))
    return found


def _look(
    patch: Patch, vit: VisionTransformer, images: Sequence[ImageRecord], places: Mapping[str, Path | None]
) -> list[ImageRecord]:
    if not images:
        return []
    transform = patch.about.model.transform
    pixels = [read_sample(str(places[image.sha256]), 0, transform)[0] for image in images]
    seen = look_through(patch, vit, torch.stack(pixels).split(BATCH))
    pairs = zip(images, seen.before.tolist(), seen.after[0].tolist(), strict=True)
    return [image.model_copy(update={"before": before, "after": after}) for image, before, after in pairs]


def _find(image: ImageRecord, folders: Sequence[Path]) -> Path | None:
    """The file of a sample below one of some folders. A name that leads out of them is not followed: the patch is forged."""
    name = PurePosixPath(image.name)
    if name.is_absolute() or ".." in name.parts:
        return None
    return next((place for folder in folders if _is(place := folder / name, image.sha256)), None)


def _is(path: Path, content: str) -> bool:
    try:
        if not path.is_file() or path.stat().st_size > MOST_BYTES:
            return False
        return sha256(path.read_bytes()) == content
    except (OSError, ValueError):  # a file that may not be read, or a name that no file system takes
        return False
