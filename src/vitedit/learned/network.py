"""What networks that predict an edit share: where they act, their one interface, and how they are kept."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from jaxtyping import Float
from torch import Tensor, nn

from vitedit.errors import ArtifactError
from vitedit.model.objectives import Labels
from vitedit.model.vit import Split, Weights
from vitedit.tensors import load_tensors, save_tensors

LAST_BLOCKS = (-3, -2, -1)
"""Blocks whose FFN matrices are edited: the last three (as in the original of MEND and in the paper's comparison)."""


def last_ffns(base: Split) -> Split:
    """The model cut before the FFNs of its last three blocks."""
    return base.at("mlp", LAST_BLOCKS)


class EditNetwork(nn.Module, ABC):
    """From the samples of an edit to the change of each matrix."""

    def __init__(self, matrices: Mapping[str, Sequence[int]], **options: int | float) -> None:
        """Keeps what `load` needs to build the network again: matrices {name: (rows, columns)} and options."""
        super().__init__()
        self.matrices = {name: list(shape) for name, shape in matrices.items()}
        self.options = options

    @abstractmethod
    def update(
        self, split: Split, tokens: Float[Tensor, "edits samples tokens width"], labels: Labels
    ) -> Weights:
        """What is to be SUBTRACTED from each matrix, {name: (E, rows, columns)}, differentiable in the network's parameters."""

    def save(self, path: Path, meta: Mapping[str, Any]) -> None:
        """Writes weights, options and provenance."""
        save_tensors(path, self.state_dict(), {**meta, "matrices": self.matrices, "options": self.options})

    @classmethod
    def load(cls, path: Path, base: Split, depends: Mapping[str, Any] | None = None) -> "EditNetwork":
        """Reads a network that was trained for the last three FFNs of a backbone.

        Raises:
            ArtifactError: Missing, damaged, of another configuration, or for other matrices.
        """
        tensors, meta = load_tensors(path, depends)
        trained, asked = meta.get("matrices", {}), shapes(last_ffns(base))
        if trained != asked:
            raise ArtifactError(
                f"{path}: a network for the matrices {trained}, but {asked} are to be edited. Run rule train_editor again."
            )
        network = cls(trained, **meta["options"])
        network.load_state_dict(tensors)
        return network.eval().requires_grad_(False)


def shapes(split: Split) -> dict[str, list[int]]:
    """{name: [rows, columns]} of the sites' matrices."""
    return {name: list(weight.shape) for name, weight in split.weights.items()}
