"""LoRA: a low-rank change of the queries' and values' projections (Hu et al., ICLR 2022; on ViTs as in LoRA-ViT)."""

from dataclasses import dataclass
from typing import ClassVar, final

import torch
from torch import Tensor

from vitedit.config import DescentConfig, Positive, Rate
from vitedit.editors.base import Editor
from vitedit.model.changes import LowRank
from vitedit.model.descent import Objective, descend
from vitedit.model.edits import Edits, Samples
from vitedit.model.vit import Split, Weights
from vitedit.tensors import torch_rng


@final
@dataclass(frozen=True)
class LoRA(Editor):
    """W + alpha / rank * B A for the rows of q and v in every block's fused qkv matrix; A starts random, B at zero.

    The published class divides alpha by the rank as integers, which switches LoRA off where rank > alpha (deviation D26).
    """

    joint: ClassVar[bool] = True

    descent: DescentConfig
    learning_rate: Rate
    """Step size of RMSprop on the factors."""
    rank: Positive = 4
    """Rank of each change."""
    alpha: Rate = 4.0
    """The change is scaled by alpha / rank."""
    seed: int = 0
    """Seed of A."""

    def cut(self, base: Split) -> Split:
        """Before the first block's attention: all blocks change."""
        return base.at("attn", range(len(base.vit.blocks)))

    def run(self, split: Split, samples: Samples) -> Edits:
        """Descends on the factors, which are the change."""
        weights = {name: weight for name, weight in split.weights.items() if name.endswith("qkv.weight")}
        labels, tokens = samples.labels.to(split.device), split.prefix_samples(samples.images)

        def changes(factors: Weights) -> dict[str, LowRank]:
            return {name: self._change(weight, name, factors) for name, weight in weights.items()}

        objective = Objective(lambda factors, tokens: split.run(tokens, changes(factors)))
        ends = descend(
            objective, self._start(weights, samples), tokens, labels, self.descent, self.learning_rate
        )
        return ends.edits(labels, changes(ends.values))

    def _start(self, weights: Weights, samples: Samples) -> Weights:
        """A uniform as torch's linear layers start (kaiming with slope sqrt 5), B zero."""
        start: Weights = {}
        for name, weight in weights.items():
            width, bound = weight.shape[1], weight.shape[1] ** -0.5
            for part in ("query", "value"):
                rngs = [torch_rng(self.seed, "lora", key, name, part) for key in samples.keys]
                down = [torch.rand(self.rank, width, generator=rng).mul_(2).sub_(1) * bound for rng in rngs]
                start[f"{name}.{part}_down"] = torch.stack(down).to(weight.device)
                start[f"{name}.{part}_up"] = weight.new_zeros(len(samples), weight.shape[0] // 3, self.rank)
        return start

    def _change(self, weight: Tensor, name: str, factors: Weights) -> LowRank:
        """Of the fused matrix: rows of q, of k (unchanged), of v."""
        query, value = (factors[f"{name}.{part}_up"] for part in ("query", "value"))
        nothing = torch.zeros_like(query)
        up = torch.cat([torch.cat([query, nothing, nothing], 1), torch.cat([nothing, nothing, value], 1)], 2)
        down = torch.cat([factors[f"{name}.{part}_down"] for part in ("query", "value")], 1)
        return LowRank(weight, up * (self.alpha / self.rank), down)
