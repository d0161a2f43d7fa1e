"""Rule show_edits: what single edits do to single images, before and after, for the gallery of the page."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from jaxtyping import Int

from vitedit.artifacts import provenance, save_table
from vitedit.config import Config
from vitedit.lineage import depends, shown_lot
from vitedit.stages.backbone import Backbone, own_positions
from vitedit.stages.rows import GROUP, Batch, edit_batches, large_enough, setting_columns

Rows = Iterator[dict[str, Any]]

COLUMNS = [
    *("method", "setting", "subset", "group", "role", "images", "file", "label", "before", "after"),
    *("neighbours", "neighbours_right", "locality", "locality_flipped"),
]
"""Columns of a row: one image of one edit, and counts of all images of that edit."""


def show_edits(
    config: Config,
    *,
    backbone: str,
    benchmark: Path,
    locality: Path,
    choice: Path,
    artifact: Mapping[str, Path],
    output: Path,
    tokens: Path | None = None,
    device: torch.device,
) -> None:
    """Edits the first edit sample of the groups with the shown methods; writes predictions before and after of images.

    Roles: "edit" (what the edit was made from), "neighbour" and "flipped" (images of the locality set whose prediction the
    edit changed), of the latter two the first few in the order of the group and of the locality set.

    Raises:
        ArtifactError: An input is missing, damaged or stale, or no group is large enough.
    """
    base = Backbone.chosen(config, backbone, choice, device, tokens)
    groups = large_enough(base.manifest(benchmark, config.subsets), config.samples)
    manifest = _first_edits(groups, config.show.groups)
    near = base.locality(locality)
    rows = [row for method in config.shown_methods for row in _rows(base, method, manifest, near, artifact)]
    made = depends(config, "show_edits", backbone=backbone, method=shown_lot(config))
    save_table(output, pd.DataFrame(rows, columns=pd.Index(COLUMNS)), provenance("show_edits", made))


def _first_edits(manifest: pd.DataFrame, groups: int) -> pd.DataFrame:
    """The first groups of each subset, with one edit sample each: their first."""
    order = manifest.groupby("subset", sort=False)["group"].transform(lambda names: pd.factorize(names)[0])
    kept = manifest[order < groups].reset_index(drop=True)
    samples = kept[kept["is_edit"]].drop_duplicates(GROUP).index
    return kept.assign(is_edit=kept.index.isin(samples))


def _rows(
    base: Backbone, method: str, manifest: pd.DataFrame, near: pd.DataFrame, artifacts: Mapping[str, Path]
) -> Rows:
    """Rows of one method."""
    config = base.config
    setting = config.shown_setting(method)
    name = {"method": method, "setting": setting_columns(config, method, setting)["setting"]}
    for batch in edit_batches(base, method, [setting], manifest, near, artifacts, config.samples):
        after = batch.ground.split.predict_many(batch.ground.near.tokens, batch.edits.changes).cpu().numpy()
        for at in range(len(batch.rows)):
            yield from (name | row for row in _edit(config, batch, at, near, after[at]))


def _edit(
    config: Config, batch: Batch, at: int, near: pd.DataFrame, near_after: Int[np.ndarray, " images"]
) -> Rows:
    """Images of one edit of a batch."""
    ground, row = batch.ground, batch.rows.iloc[[at]]
    place = row[GROUP].iloc[0].to_dict()
    group = tuple(place.values())
    members, reference = ground.groups[group], ground.group(group)
    changes = batch.edits.take(np.array([at])).changes
    after = ground.split.predict_many(reference.tokens, changes)[0].cpu().numpy()
    own = own_positions(members, row, ground.samples)[0]
    others = np.setdiff1d(np.arange(len(members)), own)
    flipped = np.flatnonzero(near_after != ground.near.before)
    place |= {
        "neighbours": len(others),
        "neighbours_right": int((after == members["label"].to_numpy())[others].sum()),
        "locality": len(near),
        "locality_flipped": len(flipped),
    }
    beside, flips = others[: config.show.neighbours], flipped[: config.show.flipped]
    yield from (place | row for row in _images("edit", members, own, reference.before, after))
    yield from (place | row for row in _images("neighbour", members, beside, reference.before, after))
    yield from (place | row for row in _images("flipped", near, flips, ground.near.before, near_after))


def _images(
    role: str,
    table: pd.DataFrame,
    places: Int[np.ndarray, " some"],
    before: Int[np.ndarray, " images"],
    after: Int[np.ndarray, " images"],
) -> Rows:
    """Some images of a manifest with their predictions."""
    for at in places:
        known = table.iloc[at][["images", "file", "label"]].to_dict()
        yield {"role": role, **known, "before": before[at], "after": after[at]}
