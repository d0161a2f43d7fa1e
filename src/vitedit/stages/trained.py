"""Loading the trained artefacts that methods need, by name."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from vitedit.config import Config
from vitedit.errors import ArtifactError
from vitedit.lineage import depends
from vitedit.model.vit import Split
from vitedit.where.hypernet import Hypernet


def _hypernet(config: Config, backbone: str, base: Split, path: Path) -> Hypernet:
    return Hypernet.load(path, base.sites, depends(config, "meta_train", backbone=backbone))


LOADERS: dict[str, Callable[[Config, str, Split, Path], Any]] = {"hypernet": _hypernet}
"""Artefact name -> how to load it for a backbone."""


def load_trained(
    config: Config, backbone: str, base: Split, needed: Sequence[str], paths: Mapping[str, Path]
) -> dict[str, Any]:
    """The artefacts that a method needs.

    Raises:
        ArtifactError: One is not given, or is missing, damaged or stale.
    """
    absent = [name for name in needed if name not in paths]
    if absent:
        raise ArtifactError(
            f"trained artefact not given: {', '.join(absent)}. Add --artifact {absent[0]}=PATH."
        )
    return {name: LOADERS[name](config, backbone, base, paths[name]) for name in needed}
