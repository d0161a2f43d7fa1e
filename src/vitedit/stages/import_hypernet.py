"""Command import-hypernet: a hypernetwork that the published code trained, as one of ours."""

import logging
from pathlib import Path

from vitedit.artifacts import load_json, provenance
from vitedit.config import Config
from vitedit.errors import ConfigError
from vitedit.lineage import depends
from vitedit.model.sites import Site, find_sites
from vitedit.model.vit import Split, build_vit
from vitedit.where.published import read_hypernet

log = logging.getLogger(__name__)


def import_hypernet(
    config: Config, file: Path, *, backbone: str, output: Path, choice: Path | None = None
) -> None:
    """Writes a state dict of the published class as our network; `meta_train.checkpoint` takes either into a run.

    Args:
        config: The run; `meta_train.heads` are the network's heads, which its weights do not tell.
        file: The state dict.
        backbone: Model that the network was trained for; its weights are not read.
        output: Where our network goes.
        choice: Result of the layer search, needed unless `sites.blocks` says which blocks are edited.

    Raises:
        ConfigError: Nothing says which blocks are edited, or the heads do not divide the width.
        ArtifactError: The file is missing, damaged, or no network for this backbone and these blocks.
    """
    vit = build_vit(config.models[backbone])
    if choice is not None:
        made = load_json(choice, depends(config, "search_layers", backbone=backbone))
        sites = tuple(Site(**site) for site in made["sites"])
    elif config.sites.blocks is not None:
        sites = find_sites(vit, config.sites.part, config.sites.blocks)
    else:
        raise ConfigError(
            "sites.blocks is null, so the layer search chooses the blocks: give its result with --choice "
            f"{config.results / backbone / 'layers.json'}, or set sites.blocks (the published network: [7, 8, 9])."
        )
    network, origin = read_hypernet(file, Split(vit, sites), config.meta_train.heads)
    network.save(output, provenance("import_hypernet", {}) | {"imported": origin})
    log.info("%s: %s for %s", output, network.shape, ", ".join(network.sizes))
