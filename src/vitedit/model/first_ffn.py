"""The FFN that edits begin with: its input is the same in all edited models, so what no edit changes is computed once."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Float
from timm.layers.mlp import Mlp
from timm.models.vision_transformer import Block
from torch import Tensor, nn

from vitedit.model.changes import Change, Changes, Thin


@dataclass(frozen=True)
class FirstFfn:
    """A block whose FFN has thin changes alone: some rows of fc1, some columns of fc2.

    With hidden units a = act(W1 x + b1), the changed units R and the changed columns C,
    FFN'(x) = FFN(x) + W2[:, R] (a'_R - a_R) + dW2 a'_C: products with R and C only, forwards and backwards.
    """

    block: Block
    rows: Thin | None
    """Change of fc1."""
    columns: Thin | None
    """Change of fc2."""

    @classmethod
    def of(cls, block: Block, changes: Mapping[str, Change]) -> "FirstFfn | None":
        """The FFN with changes {parameter of the FFN: change}, or None where some other form of computation is needed."""
        rows, columns = changes.get("fc1.weight"), changes.get("fc2.weight")
        plain = isinstance(block.mlp, Mlp) and isinstance(block.mlp.norm, nn.Identity)
        if not plain or not changes or len(changes) != (rows is not None) + (columns is not None):
            return None
        if not isinstance(rows, Thin | None) or not isinstance(columns, Thin | None):
            return None
        return cls(block, rows, columns)

    @staticmethod
    @torch.no_grad()
    def enter(block: Block, tokens: Float[Tensor, "*images tokens width"]) -> dict[str, Tensor]:
        """What all edits share: the FFN's input, pre-activations and hidden units, and the tokens after the block."""
        mlp = block.mlp
        assert isinstance(mlp, Mlp)  # `of` made sure
        x = block.norm2(tokens)
        before = mlp.fc1(x)
        hidden = mlp.act(before)
        after = tokens + block.drop_path2(block.ls2(mlp.fc2(hidden)))
        return {"input": x, "before": before, "hidden": hidden, "after": after}

    def leave(self, shared: Mapping[str, Tensor]) -> Float[Tensor, "edits images tokens width"]:
        """Tokens after the block in every edited model.

        Args:
            shared: What `enter` gave, with a leading axis of 1 (the same images for all edits) or E.
        """
        x, before, hidden = (shared[name].flatten(1, 2) for name in ("input", "before", "hidden"))
        mlp, added, moved = self.block.mlp, [], None
        assert isinstance(mlp, Mlp)
        if self.rows is not None:
            index = self.rows.index
            moved = mlp.act(_pick(before, index) + x @ self.rows.added.mT) - _pick(hidden, index)
            added.append(moved @ mlp.fc2.weight.T[index])
        if self.columns is not None:
            units = _pick(hidden, self.columns.index)
            if self.rows is not None and moved is not None:
                same = self.rows.index[:, :, None] == self.columns.index[:, None]
                units = units + moved @ same.to(moved.dtype)
            added.append(units @ self.columns.added)
        change = self.block.drop_path2(self.block.ls2(sum(added[1:], added[0])))
        return shared["after"] + change.unflatten(1, shared["input"].shape[1:3])


def _pick(units: Float[Tensor, "lead m hidden"], index: Tensor) -> Float[Tensor, "edits m k"]:
    """Some hidden units an edit."""
    shape = (len(index), units.shape[1], -1)
    return units.expand(shape).gather(2, index[:, None].expand(shape))


def of_ffn(changes: Changes, block: int) -> dict[str, Change]:
    """The changes of one FFN, by the parameters' names in it."""
    start = f"blocks.{block}.mlp."
    return {name.removeprefix(start): change for name, change in changes.items() if name.startswith(start)}
