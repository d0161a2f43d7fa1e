"""Anchors: pre-training images on which an edit shall change no prediction (refine_heads)."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from vitedit.errors import ArtifactError
from vitedit.model.vit import Split
from vitedit.tensors import load_tensors, save_tensors

BATCH = 64
"""Images a pass."""


@dataclass(frozen=True, eq=False)
class Anchors:
    """Images as the model's input, not what it makes of them: an edit of early blocks changes every later token."""

    images: Float[Tensor, "anchors 3 side side"]
    _tokens: dict[tuple[int, int], Tensor] = field(default_factory=dict, init=False, repr=False)

    def tokens(self, split: Split) -> Float[Tensor, "anchors tokens width"]:
        """Prefix tokens, computed once for each place where the model is cut: nothing before it may change between calls."""
        if split.point not in self._tokens:
            parts = self.images.split(BATCH)
            self._tokens[split.point] = torch.cat([split.prefix(part) for part in parts])
        return self._tokens[split.point]

    def save(self, path: Path, meta: Mapping[str, Any]) -> None:
        """Writes images and provenance."""
        save_tensors(path, {"images": self.images}, meta)

    @classmethod
    def load(cls, path: Path, base: Split, depends: Mapping[str, Any] | None = None) -> "Anchors":
        """Reads the anchors of a backbone.

        Raises:
            ArtifactError: Missing, damaged, of another configuration, or of another size than the model's input.
        """
        tensors, _ = load_tensors(path, depends)
        if "images" not in tensors:
            raise ArtifactError(
                f"{path}: not refine_heads's anchors; it holds {', '.join(tensors) or 'nothing'}. Run rule collect_statistics."
            )
        images, side = tensors["images"], base.vit.patch_embed.img_size
        if side is not None and not base.vit.dynamic_img_size and tuple(images.shape[2:]) != tuple(side):
            raise ArtifactError(
                f"{path}: anchors of {images.shape[2]} x {images.shape[3]} pixels there, but the model takes {side[0]} x "
                f"{side[1]}. Run rule collect_statistics again for this backbone."
            )
        return cls(images)
