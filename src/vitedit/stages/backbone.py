"""What the stages after the benchmark share: a backbone, its sites, its groups and its locality set."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float, Int64
from torch import Tensor

from vitedit.artifacts import load_json, load_table
from vitedit.config import Config
from vitedit.data.images import read_files
from vitedit.errors import ArtifactError, ImageError
from vitedit.lineage import depends
from vitedit.measure.evaluate import Reference
from vitedit.model.edits import Samples
from vitedit.model.room import planned
from vitedit.model.sites import Site
from vitedit.model.vit import Split, load_vit
from vitedit.stages.token_store import TokenStore, made_with
from vitedit.tensors import device_name


@dataclass(frozen=True)
class Backbone:
    """A model of the run with the images that its edits are made from and measured on."""

    config: Config
    name: str
    split: Split
    tokens: TokenStore | None = None
    """Of its images, if they are stored."""

    @classmethod
    def load(cls, config: Config, name: str, sites: tuple[Site, ...], device: torch.device) -> "Backbone":
        """Loads the model and cuts it before the sites."""
        return cls(config, name, Split(load_vit(config.models[name], config.checkpoint(name), device), sites))

    @classmethod
    def chosen(
        cls, config: Config, name: str, choice: Path, device: torch.device, tokens: Path | None = None
    ) -> "Backbone":
        """Loads the model and cuts it where the layer search (or the configuration) says; opens its stored tokens, if any."""
        made = load_json(choice, depends(config, "search_layers", backbone=name))
        base = cls.load(config, name, tuple(Site(**site) for site in made["sites"]), device)
        if tokens is None:
            return base
        return replace(base, tokens=TokenStore.open(tokens, made_with(config, name)))

    def manifest(self, benchmark: Path, subsets: Sequence[str] | None = None) -> pd.DataFrame:
        """Rows of the benchmark, of some subsets if they are named.

        Raises:
            ArtifactError: Stale, or a subset has no groups.
        """
        table = load_table(benchmark, depends(self.config, "build_benchmark", backbone=self.name))
        exist = list(table["subset"].unique())
        if absent := [subset for subset in subsets or [] if subset not in exist]:
            raise ArtifactError(
                f"{benchmark}: no groups in the subset '{absent[0]}'. Subsets: {', '.join(exist)}. "
                "For `tuning`, hold groups out with `benchmark.held_out_groups`."
            )
        return table if subsets is None else table[table["subset"].isin(subsets)].reset_index(drop=True)

    def locality(self, locality: Path, held_out: bool = False) -> pd.DataFrame:
        """Rows of the locality set, or of the images held out for tuning.

        Raises:
            ArtifactError: Stale, or no image is held out.
        """
        table = load_table(locality, depends(self.config, "build_locality", backbone=self.name))
        rows = table[table["held_out"] == held_out].reset_index(drop=True)
        if rows.empty:
            gap = f"`locality.gap` ({self.config.locality.gap:g})"
            where = f"between {gap} and twice that" if held_out else f"below {gap}"
            purpose = "held out for tuning" if held_out else "measured on"
            raise ArtifactError(
                f"{locality}: no image has a gap {where}, so nothing is {purpose}. Raise it or give more images."
            )
        return rows

    def read(self, rows: pd.DataFrame) -> Float[Tensor, "images 3 side side"]:
        """Images of a manifest's rows.

        Raises:
            ImageError: There are no rows, or an image cannot be read.
        """
        if rows.empty:
            raise ImageError(
                "no images: a group or locality set is empty. Build the benchmark again with more images or a wider rule."
            )
        transform = self.config.models[self.name].transform
        return read_files(self.config.images, list(rows["images"]), list(rows["file"]), transform)

    def reference(self, split: Split, rows: pd.DataFrame) -> Reference:
        """Images of a manifest's rows as edits of a cut are measured on them: from stored tokens as far as there are some.

        Raises:
            ImageError: There are no rows, or an image cannot be read.
            ArtifactError: Stored tokens are damaged or stale.
        """
        found = self.tokens.find(split.point, rows) if self.tokens and len(rows) else None
        if found is None:
            return Reference.of(split, self.read(rows))
        near = found.reference.to(split.device)
        if found.point == split.point and found.device == device_name(split.device):
            return near
        # its own predictions too: those of another device's arithmetic would count as changed by edits
        return Reference.onward(split, near.tokens, found.point)

    def samples(self, rows: pd.DataFrame, count: int = 1) -> Samples:
        """What edits are made from: every `count` rows are the samples of one, the first of them its edit sample."""
        images = self.read(rows).unflatten(0, (-1, count)).to(self.split.device)
        first = rows.iloc[::count]
        return Samples(
            images,
            torch.as_tensor(first["label"].to_numpy(copy=True), device=self.split.device),
            tuple(first["images"] + "/" + first["file"]),
        )

    def batches(self, rows: pd.DataFrame, split: Split) -> Iterator[pd.DataFrame]:
        """Rows in batches of edits of this cut."""
        step = planned(split)
        yield from (rows.iloc[i : i + step] for i in range(0, len(rows), step))


def own_positions(
    group: pd.DataFrame, edits: pd.DataFrame, count: int = 1
) -> Int64[np.ndarray, "edits {count}"]:
    """Positions in a group of the images that edits are made from: the edit sample and those that follow it in the group.

    The first image follows the last.
    """
    first = np.array([group.index.get_loc(row) for row in edits.index])
    return (first[:, None] + np.arange(count)) % len(group)
