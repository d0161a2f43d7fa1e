"""One row an edit: methods run and measured on the groups of a manifest."""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float, Int64, Shaped

from vitedit.config import Config, Scalar
from vitedit.data.benchmark import spaced
from vitedit.editors import build, editor_class
from vitedit.editors.base import Editor
from vitedit.errors import ArtifactError
from vitedit.measure.evaluate import Reference, measure
from vitedit.measure.metrics import generalization_style
from vitedit.model.edits import Edits, Samples
from vitedit.model.sites import Site
from vitedit.model.vit import Split
from vitedit.progress import track
from vitedit.stages.backbone import Backbone, own_positions
from vitedit.stages.trained import load_trained

GROUP = ["subset", "group"]


@dataclass(frozen=True)
class Style:
    """Images of a whole style, benchmark images of any class, evenly spaced."""

    files: list[str]
    labels: Int64[np.ndarray, " images"]
    reference: Reference

    @classmethod
    def of(cls, base: Backbone, split: Split, rows: pd.DataFrame, count: int) -> "Style":
        """Runs the unedited model once over them."""
        some = rows.iloc[spaced(len(rows), count)]
        return cls(some["file"].tolist(), some["label"].to_numpy(), base.reference(split, some))

    def measure(
        self, split: Split, edits: Edits, files: Shaped[np.ndarray, "edits samples"]
    ) -> Float[np.ndarray, " edits"]:
        """`gr_style` of edits made from the given files."""
        after = split.predict_many(self.reference.tokens, edits.changes).cpu().numpy()
        own = (files[:, :, None] == np.array(self.files)).any(1)
        return generalization_style(after == self.labels[None], own)


@dataclass(frozen=True)
class Ground:
    """What edits of one cut of a backbone are measured on: its groups and its locality set, as prefix tokens."""

    base: Backbone
    split: Split
    groups: Mapping[Any, pd.DataFrame]
    near: Reference
    styles: Mapping[str, Style]
    samples: int
    """Images that an edit is made from."""

    @classmethod
    def of(
        cls, base: Backbone, split: Split, manifest: pd.DataFrame, locality: pd.DataFrame, samples: int
    ) -> "Ground":
        """Runs the unedited model once over the locality set and the styles."""
        groups = dict(iter(manifest.groupby(GROUP, sort=False)))
        near = base.reference(split, locality)
        settings = base.config.benchmark
        styles = {
            style: Style.of(base, split, manifest[manifest["subset"] == style], settings.style_neighbours)
            for style in set(settings.styles) & set(manifest["subset"])
            if settings.style_neighbours
        }
        return cls(base, split, groups, near, styles, samples)

    def group(self, name: Any) -> Reference:
        """Images of a group, on which the unedited model is run when they are first asked for: a shard has few groups."""
        if name not in self._seen:
            self._seen[name] = self.base.reference(self.split, self.groups[name])
        return self._seen[name]

    @cached_property
    def _seen(self) -> dict[Any, Reference]:
        return {}

    def measure(self, edits: Edits, batch: pd.DataFrame) -> pd.DataFrame:
        """Rates of a batch of edits that may span several groups."""
        tables = []
        keys = pd.MultiIndex.from_frame(batch[GROUP])
        for name, rows in batch.groupby(GROUP, sort=False):
            where = np.flatnonzero(keys == name)
            members = self.groups[name]
            own = own_positions(members, rows, self.samples)
            some, published = edits.take(where), self.base.config.reference
            rates = measure(self.split, some, self.group(name), own, self.near, reference=published)
            style = self.styles.get(rows["subset"].iloc[0])
            known = rows[[*GROUP, "file", "label", "predicted"]].reset_index(drop=True)
            whole = style.measure(self.split, some, members["file"].to_numpy()[own]) if style else np.nan
            tables.append(known.assign(edit=own[:, 0], gr_style=whole).join(rates))
        return pd.concat(tables, ignore_index=True)


class Batch(NamedTuple):
    """Edits that were made together."""

    number: int
    """Place among the batches of its method."""
    setting: int
    """Place of their setting among those that were asked for."""
    ground: Ground
    rows: pd.DataFrame
    """Their edit samples, rows of the manifest."""
    edits: Edits
    seconds: float


def measured(batches: Iterable[Batch]) -> Iterator[tuple[Batch, pd.DataFrame]]:
    """Batches of edits with their rates: one row an edit."""
    for batch in batches:
        rates = batch.ground.measure(batch.edits, batch.rows)
        yield batch, rates.assign(batch=batch.number, seconds=batch.seconds / len(batch.rows))


def edit_batches(
    base: Backbone,
    method: str,
    settings: Sequence[Mapping[str, Scalar]],
    manifest: pd.DataFrame,
    locality: pd.DataFrame,
    artifacts: Mapping[str, Path],
    samples: int = 1,
    wanted: Callable[[int], bool] = lambda number: True,
) -> Iterator[Batch]:
    """Edits every edit sample of a manifest with every setting of a method, batch by batch, setting by setting.

    With several `samples` an edit is made from the edit sample and those that follow it in its group. Groups that would
    have no neighbour left give no row. Of all batches, numbered from 0, only those are made that are `wanted`.

    Raises:
        ArtifactError: A trained artefact of the method is not given, or is missing, damaged or stale; no group is large enough.
    """
    manifest = large_enough(manifest, samples)
    trained = load_trained(base, editor_class(method), artifacts)
    editors = [build(method, setting, base.config, trained) for setting in settings]
    edited, grounds = manifest[manifest["is_edit"]], dict[tuple[Site, ...], Ground]()
    every = enumerate(
        (at, batch)
        for at, editor in enumerate(editors)
        for batch in base.batches(edited, editor.cut(base.split))
    )
    work = [(number, at, batch) for number, (at, batch) in every if wanted(number)]
    for number, at, batch in track(work, f"{method} batches of edits", len(work)):
        cut = editors[at].cut(base.split)
        if cut.sites not in grounds:
            grounds[cut.sites] = Ground.of(base, cut, manifest, locality, samples)
        made_from = base.samples(_made_from(manifest, batch, samples), samples)
        edits, seconds = _edit(editors[at], base, made_from)
        yield Batch(number, at, grounds[cut.sites], batch, edits, seconds)


def setting_columns(config: Config, method: str, setting: Mapping[str, Scalar]) -> dict[str, Any]:
    """Columns that name a setting: its knob and value."""
    knob = config.editors[method].knob
    value = setting[knob] if knob else np.nan
    return {"setting": f"{knob}={value}" if knob else "", "knob": knob, "value": float(value)}


def large_enough(manifest: pd.DataFrame, samples: int) -> pd.DataFrame:
    """Rows of groups that have a neighbour beside the samples of an edit.

    Raises:
        ArtifactError: There are none.
    """
    sizes = manifest.groupby(GROUP)["file"].transform("size")
    if (sizes <= samples).all():
        raise ArtifactError(
            f"samples: an edit from {samples} images needs groups of at least {samples + 1}, the largest has {sizes.max()}. "
            "Edit from fewer images, or build larger groups (`benchmark.max_images`, more images)."
        )
    return manifest[sizes > samples].reset_index(drop=True)


def _made_from(manifest: pd.DataFrame, edits: pd.DataFrame, samples: int) -> pd.DataFrame:
    """Rows of the images that edits are made from, edit by edit."""
    groups = dict(iter(manifest.groupby(GROUP, sort=False)))
    names = edits[GROUP].itertuples(index=False, name=None)
    return pd.concat(
        [
            groups[name].iloc[own_positions(groups[name], edits.iloc[[at]], samples)[0]]
            for at, name in enumerate(names)
        ]
    )


def _edit(editor: Editor, base: Backbone, samples: Samples) -> tuple[Edits, float]:
    """Edits of one batch and the seconds they took."""
    began = time.perf_counter()
    edits = editor.edit(base.split, samples)
    if base.split.device.type == "cuda":
        torch.cuda.synchronize()
    return edits, time.perf_counter() - began
