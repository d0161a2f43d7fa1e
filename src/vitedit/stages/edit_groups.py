"""Rule edit_groups: methods on all groups of the benchmark, every edit measured (paper section 4, Fig. 4 and 5a)."""

import logging
from collections.abc import Mapping
from pathlib import Path

import pandas as pd
import torch

from vitedit.artifacts import provenance, save_table
from vitedit.config import Config
from vitedit.lineage import depends
from vitedit.stages.backbone import Backbone
from vitedit.stages.rows import edit_batches, edit_rows, setting_columns

log = logging.getLogger(__name__)

COLUMNS = [
    *("run", "backbone", "method", "setting", "knob", "value", "subset", "group", "edit"),
    *(
        "samples",
        "file",
        "label",
        "predicted",
        "sr",
        "gr",
        "gr_ref",
        "gr_style",
        "lr",
        "steps",
        "loss",
        "seconds",
    ),
    *("fraction", "norm", "seed", "status"),
]
"""Columns of a row (docs/glossary.md)."""


def edit_groups(
    config: Config,
    *,
    backbone: str,
    methods: str,
    benchmark: Path,
    locality: Path,
    choice: Path,
    artifact: Mapping[str, Path],
    output: Path,
    device: torch.device,
) -> None:
    """Edits with every setting of every method (joined by "-") on every group that is measured; writes one row an edit."""
    base = Backbone.chosen(config, backbone, choice, device)
    manifest = base.manifest(benchmark, config.subsets)
    near = base.locality(locality)
    tables = [_rows(base, method, manifest, near, artifact) for method in methods.split("-")]
    made = provenance("edit_groups", depends(config, "edit_groups", backbone=backbone, method=methods))
    save_table(output, pd.concat(tables, ignore_index=True)[COLUMNS], made)


def _rows(
    base: Backbone, method: str, manifest: pd.DataFrame, near: pd.DataFrame, artifacts: Mapping[str, Path]
) -> pd.DataFrame:
    """Rows of one method."""
    config = base.config
    settings = config.editors[method].settings()
    tables = edit_rows(edit_batches(base, method, settings, manifest, near, artifacts, config.samples))
    named = [
        table.assign(**setting_columns(config, method, setting))
        for table, setting in zip(tables, settings, strict=True)
    ]
    table = pd.concat(named, ignore_index=True)
    rates = table[["sr", "gr", "lr"]].mean()
    log.info("%s: %d edits, success %.3f, generalization %.3f, locality %.3f", method, len(table), *rates)
    run = {"run": config.run, "backbone": base.name, "seed": config.seed}
    return table.assign(method=method, samples=config.samples, **run)
