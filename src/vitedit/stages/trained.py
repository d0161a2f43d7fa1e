"""Loading the trained artefacts that a method needs."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_type_hints

from vitedit.editors.base import Editor
from vitedit.errors import ArtifactError
from vitedit.lineage import ARTIFACTS, depends
from vitedit.stages.backbone import Backbone


def load_trained(base: Backbone, cls: type[Editor], paths: Mapping[str, Path]) -> dict[str, Any]:
    """The artefacts of a method, each read by the class that its field declares.

    Raises:
        ArtifactError: One is not given, or is missing, damaged or stale.
    """
    absent = [name for name in cls.artifacts if name not in paths]
    if absent:
        raise ArtifactError(
            f"trained artefact not given: {', '.join(absent)}. Add --artifact {absent[0]}=PATH."
        )
    kinds = get_type_hints(cls)
    return {
        name: kinds[name].load(
            paths[name],
            base.split,
            depends(base.config, ARTIFACTS[name], backbone=base.name, method=name),
        )
        for name in cls.artifacts
    }
