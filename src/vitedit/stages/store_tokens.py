"""Rule store_tokens: prefix tokens of the groups and of the locality set, once a backbone for all jobs that edit it."""

import logging
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pandas as pd
import torch

from vitedit.artifacts import load_table, provenance
from vitedit.config import Config
from vitedit.data.benchmark import spaced
from vitedit.errors import UnknownNameError
from vitedit.lineage import depends
from vitedit.measure.evaluate import Reference
from vitedit.model.sites import Part, half_block
from vitedit.model.vit import Split
from vitedit.progress import track
from vitedit.stages.backbone import Backbone
from vitedit.stages.rows import GROUP
from vitedit.stages.token_store import clear, made_with, write_set, write_table
from vitedit.tensors import device_name

log = logging.getLogger(__name__)

CPU = torch.device("cpu")


def store_tokens(
    config: Config,
    *,
    backbone: str,
    benchmark: Path,
    locality: Path,
    choice: Path,
    output: Path,
    device: torch.device,
) -> None:
    """Writes tokens where they enter the edited blocks, the last FFN and, embedded only, the first block, beside the table of
    their images, which is written last.

    What would exceed `token_store_gb` is left out, the last first: a job that needs it reads the images itself.
    """
    base = Backbone.chosen(config, backbone, choice, device)
    near = load_table(locality, depends(config, "build_locality", backbone=backbone))
    sets = [*_groups_and_styles(base, benchmark), *(rows for _, rows in near.groupby("held_out", sort=False))]
    cuts = list(_fitting(base, sum(map(len, sets))))
    made = provenance("store_tokens", made_with(config, backbone)) | {"device": device_name(device)}
    clear(output)
    for number, rows in enumerate(track(sets, "sets of images", len(sets)) if cuts else ()):
        images = base.read(rows)
        write_set(output.parent, number, {cut.point: Reference.of(cut, images).to(CPU) for cut in cuts}, made)
    write_table(output, sets, made)


def _groups_and_styles(base: Backbone, benchmark: Path) -> Iterator[pd.DataFrame]:
    """Every group, and the images that stand for a whole style: together again, lest a job open every group for them."""
    manifest, settings = base.manifest(benchmark), base.config.benchmark
    yield from (rows for _, rows in manifest.groupby(GROUP, sort=False))
    if settings.style_neighbours:
        for style in settings.styles:
            rows = manifest[manifest["subset"] == style]
            if len(rows):
                yield rows.iloc[spaced(len(rows), settings.style_neighbours)]


def _fitting(base: Backbone, images: int) -> Iterator[Split]:
    """Cuts whose tokens are stored."""
    side, left = base.config.models[base.name].transform.size, base.config.token_store_gb
    for cut in _cuts(base.split):
        one = cut.prefix(torch.zeros(1, 3, side, side))
        size, place = images * one.numel() * one.element_size() / 1e9, half_block(cut.point)
        if size <= left:
            left -= size
            log.info("%s: tokens of %d images stored, %.3g GB", place, images, size)
            yield cut
        else:
            log.warning(
                "%s: the tokens of %d images are not stored, so every job that needs them reads the images: they take %.3g GB, "
                "and %.3g GB are left of `token_store_gb` (%g).",
                *(place, images, size, left, base.config.token_store_gb),
            )


def _cuts(chosen: Split) -> Iterator[Split]:
    """Where methods are cut: at the run's blocks; at the last FFN; and at the first block, from which any other is reached."""
    yield chosen
    others: list[tuple[Part, int]] = [("mlp", -1), ("attn", 0)]
    for part, block in others:
        with suppress(UnknownNameError):  # without such matrices no method is cut there
            cut = chosen.at(part, [block])
            if cut.point != chosen.point:
                yield cut
