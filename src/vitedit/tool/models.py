"""The model that is edited: a name of timm with weights from the hub, or a file of weights; and how it sees an image."""

import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Literal, cast

import timm
import torch
from pydantic import TypeAdapter, ValidationError
from safetensors import safe_open
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor

from vitedit.artifacts import KEY, read_meta
from vitedit.config import ModelConfig, Scalar, TransformConfig
from vitedit.data.download import repository_of
from vitedit.errors import ArtifactError, ConfigError, UnknownNameError, ViteditError
from vitedit.model import vit as base
from vitedit.model.about import Checksum, ModelRecord
from vitedit.tensors import save_tensors

WEIGHTS = frozenset({".safetensors", ".pth", ".pt", ".bin", ".npz"})
AFTER = "after"
"""Key of a checkpoint's history."""
HISTORY = TypeAdapter(tuple[Checksum, ...])
KEY_OF_A_RUN = re.compile(r"`architecture: \{(\w+): ([^}]+)\}`")
"""How messages say what a run's configuration should have."""
Transform = TransformConfig | Literal["timm", "published"]


def load_vit(
    name: str,
    *,
    checkpoint: str | Path | None = None,
    architecture: Mapping[str, Scalar] | None = None,
    transform: Transform = "timm",
    device: str | torch.device = "cpu",
) -> VisionTransformer:
    """A frozen pre-trained ViT of timm in evaluation mode, ready to be edited.

    Args:
        name: timm's name of the model, as `deit_tiny_patch16_224` or `vit_base_patch16_224.augreg_in21k_ft_in1k`.
        checkpoint: Its weights (docs/models.md: which files are read); without it those of timm's name, from the hub.
        architecture: Arguments of `timm.create_model` that differ from the named model's, as `{"num_classes": 12}`.
        transform: From image to input: as timm evaluates the model, as the paper's code does (`published`), or written out.
        device: Where to compute.

    Raises:
        ConfigError: timm has no such model, or it is no plain ViT classifier that can be edited.
        ArtifactError: The weights are missing, damaged, of another architecture, or cannot be downloaded.

    Example:
        >>> model = vitedit.load_vit("vit_tiny_patch16_224", checkpoint=weights, architecture=architecture)
        >>> model(pixels).shape
        torch.Size([1, 5])
    """
    if (similar := _unknown(name)) is not None:
        raise UnknownNameError(f"'{name}' is no model of timm.{similar}")
    config = _config(name, Path(checkpoint or "hub"), architecture or {}, transform)
    path = Path(checkpoint) if checkpoint else _from_hub(config)
    if not path.is_file():
        raise ArtifactError(f"{path}: no such file.")
    vit = base.load_vit(config, path, torch.device(device))
    record = ModelRecord(name=name, architecture=dict(architecture or {}), transform=config.transform)
    _timm_record(vit).update({KEY: record.model_dump(mode="json"), AFTER: history(path)})
    return vit


def open_model(
    model: str, architecture: list[str] | None, device: torch.device, known: ModelRecord | None = None
) -> VisionTransformer:
    """The model that a command line names.

    Args:
        model: A file of weights, or a name of timm.
        architecture: timm's name of the file's architecture and `KEY=VALUE` arguments of it.
        device: Where to compute.
        known: What a patch says of the model.

    Raises:
        ConfigError: It is unclear which architecture a file has; as `load_vit`.
        UnknownNameError: Neither a file nor a name of timm.
    """
    path = Path(model)
    if not path.exists():
        if path.suffix in WEIGHTS:
            raise ArtifactError(f"{path}: no such file.")
        return _named(model, architecture, device)
    record = _asked(architecture) or described(path) or known
    if record is None:
        raise ConfigError(
            f"{path}: the file does not say which architecture it has. Add `--architecture NAME` with timm's name, as "
            "`--architecture vit_base_patch16_224`, and what differs from it, as `num_classes=12`."
        )
    with _in_flags(record.name):
        return load_vit(
            record.name,
            checkpoint=path,
            architecture=record.architecture,
            transform=record.transform,
            device=device,
        )


@contextmanager
def _in_flags(name: str) -> Iterator[None]:
    """Lets messages name the flag where they name a key of a run's configuration."""
    try:
        yield
    except ViteditError as error:
        said = KEY_OF_A_RUN.sub(lambda key: f"`--architecture {name} {key[1]}={key[2]}`", str(error))
        raise type(error)(said) from None


def record_of(vit: VisionTransformer, transform: TransformConfig | None = None) -> ModelRecord:
    """What a patch keeps of a model: as `load_vit` was asked, else from timm's own record of it.

    Raises:
        ConfigError: timm evaluates the model other than on the centre of a resized image, and no transform is given.
    """
    known = _timm_record(vit)
    if KEY in known:
        record = ModelRecord.model_validate_json(json.dumps(known[KEY]))
        return record if transform is None else record.model_copy(update={"transform": transform})
    name = ".".join(str(part) for part in (known.get("architecture"), known.get("tag")) if part)
    return ModelRecord(name=name or "unknown", transform=transform or _evaluated(vit, known))


def described(path: Path) -> ModelRecord | None:
    """What a checkpoint of ours says of its architecture; None of any other file."""
    meta = _said_by(path)
    found = meta.get("model") or meta.get("depends")
    if not isinstance(found, dict):
        return None
    try:
        return ModelRecord.model_validate_json(
            json.dumps({key: found.get(key) or {} for key in ModelRecord.model_fields})
        )
    except ValidationError:
        return None


def history(path: Path) -> tuple[str, ...]:
    """Base models of the patches that a checkpoint of ours has in it, in order; none of any other file."""
    try:
        return HISTORY.validate_json(json.dumps(_said_by(path).get(AFTER, [])))
    except ValidationError:
        return ()


def history_of(vit: VisionTransformer) -> tuple[str, ...]:
    """The `history` of the checkpoint that `load_vit` took a model from; none of any other model."""
    return _timm_record(vit).get(AFTER, ())


def _said_by(path: Path) -> dict[str, Any]:
    """What a checkpoint of ours says of itself; nothing of any other file."""
    if path.suffix != ".safetensors" or not path.is_file():
        return {}
    try:
        with safe_open(path, framework="pt") as file:
            return read_meta((file.metadata() or {}).get(KEY, "{}"))
    except Exception:  # a damaged file is refused, with the reason, where its tensors are read
        return {}


def save_model(path: Path, weights: Mapping[str, Tensor], record: ModelRecord, after: Sequence[str]) -> None:
    """Writes a checkpoint that timm loads under the model's name; it says its architecture and the `history` of its edits."""
    save_tensors(path, weights, {"model": record.model_dump(mode="json"), AFTER: list(after)})


def arguments(words: list[str], flag: str) -> dict[str, Scalar]:
    """`KEY=VALUE` words as a mapping; values are read as numbers or true/false where they can be.

    Raises:
        ConfigError: A word is no such pair, or a key is given twice.
    """
    found: dict[str, Scalar] = {}
    for word in words:
        key, equals, value = word.partition("=")
        if not (key and equals and value) or key in found:
            raise ConfigError(f"{flag} takes NAME=VALUE, each name once; got '{word}'.")
        found[key] = scalar(value)
    return found


def scalar(text: str) -> Scalar:
    """A word as a number or true/false where it can be one."""
    if text in ("true", "false"):
        return text == "true"
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def _named(name: str, architecture: list[str] | None, device: torch.device) -> VisionTransformer:
    if (similar := _unknown(name)) is not None:
        raise UnknownNameError(f"--model '{name}': no such file, and no model of timm.{similar}")
    if architecture:
        raise ConfigError("--architecture belongs to a file of weights; a name of timm says it already.")
    return load_vit(name, device=device)


def _unknown(name: str) -> str | None:
    """Of a name that timm does not know: similar ones, in words."""
    if ":" in name or timm.is_model(name.partition(".")[0]):
        return None
    near = get_close_matches(name, timm.list_models(), n=3)
    return f" Similar: {', '.join(near)}." if near else ""


def _asked(architecture: list[str] | None) -> ModelRecord | None:
    """The record that `--architecture NAME KEY=VALUE ...` asks for."""
    if not architecture:
        return None
    changed = arguments(architecture[1:], "--architecture")
    config = _config(architecture[0], Path("asked"), changed, "timm")
    return ModelRecord(name=config.name, architecture=changed, transform=config.transform)


def _config(
    name: str, checkpoint: Path, architecture: Mapping[str, Scalar], transform: Transform
) -> ModelConfig:
    try:
        return ModelConfig(
            name=name,
            architecture=dict(architecture) or None,
            checkpoint=checkpoint,
            transform=transform,  # type: ignore[arg-type]  # words stand for transforms
        )
    except ValidationError as error:
        raise ConfigError(f"model '{name}': {error.errors()[0]['msg']}.") from None


def _from_hub(config: ModelConfig) -> Path:
    """timm's weights of a model in the hub's own cache, downloaded if they are not there.

    Raises:
        ConfigError: The model cannot be edited, so its weights are of no use.
        ArtifactError: timm knows no weights, or the hub cannot be reached.
    """
    from huggingface_hub import hf_hub_download

    with torch.device("meta"):
        base.build_vit(config)
    repository = repository_of(config.name)
    try:
        return Path(hf_hub_download(repository, "model.safetensors"))
    except Exception as error:  # besides the hub's own errors, those of whatever it speaks HTTP with
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise ArtifactError(
            f"{repository}: no model.safetensors from the hub ({reason}). Try again with a network, or give a file of weights: "
            f"`--model FILE --architecture {config.name}`."
        ) from None


def _timm_record(vit: VisionTransformer) -> dict[str, Any]:
    """What timm keeps of a model beside its weights; ours is kept there too."""
    return cast("dict[str, Any]", vit.pretrained_cfg)


def _evaluated(vit: VisionTransformer, known: Mapping[str, Any]) -> TransformConfig:
    """As timm evaluates a model that came from `timm.create_model`, at the size that it was made for."""
    sides = vit.patch_embed.img_size or known.get("input_size", (3, 224, 224))[1:]
    try:
        return TransformConfig(
            size=sides[0],
            resize=math.floor(sides[0] / known.get("crop_pct", 0.875)),
            interpolation=known.get("interpolation", "bicubic"),
            mean=known["mean"],
            std=known["std"],
        )
    except (LookupError, ValidationError) as error:
        raise ConfigError(
            f"timm does not say how images become the model's input ({error}); give `transform`."
        ) from None
