"""What many edits are made from and measured on, as prefix tokens of one cut of a backbone."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from vitedit.data.failures import EDIT, NEIGHBOUR, OTHER
from vitedit.measure.evaluate import Reference
from vitedit.measure.metrics import locality
from vitedit.model.changes import Changes
from vitedit.model.edits import Samples
from vitedit.model.vit import Split
from vitedit.stages.backbone import Backbone


@dataclass(frozen=True)
class Failures:
    """The failures that are edited, in their first order, whatever the cut."""

    rows: pd.DataFrame
    images: Float[Tensor, "failures 3 side side"]

    @classmethod
    def of(cls, base: Backbone, table: pd.DataFrame, count: int) -> "Failures":
        """Reads the first of them."""
        rows = table[table["role"] == EDIT].head(count).reset_index(drop=True)
        return cls(rows, base.read(rows).to(base.split.device))

    def samples(self, which: Int[np.ndarray, " edits"]) -> Samples:
        """What an edit of each of some failures is made from, by their places."""
        rows, device = self.rows.iloc[which], self.images.device
        images = self.images[torch.as_tensor(which.copy(), device=device), None]
        labels = torch.as_tensor(rows["label"].to_numpy(copy=True), device=device)
        return Samples(images, labels, tuple(rows["images"] + "/" + rows["file"]))


@dataclass(frozen=True)
class ManyGround:
    """Images of one cut, seen once by the blocks that no edit changes."""

    failures: Failures
    own: Reference
    neighbours: Reference | None
    near: Reference
    others: Reference | None
    groups: Sequence[str]
    """Of the neighbours."""
    labels: Int[np.ndarray, " neighbours"]
    """Of the neighbours."""

    @classmethod
    def of(
        cls, base: Backbone, cut: Split, failures: Failures, table: pd.DataFrame, near: pd.DataFrame
    ) -> "ManyGround":
        """Runs the unedited model once over all images."""
        neighbours, others = table[table["role"] == NEIGHBOUR], table[table["role"] == OTHER]
        return cls(
            failures,
            own=Reference.of(cut, failures.images),
            neighbours=Reference.of(cut, base.read(neighbours)) if len(neighbours) else None,
            near=Reference.of(cut, base.read(near)),
            others=Reference.of(cut, base.read(others)) if len(others) else None,
            groups=list(neighbours["group"]),
            labels=neighbours["label"].to_numpy(),
        )

    def right(
        self, now: Split, changes: Changes, which: Int[np.ndarray, " some"]
    ) -> Bool[np.ndarray, "edits some"]:
        """Which failures are right in E edited models, or in the model `now` itself."""
        after = _after(now, changes, self.own.tokens[torch.as_tensor(which.copy())])
        return after == self.failures.rows["label"].to_numpy()[which]

    def measure(self, now: Split, changes: Changes, which: Int[np.ndarray, " some"]) -> dict[str, float]:
        """Rates of one edited model whose edits were made from some of the failures: gr, lr, kept; NaN without images.

        Generalization counts neighbours of these failures alone, images of the same true and predicted class.
        """
        near, others = self.near, self.others
        return {
            "gr": self._generalization(now, changes, which),
            "lr": float(locality(_after(now, changes, near.tokens), near.before)[0]),
            "kept": float(locality(_after(now, changes, others.tokens), others.before)[0])
            if others
            else np.nan,
        }

    def _generalization(self, now: Split, changes: Changes, which: Int[np.ndarray, " some"]) -> float:
        touched = np.isin(self.groups, self.failures.rows["group"].to_numpy()[which])
        if self.neighbours is None or not touched.any():
            return np.nan
        after = _after(now, changes, self.neighbours.tokens[torch.as_tensor(touched)])
        return float((after[0] == self.labels[touched]).mean())


def _after(now: Split, changes: Changes, tokens: Tensor) -> Int[np.ndarray, "edits images"]:
    return now.predict_many(tokens, changes).cpu().numpy()
