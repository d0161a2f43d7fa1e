"""The published code's hypernetwork: its checkpoints as ours, and how it makes a mask of the network's scores."""

import hashlib
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from vitedit.errors import ArtifactError
from vitedit.model.checkpoints import read_weights
from vitedit.model.objectives import Labels
from vitedit.model.vit import Split
from vitedit.tensors import load_tensors
from vitedit.where.hypernet import SHARPNESS, Hypernet, predict_logits, score_units
from vitedit.where.masks import binarise

CLAMP = 1e-7
"""Soft masks stay inside [CLAMP, 1 - CLAMP] when the published code edits (deviation D12)."""
DEAD = "learn_masks"
"""A parameter of the published class that nothing reads (deviation D13)."""
BLOCK = {
    "norm1.{}": ("attention_norm.{}",),
    "attn.in_proj_{}": ("attn.query.{}", "attn.key.{}", "attn.value.{}"),
    "attn.out_proj.{}": ("attn.out.{}",),
    "norm2.{}": ("ffn_norm.{}",),
    "mlp.0.{}": ("ffn.fc1.{}",),
    "mlp.2.{}": ("ffn.fc2.{}",),
}
"""Our name of a block's weights or biases -> those of the published class, one above the other."""


def read_hypernet(path: Path, base: Split, heads: int) -> tuple[Hypernet, dict[str, Any]]:
    """A trained network for the sites of a backbone, and where it comes from: file and checksum, of both where we converted it.

    Args:
        path: A state dict of the published class, or a network that `Hypernet.save` wrote.
        base: The backbone, cut before the sites.
        heads: Attention heads of a state dict, which its weights do not tell; the published network has 6.

    Raises:
        ArtifactError: Missing, damaged, of another class, or for another width or other sites.
        ConfigError: The heads do not divide the width.
    """
    if not Path(path).is_file():
        raise ArtifactError(
            f"{path}: no such file. A hypernetwork is a state dict of the published class (.pth), or what `vitedit "
            "import-hypernet` or `vitedit meta-train` wrote (.safetensors)."
        )
    kept = load_tensors(path)[1] if Path(path).suffix == ".safetensors" else {}
    ours = "sizes" in kept
    network = Hypernet.load(path, base) if ours else convert(read_weights(path), base, heads, str(path))
    with Path(path).open("rb") as file:
        origin = {"file": str(path), "sha256": hashlib.file_digest(file, "sha256").hexdigest()}
    return network, origin | {key: kept[key] for key in ("imported",) if key in kept}


def _sizes(base: Split) -> dict[str, int]:
    return {site.name: site.size(base.vit) for site in base.sites}


def convert(state: Mapping[str, Tensor], base: Split, heads: int, source: str = "the state dict") -> Hypernet:
    """Our network with the weights of a state dict of the published class; the k-th mask is that of the k-th site (D4).

    Args:
        state: Keys as in the published class; any number of blocks, numbered from 0.
        base: The backbone, cut before the sites, which are in forward order.
        heads: Attention heads.
        source: What messages call the state dict.

    Raises:
        ArtifactError: Keys or shapes are not those of a network for this backbone and these sites, or a weight is not finite.
        ConfigError: The heads do not divide the width.
    """
    found = {name: value for name, value in state.items() if name != DEAD}
    if (token := found.get("cls_token")) is not None and token.shape[:-2].numel() == 1 and token.dim() > 2:
        found["cls_token"] = token.flatten(0, -2)  # kept with a batch axis
    blocks = len({match[1] for name in found if (match := re.match(r"layer\.(\d+)\.", name))})
    network = Hypernet(base.vit.embed_dim, _sizes(base), max(blocks, 1), heads)
    sources = _sources(network, max(blocks, 1))
    _check(found, network, sources, base, source)
    weights = {ours: torch.cat([found[name].float() for name in theirs]) for ours, theirs in sources.items()}
    network.load_state_dict(weights)
    return network.eval().requires_grad_(False)


def _sources(network: Hypernet, blocks: int) -> dict[str, tuple[str, ...]]:
    """Every tensor of ours -> the tensors of the published class that it is made of, one above the other."""
    sources: dict[str, tuple[str, ...]] = {"tokens": ("cls_token",)}
    for kind in ("weight", "bias"):
        for at in range(blocks):
            for ours, theirs in BLOCK.items():
                names = tuple(f"layer.{at}.{name.format(kind)}" for name in theirs)
                sources[f"blocks.{at}.{ours.format(kind)}"] = names
        for at in range(len(network.sizes)):
            sources[f"heads.{at}.{kind}"] = (f"out_layer.{at}.out.{kind}",)
    return sources


def _check(
    found: Mapping[str, Tensor],
    network: Hypernet,
    sources: Mapping[str, tuple[str, ...]],
    base: Split,
    source: str,
) -> None:
    """Refuses a state dict of another shape with what it is and what was expected."""
    ours = network.state_dict()
    asked = {
        name: (len(ours[key]) // len(theirs), *ours[key].shape[1:])
        for key, theirs in sources.items()
        for name in theirs
    }
    shapes = {name: tuple(tensor.shape) for name, tensor in found.items()}
    if wrong := [name for name in {**asked, **shapes} if shapes.get(name) != asked.get(name)]:
        details = [
            f"{name}: {shapes.get(name, 'absent')}, expected {asked.get(name, 'no such key')}"
            for name in wrong[:3]
        ]
        raise ArtifactError(
            f"{source} is no hypernetwork of the published class for this backbone. Found: {_describe(found)}. Expected: "
            f"width {base.vit.embed_dim}, any number of blocks, {len(base.sites)} masks of "
            f"{', '.join(map(str, dict.fromkeys(_sizes(base).values())))} units ({', '.join(_sizes(base))}). "
            f"{len(wrong)} keys differ, e.g. {'; '.join(details)}."
        )
    if bad := [name for name, tensor in found.items() if not tensor.isfinite().all()]:
        raise ArtifactError(f"{source}: NaN or infinite weights in {', '.join(bad[:3])}.")


def _describe(found: Mapping[str, Tensor]) -> str:
    """What a state dict seems to be, in words."""
    token = found.get("cls_token")
    heads = [tensor for name, tensor in found.items() if re.fullmatch(r"out_layer\.\d+\.out\.weight", name)]
    blocks = {match[1] for name in found if (match := re.match(r"layer\.(\d+)\.", name))}
    units = ", ".join(str(size) for size in dict.fromkeys(len(head) for head in heads)) or "no"
    width = token.shape[-1] if token is not None and token.dim() else "unknown"
    return f"width {width}, {len(blocks)} blocks, {len(heads)} masks of {units} units"


def mask_units(
    network: Hypernet,
    base: Split,
    images: Float[Tensor, "edits samples 3 side side"],
    labels: Labels,
    sparsity: float,
    reference: bool = False,
) -> Float[Tensor, "edits units"]:
    """Binary mask over the hidden units for each of E edits (paper eq. 6).

    With `reference` as in the published code: soft masks are ranked instead of logits, so that those at the clamp are equal, and
    the mask is what lies above the threshold (`binarise`). A network with k or more units at the upper end so leaves nothing to
    edit; without `reference` the logits still order them.
    """
    if not reference:
        return binarise(score_units(network, base, images, labels), sparsity)
    soft = (SHARPNESS * predict_logits(network, base, images, labels)).sigmoid().clamp(CLAMP, 1 - CLAMP)
    return binarise(soft.mean(1), sparsity, strict=True)
