"""FT: fine-tuning of all weights of the sites."""

from dataclasses import dataclass
from typing import ClassVar, final

from vitedit.config import DescentConfig, Rate
from vitedit.editors.base import Editor
from vitedit.model.edits import Edits, Samples
from vitedit.model.vit import Split
from vitedit.where.masks import fine_tune


@final
@dataclass(frozen=True)
class FineTune(Editor):
    """The shared descent with nothing frozen: density 1 of the masked methods (one optimiser start for all, deviation D17)."""

    joint: ClassVar[bool] = True

    descent: DescentConfig
    learning_rate: Rate
    """Step size of RMSprop."""
    reference: bool = False
    """Begin as the published code does (deviation D17)."""

    def run(self, split: Split, samples: Samples) -> Edits:
        """Descends on all weights of the sites."""
        return fine_tune(split, samples, self.descent, self.learning_rate, sgd_first=self.reference)
