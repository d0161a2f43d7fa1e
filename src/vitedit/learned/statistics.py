"""What two methods know of the pre-training images: T-Patcher's memory and ROME's second moment of keys."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float, Float64
from torch import Tensor

from vitedit.errors import ArtifactError, ImageError, NumericalError
from vitedit.model.last_block import LastBlock
from vitedit.model.vit import Split
from vitedit.tensors import load_tensors, save_tensors


@dataclass(frozen=True, eq=False)
class Memory:
    """Queries on which an added neuron stays silent (T-Patcher, Huang et al. 2023)."""

    queries: Float[Tensor, "images width"]
    """Inputs of the last FFN at the CLS token."""

    def save(self, path: Path, meta: Mapping[str, Any]) -> None:
        """Writes queries and provenance."""
        save_tensors(path, {"queries": self.queries}, meta)

    @classmethod
    def load(cls, path: Path, base: Split, depends: Mapping[str, Any] | None = None) -> "Memory":
        """Reads the memory of a backbone.

        Raises:
            ArtifactError: Missing, damaged, of another configuration, or of another width.
        """
        tensors, _ = load_tensors(path, depends)
        return cls(of_width(path, tensors, "queries", base.vit.embed_dim, "T-Patcher's memory"))


@dataclass(frozen=True, eq=False)
class Covariance:
    """Uncentred second moment C = E[k k^T] of the keys of the last fc2 at the CLS token (ROME, Meng et al. 2022)."""

    second_moment: Float64[Tensor, "hidden hidden"]
    count: int
    """Images that it is the mean of."""
    _factors: dict[float, Tensor] = field(default_factory=dict, init=False, repr=False)

    def solve(self, keys: Float[Tensor, "edits hidden"], ridge: float) -> Float64[Tensor, "edits hidden"]:
        """(C + ridge * mean(diag C) * I)^-1 k of many keys, in float64 on the CPU; one factorisation for each ridge.

        Raises:
            NumericalError: The ridge is too small for the number of images.
        """
        if ridge not in self._factors:
            self._factors[ridge] = self._factor(ridge)
        return torch.cholesky_solve(keys.to("cpu", torch.float64).T, self._factors[ridge]).T

    def _factor(self, ridge: float) -> Float64[Tensor, "hidden hidden"]:
        diagonal = self.second_moment.diagonal().mean() * torch.ones(len(self.second_moment)).double()
        factor, failed = torch.linalg.cholesky_ex(self.second_moment + ridge * diagonal.diag())
        if bool(failed):
            raise NumericalError(
                f"the second moment of {self.count} keys of size {len(self.second_moment)} cannot be inverted with "
                f"ridge {ridge}; raise `ridge`, or `statistics.max_images`."
            )
        return factor

    def save(self, path: Path, meta: Mapping[str, Any]) -> None:
        """Writes the matrix in float64 (what it serves for is its small eigenvalues), the count and provenance."""
        save_tensors(path, {"second_moment": self.second_moment}, {**meta, "count": self.count})

    @classmethod
    def load(cls, path: Path, base: Split, depends: Mapping[str, Any] | None = None) -> "Covariance":
        """Reads the second moment of a backbone.

        Raises:
            ArtifactError: Missing, damaged, of another configuration, or of another size.
        """
        tensors, meta = load_tensors(path, depends)
        moment = of_width(path, tensors, "second_moment", LastBlock.of(base).hidden, "ROME's covariance")
        return cls(moment, int(meta.get("count", 0)))


def collect(last: LastBlock, batches: Iterable[Float[Tensor, "_ 3 side side"]]) -> tuple[Memory, Covariance]:
    """One pass over images.

    Args:
        last: The backbone.
        batches: Images as the model's input.

    Raises:
        ImageError: There is no image.
        NumericalError: An activation is NaN or infinite.
    """
    queries, hidden = list[Tensor](), last.hidden
    total = torch.zeros(hidden, hidden, dtype=torch.float64, device=last.split.device)
    for images in batches:
        query = last.query(last.cls(images))
        key = last.key(query).double()
        total += key.T @ key
        queries.append(query.cpu())
    if not queries:
        raise ImageError("statistics: no images are left to collect from; give more in `statistics.images`.")
    if not total.isfinite().all():
        raise NumericalError(
            "activations of the last FFN are not finite; the checkpoint or `transform` is wrong."
        )
    memory = Memory(torch.cat(queries))
    count = len(memory.queries)
    return memory, Covariance((total / count).cpu(), count)


def of_width(path: Path, tensors: Mapping[str, Tensor], name: str, width: int, what: str) -> Tensor:
    """A tensor whose last axis is as wide as the backbone asks for."""
    found = tensors[name].shape[-1] if name in tensors else None
    if found != width:
        raise ArtifactError(
            f"{path}: {what} for a backbone of size {found} there, but the last FFN asks for {width}. "
            "Run rule collect_statistics again for this backbone."
            if found
            else f"{path}: not {what}; it holds {', '.join(tensors) or 'nothing'}. Run rule collect_statistics."
        )
    return tensors[name]
