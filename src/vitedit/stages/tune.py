"""Rule tune: hyper-parameters of methods tried on groups that no result is measured on."""

import json
from collections.abc import Mapping
from pathlib import Path

import pandas as pd
import torch

from vitedit.artifacts import provenance, save_table
from vitedit.config import Config
from vitedit.data.benchmark import HELD_OUT
from vitedit.lineage import depends
from vitedit.stages.backbone import Backbone
from vitedit.stages.rows import GROUP, edit_batches, measured
from vitedit.where.pareto import harmonic


def tune(
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
    device: torch.device,
) -> None:
    """Writes one row a trial of every method (joined by "-"): its grid, then the hyper-parameters of its own publication.

    Rates are means over the held-out groups; `score` is the harmonic mean of generalization and locality.

    Raises:
        ArtifactError: An input is missing or stale, or no group was held out.
    """
    base = Backbone.chosen(config, backbone, choice, device, tokens)
    manifest = base.manifest(benchmark, [HELD_OUT])
    near = base.locality(locality, held_out=True)
    tables = [_trials(base, method, manifest, near, artifact) for method in methods.split("-")]
    made = provenance("tune", depends(config, "tune", backbone=backbone, method=methods))
    save_table(output, pd.concat(tables, ignore_index=True), made)


def _trials(
    base: Backbone, method: str, manifest: pd.DataFrame, near: pd.DataFrame, artifacts: Mapping[str, Path]
) -> pd.DataFrame:
    """Trials of one method."""
    section = base.config.editors[method]
    tried = [("trial", list(section.tune), setting) for setting in section.trials()]
    if section.original:
        tried.append(("original", list(section.original), section.middle() | section.original))
    settings = [setting for *_, setting in tried]
    made: list[list[pd.DataFrame]] = [[] for _ in tried]
    for batch, rates in measured(edit_batches(base, method, settings, manifest, near, artifacts)):
        made[batch.setting].append(rates)
    rows = [
        {"backbone": base.name, "method": method, "origin": origin}
        | _means(pd.concat(tables), {key: setting[key] for key in keys})
        for tables, (origin, keys, setting) in zip(made, tried, strict=True)
    ]
    table = pd.DataFrame(rows)
    table.insert(4, "score", harmonic(table["gr"].to_numpy(), table["lr"].to_numpy()))
    return table


def _means(edits: pd.DataFrame, setting: Mapping[str, object]) -> dict[str, object]:
    """Means over groups of group means."""
    groups = edits.groupby(GROUP)[["sr", "gr", "lr", "steps", "seconds"]].mean()
    counts = {"groups": len(groups), "edits": len(edits)}
    return {"parameters": json.dumps(dict(setting))} | groups.mean().to_dict() | counts
