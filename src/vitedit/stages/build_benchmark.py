"""Stage build_benchmark: where does a model fail in the same way? One row an image (paper section 4)."""

import logging
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from vitedit.artifacts import provenance, save_table
from vitedit.config import Config
from vitedit.data.benchmark import HELD_OUT, disagreements, largest_groups, manifest, mistakes, published
from vitedit.data.duplicates import repeats
from vitedit.data.images import ImageSet, open_images, read_classes
from vitedit.data.predictions import labels_of, predict
from vitedit.errors import ConfigError
from vitedit.lineage import depends
from vitedit.model.vit import load_vit

log = logging.getLogger(__name__)


def build_benchmark(config: Config, *, backbone: str, output: Path, device: torch.device) -> None:
    """Writes the benchmark manifest of one backbone: the natural subset, one subset a style, then the held-out groups.

    Raises:
        ConfigError: The models or thresholds leave no group.
        ImageError: A set of images is missing, empty or unreadable.
    """
    parts = [_natural(config, backbone, device)]
    parts += [_style(config, style, backbone, device) for style in config.benchmark.styles]
    table = pd.concat(parts, ignore_index=True).sort_values(
        "subset", key=lambda names: names == HELD_OUT, kind="stable", ignore_index=True
    )
    for subset, rows in table.groupby("subset", sort=False):
        log.info(
            "%s: %d groups, %d images, %d edits",
            subset,
            rows["group"].nunique(),
            len(rows),
            rows["is_edit"].sum(),
        )
    save_table(
        output, table, provenance("build_benchmark", depends(config, "build_benchmark", backbone=backbone))
    )


def _natural(config: Config, backbone: str, device: torch.device) -> pd.DataFrame:
    settings = config.benchmark
    images = open_images(settings.images, config.images[settings.images], read_classes(config.classes))
    base = _probabilities(config, backbone, images, device)
    match settings.rule:
        case "mad":
            stronger = _probabilities(config, str(settings.stronger), images, device)
            if stronger.shape != base.shape:
                raise ConfigError(
                    f"benchmark: {backbone} has {base.shape[1]} classes, {settings.stronger} "
                    f"{stronger.shape[1]}; they must be the same."
                )
            classes = stronger.argmax(axis=1)
            candidates = disagreements(base, stronger, settings.min_confidence)
        case "errors":
            classes = labels_of(images, base.shape[1])
            candidates = mistakes(base, classes, settings.same_prediction, images.name)
        case "published":
            classes = labels_of(images, base.shape[1])
            candidates = published(base, classes, images.files, images.name)
    return _groups(config, "natural", images, _once(images, classes, candidates), settings.groups)


def _style(config: Config, style: str, backbone: str, device: torch.device) -> pd.DataFrame:
    settings = config.benchmark
    images = open_images(style, config.images[style], read_classes(config.classes))
    base = _probabilities(config, backbone, images, device)
    labels = labels_of(images, base.shape[1])
    candidates = _once(images, labels, mistakes(base, labels, False, style))
    return _groups(config, style, images, candidates, settings.style_groups)


def _groups(
    config: Config, subset: str, images: ImageSet, candidates: pd.DataFrame, groups: int
) -> pd.DataFrame:
    """The largest groups as the subset, and the next largest as groups for tuning, named after it."""
    settings = config.benchmark
    kept, held_out = largest_groups(candidates, groups, settings.min_size, settings.held_out_groups)
    left_out = sorted(set(candidates["key"]) - {*kept, *held_out})
    if left_out:
        log.info("%s: %d smaller groups not kept, such as %s", subset, len(left_out), ", ".join(left_out[:8]))
    measured = manifest(subset, images, candidates, kept, settings.max_images, settings.max_edits)
    spare = manifest(HELD_OUT, images, candidates, held_out, settings.max_images, settings.held_out_edits)
    spare = spare.assign(group=f"{subset} " + spare["group"].astype(str))
    return pd.concat([measured, spare], ignore_index=True) if held_out else measured


def _probabilities(config: Config, model: str, images: ImageSet, device: torch.device) -> np.ndarray:
    settings = config.models[model]
    return predict(load_vit(settings, config.checkpoint(model), device), images, settings.transform, device)


def _once(images: ImageSet, classes: np.ndarray, candidates: pd.DataFrame) -> pd.DataFrame:
    """Candidates without second copies of a photograph, so that none is both edit sample and neighbour."""
    copies = repeats(images, classes, candidates.index.tolist())
    for place in sorted(copies):
        log.info("%s: %s left out, a copy of an earlier image", images.name, images.files[place])
    return candidates.drop(index=sorted(copies))
