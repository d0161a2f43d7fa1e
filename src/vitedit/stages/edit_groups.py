"""Rule edit_groups: one method on all groups of one subset, every edit measured (paper section 4, Fig. 4 and 5a)."""

import logging
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from vitedit.artifacts import provenance, save_table
from vitedit.config import Config, Scalar
from vitedit.editors import build, editor_class
from vitedit.editors.base import Editor
from vitedit.lineage import depends
from vitedit.measure.evaluate import Reference, measure
from vitedit.model.edits import Edits
from vitedit.progress import track
from vitedit.stages.backbone import Backbone, own_positions
from vitedit.stages.trained import load_trained

log = logging.getLogger(__name__)


def edit_groups(
    config: Config,
    *,
    backbone: str,
    method: str,
    subset: str,
    benchmark: Path,
    locality: Path,
    choice: Path,
    artifact: Mapping[str, Path],
    output: Path,
    device: torch.device,
) -> None:
    """Edits with every setting of the method and writes one row an edit."""
    base = Backbone.chosen(config, backbone, choice, device)
    manifest = base.manifest(benchmark, subset)
    groups = dict(iter(manifest.groupby("group", sort=False)))
    references = {name: Reference.of(base.split, base.read(rows)) for name, rows in groups.items()}
    near = base.locality(locality)
    trained = load_trained(config, backbone, base.split, editor_class(method).artifacts, artifact)
    settings = config.editors[method].settings()
    work = [(setting, batch) for setting in settings for batch in base.batches(manifest[manifest["is_edit"]])]
    tables = []
    for setting, batch in track(work, f"{method} batches of edits", len(work)):
        edits, seconds = _edit(build(method, setting, config, trained), base, batch)
        measured = _measure(base, edits, batch, groups, references, near)
        tables.append(measured.assign(seconds=seconds / len(batch), **_names(config, method, setting)))
    table = pd.concat(tables, ignore_index=True).assign(
        run=config.run, backbone=backbone, method=method, seed=config.seed
    )
    log.info(
        "%s on %s: %d edits, success %.3f, generalization %.3f, locality %.3f",
        method,
        subset,
        len(table),
        *table[["sr", "gr", "lr"]].mean(),
    )
    save_table(
        output,
        table[COLUMNS],
        provenance("edit_groups", depends(config, "edit_groups", backbone=backbone, method=method)),
    )


COLUMNS = [
    *(
        "run",
        "backbone",
        "method",
        "setting",
        "knob",
        "value",
        "subset",
        "group",
        "edit",
        "file",
        "label",
        "predicted",
    ),
    *("sr", "gr", "gr_ref", "lr", "steps", "loss", "seconds", "fraction", "norm", "seed", "status"),
]
"""Columns of a row (docs/glossary.md)."""


def _edit(editor: Editor, base: Backbone, batch: pd.DataFrame) -> tuple[Edits, float]:
    """Edits of one batch and the seconds they took."""
    samples = base.samples(batch)
    began = time.perf_counter()
    edits = editor.edit(base.split, samples)
    if base.split.device.type == "cuda":
        torch.cuda.synchronize()
    return edits, time.perf_counter() - began


def _measure(
    base: Backbone,
    edits: Edits,
    batch: pd.DataFrame,
    groups: Mapping[Any, pd.DataFrame],
    references: Mapping[Any, Reference],
    near: Reference,
) -> pd.DataFrame:
    """Rates of a batch that may span several groups."""
    tables = []
    for name, rows in batch.groupby("group", sort=False):
        where = np.flatnonzero((batch["group"] == name).to_numpy())
        own = own_positions(groups[name], rows)
        rates = measure(base.split, edits.take(where), references[name], own, near)
        known = rows[["subset", "group", "file", "label", "predicted"]].reset_index(drop=True)
        tables.append(known.assign(edit=own).join(rates))
    return pd.concat(tables, ignore_index=True)


def _names(config: Config, method: str, setting: Mapping[str, Scalar]) -> dict[str, Any]:
    """Columns that name a setting: its knob and value."""
    knob = config.editors[method].knob
    value = setting[knob] if knob else np.nan
    return {"setting": f"{knob}={value}" if knob else "", "knob": knob, "value": float(value)}
