"""FT: fine-tuning of all weights of the sites."""

from dataclasses import dataclass
from typing import final

import torch

from vitedit.config import DescentConfig
from vitedit.editors.base import Editor
from vitedit.model.edits import Edits, Samples
from vitedit.model.vit import Split
from vitedit.where.masks import edit_under, units


@final
@dataclass(frozen=True)
class FineTune(Editor):
    """The shared descent with nothing frozen: density 1 of the masked methods (one optimiser start for all, deviation D17)."""

    descent: DescentConfig

    def run(self, split: Split, samples: Samples) -> Edits:
        """Descends on all weights of the sites."""
        free = torch.ones(len(samples), units(split))
        return edit_under(split, samples, free, self.descent)
