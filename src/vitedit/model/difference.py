"""What an edit changed of one parameter, as little of it as tells old and new value of every changed entry."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import Literal, get_args

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Int32, Int64
from torch import Tensor

Layout = Literal["rows", "columns", "entries"]
INDEX = torch.int32
MOST_ENTRIES = torch.iinfo(INDEX).max
BITS = {1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64}
"""Bytes of a number -> the integers that are compared in its place: 0.0 and -0.0 are other bits."""


@dataclass(frozen=True)
class Difference:
    """Old and new values of whole rows, whole columns or single entries of one parameter.

    A parameter of more than two axes counts as a matrix of its first axis and the others; a vector as one column. One that
    has grown at the end of an axis is, as far as it is new, changed from zero.
    """

    layout: Layout
    shape: tuple[int, ...]
    """Of the base model's parameter."""
    grown: tuple[int, ...]
    """Of the edited model's; the same unless neurons were added."""
    index: Int32[Tensor, "changed"]
    """Numbers of the rows, of the columns, or of the entries in the flattened edited parameter, in rising order."""
    old: Tensor
    """(k, columns), (rows, k) or (k,)."""
    new: Tensor
    """Of the same shape."""

    @classmethod
    def between(cls, base: Tensor, edited: Tensor) -> "Difference | None":
        """The smallest of the three layouts; None if no bit differs.

        Args:
            base: The base model's parameter.
            edited: The edited one's, as large or larger.
        """
        old, new = _matrix(padded(base, edited.shape)), _matrix(edited)
        differs = _matrix(_differs(base, edited))
        if not bool(differs.any()):
            return None
        layout = min(get_args(Layout), key=lambda layout: _cost(differs, layout, base.element_size()))
        index = _marked(differs, layout)
        kept = (_pick(values, layout, index).cpu().contiguous() for values in (old, new))
        return cls(layout, tuple(base.shape), tuple(edited.shape), index.to(INDEX).cpu(), *kept)

    @property
    def grows(self) -> bool:
        """Whether the edited parameter is larger than the base model's."""
        return self.grown != self.shape

    def entries(self) -> tuple[Int64[Tensor, "entries"], Tensor]:
        """Places of all entries that differ, in the flattened edited parameter in rising order, and their new values.

        Takes memory by what is stored, not by the size of the parameter, which a file may say at will.
        """
        places = self._places()
        coordinates = torch.unravel_index(places, self.grown)
        beyond = [axis >= size for axis, size in zip(coordinates, self.shape, strict=True)]
        marks = torch.stack([_bits(self.old) != _bits(self.new), *beyond]).any(0)
        found, order = places[marks].sort()
        return found, self.new[marks][order]

    @property
    def norm(self) -> float:
        """L2 norm of the change."""
        return float((self.new.double() - self.old.double()).norm())

    def apply(self, base: Tensor) -> Tensor:
        """The edited parameter, as a new tensor."""
        return self._written(padded(base, self.grown), self.new)

    def revert(self, edited: Tensor) -> Tensor:
        """The base model's parameter, as a new tensor."""
        whole = self._written(edited, self.old)
        return whole[tuple(slice(size) for size in self.shape)].contiguous()

    def check(self) -> None:
        """Raises ValueError unless all parts fit each other, so that nothing is written beside the parameter."""
        rows, columns = _sides(self.grown)
        limits = {"rows": rows, "columns": columns, "entries": rows * columns}
        count, index = len(self.index), self.index
        shapes = {"rows": (count, columns), "columns": (rows, count), "entries": (count,)}
        if not self.shape or len(self.shape) != len(self.grown) or rows * columns > MOST_ENTRIES:
            raise ValueError(f"a parameter of {self.shape} grown to {self.grown}")
        if any(not 0 < old <= new for old, new in zip(self.shape, self.grown, strict=True)):
            raise ValueError(f"a parameter of {self.shape} grown to {self.grown}")
        if not count or int(index[0]) < 0 or int(index[-1]) >= limits[self.layout]:
            raise ValueError(f"{self.layout} outside the parameter")
        if not bool((index.diff() > 0).all()):
            raise ValueError(f"{self.layout} out of order")
        if tuple(self.old.shape) != shapes[self.layout] or self.old.shape != self.new.shape:
            raise ValueError(
                f"values of {tuple(self.old.shape)} and {tuple(self.new.shape)} for {count} {self.layout}"
            )
        if self.old.dtype != self.new.dtype or not self.new.is_floating_point():
            raise ValueError(f"values of {self.old.dtype} and {self.new.dtype}")
        if not bool(self.new.isfinite().all() and self.old.isfinite().all()):
            raise ValueError("values that are NaN or infinite")
        if rows * columns - prod(self.shape) > self.new.numel():
            raise ValueError("more new weights than values")

    def _places(self) -> Int64[Tensor, "*stored"]:
        """Place of every stored value in the flattened edited parameter."""
        (rows, columns), index = _sides(self.grown), self.index.long()
        if self.layout == "rows":
            return index[:, None] * columns + torch.arange(columns)
        return torch.arange(rows)[:, None] * columns + index if self.layout == "columns" else index

    def _written(self, whole: Tensor, values: Tensor) -> Tensor:
        """A copy of an edited parameter with the changed part replaced."""
        matrix, index = _matrix(whole).clone(), self.index.long().to(whole.device)
        values = values.to(whole.device)
        if self.layout == "rows":
            matrix[index] = values
        elif self.layout == "columns":
            matrix[:, index] = values
        else:
            matrix.view(-1)[index] = values
        return matrix.view(self.grown)


def _sides(shape: Sequence[int]) -> tuple[int, int]:
    return (shape[0], prod(shape[1:])) if shape else (1, 1)


def _matrix(tensor: Tensor) -> Tensor:
    return tensor.reshape(_sides(tensor.shape))


def _bits(tensor: Tensor) -> Tensor:
    return tensor.contiguous().view(BITS[tensor.element_size()])


def padded(base: Tensor, shape: Sequence[int]) -> Tensor:
    """The base model's parameter with zeros where the edited one is larger."""
    more = [new - old for new, old in zip(shape, base.shape, strict=True)]
    return F.pad(base, [side for one in reversed(more) for side in (0, one)]) if any(more) else base


def _beyond(shape: Sequence[int], grown: Sequence[int]) -> Bool[Tensor, "*shape"]:
    """1 for what was added to a parameter."""
    return ~padded(torch.ones(tuple(shape), dtype=torch.bool), grown)


def _differs(base: Tensor, edited: Tensor) -> Bool[Tensor, "*shape"]:
    bits = _bits(padded(base, edited.shape)) != _bits(edited)
    return bits | _beyond(base.shape, edited.shape).to(bits.device)


def _marked(differs: Bool[Tensor, "rows columns"], layout: Layout) -> Tensor:
    """Numbers of the rows, columns or entries that hold a difference."""
    marks = {"rows": lambda: differs.any(1), "columns": lambda: differs.any(0), "entries": differs.flatten}
    return marks[layout]().nonzero().flatten()


def _pick(matrix: Tensor, layout: Layout, index: Tensor) -> Tensor:
    if layout == "rows":
        return matrix[index]
    return matrix[:, index] if layout == "columns" else matrix.flatten()[index]


def _cost(differs: Bool[Tensor, "rows columns"], layout: Layout, size: int) -> int:
    """Bytes of a layout: an index, an old and a new value for all that it keeps."""
    rows, columns = differs.shape
    values = {"rows": columns, "columns": rows, "entries": 1}[layout]
    return len(_marked(differs, layout)) * (INDEX.itemsize + 2 * size * values)
