"""Checkpoints: the weights of any usual file, put into a model exactly or refused with the reason.

No parameter keeps its random start: every one comes from the file, in the file's shape. The one exception is asked for by
name: position embeddings are resampled where the configuration sets another `img_size`.
"""

import argparse
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import torch
from safetensors.torch import load_file
from timm.models import clean_state_dict
from timm.models.vision_transformer import VisionTransformer, checkpoint_filter_fn
from torch import Tensor

from vitedit.config import ModelConfig
from vitedit.errors import ArtifactError
from vitedit.model.jax_release import fill_from_npz
from vitedit.model.torch_files import check

WRAPPERS = ("model", "state_dict", "model_state", "model_state_dict")
"""Keys that training scripts keep the weights under, beside the optimiser's state."""
NUMBERS = {
    *(torch.float64, torch.float32, torch.bfloat16, torch.float16),
    *(torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8, torch.bool),
}
"""Types that weights and the counters beside them are stored in; PyTorch can load others, but not compute with them."""
UNTRANSLATABLE = (LookupError, RuntimeError, ValueError, TypeError, AttributeError, AssertionError)


def fill(model: VisionTransformer, path: Path, config: ModelConfig) -> None:
    """Puts a checkpoint's weights into a model.

    Files in other names than timm's (DINOv2, DeiT III, CLIP and others) are translated by timm.

    Raises:
        ArtifactError: The checkpoint is missing, damaged, or of another architecture.
    """
    _require(path, config)
    resample = "img_size" in (config.architecture or {})
    if path.suffix == ".npz":
        fill_from_npz(model, path, resample)
        return
    weights = _translate(model, read_weights(path))
    if resample:
        weights = _resample(model, weights)
    _compare(model, weights, path, config)
    if bad := [name for name, tensor in weights.items() if not tensor.isfinite().all()]:
        raise ArtifactError(f"{path}: NaN or infinite weights in {_some(bad)}.")
    model.load_state_dict(weights)


def _require(path: Path, config: ModelConfig | None = None) -> None:
    """Refuses a path without a file.

    Raises:
        ArtifactError: There is none; with the command that brings it.
    """
    if path.is_file():
        return
    if config is not None and config.weights == "hub":
        raise ArtifactError(f"{path}: no such checkpoint. `snakemake fetch` downloads it (`weights: hub`).")
    raise ArtifactError(
        f"{path}: no such checkpoint. Released ones come with `dvc pull`, those of the embedded world's own training with "
        "`snakemake models`; your own lie where the model's `checkpoint` says."
    )


def read_weights(path: Path) -> dict[str, Tensor]:
    """Tensors of a `.safetensors` file, or of one that PyTorch saved (`.pth`, `.pt`, `.bin`); no code in it is run.

    Weights may lie under one of `WRAPPERS`, and their names may begin with `module.` or `_orig_mod.`.

    Raises:
        ArtifactError: Missing, damaged, or with something else in it.
    """
    _require(path)
    try:
        state = load_file(path) if path.suffix == ".safetensors" else _unpickle(path)
    except Exception as error:  # readers raise almost anything of damaged files
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise ArtifactError(
            f"{path}: damaged, or more than tensors in it ({reason}). Of a file that you trust, save the weights alone: "
            "`torch.save(model.state_dict(), FILE)`."
        ) from None
    for _ in WRAPPERS:  # not for ever: a file may hold itself
        inner = [state[key] for key in WRAPPERS if key in state] if isinstance(state, Mapping) else []
        state = inner[0] if inner else state
    if not isinstance(state, Mapping) or not state:
        raise ArtifactError(f"{path}: a {type(state).__name__} in place of named tensors (a state dict).")
    if others := [str(name) for name, value in state.items() if not _is_weight(name, value)]:
        raise ArtifactError(
            f"{path}: no tensors under {_some(others)}; weights are looked for at the top or under {', '.join(WRAPPERS)}."
        )
    return clean_state_dict(dict(state))


def _is_weight(name: object, value: object) -> bool:
    """Whether a value is a named tensor of numbers, each of them in the file.

    A tensor may repeat what is stored, and so take more memory than there is, once it is read.
    """
    if not isinstance(name, str) or not isinstance(value, Tensor):
        return False
    plain = value.layout is torch.strided and value.device.type == "cpu" and value.dtype in NUMBERS
    return plain and value.numel() * value.element_size() <= value.untyped_storage().nbytes()


def _unpickle(path: Path) -> Any:
    """Training scripts store their arguments beside the weights: plain data, unlike anything else that is no tensor."""
    check(path)
    with torch.serialization.safe_globals([argparse.Namespace]):
        return torch.load(path, map_location="cpu", weights_only=True)


def _translate(model: VisionTransformer, weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """Released names as timm's, by timm's own converter; as they are where they are timm's, or nobody's.

    The converter resamples patches and positions of other sizes unasked, and drops a layer before the head: it sees a model
    without position embeddings, and no file whose patches or layers differ.
    """
    own = model.state_dict()
    if weights.keys() == own.keys() or _kernels(weights) != _kernels(own):
        return weights
    if any("pre_logits" in name for name in weights):
        return weights
    stand_in = SimpleNamespace(
        pos_embed=None,
        head=model.head,
        patch_embed=model.patch_embed,
        num_prefix_tokens=model.num_prefix_tokens,
    )
    try:
        return checkpoint_filter_fn(
            dict(weights), cast("VisionTransformer", stand_in), adapt_layer_scale=True
        )
    except UNTRANSLATABLE:
        return weights


def _kernels(weights: Mapping[str, Tensor]) -> list[tuple[int, ...]]:
    """Sizes of all convolution kernels."""
    return sorted(tuple(tensor.shape[-2:]) for tensor in weights.values() if tensor.dim() == 4)


def _resample(model: VisionTransformer, weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """Position embeddings on the model's grid, by timm, which logs it."""
    kernel, table = weights.get("patch_embed.proj.weight"), weights.get("pos_embed")
    if kernel is None or table is None or model.pos_embed is None or table.shape == model.pos_embed.shape:
        return weights
    try:
        fitted = checkpoint_filter_fn({"patch_embed.proj.weight": kernel, "pos_embed": table}, model)
    except UNTRANSLATABLE:  # no square grid; the comparison of shapes says so
        return weights
    return {**weights, "pos_embed": fitted["pos_embed"]}


def _compare(
    model: VisionTransformer, weights: Mapping[str, Tensor], path: Path, config: ModelConfig
) -> None:
    """Refuses weights that are not exactly the model's."""
    asked = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
    found = {name: tuple(tensor.shape) for name, tensor in weights.items()}
    wrong = [name for name in sorted(asked.keys() | found.keys()) if asked.get(name) != found.get(name)]
    if not wrong:
        return
    shown = [
        f"{name}: {found.get(name, 'absent')} in the file, {asked.get(name, 'absent')} in the model"
        for name in wrong[:3]
    ]
    raise ArtifactError(
        f"{path} is no checkpoint of {config.name} {json.dumps(config.architecture or {})}: "
        f"{len(wrong)} tensors differ, e.g. {'; '.join(shown)}.{_advice(wrong, found)}"
    )


def _advice(wrong: Iterable[str], found: Mapping[str, tuple[int, ...]]) -> str:
    """What to do where only the head or the position embeddings differ."""
    parts = {name.split(".")[0] for name in wrong}
    if not parts <= {"head", "pos_embed"}:
        return ""
    advice = ""
    if "head" in parts and "head.weight" not in found:
        advice += " The file is a backbone without a head; only a trained classifier can be edited."
    elif "head" in parts:
        advice += f" The file has {found['head.weight'][0]} classes: set `architecture: {{num_classes: ...}}` to that."
    if "pos_embed" in parts and "pos_embed" in found:
        advice += (
            " The file was trained on another input size: set `architecture: {img_size: ...}` to it, or to the size of "
            "your images to have the position embeddings resampled."
        )
    return advice


def _some(names: list[str]) -> str:
    return ", ".join(names[:3]) + (" ..." if len(names) > 3 else "")
