"""Sites: the only code that knows the names of a ViT's parameters.

`torch.func.functional_call` accepts a misspelt name in silence (an edit without effect and with perfect locality), so every
name is checked here against the model.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Literal, cast

from jaxtyping import Float
from torch import Tensor, nn

from vitedit.errors import UnknownNameError

Part = Literal["attn", "mlp"]

PARTS: tuple[Part, Part] = ("attn", "mlp")
"""Halves of a block, in forward order."""

Point = tuple[int, int]
"""A half block, where tokens enter: (block, 0 for attention or 1 for the FFN)."""

LAYOUT: dict[Part, tuple[tuple[str, int], ...]] = {
    "mlp": (("mlp.fc1.weight", 0), ("mlp.fc2.weight", 1)),
    "attn": (("attn.qkv.weight", 0), ("attn.proj.weight", 1)),
}
"""Matrices of a block and the axis over their hidden units: rows of the first, columns of the second (paper section 3.1)."""


@dataclass(frozen=True)
class Site:
    """One weight matrix and the axis that runs over its hidden units."""

    name: str
    axis: int

    def expand(self, mask: Float[Tensor, "*edits hidden"]) -> Float[Tensor, "*edits rows columns"]:
        """A mask over hidden units as a factor of the matrix: (..., H, 1) for rows, (..., 1, H) for columns."""
        return mask.unsqueeze(-1) if self.axis == 0 else mask.unsqueeze(-2)

    def size(self, model: nn.Module) -> int:
        """Number of hidden units H."""
        return model.get_parameter(self.name).shape[self.axis]

    @property
    def module(self) -> str:
        """The self-attention or FFN that the matrix belongs to: "blocks.7.mlp"."""
        return self.name.rsplit(".", 2)[0]

    @property
    def point(self) -> Point:
        """Where the matrix acts. Everything before it never changes."""
        return point_of(self.name)


def point_of(name: str) -> Point:
    """The half block that a parameter or a module belongs to.

    Raises:
        UnknownNameError: It belongs to none.
    """
    found = re.match(r"blocks\.(\d+)\.(attn|mlp)\b", name)
    if found is None:
        raise UnknownNameError(f"{name}: not of a block's attention or FFN.")
    return int(found[1]), PARTS.index(cast("Part", found[2]))


def half_block(point: Point) -> str:
    """Name of a half block: "blocks.7.mlp"."""
    return f"blocks.{point[0]}.{PARTS[point[1]]}"


def find_sites(model: nn.Module, part: Part, blocks: Sequence[int]) -> tuple[Site, ...]:
    """Sites of FFNs (fc1 rows, fc2 columns) or self-attentions (qkv rows, proj columns) of 0-based blocks, in forward order.

    Raises:
        UnknownNameError: The model has no such block, or its blocks have no such matrices (a gated FFN of three matrices).
    """
    if part not in LAYOUT:
        raise UnknownNameError(f"part '{part}': blocks have the parts {' and '.join(LAYOUT)}.")
    exist = dict(model.named_modules())
    for block in blocks:
        half, asked = exist.get(f"blocks.{block}.{part}"), [tail.split(".")[1] for tail, _ in LAYOUT[part]]
        if half is not None and not all(isinstance(getattr(half, name, None), nn.Linear) for name in asked):
            has = [name for name, child in half.named_children() if isinstance(child, nn.Linear)]
            raise UnknownNameError(
                f"block {block}: its {type(half).__name__} has the matrices {', '.join(has) or 'of no linear layer'}; one with "
                f"{' and '.join(asked)} is needed to be edited. Take another part of the blocks, or another model."
            )
    sites = tuple(
        Site(f"blocks.{block}.{tail}", axis) for block in sorted(blocks) for tail, axis in LAYOUT[part]
    )
    check_names(model, (site.name for site in sites))
    return sites


def check_names(model: nn.Module, names: Iterable[str]) -> None:
    """Refuses names that are no parameters of the model.

    Raises:
        UnknownNameError: With close names, so that a spelling mistake is seen.
    """
    exist = {name for name, _ in model.named_parameters()}
    for name in names:
        if name not in exist:
            close = get_close_matches(name, sorted(exist), n=3) or [f"{len(exist)} others, none similar"]
            raise UnknownNameError(
                f"'{name}' is no parameter of {type(model).__name__}. Close names: {', '.join(close)}."
            )


def backbone_size(model: nn.Module) -> int:
    """Number of weights without the classification head: the paper's percentages refer to it (85,798,656 for ViT-B/16)."""
    return sum(tensor.numel() for name, tensor in model.named_parameters() if not name.startswith("head."))
