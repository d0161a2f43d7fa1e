"""Rule find_failures: what many edits are made from and measured on."""

import logging
from pathlib import Path

import pandas as pd
import torch

from vitedit.artifacts import load_table, numpy_rng, provenance, save_table
from vitedit.config import Config
from vitedit.data.benchmark import HELD_OUT
from vitedit.data.duplicates import repeats
from vitedit.data.failures import EDIT, NEIGHBOUR, sort_images, split_failures
from vitedit.data.images import open_images, read_classes
from vitedit.data.predictions import labels_of, predict
from vitedit.errors import ConfigError
from vitedit.lineage import depends
from vitedit.stages.backbone import Backbone

log = logging.getLogger(__name__)


def find_failures(
    config: Config, *, backbone: str, benchmark: Path, locality: Path, output: Path, device: torch.device
) -> None:
    """Writes one row an image: failures in the order in which they are edited, their neighbours, and other images.

    Raises:
        ConfigError: There are no labelled images, or fewer failures than edits.
        ImageError: An image cannot be read.
    """
    base = Backbone.load(config, backbone, (), device)
    groups = base.manifest(benchmark)
    near = load_table(locality, depends(config, "build_locality", backbone=backbone))
    apart = pd.concat([groups[groups["subset"] == HELD_OUT], near])
    if not config.failure_images:
        raise ConfigError("many_edits.images: no set of images of this run has labels; name one that has.")
    parts = [_sorted(base, name, apart, device) for name in config.failure_images]
    many = config.many_edits
    rng = numpy_rng(config.seed, "failures", backbone)
    table = split_failures(pd.concat(parts, ignore_index=True), many.edited, many.others, rng)
    counts = table["role"].value_counts()
    log.info("%s: %d failures to edit, %d neighbours", backbone, counts[EDIT], counts.get(NEIGHBOUR, 0))
    save_table(
        output, table, provenance("find_failures", depends(config, "find_failures", backbone=backbone))
    )


def _sorted(base: Backbone, name: str, apart: pd.DataFrame, device: torch.device) -> pd.DataFrame:
    """Images of one set, without second copies of a photograph and without those that serve for something else."""
    images = open_images(name, base.config.images[name], read_classes(base.config.classes))
    found = predict(base.split.vit, images, base.config.models[base.name].transform, device)
    labels = labels_of(images, found.shape[1])
    copies = {images.files[place] for place in repeats(images, labels, range(len(images)))}
    elsewhere = set(apart.loc[apart["images"] == name, "file"])
    return sort_images(name, list(images.files), found, labels, copies | elsewhere)
