"""The original JAX release's `.npz` checkpoints (ViT, AugReg, big_vision): timm converts, this file checks.

timm's converter leaves out what it cannot place (a head of another size, further blocks) and resamples patches and
positions unasked. So the file is compared with the model first, and every parameter is looked at afterwards.
"""

import io
import math
import re
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from timm.models.vision_transformer import VisionTransformer

from vitedit.errors import ArtifactError
from vitedit.npy_files import read_header
from vitedit.zips import check_members, read_member

Arrays = dict[str, np.ndarray]
ROOTS = ("", "opt/target/", "params/", "params/img/")
"""Where the releases keep an image model's weights."""


def fill_from_npz(model: VisionTransformer, path: Path, resample: bool) -> None:
    """Puts the weights of a `.npz` file into a model.

    Args:
        model: What is filled; its parameters are of no use after an error.
        path: The file; pickled objects in it are not read.
        resample: Whether position embeddings of another grid are resampled; otherwise they are refused.

    Raises:
        ArtifactError: Damaged, of another layout, type or architecture, or NaN in it.
    """
    arrays = _read(path)
    _compare(model, arrays, path, resample)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.fill_(math.nan)
    try:
        with path.open("rb") as stream:  # timm does not close what it opens
            model.load_pretrained(cast("Any", stream))
    except Exception as error:  # timm's converter takes any shape for granted
        raise ArtifactError(f"{path} is no checkpoint of this model: {error}") from None
    empty = [name for name, parameter in model.named_parameters() if not parameter.isfinite().all()]
    if empty:
        raise ArtifactError(
            f"{path} has nothing for {len(empty)} of the model's parameters, e.g. {', '.join(empty[:3])}."
        )


def _read(path: Path) -> Arrays:
    """The image model's arrays, by their names below the root."""
    try:
        with zipfile.ZipFile(path) as archive:
            check_members(archive, path.stat().st_size)
            arrays: Arrays = {
                member.filename.removesuffix(".npy"): _array(archive, member) for member in archive.infolist()
            }
    except Exception as error:  # readers raise almost anything of damaged files
        raise ArtifactError(f"{path}: damaged, or more than arrays in it ({error}).") from None
    roots = [root for root in ROOTS if f"{root}embedding/kernel" in arrays]
    if not roots:
        raise ArtifactError(
            f"{path}: no weights of a ViT in the JAX release's names (no `embedding/kernel` among {len(arrays)} arrays)."
        )
    root = roots[0]
    if odd := [name for name, array in arrays.items() if name.startswith(root) and array.dtype.kind != "f"]:
        kind = arrays[odd[0]].dtype
        raise ArtifactError(
            f"{path}: {odd[0]} is of type {kind}; save floating-point numbers that NumPy knows (float32)."
        )
    return {name.removeprefix(root): array for name, array in arrays.items() if name.startswith(root)}


def _array(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> np.ndarray:
    """An array; not by `np.load`, which unpacks without end what is none, and reserves what a header asks for."""
    stream = io.BytesIO(read_member(archive, member, member.file_size))
    read_header(stream, member.file_size)
    stream.seek(0)
    return np.lib.format.read_array(stream, allow_pickle=False)


def _compare(model: VisionTransformer, arrays: Arrays, path: Path, resample: bool) -> None:
    """Refuses a file whose sizes, or number of weights, are not the model's."""
    try:
        found, asked = _sizes_in(arrays), _sizes_of(model)
    except (LookupError, TypeError) as error:
        raise ArtifactError(f"{path}: arrays of a ViT with axes that none has ({error}).") from None
    if resample:
        found["positions"] = asked["positions"]
    wrong = [
        f"{what}: {found[what]} in the file, {asked[what]} in the model"
        for what in asked
        if asked[what] != found[what]
    ]
    table = 0 if model.pos_embed is None else model.pos_embed.numel()
    asked_weights = sum(parameter.numel() for parameter in model.parameters()) - table
    found_weights = sum(array.size for name, array in arrays.items() if not name.endswith("pos_embedding"))
    if not wrong and asked_weights != found_weights:
        wrong = [
            f"weights without position embeddings: {found_weights} in the file, {asked_weights} in the model"
        ]
    if any(name.startswith("pre_logits/") for name in arrays):
        wrong.append("a layer before the head (pre_logits), which timm's model has not")
    if wrong:
        raise ArtifactError(
            f"{path} is no checkpoint of this model. {'; '.join(wrong)}. `architecture` sets num_classes, depth, num_heads, "
            "embed_dim, patch_size, and img_size (another one than the file's has its position embeddings resampled)."
        )
    if bad := [name for name, array in arrays.items() if not np.isfinite(array).all()]:
        raise ArtifactError(f"{path}: NaN or infinite weights in {', '.join(bad[:3])}.")


def _sizes_of(model: VisionTransformer) -> dict[str, object]:
    rows, columns = model.patch_embed.proj.weight.shape[-2:]
    return {
        "classes": model.num_classes,
        "blocks": len(model.blocks),
        "attention heads": [block.attn.num_heads for block in cast("Any", model.blocks)][:1],
        "width": model.embed_dim,
        "patch": (rows, columns),
        "positions": None if model.pos_embed is None else model.pos_embed.shape[1],
    }


def _sizes_in(arrays: Mapping[str, np.ndarray]) -> dict[str, object]:
    stacked = arrays.get("Transformer/encoderblock/LayerNorm_0/scale")
    numbered = {
        found[0] for name in arrays if (found := re.match(r"Transformer/encoderblock_\d+(?=/)", name))
    }
    kernel, head = arrays["embedding/kernel"], arrays.get("head/bias")
    tables = [array for name, array in arrays.items() if name.endswith("pos_embedding")]
    return {
        "classes": None if head is None else head.shape[-1],
        "blocks": len(numbered) if stacked is None else len(stacked),
        "attention heads": sorted(
            {a.shape[-2] for name, a in arrays.items() if name.endswith("/query/kernel")}
        ),
        "width": kernel.shape[-1],
        "patch": tuple(kernel.shape[:2]),
        "positions": tables[0].shape[-2] if tables else None,
    }
