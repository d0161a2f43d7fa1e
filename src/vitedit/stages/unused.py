"""Pre-training images that training and statistics may use: those that no edit is made from or measured on."""

from pathlib import Path

import numpy as np
import pandas as pd
from jaxtyping import Int64

from vitedit.artifacts import load_table
from vitedit.config import Config
from vitedit.data.duplicates import repeats
from vitedit.data.images import ImageSet, open_images, read_classes
from vitedit.data.pseudo import PseudoSamples, remaining
from vitedit.lineage import depends
from vitedit.stages.backbone import Backbone


def open_unused(
    config: Config, images: str, *, backbone: str, benchmark: Path, locality: Path
) -> tuple[ImageSet, Int64[np.ndarray, " k"]]:
    """A set of images and the places in it of those that are in neither the benchmark nor the locality set.

    Raises:
        ArtifactError: A manifest is missing, damaged or stale.
        ImageError: The set is missing or empty.
    """
    source = open_images(images, config.images[images], read_classes(config.classes))
    groups = load_table(benchmark, depends(config, "build_benchmark", backbone=backbone))
    near = load_table(locality, depends(config, "build_locality", backbone=backbone))
    return source, unused(source, groups, near)


def open_pseudo(base: Backbone, *, benchmark: Path, locality: Path) -> PseudoSamples:
    """CutMix pseudo-samples of the images that `open_unused` leaves (paper section 3.3), drawn with the run's seed.

    Raises:
        ArtifactError: A manifest is missing, damaged or stale.
        ImageError: The set is missing or empty.
    """
    config, pseudo = base.config, base.config.meta_train.pseudo
    source, places = open_unused(
        config, pseudo.images, backbone=base.name, benchmark=benchmark, locality=locality
    )
    patch = base.split.vit.patch_embed.patch_size[0]
    return PseudoSamples(source, places, config.models[base.name].transform, patch, pseudo, config.seed)


def unused(source: ImageSet, *manifests: pd.DataFrame) -> Int64[np.ndarray, " k"]:
    """Images that no manifest lists; of a set that serves for both, also no second copies of a photograph."""
    places = remaining(source, *manifests)
    if not any((table["images"] == source.name).any() for table in manifests):
        return places
    classes = source.labels if source.labels is not None else np.zeros(len(source), np.int64)
    return np.setdiff1d(places, list(repeats(source, classes, places.tolist())))
