"""Edits on group and locality tokens -> one row an edit."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float, Int
from torch import Tensor

from vitedit.measure.metrics import generalization, generalization_reference, locality, own_right
from vitedit.model.edits import Edits
from vitedit.model.sites import Point
from vitedit.model.vit import Split

BATCH = 256
"""Images of one pass of the unedited model."""


@dataclass(frozen=True)
class Reference:
    """Images that an edit is measured on: prefix tokens and the unedited model's predictions, computed once."""

    tokens: Float[Tensor, "images tokens width"]
    before: Int[np.ndarray, "images"]

    @classmethod
    def of(cls, split: Split, images: Float[Tensor, "images 3 side side"], batch: int = BATCH) -> "Reference":
        """Runs the unedited model once."""
        return cls.at(split, torch.cat([split.prefix(part) for part in images.split(batch)]), batch)

    @classmethod
    def onward(
        cls, split: Split, tokens: Float[Tensor, "images tokens width"], point: Point, batch: int = BATCH
    ) -> "Reference":
        """The same, from tokens that enter an earlier half block."""
        return cls.at(split, torch.cat([split.advance(part, point) for part in tokens.split(batch)]), batch)

    @classmethod
    @torch.no_grad()
    def at(
        cls, split: Split, tokens: Float[Tensor, "images tokens width"], batch: int = BATCH
    ) -> "Reference":
        """The same, from prefix tokens."""
        before = torch.cat([split.suffix(part).argmax(-1) for part in tokens.split(batch)])
        return cls(tokens, before.cpu().numpy())

    def to(self, device: torch.device) -> "Reference":
        """The same with its tokens elsewhere."""
        return Reference(self.tokens.to(device), self.before)


def measure(
    split: Split,
    edits: Edits,
    group: Reference,
    own: Int[np.ndarray, "edits samples"],
    near: Reference,
    *,
    reference: bool = False,
) -> pd.DataFrame:
    """Success, generalization and locality of edits of one group, and what they cost.

    Args:
        split: The base model.
        edits: Edits made from images of the group.
        group: All images of the group.
        own: Positions of each edit's own samples in the group.
        near: The locality set.
        reference: Let gr be the published code's, which gr_ref always is (deviation D2).

    Returns:
        One row an edit: sr, gr, gr_ref, lr, steps, loss, fraction, norm, status.
    """
    after = split.predict_many(group.tokens, edits.changes).cpu().numpy()
    right = after == edits.labels.cpu().numpy()[:, None]
    converged = edits.converged.cpu().numpy()
    published = generalization_reference(right, own.shape[1])
    return pd.DataFrame(
        {
            "sr": own_right(right, own).mean(1),
            "gr": published if reference else generalization(right, own),
            "gr_ref": published,
            "lr": locality(split.predict_many(near.tokens, edits.changes).cpu().numpy(), near.before),
            "steps": edits.steps.cpu().numpy(),
            "loss": edits.losses.cpu().numpy(),
            "fraction": edits.fraction(split.vit).cpu().numpy(),
            "norm": edits.norm().cpu().numpy(),
            "status": np.where(converged, "converged", "not_converged"),
        }
    )
