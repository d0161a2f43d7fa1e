"""Rule meta_train: the hypernetwork that says where to edit (paper section 3.2-3.3, Fig. H)."""

from pathlib import Path

import numpy as np
import pandas as pd
import torch

from vitedit.artifacts import load_table, provenance, save_table, seed_of
from vitedit.config import Config
from vitedit.data.duplicates import repeats
from vitedit.data.images import ImageSet, open_images, read_classes
from vitedit.data.pseudo import PseudoSamples, remaining
from vitedit.lineage import depends
from vitedit.stages.backbone import Backbone
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
    settings, model = config.meta_train, config.models[backbone]
    source = open_images(
        settings.pseudo.images, config.images[settings.pseudo.images], read_classes(config.classes)
    )
    near = load_table(locality, depends(config, "build_locality", backbone=backbone))
    unused = _unused(source, base.manifest(benchmark), near)
    patch = base.split.vit.patch_embed.patch_size[0]
    pseudo = PseudoSamples(source, unused, model.transform, patch, settings.pseudo, config.seed)
    needs = depends(config, "meta_train", backbone=backbone)
    training = metatrain.MetaTraining(base.split, _network(config, base), settings, config.seed)
    table = metatrain.meta_train(training, pseudo.batch, state, needs)
    made = provenance("meta_train", needs)
    training.network.save(output, made)
    save_table(log_table, table, made)
    state.unlink(missing_ok=True)


def _unused(source: ImageSet, *manifests: pd.DataFrame) -> np.ndarray:
    """Images that no manifest lists; of a set that serves for both, also no second copies of a photograph."""
    unused = remaining(source, *manifests)
    if not any((table["images"] == source.name).any() for table in manifests):
        return unused
    classes = source.labels if source.labels is not None else np.zeros(len(source), np.int64)
    return np.setdiff1d(unused, list(repeats(source, classes, unused.tolist())))


def _network(config: Config, base: Backbone) -> Hypernet:
    """A hypernetwork with seeded random weights."""
    settings, split = config.meta_train, base.split
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed_of(config.seed, "hypernet"))
        return Hypernet.for_sites(
            split.vit, split.sites, split.vit.embed_dim, settings.blocks, settings.heads
        )
