"""T-Patcher: new neurons in the last FFN that fire on the edit sample and stay silent elsewhere (Huang et al., ICLR 2023)."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, ClassVar, final

import torch
from jaxtyping import Bool, Float
from pydantic import Field
from torch import Tensor, nn

from vitedit.config import DescentConfig, Positive, Rate
from vitedit.editors.base import Editor
from vitedit.errors import ConfigError
from vitedit.learned.statistics import Memory
from vitedit.model.changes import Grown
from vitedit.model.descent import Objective, closed_form, descend
from vitedit.model.edits import Edits, Samples
from vitedit.model.last_block import LastBlock
from vitedit.model.vit import Split, Weights
from vitedit.tensors import torch_rng

Weight = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Share = Annotated[float, Field(gt=0, le=1)]


@final
@dataclass(frozen=True)
class TPatcher(Editor):
    """FFN'(q) = FFN(q) + v act(k q + b) with trained key k, bias b and value v; all else stays.

    The value is noise * scale, both trained (original). The original stops once a validation memory is no longer disturbed;
    here the shared rule stops, or with `silent` that rule and silence on the memory.
    """

    artifacts: ClassVar[tuple[str, ...]] = ("memory",)

    descent: DescentConfig
    learning_rate: Rate
    """Step size of Adam; originally 1e-2."""
    memory_weight: Weight
    """alpha_m: weight of silence on the memory; originally 5 or 10."""
    memory: Memory
    """Queries of pre-training images."""
    neurons: Positive = 1
    """New neurons m an edit."""
    activation_weight: Weight = 1.0
    """alpha_a: weight of firing on the edit sample."""
    gamma_a: float = 0.0
    """The pre-activation a on the edit sample should exceed this: l_a = exp(gamma_a - a)."""
    gamma_1: float = 3.0
    """a should exceed the pre-activation s on the memory by this: l_m1 = exp(s - a + gamma_1)."""
    gamma_2: float = -3.0
    """s should stay below this: l_m2 = exp(s - gamma_2)."""
    value_scale: Rate = 10.0
    """Standard deviation of the first values."""
    weight_decay: Weight = 0.01
    """L2 penalty of the new parameters, as Adam's in the original."""
    silent: bool = False
    """Go on until both memory terms are at most 1, the margins met on average over the loudest."""
    top_share: Share = 0.025
    """Share of the memory, the loudest, that counts; originally 1000 of 40,000."""
    seed: int = 0
    """Seed of the first values."""

    def cut(self, base: Split) -> Split:
        """Before the last FFN.

        Raises:
            ConfigError: The head reads more than the CLS token, or the FFN has a norm over its hidden units.
        """
        last = LastBlock.of(base)
        if not isinstance(last.mlp.norm, nn.Identity):
            raise ConfigError(
                "t_patcher: the last FFN normalises its hidden units, so a new one would change all others. "
                "Keep other methods (`methods: [...]`), or take another model."
            )
        return last.split

    def run(self, split: Split, samples: Samples) -> Edits:
        """Trains the neurons on cached CLS tokens and appends them to the FFN."""
        last, labels = LastBlock.of(split), samples.labels.to(split.device)
        cls = last.cls_samples(samples.images)
        cached = last.cache(cls)
        start = self._start(cached, samples.keys)
        objective = self._objective(last)
        ends = descend(objective, start, cached, labels, self.descent, self.learning_rate, optimiser="adam")
        return closed_form(split, grown(last, ends.values), cls, labels, self.descent, ends.steps)

    def _start(self, cached: Float[Tensor, "edits samples 3 width"], keys: Sequence[str]) -> Weights:
        """Keys with pre-activation 1 on the edit sample, random values."""
        query = cached[:, :, 1].mean(1)
        key = query / query.square().sum(-1, keepdim=True)
        shape = (query.shape[-1], self.neurons)
        rngs = [torch_rng(self.seed, "t_patcher", name) for name in keys]
        noise = torch.stack([torch.randn(shape, generator=rng) for rng in rngs]).to(query)
        return {
            "key": key[:, None].expand(-1, self.neurons, -1),
            "bias": query.new_zeros(len(keys), self.neurons),
            "noise": noise,
            "scale": torch.full_like(noise, self.value_scale),
        }

    def _objective(self, last: LastBlock) -> Objective:
        memory = self.memory.queries.to(last.split.device)
        loudest = math.ceil(self.top_share * len(memory))

        def logits(values: Weights, cached: Tensor) -> Tensor:
            return last.read_out(cached, last.mlp.act(_inside(values, cached)) @ _value(values).mT)

        def silence(values: Weights, cached: Tensor) -> tuple[Tensor, Tensor]:
            outside = (values["key"] @ memory.T + values["bias"][:, :, None]).topk(loudest).values
            return silence_terms(_inside(values, cached), outside, self.gamma_1, self.gamma_2)

        def penalty(values: Weights, cached: Tensor) -> Tensor:
            firing = (self.gamma_a - _inside(values, cached)).exp().mean((1, 2))
            squares = [value.square().flatten(1).sum(1) for value in values.values()]
            first, second = silence(values, cached)
            return (
                self.activation_weight * firing
                + self.memory_weight * (first + second)
                + self.weight_decay * torch.stack(squares).sum(0) / 2
            )

        def settled(values: Weights, cached: Tensor) -> Bool[Tensor, "edits"]:
            """A term is 1 where a margin is just met: their mean over the loudest memory is at most that."""
            first, second = silence(values, cached)
            return (first <= 1) & (second <= 1)

        return Objective(logits, penalty, settled if self.silent else None)


def silence_terms(
    inside: Float[Tensor, "edits samples neurons"],
    outside: Float[Tensor, "edits neurons memory"],
    gamma_1: float,
    gamma_2: float,
) -> tuple[Float[Tensor, "edits"], Float[Tensor, "edits"]]:
    """l_m1 and l_m2 of pre-activations on the edit sample and on the loudest of the memory."""
    gaps = outside[:, :, None] - inside.mT[..., None] + gamma_1
    return gaps.exp().mean((1, 2, 3)), (outside - gamma_2).exp().mean((1, 2))


def grown(last: LastBlock, values: Weights) -> dict[str, Grown]:
    """The new neurons as rows of fc1, entries of its bias and columns of fc2."""
    new = {
        "fc1.weight": (0, values["key"]),
        "fc1.bias": (0, values["bias"]),
        "fc2.weight": (1, _value(values).mT),
    }
    names = {part: last.name(part) for part in new}
    return {
        names[part]: Grown(last.vit.get_parameter(names[part]), axis, tensor)
        for part, (axis, tensor) in new.items()
    }


def _inside(values: Weights, cached: Tensor) -> Float[Tensor, "edits samples neurons"]:
    """Pre-activations a of the new neurons."""
    return cached[:, :, 1] @ values["key"].mT + values["bias"][:, None]


def _value(values: Weights) -> Float[Tensor, "edits width neurons"]:
    return values["noise"] * values["scale"]
