"""Rule meta_train: the hypernetwork that says where to edit (paper section 3.2-3.3, Fig. H)."""

from pathlib import Path

import pandas as pd
import torch

from vitedit.artifacts import drop_state, provenance, save_table
from vitedit.config import Config
from vitedit.lineage import code, depends
from vitedit.model.patch import checksum
from vitedit.stages.backbone import Backbone
from vitedit.stages.resume import same_work
from vitedit.stages.unused import open_pseudo
from vitedit.where import metatrain
from vitedit.where.published import read_hypernet

NUMBERS = ("kl", "sparsity_searched", "sparsity_predicted", "regression_loss", "seconds")
LOG = {"iteration": "int64", "phase": "str", **dict.fromkeys(NUMBERS, "float64")}
"""Columns of the log and their types; a network that was taken over has no rows."""


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
    """Meta-trains on pre-training images that are in neither the benchmark nor the locality set; resumes from `state`.

    With `meta_train.checkpoint` that network is taken over instead, with its file and checksum in the provenance.
    """
    base = Backbone.chosen(config, backbone, choice, device)
    needs = depends(config, "meta_train", backbone=backbone)
    made = provenance("meta_train", needs)
    if (file := config.meta_train.checkpoint) is not None:
        network, made["imported"] = read_hypernet(file, base.split, config.meta_train.heads)
        table = pd.DataFrame(columns=list(LOG)).astype(LOG)
    else:
        pseudo = open_pseudo(base, benchmark=benchmark, locality=locality)
        start = metatrain.new_hypernet(base.split, config.meta_train, config.seed)
        training = metatrain.MetaTraining(base.split, start, config.meta_train, config.seed)
        inputs = [benchmark, locality, choice, config.checkpoint(backbone)]
        table = metatrain.meta_train(
            training, pseudo.batch, state, same_work(needs, code("meta_train"), inputs)
        )
        network = training.network
    network.save(output, {**made, "base_model": checksum(base.split.vit.state_dict())})
    save_table(log_table, table, made)
    drop_state(state)
