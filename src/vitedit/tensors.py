"""Tensors that stages leave behind, with their provenance (safetensors), states of interrupted stages, seeded generators."""

import json
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from vitedit.artifacts import KEY, atomic, check_fresh, read_meta, readable, seed_of

log = logging.getLogger(__name__)


def save_tensors(path: Path, tensors: Mapping[str, Tensor], meta: Mapping[str, Any]) -> None:
    """Writes tensors and their provenance as one safetensors file."""
    contiguous = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    with atomic(path) as temporary:
        save_file(contiguous, temporary, metadata={KEY: json.dumps(dict(meta))})


def load_tensors(
    path: Path, depends: Mapping[str, Any] | None = None
) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Reads tensors and provenance; with `depends`, refuses a file made under another configuration.

    Raises:
        ArtifactError: Missing, damaged or stale.
    """
    with readable(path), safe_open(path, framework="pt") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  # not a mapping: it has no iterator
        meta = read_meta((file.metadata() or {}).get(KEY, "{}"))
    check_fresh(path, meta, depends)
    return tensors, meta


def save_state(path: Path, state: Mapping[str, Any], depends: Mapping[str, Any]) -> None:
    """Keeps what an interrupted stage needs to go on: tensors, numbers, strings, lists and mappings of them."""
    with atomic(path) as temporary:
        try:
            torch.save({"depends": json.dumps(depends), "state": dict(state)}, temporary)
        except RuntimeError as error:  # what torch makes of a full disk
            raise OSError(str(error).splitlines()[0]) from error


def load_state(path: Path, depends: Mapping[str, Any]) -> dict[str, Any] | None:
    """The state of an interrupted stage; None without one, and None (with a warning) if it is another configuration's."""
    if not Path(path).exists():
        return None
    with readable(path):
        kept = torch.load(path, weights_only=True, map_location="cpu")
        depends_on, state = kept["depends"], kept["state"]
    if depends_on != json.dumps(depends):
        log.warning("%s: belongs to another configuration; starting anew.", path)
        return None
    return state


def torch_rng(*parts: object) -> torch.Generator:
    """A CPU torch generator that depends on nothing but `parts`."""
    return torch.Generator().manual_seed(seed_of(*parts))
