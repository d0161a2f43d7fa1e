"""Rule search_layers: which blocks, and which half of them, to edit (paper section 3.1, Fig. 2)."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from timm.models.vision_transformer import VisionTransformer

from vitedit.artifacts import provenance, save_json, save_table
from vitedit.config import Config
from vitedit.editors.ft import FineTune
from vitedit.errors import ConfigError
from vitedit.lineage import depends
from vitedit.measure.evaluate import Reference, measure
from vitedit.model.sites import backbone_size, find_sites
from vitedit.model.vit import Split, load_vit
from vitedit.progress import track
from vitedit.stages.backbone import Backbone, own_positions
from vitedit.where.search import Window, choose, windows


def search_layers(
    config: Config,
    *,
    backbone: str,
    benchmark: Path,
    locality: Path,
    rows: Path,
    choice: Path,
    device: torch.device,
) -> None:
    """Fine-tunes every window of consecutive FFNs and self-attentions on one group and writes the rates and the choice."""
    vit = load_vit(config.models[backbone], config.checkpoint(backbone), device)
    find_sites(
        vit, config.sites.part, config.sites.blocks or []
    )  # refuses blocks that do not exist, before the search
    every = list(windows(len(vit.blocks), config.search.window))
    tables = [
        _rates(
            Backbone(config, backbone, Split(vit, find_sites(vit, window.part, window.blocks))),
            window,
            benchmark,
            locality,
        )
        for window in track(every, "windows", len(every))
    ]
    table = pd.concat(tables, ignore_index=True)
    made = provenance("search_layers", depends(config, "search_layers", backbone=backbone))
    chosen = _choice(config, vit, table)
    save_table(rows, table, made)
    save_json(choice, chosen, made)


def _rates(backbone: Backbone, window: Window, benchmark: Path, locality: Path) -> pd.DataFrame:
    """One row an edit: fine-tuning of one window of blocks."""
    config = backbone.config
    group = _group(config, backbone.manifest(benchmark, [config.search.subset]))
    samples = group[group["is_edit"]].head(config.search.max_edits)
    edits = FineTune(config.descent, config.search.learning_rate).edit(
        backbone.split, backbone.samples(samples)
    )
    images = Reference.of(backbone.split, backbone.read(group))
    near = Reference.of(backbone.split, backbone.read(backbone.locality(locality)))
    rates = measure(backbone.split, edits, images, own_positions(group, samples), near)
    named = rates[["sr", "gr", "lr", "steps"]].assign(
        edit=range(len(samples)), file=samples["file"].to_numpy(), **asdict(window)
    )
    return named[["part", "first", "last", "edit", "file", "sr", "gr", "lr", "steps"]]


def _group(config: Config, manifest: pd.DataFrame) -> pd.DataFrame:
    """The group that is searched on: the one named, or the largest."""
    sizes = manifest.groupby("group").size()
    name = config.search.group or sizes.idxmax()
    if name not in sizes.index:
        raise ConfigError(
            f"search.group: no group '{name}' in the subset '{config.search.subset}'. Groups: {', '.join(sizes.index)}."
        )
    return manifest[manifest["group"] == name].reset_index(drop=True)


def _choice(config: Config, vit: VisionTransformer, table: pd.DataFrame) -> dict[str, Any]:
    """Blocks, part and sites to edit, who chose them, and the sizes of the model, for the diagram of the system."""
    found = choose(table)
    fixed = config.sites.blocks
    part, blocks = (found.part, found.blocks) if fixed is None else (config.sites.part, fixed)
    found_sites = find_sites(vit, part, blocks)
    facts = {
        "blocks": len(vit.blocks),
        "width": vit.embed_dim,
        "classes": vit.num_classes,
        "weights": backbone_size(vit),
        "site_weights": sum(vit.get_parameter(site.name).numel() for site in found_sites),
        "units": [site.size(vit) for site in found_sites],
    }
    return {
        "by": "search" if fixed is None else "config",
        "part": part,
        "blocks": blocks,
        "sites": [asdict(site) for site in found_sites],
        "search": asdict(found),
        "model": facts,
    }
