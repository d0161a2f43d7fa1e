"""Rule edit_groups: methods on all groups of the benchmark, every edit measured (paper section 4, Fig. 4 and 5a)."""

import logging
from collections.abc import Iterator, Mapping
from pathlib import Path

import pandas as pd
import torch

from vitedit.artifacts import provenance, save_table
from vitedit.config import Config
from vitedit.lineage import code, depends
from vitedit.stages.backbone import Backbone
from vitedit.stages.resume import same_work
from vitedit.stages.rows import edit_batches, measured, setting_columns
from vitedit.stages.shards import MeasuredRows, Shard

log = logging.getLogger(__name__)

COLUMNS = [
    *("run", "backbone", "method", "setting", "knob", "value", "batch", "subset", "group", "edit"),
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
    tokens: Path | None = None,
    state: Path | None = None,
    shard: str = "1of1",
    device: torch.device,
) -> None:
    """Edits with every setting of every method (joined by "-") on every group that is measured; writes one row an edit.

    Args:
        config: The run.
        backbone: Model that is edited.
        methods: Names of the methods, joined by "-".
        benchmark: What `build_benchmark` wrote.
        locality: What `build_locality` wrote.
        choice: What `search_layers` chose.
        artifact: Trained artefacts by their names.
        output: The rows.
        tokens: What `store_tokens` wrote; without it, images are read.
        state: Where rows are kept until all are there, so that a killed job goes on where it stopped.
        shard: Which part of the batches: "3of40" is the third of forty. `vitedit join-edits` joins them.
        device: Where to compute.
    """
    part, names = Shard.parse(shard), methods.split("-")
    base = Backbone.chosen(config, backbone, choice, device, tokens)
    manifest = base.manifest(benchmark, config.subsets)
    near = base.locality(locality)
    needs = depends(config, "edit_groups", backbone=backbone, method=methods)
    inputs = [benchmark, locality, choice, config.checkpoint(backbone), *artifact.values()]
    work = same_work(needs | {"shard": shard}, code("edit_groups", *names), inputs)
    rows = MeasuredRows("edit_groups", state, work)
    for method in names:
        for batch in _rows(base, method, manifest, near, artifact, part, rows):
            rows.add(batch)
    table = rows.table(COLUMNS)
    save_table(output, table, provenance("edit_groups", needs))
    rows.forget()
    _say_rates(table)


def _rows(
    base: Backbone,
    method: str,
    manifest: pd.DataFrame,
    near: pd.DataFrame,
    artifacts: Mapping[str, Path],
    part: Shard,
    done: MeasuredRows,
) -> Iterator[pd.DataFrame]:
    """Rows of one method, batch by batch; without those that are there already."""
    config = base.config
    settings = config.editors[method].settings()
    run = {"run": config.run, "backbone": base.name, "seed": config.seed, "samples": config.samples}

    there = done.batches(method)

    def wanted(number: int) -> bool:
        return part.has(number) and number not in there

    batches = edit_batches(base, method, settings, manifest, near, artifacts, config.samples, wanted)
    for batch, rates in measured(batches):
        setting = setting_columns(config, method, settings[batch.setting])
        yield rates.assign(method=method, **setting, **run)


def _say_rates(rows: pd.DataFrame) -> None:
    """Mean rates of every method, for the log."""
    for method, made in rows.groupby("method", sort=False):
        rates = made[["sr", "gr", "lr"]].mean()
        log.info("%s: %d edits, success %.3f, generalization %.3f, locality %.3f", method, len(made), *rates)
