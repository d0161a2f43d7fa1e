"""Stage build_locality: which images does a model only just get right? One row an image (paper section 4)."""

import logging
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import nn

from vitedit.artifacts import provenance, save_table
from vitedit.config import Config, LocalityConfig
from vitedit.data.duplicates import repeats
from vitedit.data.images import ImageSet, open_images, read_classes
from vitedit.data.locality import Margins, margins, near_boundary, next_band, published
from vitedit.data.predictions import labels_of, predict
from vitedit.errors import ConfigError
from vitedit.lineage import depends
from vitedit.model.vit import load_vit

log = logging.getLogger(__name__)


def build_locality(config: Config, *, backbone: str, output: Path, device: torch.device) -> None:
    """Writes the locality manifest of one backbone.

    Raises:
        ConfigError: Too few images are near the boundary, or the unlabelled MAD pool is named as a source.
        ImageError: A set of images is missing, empty, unlabelled or unreadable.
    """
    if config.benchmark.rule == "mad" and config.benchmark.images in config.locality.sources:
        raise ConfigError(
            f"locality.sources: '{config.benchmark.images}' is the pool of the MAD competition, whose labels "
            "come from the stronger model; an image could be both edit sample and locality image."
            " Name another set."
        )
    model = load_vit(config.models[backbone], config.checkpoint(backbone), device)
    settings = config.locality
    sources = []
    for name in settings.sources:
        images, probabilities = _predict(config, backbone, model, name, device)
        labels = labels_of(images, probabilities.shape[1])
        sources.append(_once(margins(images, probabilities, labels), labels, settings))
    if settings.published:
        measured = published(*_predict(config, backbone, model, settings.published, device))
    else:
        measured = near_boundary(sources, settings.gap, settings.max_images, settings.min_images)
    table = pd.concat([measured, next_band(sources, settings.gap, settings.max_images)], ignore_index=True)
    counts = measured["images"].value_counts()
    log.info(
        "locality: %d images (%s), and %d more held out for tuning",
        len(measured),
        ", ".join(f"{name}: {count}" for name, count in counts.items()),
        table["held_out"].sum(),
    )
    save_table(
        output, table, provenance("build_locality", depends(config, "build_locality", backbone=backbone))
    )


def _predict(
    config: Config, backbone: str, model: nn.Module, name: str, device: torch.device
) -> tuple[ImageSet, np.ndarray]:
    """A set of images and the model's probabilities on it."""
    images = open_images(name, config.images[name], read_classes(config.classes))
    return images, predict(model, images, config.models[backbone].transform, device)


def _once(source: Margins, labels: np.ndarray, config: LocalityConfig) -> Margins:
    """The source without those images near the boundary that are second copies of a photograph."""
    near = source.places[source.gaps < 2 * config.gap]
    kept = ~np.isin(source.places, sorted(repeats(source.images, labels, near.tolist())))
    return Margins(source.images, source.places[kept], source.gaps[kept])
