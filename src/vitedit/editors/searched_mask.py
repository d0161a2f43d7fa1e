"""Masks searched on the edit sample itself, which is what the hypernetwork learns to predict; no upper bound."""

from dataclasses import dataclass
from typing import ClassVar, final

import torch.nn.functional as F

from vitedit.config import DescentConfig, MaskSearchConfig, Positive, Rate, Sparsity
from vitedit.editors.base import Editor
from vitedit.model.edits import Edits, Samples
from vitedit.model.objectives import per_sample
from vitedit.model.vit import Split
from vitedit.tensors import torch_rng
from vitedit.where.hypernet import combine
from vitedit.where.mask_search import random_logits, search_masks
from vitedit.where.masks import binarise, edit_under

CERTAIN = 1e4
"""Logit of the right class in the target, 0 elsewhere: its softmax is one-hot at every usual temperature."""


@final
@dataclass(frozen=True)
class SearchedMask(Editor):
    """The mask search of meta-training with the right label as its target, then the descent of the proposed method."""

    joint: ClassVar[bool] = True

    descent: DescentConfig
    learning_rate: Rate
    """Step size of RMSprop."""
    sparsity: Sparsity
    """Share of hidden units that stay frozen."""
    inner_learning_rate: Rate
    """Step size of the search's inner loop."""
    inner_steps: Positive = 5
    """Gradient steps of the inner loop."""
    search_steps: Positive = 10
    """RMSprop steps on the mask logits."""
    seed: int = 0
    """Seed of the logits that the search starts from."""
    reference: bool = False
    """Threshold the masks as the published code does, so that they have as many ones as the learned (deviation D1)."""

    def run(self, split: Split, samples: Samples) -> Edits:
        """Searches masks, then descends under them."""
        count = samples.images.shape[1]
        rngs = [torch_rng(self.seed, "searched_mask", key) for key in samples.keys]
        labels = per_sample(samples.labels, count).flatten().to(split.device)
        target = CERTAIN * F.one_hot(labels, split.vit.num_classes).float()
        tokens = split.prefix_samples(samples.images).flatten(0, 1)
        start = random_logits(split, rngs, 1, tied=False).repeat_interleave(count, dim=0)
        logits, _ = search_masks(split, tokens, target, start, self._search())
        scores = combine(logits.unflatten(0, (-1, count)))
        masks = binarise(scores, self.sparsity, strict=self.reference)
        return edit_under(split, samples, masks, self.descent, self.learning_rate)

    def _search(self) -> MaskSearchConfig:
        return MaskSearchConfig(
            inner_learning_rate=self.inner_learning_rate,
            inner_steps=self.inner_steps,
            search_steps=self.search_steps,
        )
