"""Stage collect_statistics: what T-Patcher, ROME, X-Edit and refine_heads need to know of pre-training images."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor

from vitedit.artifacts import provenance
from vitedit.config import Config, TransformConfig
from vitedit.data.benchmark import spaced
from vitedit.data.images import ImageSet
from vitedit.learned.anchors import Anchors
from vitedit.learned.null_space import collect_null_space
from vitedit.learned.statistics import collect
from vitedit.lineage import depends
from vitedit.model.last_block import LastBlock
from vitedit.progress import track
from vitedit.stages.backbone import Backbone
from vitedit.stages.unused import open_unused

BATCH = 64
"""Images a pass."""


def collect_statistics(
    config: Config,
    *,
    backbone: str,
    benchmark: Path,
    locality: Path,
    memory: Path,
    covariance: Path,
    null_space: Path,
    anchors: Path,
    device: torch.device,
) -> None:
    """Writes memory, covariance, null space and anchors of one backbone, from images that no edit is made from or measured on.

    Raises:
        ConfigError: The model has no CLS read-out.
        ImageError: No image is left, or one cannot be read.
    """
    last = LastBlock.of(Backbone.load(config, backbone, (), device).split)
    images, unused = open_unused(
        config, config.statistics_images, backbone=backbone, benchmark=benchmark, locality=locality
    )
    settings, transform = config.statistics, config.models[backbone].transform
    places = unused[spaced(len(unused), settings.max_images)]
    queries, moment = collect(last, _batches(images, places, transform))
    left_alone = places[spaced(len(places), settings.anchors)]
    traced = images.read(left_alone[spaced(len(left_alone), settings.traced)], transform)
    directions = collect_null_space(last, traced, _batches(images, left_alone, transform), config.seed)
    made = provenance("collect_statistics", depends(config, "collect_statistics", backbone=backbone))
    queries.save(memory, made)
    moment.save(covariance, made)
    directions.save(null_space, made)
    kept = places[spaced(len(places), settings.kept)]
    Anchors(images.read(kept, transform)).save(anchors, made)


def _batches(
    images: ImageSet, places: Int64[np.ndarray, " k"], transform: TransformConfig
) -> Iterator[Float[Tensor, "_ 3 side side"]]:
    """Some images of a set as the model's input."""
    starts = range(0, len(places), BATCH)
    read = (images.read(places[start : start + BATCH], transform) for start in starts)
    return track(read, f"batches of {images.name}", len(starts))
