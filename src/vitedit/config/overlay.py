"""Configurations laid over each other, and the pieces of one that ablations lay over their run's."""

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import AfterValidator

from vitedit.config.section import Name

TRAINING = "meta_train"
"""Section that decides whether an ablation needs a training of its own."""
DEFAULT = "default"
"""Name of what the variants of a family are compared with."""
ABLATED = (TRAINING, "editors", "samples", "reference")
"""Sections that an ablation may change: groups, locality set and sites are those of its run."""


def overlay(below: Mapping[Any, Any], above: Mapping[Any, Any]) -> dict[Any, Any]:
    """Lays one configuration over another as Snakemake does: mappings merge, everything else is replaced.

    Keys are not checked here; in a file they may be anything.
    """
    merged = dict(below)
    for key, value in above.items():
        both = isinstance(value, Mapping) and isinstance(merged.get(key), Mapping)
        merged[key] = overlay(merged[key], value) if both else value
    return merged


def _of_ablation(piece: dict[str, Any]) -> dict[str, Any]:
    if not piece:
        raise ValueError("an ablation changes something")
    if others := [key for key in piece if key not in ABLATED]:
        raise ValueError(f"an ablation cannot change '{others[0]}'; it may change {', '.join(ABLATED)}")
    return piece


Overlay = Annotated[dict[str, Any], AfterValidator(_of_ablation)]


def _one_kind(variants: "dict[Name, Overlay | None] | None") -> "dict[Name, Overlay | None] | None":
    if len({TRAINING in piece for piece in (variants or {}).values() if piece is not None}) > 1:
        raise ValueError(
            f"all variants of a family change '{TRAINING}', or none: those that do are trained by `snakemake appendix`"
        )
    if DEFAULT in (variants or {}):
        raise ValueError(f"'{DEFAULT}' is the name of the run as configured; give the variant another")
    return variants


Family = Annotated[dict[Name, Overlay | None] | None, AfterValidator(_one_kind)]
"""Variants by name; null leaves a variant, or the family, out that a configuration below defines."""
