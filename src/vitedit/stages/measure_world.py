"""Rule measure_world: how often the embedded world's models are right, on fresh images."""

import logging
from dataclasses import asdict
from pathlib import Path

import pandas as pd
import torch

from vitedit.artifacts import atomic, provenance, save_table
from vitedit.config import Config
from vitedit.embedded.evaluate import evaluate_world
from vitedit.lineage import depends
from vitedit.model.vit import load_vit

log = logging.getLogger(__name__)

IMAGES = 500
"""Images of each kind: a standard error of at most 2.2 points."""


def measure_world(config: Config, *, output: Path, device: torch.device) -> None:
    """Writes one row a model and kind of image: accuracy on images that neither training nor the image sets hold."""
    models = {
        name: load_vit(model, config.checkpoint(name), device)
        for name, model in config.models.items()
        if model.pretrain is not None
    }
    table = pd.DataFrame([asdict(row) for row in evaluate_world(models, config.seed, IMAGES)])
    log.info("accuracy on fresh images\n%s", wide(table).to_string())
    save_table(output, table, provenance("measure_world", depends(config, "measure_world")))
    with atomic(output.with_suffix(".csv")) as temporary:
        table.to_csv(temporary, index=False)


def wide(table: pd.DataFrame) -> pd.DataFrame:
    """One row a model, one column a kind of image, in percent."""
    kind = table["style"].where(table["style"] != "plain", table["contexts"])
    return (
        table.assign(kind=kind, percent=100 * table["accuracy"])
        .pivot(index="model", columns="kind", values="percent")
        .reindex(index=table["model"].unique(), columns=kind.unique())
        .round(1)
    )
