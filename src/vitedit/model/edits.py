"""Edits: E edits of one base model as one value. The base model is never written to."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from vitedit.errors import NumericalError
from vitedit.model.sites import backbone_size, check_names


@dataclass(frozen=True)
class Samples:
    """What E edits are made from: n images of the same failure each, and the right label."""

    images: Float[Tensor, "edits samples 3 side side"]
    labels: Int[Tensor, "labels"]
    keys: tuple[str, ...]
    """A name of each sample; what is random in an edit depends on it, not on the edit's place in the batch."""

    def __post_init__(self) -> None:
        if not len(self.labels) or not len(self.images) == len(self.labels) == len(self.keys):
            counts = f"{len(self.images)} images, {len(self.labels)} labels, {len(self.keys)} keys"
            raise ValueError(
                f"an edit needs one set of images, one label and one key, and there must be an edit; got {counts}."
            )

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True)
class Edits:
    """Replaced parameters {name: (E, *shape)} and how each edit went."""

    changed: Mapping[str, Tensor]
    """New values of the edited parameters. A parameter may have grown at the end of an axis (neurons added to an FFN)."""
    labels: Int[Tensor, "edits"]
    """Target classes."""
    steps: Int[Tensor, "edits"]
    """Updates made."""
    losses: Float[Tensor, "edits"]
    """Editing loss at the end."""
    converged: Bool[Tensor, "edits"]
    """Whether the stop rule was met."""

    def __len__(self) -> int:
        return len(self.labels)

    def check(self, model: nn.Module) -> "Edits":
        """Itself, detached, if it is an edit of this model.

        Raises:
            UnknownNameError: A name is no parameter of the model.
            NumericalError: A new weight is NaN or infinite.
        """
        check_names(model, self.changed)
        for name, tensor in self.changed.items():
            if not tensor.isfinite().all():
                bad = (~tensor.isfinite().flatten(1).all(1)).nonzero().flatten().tolist()
                raise NumericalError(
                    f"{name} became NaN or infinite in edits {bad[:8]}; lower the learning rate or the scale."
                )
        return Edits(
            {name: tensor.detach() for name, tensor in self.changed.items()},
            *(getattr(self, f.name) for f in fields(self)[1:]),
        )

    def undo(self, model: nn.Module, losses: Float[Tensor, "edits"], done: Bool[Tensor, "edits"]) -> "Edits":
        """The same, but those that were done before they began, with the given losses, change nothing."""
        if not bool(done.any()):
            return self
        changed = {}
        for name, tensor in self.changed.items():
            changed[name] = torch.where(
                done.view(-1, *[1] * (tensor.dim() - 1)), self._base(model, name), tensor
            )
        return Edits(
            changed,
            self.labels,
            self.steps.masked_fill(done, 0),
            torch.where(done, losses, self.losses),
            self.converged | done,
        )

    def take(self, rows: Int[np.ndarray, "some"]) -> "Edits":
        """Some of the edits."""
        which = torch.as_tensor(rows, device=self.labels.device)
        rest = (getattr(self, f.name)[which] for f in fields(self)[1:])
        return Edits({name: tensor[which] for name, tensor in self.changed.items()}, *rest)

    def fraction(self, model: nn.Module) -> Float[Tensor, "edits"]:
        """Share of the backbone's weights (head not counted, as in the paper) that differ from the base model."""
        counts = [(change != 0).flatten(1).sum(1) for change in self._changes(model)]
        return torch.stack(counts).sum(0) / backbone_size(model)

    def norm(self, model: nn.Module) -> Float[Tensor, "edits"]:
        """L2 norm of the change of all weights together."""
        squares = [change.flatten(1).square().sum(1) for change in self._changes(model)]
        return torch.stack(squares).sum(0).sqrt()

    def _changes(self, model: nn.Module) -> Iterator[Tensor]:
        """New minus base value of each edited parameter, one at a time; what was added counts as changed from zero."""
        for name, tensor in self.changed.items():
            yield tensor - self._base(model, name)

    def _base(self, model: nn.Module, name: str) -> Tensor:
        """Base value of a parameter, with zeros where the parameter has grown."""
        base = model.get_parameter(name)
        grown = [new - old for new, old in zip(self.changed[name].shape[1:], base.shape, strict=True)]
        return F.pad(base, [side for more in reversed(grown) for side in (0, more)])
