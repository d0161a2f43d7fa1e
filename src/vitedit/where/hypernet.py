"""The hypernetwork: from the CLS token of an image to a score for every hidden unit of every site (paper section 3.2)."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from vitedit.errors import ArtifactError, ConfigError
from vitedit.model.objectives import Labels, per_sample
from vitedit.model.patch import SHORT, checksum
from vitedit.model.sites import Site
from vitedit.model.vit import Split
from vitedit.tensors import load_tensors, save_tensors
from vitedit.where.masks import Masks, join

SHARPNESS = 3.0
"""c of the gradient-friendly binarisation m = sigmoid(c h) (paper eq. 4); 3 in the published network."""
CLAMP = 1e-5
"""Soft masks stay inside [CLAMP, 1 - CLAMP]; one value for training and editing (deviation D12)."""
REMEDY = "Train one for this model and these sites: rule meta_train of a run, or `vitedit train-hypernet`."
"""What to do about a network that was trained for something else."""


class HyperBlock(nn.Module):
    """Pre-norm transformer block whose FFN keeps the width."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width, eps=1e-6)
        self.attn = nn.MultiheadAttention(width, heads, batch_first=True)
        self.norm2 = nn.LayerNorm(width, eps=1e-6)
        self.mlp = nn.Sequential(nn.Linear(width, width), nn.GELU(), nn.Linear(width, width))

    def forward(self, tokens: Float[Tensor, "images tokens width"]) -> Float[Tensor, "images tokens width"]:
        """x + attn(norm(x)), then x + mlp(norm(x))."""
        normed = self.norm1(tokens)
        tokens = tokens + self.attn(normed, normed, normed, need_weights=False)[0]
        return tokens + self.mlp(self.norm2(tokens))


class Hypernet(nn.Module):
    """One learnable token a mask beside the image's CLS token; a head a mask reads its token (published code).

    The published network's dead parameter is left out (D13) and every width follows the backbone (D27).

    Args:
        width: Width of the backbone.
        sizes: Site name -> number of its hidden units.
        blocks: Transformer blocks.
        heads: Attention heads.
        tied: Let the sites of one module share a mask.
        classes: Of the right class a token is shown, one of so many; 0: the network sees the image only, as published (D30).
    """

    def __init__(
        self,
        width: int,
        sizes: Mapping[str, int],
        blocks: int,
        heads: int,
        tied: bool = False,
        classes: int = 0,
    ) -> None:
        super().__init__()
        if width % heads:
            raise ConfigError(f"meta_train.heads: {heads} heads do not divide the backbone's width {width}.")
        self.sizes = dict(sizes)
        self.shape = {"width": width, "blocks": blocks, "heads": heads, "tied": tied, "classes": classes}
        self.mask_of = {name: Site(name, 0).module if tied else name for name in sizes}
        masks = {self.mask_of[name]: size for name, size in sizes.items()}
        self.tokens = nn.Parameter(torch.zeros(len(masks), width))
        self.blocks = nn.Sequential(*(HyperBlock(width, heads) for _ in range(blocks)))
        self.heads = nn.ModuleList(nn.Linear(width, size) for size in masks.values())
        self.labels = nn.Embedding(classes, width) if classes else None
        if self.labels is not None:
            nn.init.zeros_(self.labels.weight)

    @classmethod
    def for_sites(
        cls,
        model: nn.Module,
        sites: Sequence[Site],
        width: int,
        blocks: int,
        heads: int,
        tied: bool = False,
        classes: int = 0,
    ) -> "Hypernet":
        """A network with random weights for the given sites of a backbone."""
        sizes = {site.name: site.size(model) for site in sites}
        return cls(width, sizes, blocks, heads, tied, classes)

    def forward(self, cls: Float[Tensor, "images width"], labels: Int[Tensor, "images"]) -> Masks:
        """Logits h of every site's mask, {site name: (B, H)}; the soft mask is `soften(h)`.

        Only a network with `classes` looks at the labels.
        """
        shown = [cls] if self.labels is None else [cls, self.labels(labels)]
        tokens = torch.cat([self.tokens.expand(len(cls), -1, -1), torch.stack(shown, dim=1)], dim=1)
        tokens = self.blocks(tokens)
        masks = dict.fromkeys(self.mask_of.values())
        heads = zip(masks, self.heads, strict=True)
        logits = {name: head(tokens[:, i]) for i, (name, head) in enumerate(heads)}
        return {site: logits[mask] for site, mask in self.mask_of.items()}

    def save(self, path: Path, meta: Mapping[str, Any]) -> None:
        """Writes weights, shape and provenance; under `base_model` that may have the checksum of the model it was trained for."""
        save_tensors(path, self.state_dict(), {**meta, "shape": self.shape, "sizes": self.sizes})

    @classmethod
    def load(cls, path: Path, base: Split, depends: Mapping[str, Any] | None = None) -> "Hypernet":
        """Reads a network that was trained for exactly the sites of a backbone.

        Raises:
            ArtifactError: Missing, damaged, of another configuration, for other sites, or for another model.
        """
        tensors, meta = load_tensors(path, depends)
        names = [site.name for site in base.sites]
        sizes = meta.get("sizes")
        trained = list(sizes) if isinstance(sizes, dict) else []
        if trained != names:
            raise ArtifactError(
                f"{path}: a hypernetwork for the sites {', '.join(trained) or 'of no model'}, but {', '.join(names)} are to be "
                f"edited. {REMEDY}"
            )
        try:
            _check_shapes(cls, meta, tensors)
            network = cls(sizes=meta["sizes"], **meta["shape"])
            network.load_state_dict(tensors)
        except (LookupError, TypeError, ValueError, RuntimeError, ArithmeticError) as error:
            raise ArtifactError(f"{path}: its weights are not of the shape that it says ({error}).") from None
        _check_model(path, network, base, meta.get("base_model"))
        return network.eval().requires_grad_(False)


def _check_model(path: Path, network: Hypernet, base: Split, trained_for: object) -> None:
    """Refuses a network for another model: by its shape, and by checksum where the file has one."""
    width, sizes = base.vit.embed_dim, {site.name: site.size(base.vit) for site in base.sites}
    if (network.shape["width"], network.sizes) != (width, sizes):
        raise ArtifactError(
            f"{path}: a hypernetwork of width {network.shape['width']} for {network.sizes}; the backbone has width "
            f"{width} and {sizes}. It was trained for another backbone. {REMEDY}"
        )
    if trained_for is not None and trained_for != (own := checksum(base.vit.state_dict())):
        raise ArtifactError(
            f"{path}: a hypernetwork for the base model with checksum {str(trained_for)[:SHORT]}, but this model's is "
            f"{own[:SHORT]}. {REMEDY}"
        )


def _check_shapes(cls: type[Hypernet], meta: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> None:
    """Raises ValueError for weights of another shape than the file says, before a network of that shape takes memory."""
    if odd := [one for part in ("sizes", "shape") for one in meta[part].values() if not isinstance(one, int)]:
        raise ValueError(f"{odd[0]!r} in place of a number")
    if not 0 < meta["shape"]["blocks"] <= len(tensors):
        raise ValueError(f"{meta['shape']['blocks']} blocks in {len(tensors)} tensors")
    with torch.device("meta"):
        asked = cls(sizes=meta["sizes"], **meta["shape"]).state_dict()
    if {name: one.shape for name, one in asked.items()} != {name: one.shape for name, one in tensors.items()}:
        raise ValueError("other tensors")


def soften(
    logits: Float[Tensor, "*images units"], sharpness: float = SHARPNESS
) -> Float[Tensor, "*images units"]:
    """Soft mask sigmoid(c h), kept off 0 and 1 (paper eq. 4)."""
    return (sharpness * logits).sigmoid().clamp(CLAMP, 1 - CLAMP)


@torch.no_grad()
def predict_logits(
    network: Hypernet,
    base: Split,
    images: Float[Tensor, "edits samples 3 side side"],
    labels: Labels,
) -> Float[Tensor, "edits samples units"]:
    """Mask logits of every sample of E edits."""
    each = per_sample(labels, images.shape[1]).flatten().to(base.device)
    return join(network.to(base.device)(base.cls(images.flatten(0, 1)), each)).unflatten(0, images.shape[:2])


def combine(logits: Float[Tensor, "edits samples units"]) -> Float[Tensor, "edits units"]:
    """One score for every hidden unit: with several samples the mean of their soft masks (published code).

    One sample's logits are ranked as they are: the soft mask would tie where it is clamped.
    """
    return logits[:, 0] if logits.shape[1] == 1 else soften(logits).mean(1)


def score_units(
    network: Hypernet,
    base: Split,
    images: Float[Tensor, "edits samples 3 side side"],
    labels: Labels,
) -> Float[Tensor, "edits units"]:
    """Score of every hidden unit for E edits."""
    return combine(predict_logits(network, base, images, labels))
