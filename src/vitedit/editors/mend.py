"""MEND: a network transforms the factors of one gradient into an edit (Mitchell et al., ICLR 2022)."""

from dataclasses import dataclass
from typing import ClassVar, final

import torch

from vitedit.config import DescentConfig, Rate
from vitedit.editors.base import Editor
from vitedit.learned.mend import MendNetwork
from vitedit.learned.network import last_ffns
from vitedit.model.descent import closed_form
from vitedit.model.edits import Edits, Samples
from vitedit.model.vit import Split


@final
@dataclass(frozen=True)
class Mend(Editor):
    """One gradient, one pass of the network, one update; the stop rule only says whether it was enough."""

    artifacts: ClassVar[tuple[str, ...]] = ("mend",)
    joint: ClassVar[bool] = True

    descent: DescentConfig
    scale: Rate
    """Multiplies the learned step sizes."""
    mend: MendNetwork
    """Meta-trained for the same backbone."""

    def cut(self, base: Split) -> Split:
        """Cut before the last three FFNs."""
        return last_ffns(base)

    @torch.no_grad()
    def run(self, split: Split, samples: Samples) -> Edits:
        """Applies the network once."""
        labels = samples.labels.to(split.device)
        tokens = split.prefix_samples(samples.images)
        updates = self.mend.to(split.device).update(split, tokens, labels)
        changed = {name: split.weights[name] - self.scale * update for name, update in updates.items()}
        return closed_form(
            split, split.full(changed), tokens, labels, self.descent, labels.new_ones(len(labels))
        )
