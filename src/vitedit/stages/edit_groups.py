"""Rule edit_groups: one method on all groups of the benchmark, every edit measured (paper section 4, Fig. 4 and 5a)."""

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from vitedit.artifacts import provenance, save_table
from vitedit.config import Config, Scalar
from vitedit.editors import editor_class
from vitedit.lineage import depends
from vitedit.stages.backbone import Backbone
from vitedit.stages.rows import edit_rows
from vitedit.stages.trained import load_trained

log = logging.getLogger(__name__)

COLUMNS = [
    *("run", "backbone", "method", "setting", "knob", "value", "subset", "group", "edit"),
    *("file", "label", "predicted", "sr", "gr", "gr_ref", "lr", "steps", "loss", "seconds"),
    *("fraction", "norm", "seed", "status"),
]
"""Columns of a row (docs/glossary.md)."""


def edit_groups(
    config: Config,
    *,
    backbone: str,
    method: str,
    benchmark: Path,
    locality: Path,
    choice: Path,
    artifact: Mapping[str, Path],
    output: Path,
    device: torch.device,
) -> None:
    """Edits with every setting of the method on every group that is measured, and writes one row an edit."""
    base = Backbone.chosen(config, backbone, choice, device)
    manifest = base.manifest(benchmark, config.subsets)
    trained = load_trained(config, backbone, base.split, editor_class(method), artifact)
    settings = config.editors[method].settings()
    tables = edit_rows(config, base, method, settings, manifest, base.locality(locality), trained)
    named = [
        table.assign(**_names(config, method, setting))
        for table, setting in zip(tables, settings, strict=True)
    ]
    table = pd.concat(named, ignore_index=True).assign(
        run=config.run, backbone=backbone, method=method, seed=config.seed
    )
    log.info(
        "%s: %d edits, success %.3f, generalization %.3f, locality %.3f",
        method,
        len(table),
        *table[["sr", "gr", "lr"]].mean(),
    )
    made = provenance("edit_groups", depends(config, "edit_groups", backbone=backbone, method=method))
    save_table(output, table[COLUMNS], made)


def _names(config: Config, method: str, setting: Mapping[str, Scalar]) -> dict[str, Any]:
    """Columns that name a setting: its knob and value."""
    knob = config.editors[method].knob
    value = setting[knob] if knob else np.nan
    return {"setting": f"{knob}={value}" if knob else "", "knob": knob, "value": float(value)}
