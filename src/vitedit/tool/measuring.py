"""What a model takes images for, before and after edits: one pass over the images for all edits together."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor

from vitedit.config import TransformConfig
from vitedit.data.images import ImageSet
from vitedit.model.patch import Patch
from vitedit.model.sites import Site
from vitedit.model.vit import Split
from vitedit.progress import track
from vitedit.tool.pictures import BATCH, in_words


@dataclass(frozen=True)
class Seen:
    """Classes that images were taken for, with their probabilities, by the base model and by E edited ones."""

    before: Int[np.ndarray, "images"]
    sure_before: Float[np.ndarray, "images"]
    after: Int[np.ndarray, "edits images"]
    sure_after: Float[np.ndarray, "edits images"]

    def __len__(self) -> int:
        return len(self.before)

    def right_before(self, labels: Int[np.ndarray, "images"]) -> float:
        """Share of the images that the base model takes for their class."""
        return float((self.before == labels).mean())

    def right(self, labels: Int[np.ndarray, "images"]) -> Float[np.ndarray, "edits"]:
        """Share of the images that each edited model takes for their class."""
        return (self.after == labels).mean(1)

    def kept(self) -> Float[np.ndarray, "edits"]:
        """Share of the images that each edited model takes for what the base model does."""
        return (self.after == self.before).mean(1)

    def flipped(self, at: int = 0) -> Bool[np.ndarray, "images"]:
        """Whether an edited model takes an image for something else."""
        return self.after[at] != self.before


@torch.no_grad()
def look(
    split: Split,
    changed: Sequence[Mapping[str, Tensor]],
    batches: Iterable[Float[Tensor, "images 3 side side"]],
) -> Seen:
    """Runs the base model and the edited ones on images; the blocks below the first change run once.

    Args:
        split: The base model, cut at or before all changes.
        changed: New parameters of each edited model, {name: (*shape)}.
        batches: Images, some at a time.
    """
    parts = [
        [_top(split.suffix(tokens, one)) for one in ({}, *changed)] for tokens in map(split.prefix, batches)
    ]
    found = [torch.cat(model, dim=1).cpu().numpy() for model in zip(*parts, strict=True)]
    classes = np.stack([one[1] for one in found]).astype(np.int64)
    sure = np.stack([one[0] for one in found])
    return Seen(classes[0], sure[0], classes[1:], sure[1:])


def look_through(patch: Patch, vit: VisionTransformer, batches: Iterable[Tensor]) -> Seen:
    """`look` through a patch at batches of images (n, 3, S, S).

    Raises:
        ArtifactError: The model is not the patch's base model.
    """
    changed = {name: values[0] for name, values in patch.replaced(vit).items()}
    return look(_cut(vit, changed), [changed], batches)


def _cut(vit: VisionTransformer, changed: Iterable[str]) -> Split:
    """The model cut before all changed parameters: the first one in a block, or the last block where the head alone changed."""
    sites = tuple(Site(name, 0) for name in changed if name.startswith("blocks."))
    return Split(vit, sites) if sites else Split(vit, ()).at("attn", [-1])


def look_at(
    split: Split, changed: Sequence[Mapping[str, Tensor]], images: ImageSet, transform: TransformConfig
) -> Seen:
    """`look` at a set of images, with progress."""
    return look(split, changed, batches_of(images, transform))


def batches_of(images: ImageSet, transform: TransformConfig) -> Iterator[Tensor]:
    """A set of images as the model's input, with progress."""
    starts = range(0, len(images), BATCH)
    for start in track(starts, f"batches of {images.name} measured", total=len(starts)):
        with in_words():
            batch = images.read(range(start, min(start + BATCH, len(images))), transform)
        yield batch


def _top(logits: Float[Tensor, "images classes"]) -> Float[Tensor, "2 images"]:
    """Probability and number of the most probable class."""
    probability, index = logits.double().softmax(-1).max(-1)
    return torch.stack([probability, index.to(probability.dtype)])
