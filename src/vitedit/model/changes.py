"""How E edits change one matrix, each in the form that costs least: nothing that all edits share is stored or multiplied E times.

A change acts on the product of its linear layer, so an edited model is the base model whose linear layers compute with changes.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, ClassVar, TypeVar, cast, final

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int, Shaped
from torch import Tensor, nn

from vitedit.errors import UnknownNameError
from vitedit.model.difference import padded

Bias = Tensor | None
"""(rows,) of all edits, or none; full and grown changes also take (E, 1, rows), one of each edit."""


C = TypeVar("C", bound="Change")


class Change(ABC):
    """E new values of one parameter. Subclasses are frozen dataclasses and final."""

    base: Tensor
    """The parameter itself, not a copy."""
    own: ClassVar[tuple[str, ...]]
    """Fields with one entry an edit."""

    @abstractmethod
    def product(self, x: Float[Tensor, "lead m columns"], bias: Bias) -> Float[Tensor, "edits m rows"]:
        """x W^T + bias with each edit's W, where `lead` is 1 (the same x for all edits) or E."""

    @abstractmethod
    def dense(self) -> Float[Tensor, "edits *shape"]:
        """The new values in full."""

    @abstractmethod
    def difference(self) -> Float[Tensor, "edits *some"]:
        """New minus base values, at least where they differ; what was appended counts as changed from zero."""

    @abstractmethod
    def undo(self: C, done: Bool[Tensor, "edits"]) -> C:
        """The same, but some of the edits change nothing."""

    @abstractmethod
    def merge(self) -> "Change":
        """One edit that makes the changes of all at once."""

    def __len__(self) -> int:
        return len(getattr(self, self.own[0]))

    def take(self: C, which: Int[Tensor, "some"]) -> C:
        """Some of the edits."""
        return self._map(lambda tensor: tensor[which])

    def detach(self: C) -> C:
        """Without the graph of its computation."""
        return self._map(Tensor.detach)

    def finite(self) -> Bool[Tensor, "edits"]:
        """Which edits have no NaN and no infinite value."""
        return torch.stack([getattr(self, name).isfinite().flatten(1).all(1) for name in self.own]).all(0)

    def _map(self: C, function: Callable[[Tensor], Tensor]) -> C:
        return replace(self, **{name: function(getattr(self, name)) for name in self.own})  # type: ignore[type-var]


@final
@dataclass(frozen=True)
class Full(Change):
    """New values in full."""

    own = ("values",)

    base: Float[Tensor, "*shape"]
    values: Float[Tensor, "edits *grown"]
    """Of the base parameter's shape, or larger where neurons were added."""

    def product(self, x: Tensor, bias: Bias) -> Tensor:
        """One product an edit."""
        made = x @ self.values.mT
        return made if bias is None else made + bias

    def dense(self) -> Tensor:
        """As they are."""
        return self.values

    def difference(self) -> Tensor:
        """Everywhere; what has grown counts as changed from zero."""
        return self.values - self._before

    def merge(self) -> "Full":
        """Base values plus all differences."""
        return Full(self.base, (self._before + self.difference().sum(0))[None])

    def undo(self, done: Tensor) -> "Full":
        """Base values for some, with zeros where others have grown."""
        return Full(self.base, torch.where(done.view(-1, *[1] * self.base.dim()), self._before, self.values))

    @property
    def _before(self) -> Tensor:
        """Base values, with zeros for neurons that they lack."""
        return padded(self.base, self.values.shape[1:])


@final
@dataclass(frozen=True)
class Thin(Change):
    """Additions to some rows (axis 0) or columns (axis 1) of the base matrix: k of them an edit."""

    own = ("index", "added")

    base: Float[Tensor, "rows columns"]
    axis: int
    index: Int[Tensor, "edits k"]
    """Which."""
    added: Float[Tensor, "edits k other"]

    def product(self, x: Tensor, bias: Bias) -> Tensor:
        """The base product, which all edits share, and a thin one an edit."""
        places = self.index[:, None].expand(-1, x.shape[1], -1)
        if self.axis == 0:
            shared = F.linear(x, self.base, bias)
            if len(shared) < len(self):
                shared = shared.repeat(len(self), 1, 1)
            return shared.scatter_add_(2, places, x @ self.added.mT)
        return cast(
            "Tensor", ThinColumns.apply(x.expand(len(self), -1, -1), self.base, bias, places, self.added)
        )

    def dense(self) -> Tensor:
        """Base matrix plus additions."""
        along = (self.base if self.axis == 0 else self.base.T).expand(len(self), -1, -1)
        made = along.scatter_add(1, self.index[:, :, None].expand_as(self.added), self.added)
        return made if self.axis == 0 else made.mT

    def difference(self) -> Tensor:
        """At the named rows or columns, as far as it outlives rounding."""
        before = (self.base if self.axis == 0 else self.base.T)[self.index]
        return before + self.added - before

    def merge(self) -> Full:
        """In full: several edits may have added to one row or column."""
        return Full(self.base, self.dense()).merge()

    def undo(self, done: Tensor) -> "Thin":
        """Adds nothing for some."""
        return replace(self, added=self.added.masked_fill(done[:, None, None], 0))


@final
@dataclass(frozen=True)
class LowRank(Change):
    """up @ down is added to the base matrix."""

    own = ("up", "down")

    base: Float[Tensor, "rows columns"]
    up: Float[Tensor, "edits rows rank"]
    down: Float[Tensor, "edits rank columns"]

    def product(self, x: Tensor, bias: Bias) -> Tensor:
        """The base product, which all edits share, and two narrow ones an edit."""
        return F.linear(x, self.base, bias) + x @ self.down.mT @ self.up.mT

    def dense(self) -> Tensor:
        """Multiplied out."""
        return self.base + self.up @ self.down

    def difference(self) -> Tensor:
        """Everywhere, as far as it outlives rounding."""
        return self.dense() - self.base

    def merge(self) -> "LowRank":
        """The factors of all edits side by side."""
        return LowRank(self.base, self.up.movedim(0, 1).flatten(1)[None], self.down.flatten(0, 1)[None])

    def undo(self, done: Tensor) -> "LowRank":
        """Adds nothing for some."""
        return replace(self, up=self.up.masked_fill(done[:, None, None], 0))


@final
@dataclass(frozen=True)
class Grown(Change):
    """m rows (axis 0; of a bias, entries) or columns (axis 1) are appended to the base parameter."""

    own = ("new",)

    base: Float[Tensor, "*shape"]
    axis: int
    new: Float[Tensor, "edits m *other"]

    def product(self, x: Tensor, bias: Bias) -> Tensor:
        """The base product, which all edits share, beside or plus a narrow one an edit."""
        if self.axis == 0:
            shared = F.linear(x, self.base).expand(len(self), -1, -1)
            made = torch.cat([shared, x @ self.new.mT], dim=-1)
            return made if bias is None else made + bias
        old, new = x.tensor_split([self.base.shape[1]], dim=-1)
        return F.linear(old, self.base, bias) + new @ self.new

    def dense(self) -> Tensor:
        """Old and new side by side."""
        old = self.base.expand(len(self), *self.base.shape)
        return torch.cat([old, self.new if self.axis == 0 else self.new.mT], dim=1 + self.axis)

    def difference(self) -> Tensor:
        """What is new."""
        return self.new

    def merge(self) -> "Grown":
        """The neurons of all edits."""
        return Grown(self.base, self.axis, self.new.flatten(0, 1)[None])

    def undo(self, done: Tensor) -> "Grown":
        """Zeros for some: neurons that say nothing."""
        return replace(self, new=self.new.masked_fill(done.view(-1, *[1] * (self.new.dim() - 1)), 0))


class ThinColumns(torch.autograd.Function):
    """x W^T + bias + x[:, :, places] @ added, whose gradient of x is written once, not for each part of x."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, base: Tensor, bias: Bias, places: Tensor, added: Tensor
    ) -> Float[Tensor, "edits m rows"]:
        """For all edits."""
        picked = x.gather(2, places)
        ctx.save_for_backward(base, places, added, picked)
        return F.linear(x, base, bias).baddbmm_(picked, added)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        """Of x and of what is added; the base model is frozen."""
        (gradient,), (base, places, added, picked) = gradients, ctx.saved_tensors
        own = (
            (gradient @ base).scatter_add_(2, places, gradient @ added.mT)
            if ctx.needs_input_grad[0]
            else None
        )
        return own, None, None, None, picked.mT @ gradient


def join(parts: Sequence[Change]) -> Change:
    """Changes of one parameter by several batches as one: in the form of all, or in full where they differ in form.

    Edits of fewer rows, columns or ranks than others get zeros.
    """
    first = parts[0]
    if any(type(part) is not type(first) for part in parts):
        return Full(first.base, torch.cat([part.dense() for part in parts]))
    own = {name: _stack([getattr(part, name) for part in parts]) for name in first.own}
    return replace(first, **own)  # type: ignore[type-var]


def _stack(tensors: Sequence[Tensor]) -> Shaped[Tensor, "edits *shape"]:
    """One after another, with zeros where others are larger."""
    shape = [max(sides) for sides in zip(*(tensor.shape[1:] for tensor in tensors), strict=True)]
    return torch.cat([padded(tensor, (len(tensor), *shape)) for tensor in tensors])


Changes = Mapping[str, Change]
"""Parameter name -> how E edits change it."""


@contextmanager
def changing(model: nn.Module, changes: Changes) -> Iterator[None]:
    """Lets linear layers of a model compute with E edits while the block runs. Its parameters stay as they are.

    A layer then takes the inputs of all edits, (E * n, T, D), or (1 | E, n, T, D), and gives those of all edits.

    Raises:
        UnknownNameError: A changed parameter belongs to no linear layer.
    """
    layers: dict[str, dict[str, Change]] = {}
    for name, change in changes.items():
        path, _, parameter = name.rpartition(".")
        layers.setdefault(path, {})[parameter] = change
    modules = {path: model.get_submodule(path) for path in layers}
    for path, module in modules.items():
        if not isinstance(module, nn.Linear):
            raise UnknownNameError(
                f"{path}: a {type(module).__name__}; edits change the weights of linear layers only."
            )
    try:
        for path, module in modules.items():
            module.forward = partial(_forward, module, **layers[path])
        yield
    finally:
        for module in modules.values():
            vars(module).pop("forward", None)


def _forward(
    layer: nn.Linear, x: Tensor, *, weight: Change | None = None, bias: Change | None = None
) -> Tensor:
    """What a linear layer gives for all edits."""
    edits = len(next(change for change in (weight, bias) if change is not None))
    flat = x.flatten(1, 2) if x.dim() == 4 else x.reshape(edits, -1, x.shape[-1])
    offset = layer.bias if bias is None else bias.dense()[:, None]
    made = F.linear(flat, layer.weight) + offset if weight is None else weight.product(flat, offset)
    if x.dim() == 4:
        return made.unflatten(1, x.shape[1:3])
    return made.reshape(*x.shape[:-1], made.shape[-1])
