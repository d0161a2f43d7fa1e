"""Rule join_edits: the rows that several shards of a lot were edited in, as one table."""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from vitedit.artifacts import load_table, provenance, save_table
from vitedit.config import Config
from vitedit.errors import ArtifactError
from vitedit.lineage import depends

_REMEDY = "Give the file of every shard, each once: 1of3, 2of3, 3of3."


def join_edits(config: Config, *, backbone: str, methods: str, shards: Sequence[str], output: Path) -> None:
    """Writes the rows of all shards in the order in which one job would have made them.

    Args:
        config: The run.
        backbone: Model that was edited.
        methods: Names of the methods, joined by "-".
        shards: Files of all shards.
        output: The rows.

    Raises:
        ArtifactError: A shard is missing, damaged, given twice or was made under another configuration.
    """
    needs = depends(config, "edit_groups", backbone=backbone, method=methods)
    parts = [load_table(Path(file), needs) for file in shards]
    rows = pd.concat([part for part in parts if len(part)], ignore_index=True)
    for method in methods.split("-"):
        _complete(rows, method)
    place = {method: at for at, method in enumerate(methods.split("-"))}
    order = (
        rows.assign(method=rows["method"].map(place)).sort_values(["method", "batch"], kind="stable").index
    )
    save_table(output, rows.loc[order], provenance("edit_groups", needs))


def _complete(rows: pd.DataFrame, method: str) -> None:
    """All batches of a method, each once."""
    own = rows[rows["method"] == method]
    numbers = set(own["batch"])
    absent = sorted(set(range(max(numbers, default=0) + 1)) - numbers)
    if absent:
        raise ArtifactError(
            f"--shards: batches {', '.join(map(str, absent[:5]))} of {method} are missing. {_REMEDY}"
        )
    if own.duplicated(["setting", "subset", "group", "edit"]).any():
        raise ArtifactError(f"--shards: edits of {method} are there twice. {_REMEDY}")
