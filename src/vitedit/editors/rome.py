"""ROME: a rank-one edit of the last FFN's second matrix by constrained least squares (Meng et al., NeurIPS 2022)."""

from dataclasses import dataclass
from typing import Annotated, ClassVar, final

import torch
import torch.nn.functional as F
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from vitedit.config import DescentConfig, Rate
from vitedit.editors.base import Editor
from vitedit.learned.statistics import Covariance
from vitedit.model.changes import LowRank
from vitedit.model.descent import Objective, closed_form, descend
from vitedit.model.edits import Edits, Samples
from vitedit.model.last_block import LastBlock
from vitedit.model.vit import Split, Weights
from vitedit.tensors import torch_rng

SMALLEST_CROP = 0.9
"""Least side of a view's crop, as a share of the image's."""


@final
@dataclass(frozen=True)
class Rome(Editor):
    """Finds an output v* = v0 + delta that makes the label likely, then the W' with least E|(W' - W) k|^2 that gives it.

    v0 is the output of fc2, bias included, for the key k*; W' maps k* to v*.
    k* is the key of the image, or the mean over light augmentations of it, which replace the original's random prefixes of a
    text; one k* serves everywhere. There is no prompt that tells what an image is, so the original's KL term has no counterpart.
    """

    artifacts: ClassVar[tuple[str, ...]] = ("covariance",)

    descent: DescentConfig
    learning_rate: Rate
    """Step size of Adam on delta; originally 0.5."""
    clamp: Rate
    """Longest delta in units of |v0|; originally 4."""
    covariance: Covariance
    """Second moment of keys."""
    weight_decay: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.5
    """Weight of |delta| / |v0|^2."""
    ridge: Rate = 1e-4
    """Added to the second moment's diagonal, in units of the diagonal's mean."""
    views: Annotated[int, Field(ge=0)] = 0
    """Flipped and cropped copies of each sample; with them an edit reaches the sample itself in part only."""
    seed: int = 0
    """Seed of the views."""

    def cut(self, base: Split) -> Split:
        """Before the last FFN.

        Raises:
            ConfigError: The head reads more than the CLS token.
        """
        return LastBlock.of(base).split

    def run(self, split: Split, samples: Samples) -> Edits:
        """Descends on delta and inserts it in closed form."""
        last, labels = LastBlock.of(split), samples.labels.to(split.device)
        cls = last.cls_samples(self._seen(samples))
        cached = last.cache(cls)
        key, before = last.key(cached[:, :, 1]).mean(1), cached[:, :, 2].mean(1)
        ends = descend(
            self._objective(last),
            {"delta": torch.zeros_like(before)},
            {"cached": cached, "size": before.norm(dim=-1)},
            labels,
            self.descent,
            self.learning_rate,
            optimiser="adam",
        )
        direction = self.covariance.solve(key, self.ridge)
        change = insert(last.mlp.fc2.weight, key, ends.values["delta"], direction)
        own = cls[:, : samples.images.shape[1]]
        return closed_form(split, {last.name("fc2.weight"): change}, own, labels, self.descent, ends.steps)

    def _seen(self, samples: Samples) -> Float[Tensor, "edits views 3 side side"]:
        """Samples of each edit, followed by their views."""
        if not self.views:
            return samples.images
        views = [
            light_views(images, self.views, torch_rng(self.seed, "rome", key))
            for images, key in zip(samples.images, samples.keys, strict=True)
        ]
        return torch.cat([samples.images, torch.stack(views)], dim=1)

    def _objective(self, last: LastBlock) -> Objective:
        """Over delta (E, D)."""

        def logits(values: Weights, inputs: Weights) -> Tensor:
            return last.read_out(inputs["cached"], values["delta"][:, None])

        def penalty(values: Weights, inputs: Weights) -> Tensor:
            return self.weight_decay * values["delta"].norm(dim=-1) / inputs["size"].square()

        def project(values: Weights, rates: Weights, inputs: Weights) -> Weights:
            norm = values["delta"].norm(dim=-1)
            factor = (self.clamp * inputs["size"] / norm).clamp(max=1)
            return {"delta": values["delta"] * factor[:, None]}

        return Objective(logits, penalty, project=project)


def insert(
    weight: Float[Tensor, "width hidden"],
    key: Float[Tensor, "edits hidden"],
    delta: Float[Tensor, "edits width"],
    direction: Float[Tensor, "edits hidden"],
) -> LowRank:
    """W' = W + delta (C^-1 k*)^T / ((C^-1 k*)^T k*), so that the output for k* moves by delta.

    Args:
        weight: W.
        key: k*.
        delta: v* - v0.
        direction: C^-1 k*.
    """
    direction = direction.to(key.device)
    row = direction / (direction * key).sum(-1, keepdim=True)
    return LowRank(weight, delta[:, :, None], row.to(weight.dtype)[:, None])


def light_views(
    images: Float[Tensor, "samples 3 side side"], count: int, rng: torch.Generator
) -> Float[Tensor, "views 3 side side"]:
    """`count` views of each image: a crop of at least nine tenths of the side, resized, and flipped half the time."""
    side, views = images.shape[-1], []
    for image in images:
        for _ in range(count):
            size, flip, top, left = torch.rand(4, generator=rng).tolist()
            kept = round(side * (SMALLEST_CROP + (1 - SMALLEST_CROP) * size))
            y, x = (int(place * (side - kept + 1)) for place in (top, left))
            crop = image[None, :, y : y + kept, x : x + kept]
            view = F.interpolate(crop, size=(side, side), mode="bilinear", align_corners=False)
            views.append(view.flip(-1) if flip < 0.5 else view)
    return torch.cat(views)
