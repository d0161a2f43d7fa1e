"""Rule many_edits: sequences and combined edits of all methods as one table."""

from pathlib import Path
from typing import Any

import pandas as pd

from vitedit.artifacts import load_table, provenance, save_table
from vitedit.config import Config
from vitedit.lineage import depends, lots


def many_edits(config: Config, *, output: Path) -> None:
    """Writes one row an edit.

    Raises:
        ArtifactError: A method's rows are missing, damaged or were made under another configuration.
    """
    tables = [
        load_table(config.results / backbone / "many" / f"{lot}.parquet", needs_of(config, backbone, lot))
        for backbone in config.ablated_backbones
        for lot in lots(config, config.editors)
    ]
    save_table(output, pd.concat(tables, ignore_index=True), provenance("many_edits", needs(config)))


def needs(config: Config) -> dict[str, Any]:
    """The parts of the configuration behind the table that `many_edits` writes."""
    return {
        f"{backbone}/{lot}": needs_of(config, backbone, lot)
        for backbone in config.ablated_backbones
        for lot in lots(config, config.editors)
    }


def needs_of(config: Config, backbone: str, lot: str) -> dict[str, Any]:
    """Those behind the rows of some methods."""
    return depends(config, "edit_many", backbone=backbone, method=lot)
