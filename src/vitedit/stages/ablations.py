"""Rule ablations: the edits of all ablations with a training of their own as one table (paper appendix)."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from vitedit.artifacts import load_table, provenance, save_table
from vitedit.config import Config
from vitedit.config.overlay import DEFAULT
from vitedit.lineage import depends, lot_of
from vitedit.measure.ablations import named


def ablations(config: Config, *, output: Path) -> None:
    """Writes one row an edit: those of every variant, and in every family those of the default.

    Raises:
        UnknownNameError: The run does not have the ablated method.
        ArtifactError: A variant's edits are missing, damaged or were made under another configuration.
    """
    lot = lot_of(config, config.ablated_method)
    tables = [
        load_table(
            config.results / backbone / "edits" / f"{lot}.parquet",
            depends(config, "edit_groups", backbone=backbone, method=lot),
        )
        for backbone in config.ablated_backbones
    ]
    rows = ablation_rows(config, pd.concat(tables, ignore_index=True), trained=True)
    save_table(output, rows, provenance("ablations", needs(config)))


def needs(config: Config) -> dict[str, Any]:
    """The parts of the configuration behind the table that `ablations` writes."""
    variants = {DEFAULT: config} | {name: config.under(name) for name in config.trained_ablations}
    return {name: _needs(variant, config.ablated_backbones) for name, variant in variants.items()}


def _needs(variant: Config, backbones: list[str]) -> dict[str, Mapping[str, Any]]:
    method = variant.ablated_method
    return {name: depends(variant, "edit_groups", backbone=name, method=method) for name in backbones}


def ablation_rows(config: Config, edits: pd.DataFrame, *, trained: bool) -> pd.DataFrame:
    """Rows of all families of one kind, the default first in each; `edits` are the run's, of any method.

    Raises:
        ArtifactError: A variant's edits are missing, damaged or stale.
    """
    method, backbones = config.ablated_method, config.ablated_backbones
    own = edits[(edits["method"] == method) & edits["backbone"].isin(backbones)]
    if trained and DEFAULT in config.trained_ablations:
        own = _made(config, DEFAULT)
    parts: dict[str, list[pd.DataFrame]] = {}
    for name in config.ablation_names(trained):
        family, _, variant = name.partition("/")
        made = named(_made(config, name), family, variant)
        parts.setdefault(family, [named(own, family, DEFAULT)]).append(made)
    rows = [table for tables in parts.values() for table in tables]
    return pd.concat(rows, ignore_index=True) if rows else named(own.iloc[:0], "", "")


def _made(config: Config, name: str) -> pd.DataFrame:
    """Edits of one ablation."""
    fresh = _needs(config.under(name), config.ablated_backbones)
    tables = [
        load_table(config.results / backbone / "ablations" / name / "edits.parquet", depends_on)
        for backbone, depends_on in fresh.items()
    ]
    return pd.concat(tables, ignore_index=True)
