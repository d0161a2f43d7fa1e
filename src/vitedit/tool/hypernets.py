"""A hypernetwork for one's own model: the paper's meta-training on unlabelled photographs (where/metatrain.py)."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pandas as pd
from pydantic import ValidationError
from timm.models.vision_transformer import VisionTransformer

from vitedit.artifacts import drop_state, provenance
from vitedit.config import MetaTrainConfig, PseudoConfig, ReplayConfig, Scalar
from vitedit.data.checksums import checksums
from vitedit.data.images import ImageSet
from vitedit.data.pseudo import PseudoSamples
from vitedit.errors import ConfigError, ImageError, UnknownNameError, ViteditError
from vitedit.lineage import code
from vitedit.model.patch import checksum
from vitedit.model.vit import Split
from vitedit.tensors import state_differences
from vitedit.tool.models import arguments, record_of, scalar
from vitedit.tool.pictures import open_place
from vitedit.where.metatrain import MetaTraining, meta_train, new_hypernet

IMAGES = "images"
STATE_EVERY = 20
"""Iterations between two states: what a kill may cost. It does not change the result."""
SECTIONS = {"pseudo": PseudoConfig, "replay": ReplayConfig}
"""Parts of the settings that have names of their own, as `pseudo.patches`."""
ELSEWHERE = ("checkpoint", "pseudo.images")
"""Settings of a run that have no meaning here."""


def setting_names() -> list[str]:
    """What can be set: the keys of `meta_train` in a run's configuration."""
    own = [name for name in MetaTrainConfig.model_fields if name not in SECTIONS]
    inner = [f"{section}.{name}" for section, keys in SECTIONS.items() for name in keys.model_fields]
    return [name for name in (*own, *inner) if name not in ELSEWHERE]


def settings_of(words: Sequence[str]) -> MetaTrainConfig:
    """`NAME=VALUE` words laid over the paper's published settings.

    Raises:
        UnknownNameError: There is no such setting.
        ConfigError: A word is no such pair, a name comes twice, or a value is impossible.
    """
    values: dict[str, Any] = {"pseudo": {"images": IMAGES}, "checkpoint_every": STATE_EVERY}
    for name, value in arguments(list(words), "--set").items():
        if name not in setting_names():
            raise UnknownNameError(
                f"--set: no setting '{name}'. Settings: {', '.join(setting_names())} (config/config.yaml says what each is)."
            )
        section, dot, key = name.rpartition(".")
        (values.setdefault(section, {}) if dot else values)[key] = _split(value)
    try:
        return MetaTrainConfig.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        raise ConfigError(f"--set {place}: {first['msg']}, got {first['input']!r}.") from None


def _split(value: Scalar) -> Scalar | list[Scalar]:
    """A value, or those between commas."""
    return [scalar(part) for part in value.split(",")] if isinstance(value, str) and "," in value else value


def open_photographs(path: Path, batch_size: int) -> ImageSet:
    """All images of a folder and those below it, or of a zip or tar file.

    Raises:
        ImageError: Nothing there, or too few for one batch.
    """
    images = open_place(IMAGES, path)
    if len(images) < (needed := 2 * batch_size):
        raise ImageError(
            f"--images {path}: {len(images)} images, but {needed} are needed: each of a batch of {batch_size} is mixed with "
            "another. Give more (thousands, if you can), or take fewer at a time (`--batch-size`)."
        )
    return images


def train(
    base: Split, images: ImageSet, place: Path, settings: MetaTrainConfig, seed: int, output: Path, anew: bool
) -> pd.DataFrame:
    """Meta-trains a hypernetwork for a model's sites and writes it; returns the log, one row an iteration.

    Goes on from the state beside the output if there is one; on the CPU a training that was killed then ends with the same bits.

    Args:
        base: The model, cut before the sites.
        images: Photographs.
        place: Where they lie.
        settings: Of the meta-training.
        seed: Of everything random.
        output: The file of the hypernetwork.
        anew: Whether to drop a state of another training rather than to refuse.

    Raises:
        ConfigError: No CLS token, a rectangle that does not fit, or a state of another training.
        ImageError: An unreadable image.
    """
    _refuse_without_cls(base.vit)
    record, own = record_of(base.vit), checksum(base.vit.state_dict())
    depends = {
        "base_model": own,
        "transform": record.transform.model_dump(mode="json"),
        "sites": [site.name for site in base.sites],
        "images": checksums([place])["sha256"][0],
        "seed": seed,
        "settings": settings.model_dump(mode="json", exclude={"checkpoint", "checkpoint_every"}),
        "code": code("meta_train"),
    }
    state = _state(output, depends, anew)
    with _in_flags():
        side = base.vit.patch_embed.patch_size[0]
        pseudo = PseudoSamples(images, range(len(images)), record.transform, side, settings.pseudo, seed)
        training = MetaTraining(base, new_hypernet(base, settings, seed), settings, seed)
        log = meta_train(training, pseudo.batch, state, depends)
    model = {"base_model": own, "model": record.model_dump(mode="json")}
    training.network.save(output, {**provenance("train_hypernet", depends), **model})
    drop_state(state)
    return log


def _refuse_without_cls(vit: VisionTransformer) -> None:
    if vit.cls_token is None:
        raise ConfigError(
            f"the model has no CLS token (its head pools tokens by '{vit.global_pool}'), which a hypernetwork reads. Edit it "
            "by a method that needs none, as `vitedit edit --method spt`."
        )


def _state(output: Path, depends: Mapping[str, Any], anew: bool) -> Path:
    """Where the state lies; one of another training is dropped or refused."""
    state = output.with_name(f"{output.name}.state")
    if differing := state_differences(state, depends):
        if not anew:
            raise ConfigError(
                f"{state}: an unfinished training of another kind ({'; '.join(differing[:4])}). Ask for the same again to go "
                "on with it, or begin anew with --force."
            )
        drop_state(state)
    return state


@contextmanager
def _in_flags() -> Iterator[None]:
    """Lets messages name flags where they name keys of a run's configuration."""
    try:
        yield
    except ViteditError as error:
        raise type(error)(str(error).replace("meta_train.", "--set ")) from error
