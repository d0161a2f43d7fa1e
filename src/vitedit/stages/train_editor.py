"""Rule train_editor: a network that predicts edits (KE, MEND) for one backbone."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from vitedit.artifacts import drop_state, provenance, save_table, seed_of
from vitedit.config import Config
from vitedit.learned.editor_training import Batches, EditorTraining, KeTraining, MendTraining
from vitedit.learned.network import last_ffns
from vitedit.lineage import code, depends
from vitedit.model.vit import Split
from vitedit.stages.backbone import Backbone
from vitedit.stages.resume import same_work
from vitedit.stages.unused import open_pseudo
from vitedit.training import run

NETWORKS: dict[str, Callable[[Split, Any, Batches], EditorTraining]] = {
    "ke": KeTraining,
    "mend": MendTraining,
}
"""Name of a network, and of its section in `train_editor` -> its meta-training."""


def train_editor(
    config: Config,
    *,
    backbone: str,
    network: str,
    benchmark: Path,
    locality: Path,
    output: Path,
    log_table: Path,
    state: Path,
    device: torch.device,
) -> None:
    """Meta-trains on pre-training images that are in neither the benchmark nor the locality set; resumes from `state`."""
    base = Backbone.load(config, backbone, (), device)
    pseudo = open_pseudo(base, benchmark=benchmark, locality=locality)
    training = _training(config, network, base, pseudo.views)
    needs = depends(config, "train_editor", backbone=backbone, method=network)
    settings, inputs = training.settings, [benchmark, locality, config.checkpoint(backbone)]
    table = run(
        training,
        settings.iterations,
        settings.checkpoint_every,
        state,
        same_work(needs, code("train_editor"), inputs),
        f"batches of edits of {network}",
    )
    made = provenance("train_editor", needs)
    training.network.save(output, made)
    save_table(log_table, table, made)
    drop_state(state)


def _training(config: Config, network: str, base: Backbone, batches: Batches) -> EditorTraining:
    """A meta-training with seeded random weights."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed_of(config.seed, "train_editor", network))
        return NETWORKS[network](last_ffns(base.split), getattr(config.train_editor, network), batches)
