"""Random masks: the descent of the proposed method on hidden units drawn at random (paper Fig. 5a)."""

from dataclasses import dataclass
from typing import final

import torch

from vitedit.artifacts import torch_rng
from vitedit.config import DescentConfig, Sparsity
from vitedit.editors.base import Editor
from vitedit.model.descent import descend
from vitedit.model.edits import Edits, Samples
from vitedit.model.vit import Split
from vitedit.where.masks import binarise, expand


@final
@dataclass(frozen=True)
class RandomMask(Editor):
    """A random mask for every edit sample; masks of one sample are nested over sparsities."""

    descent: DescentConfig
    sparsity: Sparsity
    """Share of hidden units that stay frozen."""
    seed: int = 0
    """Seed of the masks."""

    def run(self, split: Split, samples: Samples) -> Edits:
        """Draws masks and descends under them."""
        units = sum(site.size(split.vit) for site in split.sites)
        scores = torch.stack(
            [torch.rand(units, generator=torch_rng(self.seed, "random_mask", key)) for key in samples.keys]
        )
        allowed = expand(binarise(scores, self.sparsity).to(split.device), split.sites, split.vit)
        return descend(
            split,
            split.prefix_samples(samples.images),
            samples.labels.to(split.device),
            allowed,
            self.descent,
        )
