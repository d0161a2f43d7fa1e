"""FT: fine-tuning of all weights of the sites."""

from dataclasses import dataclass
from typing import final

import torch

from vitedit.config import DescentConfig
from vitedit.editors.base import Editor
from vitedit.model.descent import descend
from vitedit.model.edits import Edits, Samples
from vitedit.model.vit import Split


@final
@dataclass(frozen=True)
class FineTune(Editor):
    """The shared descent with nothing frozen: density 1 of the masked methods (one optimiser start for all, deviation D17)."""

    descent: DescentConfig

    def run(self, split: Split, samples: Samples) -> Edits:
        """Descends on all weights of the sites."""
        free = {
            name: torch.ones((), device=split.device).expand(len(samples), 1, 1) for name in split.weights
        }
        return descend(
            split, split.prefix_samples(samples.images), samples.labels.to(split.device), free, self.descent
        )
