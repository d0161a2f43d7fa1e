"""KN: fine-tuning of knowledge neurons (Dai et al., ACL 2022, as the localiser of the paper's comparison)."""

from dataclasses import dataclass
from typing import ClassVar, Literal, final

from vitedit.config import DescentConfig, Positive, Rate, Sparsity
from vitedit.editors.base import Editor
from vitedit.model.edits import Edits, Samples
from vitedit.model.vit import Split
from vitedit.where.attribution import Positions, Target, attribute_neurons
from vitedit.where.masks import binarise, edit_under


@final
@dataclass(frozen=True)
class KnowledgeNeurons(Editor):
    """Integrated gradients towards the right label say which neurons of the FFNs are fine-tuned."""

    joint: ClassVar[bool] = True

    descent: DescentConfig
    learning_rate: Rate
    """Step size of RMSprop."""
    sparsity: Sparsity
    """Share of neurons that stay frozen."""
    steps: Positive = 20
    """Points of the path of integration."""
    score: Literal["signed", "absolute"] = "signed"
    """Whether neurons that speak against the label rank lowest (original) or by the size of their effect."""
    target: Target = "probability"
    """What is attributed to the neurons."""
    tokens: Positions = "all"
    """Tokens whose activations count."""
    masks: ClassVar[str] = "neurons"

    def cut(self, base: Split) -> Split:
        """Before the FFNs of the run's blocks: only they have such neurons."""
        return base.at("mlp", base.blocks)

    def run(self, split: Split, samples: Samples) -> Edits:
        """Ranks the neurons of all FFNs together and descends on the rows of fc1 and columns of fc2 of the first."""
        scores = attribute_neurons(split, samples, self.steps, self.target, self.tokens)
        chosen = binarise(scores.abs() if self.score == "absolute" else scores, self.sparsity)
        neurons = chosen.unflatten(-1, (len(split.blocks), -1))
        masks = neurons.repeat_interleave(2, dim=1).flatten(1)  # fc1 and fc2 of a block share one mask
        return edit_under(split, samples, masks, self.descent, self.learning_rate)
