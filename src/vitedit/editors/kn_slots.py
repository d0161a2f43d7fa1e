"""KN as published: value slots of knowledge neurons are rewritten without a descent (Dai et al., ACL 2022, section 5)."""

from dataclasses import dataclass
from typing import Annotated, Literal, final

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from pydantic import Field
from torch import Tensor

from vitedit.config import DescentConfig, Positive
from vitedit.editors.base import Editor
from vitedit.errors import ConfigError
from vitedit.model.changes import Thin
from vitedit.model.descent import closed_form
from vitedit.model.edits import Edits, Samples
from vitedit.model.vit import Split
from vitedit.where.attribution import Positions, attribute_neurons
from vitedit.where.masks import binarise, chosen

Multiple = Annotated[float, Field(ge=0, allow_inf_nan=False)]
"""Length of what is added to a value slot, in lengths of the slot."""


@final
@dataclass(frozen=True)
class KnowledgeSlots(Editor):
    """The fc2 columns of the top neurons lose the direction of the wrong class and gain that of the right one."""

    descent: DescentConfig
    """Its stop rule says whether an edit worked; nothing descends."""
    neurons: Positive
    """Number of neurons edited, over all FFNs together."""
    remove: Multiple = 1.0
    """Length of the wrong class's direction that is subtracted, in lengths of the column."""
    insert: Multiple = 8.0
    """Length of the right class's direction that is added, in lengths of the column."""
    steps: Positive = 20
    """Points of the path of integration."""
    answer: Literal["predicted", "desired"] = "predicted"
    """Class whose neurons are edited: the one that the model gives now (original), or the right one."""
    tokens: Positions = "cls"
    """Tokens whose activations count; the original looks at the masked word, where the answer is read."""

    def cut(self, base: Split) -> Split:
        """Before the FFNs of the run's blocks: only they have such neurons."""
        return base.at("mlp", base.blocks)

    def run(self, split: Split, samples: Samples) -> Edits:
        """v <- v - remove |v| e_old / |e_old| + insert |v| e_new / |e_new|, e = rows of the head.

        Raises:
            ConfigError: There are fewer neurons than shall be edited.
        """
        tokens, labels = split.prefix_samples(samples.images), samples.labels.to(split.device)
        predicted = _predict(split, tokens)
        neurons = self._choose(split, samples, predicted if self.answer == "predicted" else labels)
        classes = F.normalize(split.vit.get_parameter("head.weight"), dim=1)
        direction = self.insert * classes[labels] - self.remove * classes[predicted]
        changes, slots = {}, [site for site in split.sites if site.axis == 1]
        for site, mask in zip(slots, neurons.unbind(1), strict=True):
            values, (index, real) = split.weights[site.name], chosen(mask)
            sizes = values.norm(dim=0)[index] * real
            changes[site.name] = Thin(values, site.axis, index, sizes[:, :, None] * direction[:, None])
        return closed_form(split, changes, tokens, labels, self.descent)

    def _choose(
        self, split: Split, samples: Samples, classes: Int[Tensor, "edits"]
    ) -> Float[Tensor, "edits ffns neurons"]:
        """1 for the neurons of highest attribution towards the given classes."""
        of_class = Samples(samples.images, classes, samples.keys)
        scores = attribute_neurons(split, of_class, self.steps, tokens=self.tokens)
        total = scores.shape[-1]
        if self.neurons > total:
            raise ConfigError(f"neurons: {self.neurons} asked, the FFNs have {total} together.")
        return binarise(scores, 1 - self.neurons / total).unflatten(-1, (len(split.blocks), -1))


@torch.no_grad()
def _predict(split: Split, tokens: Float[Tensor, "edits samples tokens width"]) -> Int[Tensor, "edits"]:
    """The class that the model gives now, by the mean logits of an edit's samples."""
    return split.suffix(tokens.flatten(0, 1)).unflatten(0, tokens.shape[:2]).mean(1).argmax(-1)
