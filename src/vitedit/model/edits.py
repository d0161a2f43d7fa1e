"""Edits: E edits of one base model as one value. The base model is never written to."""

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from vitedit.errors import NumericalError
from vitedit.model.changes import Changes, join
from vitedit.model.objectives import Labels
from vitedit.model.sites import backbone_size, check_names


@dataclass(frozen=True)
class Samples:
    """What E edits are made from: n images each, of the same failure with its right label, or of n failures with theirs."""

    images: Float[Tensor, "edits samples 3 side side"]
    labels: Int[Tensor, "labels"] | Int[Tensor, "labels samples"]
    """One for all images of an edit, or one for each image."""
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

    def parts(self, size: int) -> list["Samples"]:
        """The samples of `size` edits each, as far as they go round."""
        every = range(0, len(self), size)
        split = (self.images.split(size), self.labels.split(size), (self.keys[i : i + size] for i in every))
        return [Samples(*part) for part in zip(*split, strict=True)]


@dataclass(frozen=True)
class Edits:
    """How E edits change parameters, and how each edit went."""

    changes: Changes
    """What is edited. A parameter may have grown at the end of an axis (neurons added to an FFN)."""
    labels: Labels
    """Target classes, as in the samples."""
    steps: Int[Tensor, "edits"]
    """Updates made."""
    losses: Float[Tensor, "edits"]
    """Editing loss at the end."""
    converged: Bool[Tensor, "edits"]
    """Whether the stop rule was met."""

    def __len__(self) -> int:
        return len(self.labels)

    @classmethod
    def join(cls, parts: Sequence["Edits"]) -> "Edits":
        """Edits of several batches, made by one method, as one."""
        if len(parts) == 1:
            return parts[0]
        changes = {name: join([part.changes[name] for part in parts]) for name in parts[0].changes}
        rest = (torch.cat([getattr(part, f.name) for part in parts]) for f in fields(cls)[1:])
        return cls(changes, *rest)

    def check(self, model: nn.Module) -> "Edits":
        """Itself, detached, if it is an edit of this model.

        Raises:
            UnknownNameError: A name is no parameter of the model.
            NumericalError: A new weight is NaN or infinite.
        """
        check_names(model, self.changes)
        for name, change in self.changes.items():
            if bool((wrong := ~change.finite()).any()):
                bad = wrong.nonzero().flatten().tolist()
                raise NumericalError(
                    f"{name} became NaN or infinite in edits {bad[:8]}; lower the learning rate or the scale."
                )
        return replace(self, changes={name: change.detach() for name, change in self.changes.items()})

    def undo(self, losses: Float[Tensor, "edits"], done: Bool[Tensor, "edits"]) -> "Edits":
        """The same, but those that were done before they began, with the given losses, change nothing."""
        if not bool(done.any()):
            return self
        return Edits(
            {name: change.undo(done) for name, change in self.changes.items()},
            self.labels,
            self.steps.masked_fill(done, 0),
            torch.where(done, losses, self.losses),
            self.converged | done,
        )

    def take(self, rows: Int[np.ndarray, "some"]) -> "Edits":
        """Some of the edits."""
        which = torch.as_tensor(rows, device=self.labels.device)
        rest = (getattr(self, f.name)[which] for f in fields(self)[1:])
        return Edits({name: change.take(which) for name, change in self.changes.items()}, *rest)

    @cached_property
    def changed(self) -> dict[str, Tensor]:
        """New values of the edited parameters in full, {name: (E, *shape)}: memory that no computation here needs."""
        return {name: change.dense() for name, change in self.changes.items()}

    def fraction(self, model: nn.Module) -> Float[Tensor, "edits"]:
        """Weights that differ from the base model, as a share of the backbone's (head not counted, as in the paper).

        An edit that changes the head as well has the head's changed weights counted, of the same whole.
        """
        counts = [change.difference().ne(0).flatten(1).sum(1) for change in self.changes.values()]
        return torch.stack(counts).sum(0) / backbone_size(model)

    def norm(self) -> Float[Tensor, "edits"]:
        """L2 norm of the change of all weights together."""
        squares = [change.difference().flatten(1).square().sum(1) for change in self.changes.values()]
        return torch.stack(squares).sum(0).sqrt()
