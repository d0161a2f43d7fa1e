"""Every checkable statement of the paper, tested on the rows of a run: the table `claims`."""

from collections.abc import Hashable, Mapping
from typing import Any

import pandas as pd

from vitedit.measure.claims_edits import edit_claims, sample_claim, share_claims
from vitedit.measure.claims_places import formula_claim, layer_claims, overlap_claim, training_claims
from vitedit.measure.system import step_sizes
from vitedit.measure.verdicts import Claim, Paper, table


def claims(tables: Mapping[str, pd.DataFrame], paper: Paper, resamples: int, seed: int) -> pd.DataFrame:
    """A row a statement and backbone, in the order of the paper's figures; what a run cannot test at all is left out.

    Args:
        tables: `edits`, `ablation_edits`, `training`, `masks` and `system` as written, and `layer_edits`, the rows of the layer
            search before they are averaged.
        paper: What the paper printed, from `config/paper_values.yaml`.
        resamples: Of the bootstrap.
        seed: Of its draws.

    Returns:
        source, backbone, statement, statistic (its name), value, low, high, verdict, measured and paper (both in words), kind
        (finding or check) and why (it is undecided).
    """
    found = [formula_claim(paper)]
    for row in tables["system"].to_dict("records"):
        backbone = str(row["backbone"])
        own = {name: part[part["backbone"] == backbone] for name, part in tables.items()}
        found += _of_backbone(own, backbone, row, paper, resamples, seed)
    return table(sorted(found, key=lambda claim: claim.source.replace("Section", "A")))


def _of_backbone(
    tables: Mapping[str, pd.DataFrame],
    backbone: str,
    system: Mapping[Hashable, Any],
    paper: Paper,
    resamples: int,
    seed: int,
) -> list[Claim]:
    """The claims of one backbone from its rows alone."""
    edits = tables["edits"]
    found = layer_claims(tables["layer_edits"], backbone, paper, resamples, seed)
    found += edit_claims(edits, backbone, step_sizes(system), paper, resamples, seed)
    found += [sample_claim(tables["ablation_edits"], backbone, paper, resamples, seed)]
    found += share_claims(edits, backbone, system["share"], system["units"], paper)
    if len(tables["masks"]):
        found += [overlap_claim(tables["masks"], backbone, paper, resamples, seed)]
    if len(tables["training"]):
        found += training_claims(tables["training"], backbone, paper, resamples, seed)
    return found
