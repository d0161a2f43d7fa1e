"""KE: a hypernetwork predicts the edit from the gradient (De Cao et al., EMNLP 2021); for ViTs an adaptation of ours."""

from dataclasses import dataclass
from typing import ClassVar, final

import torch

from vitedit.config import DescentConfig, Positive, Rate
from vitedit.editors.base import Editor
from vitedit.learned.conditioner import KeNetwork
from vitedit.learned.network import last_ffns
from vitedit.model.descent import closed_form
from vitedit.model.edits import Edits, Samples
from vitedit.model.vit import Split


@final
@dataclass(frozen=True)
class KnowledgeEditor(Editor):
    """Applies the predicted edit, and again on the edited model until the stop rule is met."""

    artifacts: ClassVar[tuple[str, ...]] = ("ke",)

    descent: DescentConfig
    scale: Rate
    """Multiplies every predicted edit."""
    ke: KeNetwork
    """Meta-trained for the same backbone."""
    iterations: Positive = 5
    """Most applications."""

    def cut(self, base: Split) -> Split:
        """Cut before the last three FFNs."""
        return last_ffns(base)

    @torch.no_grad()
    def run(self, split: Split, samples: Samples) -> Edits:
        """Applies the network to all edits that are not done."""
        network, labels = self.ke.to(split.device), samples.labels.to(split.device)
        tokens = split.prefix_samples(samples.images)
        start = {name: weight.expand(len(labels), *weight.shape) for name, weight in split.weights.items()}
        edits = closed_form(split, split.full(start), tokens, labels, self.descent)
        for _ in range(self.iterations):
            live = ~edits.converged
            if not live.any():
                break
            weights = edits.changed
            updates = network.update(split, tokens, labels, weights)
            changed = {
                name: weight - self.scale * live[:, None, None] * updates[name]
                for name, weight in weights.items()
            }
            edits = closed_form(split, split.full(changed), tokens, labels, self.descent, edits.steps + live)
        return edits
