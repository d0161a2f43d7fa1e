"""SPT: fine-tuning of the single weights that the loss is most sensitive to (He et al., ICCV 2023)."""

from dataclasses import dataclass
from typing import ClassVar, final

from vitedit.config import DescentConfig, Rate, Sparsity
from vitedit.editors.base import Editor
from vitedit.model.edits import Edits, Samples
from vitedit.model.vit import Split
from vitedit.where.masks import fine_tune
from vitedit.where.sensitivity import mask_highest, measure_sensitivity


@final
@dataclass(frozen=True)
class SensitiveWeights(Editor):
    """The unstructured part of SPT: one global ranking of all weights of the sites."""

    joint: ClassVar[bool] = True

    descent: DescentConfig
    learning_rate: Rate
    """Step size of RMSprop."""
    sparsity: Sparsity
    """Share of weights that stay frozen."""
    masks: ClassVar[str] = "weights"

    def run(self, split: Split, samples: Samples) -> Edits:
        """Masks by squared gradients and descends under the masks."""
        masks = mask_highest(measure_sensitivity(split, samples), self.sparsity)
        return fine_tune(split, samples, self.descent, self.learning_rate, masks)
