"""One row an edit: methods run and measured on the groups of a manifest."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from vitedit.config import Scalar
from vitedit.editors import build, editor_class
from vitedit.editors.base import Editor
from vitedit.measure.evaluate import Reference, measure
from vitedit.model.edits import Edits
from vitedit.model.sites import Site
from vitedit.model.vit import Split
from vitedit.progress import track
from vitedit.stages.backbone import Backbone, own_positions
from vitedit.stages.trained import load_trained

GROUP = ["subset", "group"]


@dataclass(frozen=True)
class Ground:
    """What edits of one cut of a backbone are measured on: its groups and its locality set, as prefix tokens."""

    split: Split
    groups: Mapping[Any, pd.DataFrame]
    references: Mapping[Any, Reference]
    near: Reference

    @classmethod
    def of(cls, base: Backbone, split: Split, manifest: pd.DataFrame, locality: pd.DataFrame) -> "Ground":
        """Runs the unedited model once over all images."""
        groups = dict(iter(manifest.groupby(GROUP, sort=False)))
        references = {name: Reference.of(split, base.read(rows)) for name, rows in groups.items()}
        return cls(split, groups, references, Reference.of(split, base.read(locality)))

    def measure(self, edits: Edits, batch: pd.DataFrame) -> pd.DataFrame:
        """Rates of a batch of edits that may span several groups."""
        tables = []
        keys = pd.MultiIndex.from_frame(batch[GROUP])
        for name, rows in batch.groupby(GROUP, sort=False):
            where = np.flatnonzero(keys == name)
            own = own_positions(self.groups[name], rows)
            rates = measure(self.split, edits.take(where), self.references[name], own, self.near)
            known = rows[[*GROUP, "file", "label", "predicted"]].reset_index(drop=True)
            tables.append(known.assign(edit=own).join(rates))
        return pd.concat(tables, ignore_index=True)


def edit_rows(
    base: Backbone,
    method: str,
    settings: Sequence[Mapping[str, Scalar]],
    manifest: pd.DataFrame,
    locality: pd.DataFrame,
    artifacts: Mapping[str, Path],
) -> list[pd.DataFrame]:
    """Edits every edit sample of a manifest with every setting of a method; one table a setting, one row an edit.

    Raises:
        ArtifactError: A trained artefact of the method is not given, or is missing, damaged or stale.
    """
    trained = load_trained(base, editor_class(method), artifacts)
    editors = [build(method, setting, base.config, trained) for setting in settings]
    samples, grounds = manifest[manifest["is_edit"]], dict[tuple[Site, ...], Ground]()
    work = [
        (at, batch)
        for at, editor in enumerate(editors)
        for batch in base.batches(samples, editor.cut(base.split))
    ]
    tables: list[list[pd.DataFrame]] = [[] for _ in editors]
    for at, batch in track(work, f"{method} batches of edits", len(work)):
        cut = editors[at].cut(base.split)
        if cut.sites not in grounds:
            grounds[cut.sites] = Ground.of(base, cut, manifest, locality)
        edits, seconds = _edit(editors[at], base, batch)
        tables[at].append(grounds[cut.sites].measure(edits, batch).assign(seconds=seconds / len(batch)))
    return [pd.concat(parts, ignore_index=True) for parts in tables]


def _edit(editor: Editor, base: Backbone, batch: pd.DataFrame) -> tuple[Edits, float]:
    """Edits of one batch and the seconds they took."""
    samples = base.samples(batch)
    began = time.perf_counter()
    edits = editor.edit(base.split, samples)
    if base.split.device.type == "cuda":
        torch.cuda.synchronize()
    return edits, time.perf_counter() - began
