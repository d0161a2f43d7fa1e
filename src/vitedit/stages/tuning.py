"""Rule tuning: the trials of all methods as one table, and the best as a configuration to lay over the run's."""

import json
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import yaml

from vitedit.artifacts import atomic, load_table, provenance, save_table
from vitedit.config import Config
from vitedit.lineage import depends, lots


def tuning(config: Config, *, output: Path, tuned: Path) -> None:
    """Writes the table (Parquet, and CSV beside it) and the configuration `tuned`.

    The best trial of a method has the highest mean score over the backbones; the earlier of equals.

    Raises:
        ArtifactError: A method's trials are missing or stale.
    """
    table = pd.concat(list(_trials(config)), ignore_index=True)
    table["best"] = _best(table)
    save_table(output, table, provenance("tuning", {}))
    with atomic(output.with_suffix(".csv")) as temporary:
        table.to_csv(temporary, index=False, float_format="%.4g")
    with atomic(tuned) as temporary:
        temporary.write_text(_overlay(config, table))


def _trials(config: Config) -> Iterator[pd.DataFrame]:
    for lot in lots(config, config.tuned_methods):
        for backbone in config.backbones:
            fresh = depends(config, "tune", backbone=backbone, method=lot)
            yield load_table(config.results / backbone / "tuning" / f"{lot}.parquet", fresh)


def _best(table: pd.DataFrame) -> pd.Series:
    """Marks each method's best trial."""
    trials = table[table["origin"] == "trial"]
    means = trials.groupby(["method", "parameters"], sort=False)["score"].mean()
    best = set(means.groupby("method", sort=False).idxmax())
    chosen = [key in best for key in zip(table["method"], table["parameters"], strict=True)]
    return pd.Series(chosen, index=table.index) & (table["origin"] == "trial")


def _overlay(config: Config, table: pd.DataFrame) -> str:
    """The best hyper-parameters as a configuration; a knob keeps its values, since they span the method's curve."""
    editors = {}
    for method, text in table[table["best"]].drop_duplicates("method")[["method", "parameters"]].values:
        found = {k: v for k, v in json.loads(text).items() if k != config.editors[method].knob}
        if found:
            editors[method] = found
    head = "# Best trials of `snakemake tuning`: lay it over the run's configuration, after it.\n"
    return head + yaml.safe_dump({"editors": editors}, sort_keys=False)
