"""Where X-Edit may write: three blocks, and the directions of their FFNs' keys that known images do not use."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float, Float64
from torch import Tensor

from vitedit.errors import ArtifactError, ImageError, NumericalError
from vitedit.learned.statistics import of_width
from vitedit.learned.tracing import strongest, trace
from vitedit.model.factors import recorded
from vitedit.model.last_block import LastBlock
from vitedit.model.vit import Split
from vitedit.tensors import load_tensors, save_tensors

BLOCKS = 3
"""Blocks that are edited (X-Edit); all of a model that has fewer."""


@dataclass(frozen=True, eq=False)
class NullSpace:
    """Eigenvectors of the second moments E[k k^T] of anchors' keys, inputs of fc2 at the CLS token (X-Edit, AlphaEdit)."""

    blocks: list[int]
    """Blocks with the greatest effects, 0-based, in forward order."""
    effects: Float[Tensor, "depth"]
    """Average indirect effect of every block of the model."""
    values: Float64[Tensor, "blocks hidden"]
    """Eigenvalues, ascending."""
    vectors: Float64[Tensor, "blocks hidden hidden"]
    """Eigenvectors, as columns."""
    count: int
    """Anchors."""

    def scale(self, block: int) -> float:
        """Mean eigenvalue of a block, which is the mean of its second moment's diagonal: the unit of thresholds and ridges."""
        return float(self.values[self.blocks.index(block)].mean())

    def free(
        self, block: int, keys: Float[Tensor, "*samples hidden"], threshold: float
    ) -> Float64[Tensor, "*samples hidden"]:
        """P k: keys without what lies along directions whose eigenvalue is `threshold * scale(block)` or more.

        In float64 on the CPU: what remains of a key is small beside the key.

        Raises:
            NumericalError: No eigenvalue is below the threshold.
        """
        at = self.blocks.index(block)
        taken = self.values[at] >= threshold * self.scale(block)
        if bool(taken.all()):
            raise NumericalError(
                f"block {block}: the keys of {self.count} anchors use all {len(taken)} directions at threshold {threshold}, "
                "so that none is left to edit in; raise `threshold`, or collect from fewer `statistics.anchors`."
            )
        exact, used = keys.to("cpu", torch.float64), self.vectors[at][:, taken]
        return exact - exact @ used @ used.T

    def save(self, path: Path, meta: Mapping[str, Any]) -> None:
        """Writes directions in float64, the effects that chose the blocks, and provenance."""
        tensors = {"effects": self.effects, "values": self.values, "vectors": self.vectors}
        save_tensors(path, tensors, {**meta, "blocks": self.blocks, "count": self.count})

    @classmethod
    def load(cls, path: Path, base: Split, depends: Mapping[str, Any] | None = None) -> "NullSpace":
        """Reads the directions of a backbone.

        Raises:
            ArtifactError: Missing, damaged, of another configuration, size or depth.
            ConfigError: The model has no CLS read-out.
        """
        tensors, meta = load_tensors(path, depends)
        vectors = of_width(path, tensors, "vectors", LastBlock.of(base).hidden, "X-Edit's null space")
        blocks, depth = meta.get("blocks", []), len(base.vit.blocks)
        effects, values = (tensors.get(name, torch.empty(0)) for name in ("effects", "values"))
        if len(effects) != depth:
            raise ArtifactError(
                f"{path}: X-Edit's null space for a backbone of {len(effects)} blocks, but this one has {depth}. "
                "Run rule collect_statistics again for this backbone."
            )
        if not vectors.shape == (len(blocks), *values.shape[1:], values.shape[-1]) or not len(blocks):
            raise ArtifactError(
                f"{path}: X-Edit's null space of {len(blocks)} blocks, with eigenvalues {tuple(values.shape)} and eigenvectors "
                f"{tuple(vectors.shape)}, which do not belong together. Run rule collect_statistics again."
            )
        return cls(list(blocks), effects, values, vectors, int(meta.get("count", 0)))


def collect_null_space(
    last: LastBlock,
    traced: Float[Tensor, "images 3 side side"],
    anchors: Iterable[Float[Tensor, "_ 3 side side"]],
    seed: int,
) -> NullSpace:
    """Traces the blocks first, so that moments of the chosen ones alone are ever held.

    Args:
        last: The backbone.
        traced: Images for causal tracing.
        anchors: Images whose outputs an edit shall leave as they are, in batches.
        seed: Of the tracing's noise.

    Raises:
        ImageError: There is no image.
        NumericalError: An activation is NaN or infinite.
    """
    if not len(traced):
        raise ImageError("statistics: no images are left to trace; give more in `statistics.images`.")
    effects = trace(last.split, traced, seed)
    blocks = strongest(effects, BLOCKS)
    moments, count = _moments(last.split, blocks, anchors)
    if not (effects.isfinite().all() and moments.isfinite().all()):
        raise NumericalError(
            f"activations of the FFNs in blocks {blocks} are not finite; the checkpoint or `transform` is wrong."
        )
    values, vectors = torch.linalg.eigh(moments.cpu())
    return NullSpace(blocks, effects, values, vectors, count)


@torch.no_grad()
def _moments(
    base: Split, blocks: list[int], batches: Iterable[Float[Tensor, "_ 3 side side"]]
) -> tuple[Float64[Tensor, "blocks hidden hidden"], int]:
    """E[k k^T] of the blocks' keys at the CLS token, and the number of images."""
    names = [f"blocks.{block}.mlp.fc2" for block in blocks]
    hidden = base.vit.get_parameter(f"{names[0]}.weight").shape[1]
    total = torch.zeros(len(blocks), hidden, hidden, dtype=torch.float64, device=base.device)
    count = 0
    for images in batches:
        with recorded(base.vit, names) as seen:
            base.vit.forward_features(images.to(base.device))
        keys = torch.stack([seen[name][0][:, 0] for name in names]).double()
        total += keys.mT @ keys
        count += len(images)
    return total / max(count, 1), count
