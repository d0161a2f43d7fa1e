"""The proposed method: the hypernetwork says where, the masked descent edits (paper section 3)."""

from dataclasses import dataclass
from typing import ClassVar, final

from vitedit.config import DescentConfig, Rate, Sparsity
from vitedit.editors.base import Editor
from vitedit.model.edits import Edits, Samples
from vitedit.model.objectives import per_sample
from vitedit.model.vit import Split
from vitedit.where.hypernet import Hypernet
from vitedit.where.masks import edit_under
from vitedit.where.published import mask_units


@final
@dataclass(frozen=True)
class HypernetMask(Editor):
    """Scores every hidden unit from the CLS token of the failing image and edits the highest."""

    artifacts: ClassVar[tuple[str, ...]] = ("hypernet",)
    joint: ClassVar[bool] = True

    descent: DescentConfig
    learning_rate: Rate
    """Step size of RMSprop."""
    sparsity: Sparsity
    """Share of hidden units that stay frozen."""
    hypernet: Hypernet
    """Meta-trained for the same backbone and sites."""
    reference: bool = False
    """Threshold the masks as the published code does (deviations D1 and D12)."""
    union: bool = False
    """With several samples: edit what the mask of any of them names, instead of what their mean score ranks highest."""

    def run(self, split: Split, samples: Samples) -> Edits:
        """Predicts masks and descends under them."""
        images, labels = samples.images, samples.labels
        if self.union:
            images, labels = images.flatten(0, 1)[:, None], per_sample(labels, images.shape[1]).flatten()
        masks = mask_units(self.hypernet, split, images, labels, self.sparsity, self.reference)
        masks = masks.unflatten(0, (len(samples), -1)).amax(1)
        return edit_under(split, samples, masks, self.descent, self.learning_rate)
