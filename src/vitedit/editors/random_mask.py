"""Random masks: the descent of the proposed method on hidden units drawn at random (paper Fig. 5a)."""

from dataclasses import dataclass
from typing import ClassVar, final

import torch

from vitedit.config import DescentConfig, Rate, Sparsity
from vitedit.editors.base import Editor
from vitedit.model.edits import Edits, Samples
from vitedit.model.vit import Split
from vitedit.tensors import torch_rng
from vitedit.where.masks import binarise, edit_under, units


@final
@dataclass(frozen=True)
class RandomMask(Editor):
    """A random mask for every edit sample; masks of one sample are nested over sparsities."""

    joint: ClassVar[bool] = True

    descent: DescentConfig
    learning_rate: Rate
    """Step size of RMSprop."""
    sparsity: Sparsity
    """Share of hidden units that stay frozen."""
    seed: int = 0
    """Seed of the masks."""
    reference: bool = False
    """Threshold the masks as the published code does, so that they have as many ones as the learned (deviation D1)."""

    def run(self, split: Split, samples: Samples) -> Edits:
        """Draws masks and descends under them."""
        rngs = [torch_rng(self.seed, "random_mask", key) for key in samples.keys]
        scores = torch.stack([torch.rand(units(split), generator=rng) for rng in rngs])
        masks = binarise(scores, self.sparsity, strict=self.reference)
        return edit_under(split, samples, masks, self.descent, self.learning_rate)
