"""Rule specificity: do masks depend on the kind of error? (paper Fig. 6)"""

from pathlib import Path

import torch

from vitedit.artifacts import provenance, save_table
from vitedit.config import Config
from vitedit.lineage import depends
from vitedit.measure.specificity import overlaps
from vitedit.stages.backbone import Backbone
from vitedit.where.hypernet import Hypernet
from vitedit.where.published import mask_units


def specificity(
    config: Config,
    *,
    backbone: str,
    benchmark: Path,
    choice: Path,
    hypernet: Path,
    output: Path,
    device: torch.device,
) -> None:
    """Predicts the mask of every image of a subset's groups and writes the overlap of every pair."""
    base = Backbone.chosen(config, backbone, choice, device)
    rows = base.manifest(benchmark, [config.specificity.subset])
    network = Hypernet.load(hypernet, base.split, depends(config, "meta_train", backbone=backbone))
    samples = base.samples(rows)
    masks = mask_units(
        network, base.split, samples.images, samples.labels, config.specificity.sparsity, config.reference
    )
    table = overlaps(masks, rows)
    save_table(output, table, provenance("specificity", depends(config, "specificity", backbone=backbone)))
