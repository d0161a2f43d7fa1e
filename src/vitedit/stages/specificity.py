"""Rule specificity: do masks depend on the kind of error? (paper Fig. 6)"""

from pathlib import Path

import torch

from vitedit.artifacts import provenance, save_table
from vitedit.config import Config
from vitedit.lineage import depends
from vitedit.measure.specificity import overlaps, site_shares
from vitedit.stages.backbone import Backbone
from vitedit.where.hypernet import Hypernet
from vitedit.where.masks import split
from vitedit.where.published import mask_units


def specificity(
    config: Config,
    *,
    backbone: str,
    benchmark: Path,
    choice: Path,
    hypernet: Path,
    output: Path,
    sites: Path,
    device: torch.device,
) -> None:
    """Predicts the mask of every image of a subset's groups; writes the overlap of every pair, and the share of each site's
    hidden units that the masks of a group select."""
    base = Backbone.chosen(config, backbone, choice, device)
    rows = base.manifest(benchmark, [config.specificity.subset])
    network = Hypernet.load(hypernet, base.split, depends(config, "meta_train", backbone=backbone))
    samples = base.samples(rows)
    masks = mask_units(
        network, base.split, samples.images, samples.labels, config.specificity.sparsity, config.reference
    )
    table = overlaps(masks, rows)
    shares = site_shares(split(masks, base.split.sites, base.split.vit), rows)
    made = provenance("specificity", depends(config, "specificity", backbone=backbone))
    save_table(output, table, made)
    save_table(sites, shares, made)
