"""X-Edit: a closed-form edit of three FFNs inside the null space of known keys (Liu et al., arXiv 2605.24932)."""

from dataclasses import dataclass
from typing import Annotated, ClassVar, NamedTuple, final

import torch
from jaxtyping import Float, Float64
from pydantic import Field
from timm.layers.layer_scale import LayerScale
from torch import Tensor

from vitedit.config import DescentConfig, Rate
from vitedit.editors.base import Editor
from vitedit.errors import NumericalError
from vitedit.learned.null_space import NullSpace
from vitedit.model.changes import Changes, LowRank
from vitedit.model.descent import Objective, closed_form, descend
from vitedit.model.edits import Edits, Samples
from vitedit.model.factors import recorded
from vitedit.model.last_block import LastBlock
from vitedit.model.vit import Split, Suffix, Weights, blocks_of


@final
@dataclass(frozen=True)
class XEdit(Editor):
    """Finds a CLS token z = h + delta after the last edited block that makes the label likely, and moves h there.

    At each edited block in order, the part of z - h that falls to it is inserted into fc2 along the keys' part P k that the
    anchors do not use; keys and h are then computed anew (residual sharing of MEMIT, projection of AlphaEdit).
    Ours: X-Edit's code finds a target for each block, at the output of its fc2, and divides each one's residual; with one
    target the shares add up to what is asked for. Thresholds and ridges are in units of the keys' mean eigenvalue.
    There is no cache of earlier edits' keys: an edit knows nothing of those that the model has already.
    """

    artifacts: ClassVar[tuple[str, ...]] = ("null_space",)
    joint: ClassVar[bool] = True

    descent: DescentConfig
    learning_rate: Rate
    """Step size of Adam on delta; originally 0.1."""
    clamp: Rate
    """Longest delta in units of |h|; originally 0.75."""
    null_space: NullSpace
    """Blocks to edit, and directions of their keys."""
    threshold: Rate = 1e-2
    """Eigenvalue below which a direction counts as unused, in units of the mean eigenvalue; originally 0.01 absolute."""
    ridge: Rate = 1e-4
    """Added to the keys' Gram matrix, in units of the mean eigenvalue; originally 1e-4 absolute."""
    weight_decay: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.01
    """Weight of |delta|^2."""

    def cut(self, base: Split) -> Split:
        """Before the first of the traced blocks' FFNs.

        Raises:
            ConfigError: The head reads more than the CLS token.
        """
        return LastBlock.of(base).split.at("mlp", self.null_space.blocks)

    def run(self, split: Split, samples: Samples) -> Edits:
        """Descends on delta and shares it among the blocks."""
        tokens, labels = split.prefix_samples(samples.images), samples.labels.to(split.device)
        states = observe(split, tokens, {})
        start = states.after[:, :, 0]
        ends = descend(
            self._objective(split),
            {"delta": torch.zeros_like(start)},
            {"after": states.after, "size": start.norm(dim=-1)},
            labels,
            self.descent,
            self.learning_rate,
            optimiser="adam",
        )
        target, changes = start + ends.values["delta"], dict[str, LowRank]()
        for at, block in enumerate(split.blocks):
            states = observe(split, tokens, changes) if changes else states
            share = (target - states.after[:, :, 0]) / (len(split.blocks) - at)
            changes[f"blocks.{block}.mlp.fc2.weight"] = self._insert(split, block, states.keys[block], share)
        return closed_form(split, changes, tokens, labels, self.descent, ends.steps)

    def _insert(
        self,
        split: Split,
        block: int,
        keys: Float[Tensor, "edits samples hidden"],
        share: Float[Tensor, "edits samples width"],
    ) -> LowRank:
        """The change of a block's fc2 that moves its output at the CLS token by `share`."""
        scaled, ridge = blocks_of(split.vit)[block].ls2, self.ridge * self.null_space.scale(block)
        moved = share / scaled.gamma if isinstance(scaled, LayerScale) else share
        weight = split.vit.get_parameter(f"blocks.{block}.mlp.fc2.weight")
        return insert(weight, self.null_space.free(block, keys, self.threshold), moved, ridge)

    def _objective(self, split: Split) -> Objective:
        """Over delta (E, n, D), one for each sample."""
        later = Suffix(split.vit, (split.blocks[-1] + 1, 0))

        def logits(values: Weights, inputs: Weights) -> Tensor:
            after = inputs["after"]
            cls = after[:, :, :1] + values["delta"][:, :, None]
            return later(torch.cat([cls, after[:, :, 1:]], dim=2).flatten(0, 1)).unflatten(0, after.shape[:2])

        def penalty(values: Weights, inputs: Weights) -> Tensor:
            return self.weight_decay * values["delta"].square().sum(-1).mean(-1)

        def project(values: Weights, rates: Weights, inputs: Weights) -> Weights:
            factor = (self.clamp * inputs["size"] / values["delta"].norm(dim=-1)).clamp(max=1)
            return {"delta": values["delta"] * factor[:, :, None]}

        return Objective(logits, penalty, project=project)


class States(NamedTuple):
    """What a pass shows of the edited blocks."""

    keys: dict[int, Float[Tensor, "edits samples hidden"]]
    """Inputs of fc2 at the CLS token, by block."""
    after: Float[Tensor, "edits samples tokens width"]
    """Tokens after the last edited block; CLS alone where it is the model's last."""


@torch.no_grad()
def observe(split: Split, tokens: Float[Tensor, "edits samples tokens width"], changes: Changes) -> States:
    """Keys and the last edited block's output, for the samples of E edits with their own changes."""
    fc2, norm2 = "blocks.{}.mlp.fc2".format, f"blocks.{split.blocks[-1]}.norm2"
    with recorded(split.vit, [*map(fc2, split.blocks), norm2]) as seen:
        split.run(tokens, changes)

    def own(states: Tensor) -> Tensor:
        return states.reshape(*tokens.shape[:2], *states.shape[-2:])

    last = blocks_of(split.vit)[split.blocks[-1]]
    after = own(seen[norm2][0]) + last.ls2(own(seen[fc2(split.blocks[-1])][1]))
    return States({block: own(seen[fc2(block)][0])[:, :, 0] for block in split.blocks}, after)


def insert(
    weight: Float[Tensor, "width hidden"],
    free: Float64[Tensor, "edits samples hidden"],
    moved: Float[Tensor, "edits samples width"],
    ridge: float,
) -> LowRank:
    """Delta = R (ridge I + K^T P K)^-1 K^T P, which solves (P K K^T + ridge I) Delta^T = P K R^T with n x n systems alone.

    Args:
        weight: W.
        free: P K, a row a sample.
        moved: R, what the output for each key shall move by, a row a sample.
        ridge: Absolute.

    Raises:
        NumericalError: The system is singular.
    """
    gram = free @ free.mT + ridge * torch.eye(free.shape[1]).double()
    inserted, failed = torch.linalg.solve_ex(gram, free)
    if bool(failed.any()):
        raise NumericalError("X-Edit: the system of the keys is singular; raise `ridge`.")
    return LowRank(weight, moved.mT, inserted.to(weight))
