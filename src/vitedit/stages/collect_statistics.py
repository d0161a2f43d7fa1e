"""Stage collect_statistics: T-Patcher's memory, ROME's covariance and refine_heads's anchors, from pre-training images."""

from pathlib import Path

import torch

from vitedit.artifacts import provenance
from vitedit.config import Config
from vitedit.data.benchmark import spaced
from vitedit.learned.anchors import Anchors
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
    anchors: Path,
    device: torch.device,
) -> None:
    """Writes the memory, the covariance and the anchors of one backbone, from images that no edit is made from or measured on.

    Raises:
        ConfigError: The model has no CLS read-out.
        ImageError: No image is left, or one cannot be read.
    """
    last = LastBlock.of(Backbone.load(config, backbone, (), device).split)
    images, places = open_unused(
        config, config.statistics_images, backbone=backbone, benchmark=benchmark, locality=locality
    )
    places = places[spaced(len(places), config.statistics.max_images)]
    starts = range(0, len(places), BATCH)
    transform = config.models[backbone].transform
    batches = (images.read(places[start : start + BATCH], transform) for start in starts)
    queries, moment = collect(last, track(batches, f"batches of {images.name}", len(starts)))
    made = provenance("collect_statistics", depends(config, "collect_statistics", backbone=backbone))
    queries.save(memory, made)
    moment.save(covariance, made)
    some = places[spaced(len(places), config.statistics.anchors)]
    Anchors(images.read(some, transform)).save(anchors, made)
