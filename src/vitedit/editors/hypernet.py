"""The proposed method: the hypernetwork says where, the masked descent edits (paper section 3)."""

from dataclasses import dataclass
from typing import ClassVar, final

from vitedit.config import DescentConfig, Rate, Sparsity
from vitedit.editors.base import Editor
from vitedit.model.edits import Edits, Samples
from vitedit.model.vit import Split
from vitedit.where.hypernet import Hypernet, score_units
from vitedit.where.masks import binarise, edit_under


@final
@dataclass(frozen=True)
class HypernetMask(Editor):
    """Scores every hidden unit from the CLS token of the failing image and edits the highest."""

    artifacts: ClassVar[tuple[str, ...]] = ("hypernet",)

    descent: DescentConfig
    learning_rate: Rate
    """Step size of RMSprop."""
    sparsity: Sparsity
    """Share of hidden units that stay frozen."""
    hypernet: Hypernet
    """Meta-trained for the same backbone and sites."""

    def run(self, split: Split, samples: Samples) -> Edits:
        """Predicts masks and descends under them."""
        scores = score_units(self.hypernet, split, samples.images)
        return edit_under(split, samples, binarise(scores, self.sparsity), self.descent, self.learning_rate)
