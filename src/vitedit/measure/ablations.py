"""Variants of one method against each other, family by family (paper Fig. 5b and the ablations of its appendix)."""

from collections.abc import Iterator, Mapping
from functools import reduce
from typing import Any

import pandas as pd

from vitedit.config import Config
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


def tried(config: Config) -> dict[tuple[str, str], str]:
    """(family, variant) -> the values that it gives what its family changes, in words; of the default the run's own."""
    found = {}
    for family, pieces in config.ablations.items():
        variants = {name: piece for name, piece in (pieces or {}).items() if piece}
        paths = dict.fromkeys(path for piece in variants.values() for path in _paths(piece))
        under = {DEFAULT: config} | {name: config.under(f"{family}/{name}") for name in variants}
        for name, varied in under.items():
            values = (reduce(lambda part, key: part[key], path, varied.model_dump()) for path in paths)
            found[family, name] = ", ".join(map(_in_words, values))
    return found


def _paths(piece: Mapping[str, Any]) -> Iterator[tuple[str, ...]]:
    """The keys that lead to each value of a piece of configuration."""
    for key, value in piece.items():
        if isinstance(value, Mapping):
            yield from ((key, *rest) for rest in _paths(value))
        else:
            yield (key,)


def _in_words(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:g}" if isinstance(value, float) else str(value)
