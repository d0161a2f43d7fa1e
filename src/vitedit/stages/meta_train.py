"""Rule meta_train: the hypernetwork that says where to edit (paper section 3.2-3.3, Fig. H)."""

from pathlib import Path

import torch

from vitedit.artifacts import provenance, save_table, seed_of
from vitedit.config import Config
from vitedit.lineage import depends
from vitedit.stages.backbone import Backbone
from vitedit.stages.unused import open_pseudo
from vitedit.where import metatrain
from vitedit.where.hypernet import Hypernet


def meta_train(
    config: Config,
    *,
    backbone: str,
    benchmark: Path,
    locality: Path,
    choice: Path,
    output: Path,
    log_table: Path,
    state: Path,
    device: torch.device,
) -> None:
    """Meta-trains on pre-training images that are in neither the benchmark nor the locality set; resumes from `state`."""
    base = Backbone.chosen(config, backbone, choice, device)
    pseudo = open_pseudo(base, benchmark=benchmark, locality=locality)
    needs = depends(config, "meta_train", backbone=backbone)
    training = metatrain.MetaTraining(base.split, _network(config, base), config.meta_train, config.seed)
    table = metatrain.meta_train(training, pseudo.batch, state, needs)
    made = provenance("meta_train", needs)
    training.network.save(output, made)
    save_table(log_table, table, made)
    state.unlink(missing_ok=True)


def _network(config: Config, base: Backbone) -> Hypernet:
    """A hypernetwork with seeded random weights."""
    settings, split = config.meta_train, base.split
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed_of(config.seed, "hypernet"))
        return Hypernet.for_sites(
            split.vit, split.sites, split.vit.embed_dim, settings.blocks, settings.heads
        )
