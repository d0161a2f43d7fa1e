"""Variants of one method against each other, family by family (paper Fig. 5b and the ablations of its appendix)."""

import pandas as pd

from vitedit.config.overlay import DEFAULT
from vitedit.measure import tabulate

NAMES = ["family", "variant", "default", "released"]
"""Columns that rows of ablations have beside those of edits or curves."""
EDIT = ["backbone", "method", "subset", "group", "edit"]
"""What an edit is known by, whatever the variant."""


def named(edits: pd.DataFrame, family: str, variant: str) -> pd.DataFrame:
    """Edits of one variant with the columns that say so."""
    return edits.assign(family=family, variant=variant, default=variant == DEFAULT, released=False)


def in_common(rows: pd.DataFrame) -> pd.DataFrame:
    """Rows of edits that every variant of their family has, whatever the setting: variants may leave small groups out."""
    variants = rows.groupby("family")["variant"].transform("nunique")
    having = rows.groupby(["family", *EDIT])["variant"].transform("nunique")
    return rows[having == variants]


def curves(rows: pd.DataFrame, resamples: int, seed: int) -> pd.DataFrame:
    """A point a (family, variant, setting, subset), as in the table of all methods, over the edits in common."""
    common = in_common(rows)
    kept = [*NAMES, "samples"]
    parts = [
        tabulate.curves(edits, resamples, seed).assign(**dict(zip(kept, key, strict=True)))
        for key, edits in common.groupby(kept, sort=False)
    ]
    if not parts:
        empty = tabulate.curves(common, resamples, seed)
        return empty.reindex(columns=[*empty.columns, *kept])
    return pd.concat(parts, ignore_index=True)
