"""Tensors that stages leave behind, with their provenance (safetensors), states of interrupted stages, seeded generators."""

import json
import logging
import zlib
from collections.abc import Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from vitedit.artifacts import KEY, atomic, check_fresh, differences, read_meta, readable, seed_of

log = logging.getLogger(__name__)

CHECKSUM = "crc32"  # of a safetensors file's content, beside its provenance


def save_tensors(path: Path, tensors: Mapping[str, Tensor], meta: Mapping[str, Any]) -> None:
    """Writes tensors, their provenance and a checksum of their content as one safetensors file."""
    contiguous = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    known = {**meta, CHECKSUM: _checksum(contiguous)}
    with atomic(path) as temporary:
        # under one key: safetensors writes several in an order that changes from time to time
        save_file(contiguous, temporary, metadata={KEY: json.dumps(known)})


def _checksum(tensors: Mapping[str, Tensor]) -> str:
    """Of names and bytes of tensors on the CPU."""
    crc = 0
    for name in sorted(tensors):
        crc = zlib.crc32(name.encode(), crc)
        crc = zlib.crc32(tensors[name].reshape(-1).view(torch.uint8).numpy().data, crc)
    return f"{crc:08x}"


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
        if meta.pop(CHECKSUM, checksum := _checksum(tensors)) != checksum:
            raise OSError("its content is not what was written")
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
    """The state of an interrupted stage; None without one, and None (with a warning that says why) if it is of other work.

    Raises:
        ArtifactError: Damaged.
    """
    if not Path(path).exists():
        return None
    depends_on, state = _read_state(path)
    if depends_on != json.dumps(depends):
        log.warning(
            "%s: belongs to another configuration, code or input (%s); starting anew.",
            path,
            "; ".join(islice(_differences(depends_on, depends), 4)),
        )
        return None
    return state


def state_differences(path: Path, depends: Mapping[str, Any]) -> list[str]:
    """What the work of a state was made with and what is asked, in words; nothing if they agree or there is no state.

    Raises:
        ArtifactError: Damaged.
    """
    return list(_differences(_read_state(path)[0], depends)) if Path(path).exists() else []


def _differences(depends_on: str, depends: Mapping[str, Any]) -> Iterator[str]:
    return differences(json.loads(depends_on), json.loads(json.dumps(depends)))


def _read_state(path: Path) -> tuple[str, dict[str, Any]]:
    """What a state depends on, as JSON, and the state."""
    with readable(path):
        with ZipFile(path) as archive:  # torch itself does not look at its checksums
            if (part := archive.testzip()) is not None:
                raise OSError(f"the content of {part} is not what was written")
        kept = torch.load(path, weights_only=True, map_location="cpu")
        return kept["depends"], kept["state"]


def torch_rng(*parts: object) -> torch.Generator:
    """A CPU torch generator that depends on nothing but `parts`."""
    return torch.Generator().manual_seed(seed_of(*parts))


def device_name(device: torch.device) -> str:
    """Kind of a device: "cpu", or the name of the GPU."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
