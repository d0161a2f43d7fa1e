"""Head removal and a projection, in the manner of RefineViT (Huang et al., NeurIPS 2025): not in the paper's comparison."""

from dataclasses import dataclass
from typing import Annotated, ClassVar, final

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from vitedit.config import DescentConfig, Positive, Rate
from vitedit.editors.base import Editor
from vitedit.learned.anchors import Anchors
from vitedit.model.changes import LowRank
from vitedit.model.descent import Objective, closed_form, descend
from vitedit.model.edits import Edits, Samples
from vitedit.model.objectives import kl_divergence
from vitedit.model.representation import represent
from vitedit.model.vit import Split, Weights
from vitedit.tensors import torch_rng
from vitedit.where.heads import choose_heads, cut_before_heads, remove_heads, score_heads


@final
@dataclass(frozen=True)
class RefineHeads(Editor):
    """Removes the attention heads that speak most for the wrong prediction, then learns a projection of the representation.

    The published abstract says as much: heads are scored on the failing samples, the features of those responsible are removed,
    and a projection matrix of the image representation balances the correction with other predictions. The rest is ours: the
    score (`score_heads`), P = I + U V of low rank, its loss, and that P also moves the samples to their label where removal
    alone does not. The head reads P z instead of z, so its matrix W becomes W P; no other parameter could hold P.
    """

    artifacts: ClassVar[tuple[str, ...]] = ("anchors",)
    joint: ClassVar[bool] = True

    descent: DescentConfig
    learning_rate: Rate
    """Step size of Adam on U and V."""
    protection: Annotated[float, Field(ge=0, allow_inf_nan=False)]
    """Weight of the Kullback-Leibler divergence of the edited from the base model's predictions on the anchors."""
    anchors: Anchors
    """Pre-training images."""
    heads: Annotated[int, Field(ge=0)] = 1
    """Most heads removed; only those whose removal lowers the editing loss are. 0: the projection alone."""
    blocks: Positive = 6
    """Last blocks whose heads are scored; all of a model that has fewer."""
    rank: Positive = 4
    """Rank of P - I."""
    seed: int = 0
    """Seed of the first V; U starts at zero, so that P starts as the identity."""

    def cut(self, base: Split) -> Split:
        """Before the self-attention of the first block whose heads are scored.

        Raises:
            ConfigError: The classification head reads more than the CLS token.
        """
        return cut_before_heads(base, self.blocks)

    def run(self, split: Split, samples: Samples) -> Edits:
        """Scores and removes heads, then descends on P with the representations that are left."""
        tokens, labels = split.prefix_samples(samples.images), samples.labels.to(split.device)
        removal = remove_heads(split, choose_heads(score_heads(split, tokens, labels), self.heads))
        inputs = {
            "samples": represent(split, tokens, removal),
            "anchors": represent(split, self.anchors.tokens(split)[None], removal),
        }
        start = self._start(inputs["samples"], samples)
        ends = descend(
            self._objective(split), start, inputs, labels, self.descent, self.learning_rate, optimiser="adam"
        )
        weight = split.vit.get_parameter("head.weight")
        projection = LowRank(weight, weight @ ends.values["up"], ends.values["down"])
        changes = {**removal, "head.weight": projection}
        return closed_form(split, changes, tokens, labels, self.descent, ends.steps)

    def _start(self, like: Float[Tensor, "edits samples width"], samples: Samples) -> Weights:
        """V uniform as torch's linear layers start (kaiming with slope sqrt 5), U zero."""
        width = like.shape[-1]
        rngs = [torch_rng(self.seed, "refine_heads", key) for key in samples.keys]
        down = [torch.rand(self.rank, width, generator=rng).mul_(2).sub_(1) * width**-0.5 for rng in rngs]
        return {
            "up": like.new_zeros(len(samples), width, self.rank),
            "down": torch.stack(down).to(like),
        }

    def _objective(self, split: Split) -> Objective:
        """Cross-entropy of the samples, and divergence on the anchors from the base model's predictions."""
        head = split.vit.get_submodule("head")
        teacher = head(represent(split, self.anchors.tokens(split)[None], {}))

        def logits(values: Weights, inputs: Weights) -> Tensor:
            return head(project(values, inputs["samples"]))

        def penalty(values: Weights, inputs: Weights) -> Tensor:
            student = head(project(values, inputs["anchors"]))
            return self.protection * kl_divergence(teacher, student, 1.0)

        return Objective(logits, penalty)


def project(values: Weights, z: Float[Tensor, "edits images width"]) -> Float[Tensor, "edits images width"]:
    """P z = z + U V z."""
    return z + z @ values["down"].mT @ values["up"].mT
