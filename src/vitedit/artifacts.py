"""Files that stages leave behind, each whole or absent, each with its provenance: tables (parquet), JSON; tensors in tensors.py.

Every write goes to a temporary name in the same folder and is renamed, so that a killed job or a full disk never leaves
half a file under the final name. Tables carry checksums of their content: what a disk has mangled is refused.
Nothing here imports torch: stages without a model start in a second.
"""

import glob
import hashlib
import json
import logging
import os
import platform
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from safetensors import SafetensorError

from vitedit.errors import ArtifactError

log = logging.getLogger(__name__)

KEY = "vitedit"  # the one metadata key of ours, in safetensors headers and parquet schemas


@contextmanager
def atomic(path: Path) -> Iterator[Path]:
    """Yields a temporary path beside `path`, renamed to it on success and deleted on any failure.

    Raises:
        ArtifactError: The disk is full or the folder cannot be written.
    """
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _sweep(path)
        yield temporary
        temporary.chmod(0o644)  # safetensors writes files that only their owner may read
        os.replace(temporary, path)
    except (OSError, SafetensorError) as error:
        raise ArtifactError(
            f"{path}: could not be written ({error}). Nothing is left there; free space or fix the folder, then run again."
        ) from error
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


def _sweep(path: Path) -> None:
    """Deletes temporary files that killed processes left beside `path`; only one job at a time makes a file."""
    for left in path.parent.glob(f".{glob.escape(path.name)}.*.tmp"):
        left.unlink(missing_ok=True)


def provenance(stage: str, depends: Mapping[str, Any]) -> dict[str, Any]:
    """Who made an artefact: stage, the configuration it depends on, code version and machine kind."""
    from vitedit import __version__

    return {
        "stage": stage,
        "depends": dict(depends),
        "vitedit": __version__,
        "commit": _commit(),
        **_computed_by(),
        "timm": _version("timm"),
        "snakemake": _version("snakemake"),
        "python": platform.python_version(),
    }


def _computed_by() -> dict[str, str]:
    """Torch's build and the kind of the device. What has not imported torch has computed nothing on a GPU."""
    torch = sys.modules.get("torch")
    if torch is None:
        return {"torch": _version("torch"), "device": "cpu"}
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu"
    return {"torch": str(torch.__version__), "device": device}


def _version(package: str) -> str:
    """Version of a package that a stage can do without."""
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


def _commit() -> str:
    """Commit of the checkout, `unknown` outside one; a trailing `+` marks uncommitted changes."""
    here = Path(__file__).parent

    def git(*words: str) -> str:
        return subprocess.run(
            ["git", "-C", here, *words], capture_output=True, text=True, check=True
        ).stdout.strip()

    try:
        return git("rev-parse", "HEAD") + (
            "+" if git("status", "--porcelain", "--untracked-files=no") else ""
        )
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def save_table(path: Path, table: pd.DataFrame, meta: Mapping[str, Any]) -> None:
    """Writes a table and its provenance as parquet."""
    arrow = pa.Table.from_pandas(table, preserve_index=False)
    arrow = arrow.replace_schema_metadata(
        {**(arrow.schema.metadata or {}), KEY.encode(): json.dumps(dict(meta)).encode()}
    )
    with atomic(path) as temporary:
        pq.write_table(arrow, temporary, write_page_checksum=True)


def load_table(path: Path, depends: Mapping[str, Any] | None = None) -> pd.DataFrame:
    """Reads a parquet table; with `depends`, refuses one made under another configuration.

    Raises:
        ArtifactError: Missing, damaged or stale.
    """
    with readable(path):
        arrow = pq.read_table(path, page_checksum_verification=True)
        meta, table = read_meta((arrow.schema.metadata or {}).get(KEY.encode(), b"{}")), arrow.to_pandas()
    check_fresh(path, meta, depends)
    return table


def save_json(path: Path, values: Mapping[str, Any], meta: Mapping[str, Any]) -> None:
    """Writes a JSON object with its provenance under the key `provenance`."""
    with atomic(path) as temporary:
        temporary.write_text(json.dumps({**values, "provenance": dict(meta)}, indent=2) + "\n")


def load_json(path: Path, depends: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Reads a JSON object; with `depends`, refuses one made under another configuration.

    Raises:
        ArtifactError: Missing, damaged or stale.
    """
    with readable(path):
        values = read_meta(Path(path).read_text(encoding="utf-8"))
    made = values.get("provenance")
    check_fresh(path, made if isinstance(made, dict) else {}, depends)
    return values


def read_meta(text: str | bytes) -> dict[str, Any]:
    """A JSON object of a file or of its header.

    Raises:
        ValueError: It is something else.
    """
    values = json.loads(text)
    if not isinstance(values, dict):
        raise ValueError("no JSON object")
    return values


@contextmanager
def readable(path: Path) -> Iterator[None]:
    """Turns every way a file can fail to load into one message with the remedy.

    Raises:
        ArtifactError: Missing or damaged.
    """
    try:
        yield
    except FileNotFoundError:
        raise ArtifactError(
            f"{path}: no such file. `dvc pull` fetches released files; `snakemake {path}` makes computed ones."
        ) from None
    except Exception as error:  # readers raise almost anything of damaged files
        raise ArtifactError(
            f"{path}: damaged or of another kind ({error}). Delete it, then `dvc pull` or run its rule again."
        ) from error


def check_fresh(path: Path, meta: Mapping[str, Any], depends: Mapping[str, Any] | None) -> None:
    """Refuses a file whose provenance names another configuration; without `depends` every file will do.

    Raises:
        ArtifactError: With up to four differences.
    """
    if depends is None or meta.get("depends") == json.loads(json.dumps(depends)):
        return
    made = meta.get("depends", {})
    differing = list(differences(made, json.loads(json.dumps(depends))))
    raise ArtifactError(
        f"{path}: made under another configuration ({'; '.join(differing[:4])}). "
        f"Run rule {meta.get('stage', '?')} again, or delete the file."
    )


def differences(made: Any, asked: Any, place: str = "") -> Iterator[str]:
    """What differs between two configurations, in words."""
    if isinstance(made, dict) and isinstance(asked, dict):
        for key in sorted(made.keys() | asked.keys()):
            yield from differences(made.get(key), asked.get(key), f"{place}.{key}".lstrip("."))
    elif made != asked:
        yield f"{place}: made with {made!r}, configuration says {asked!r}"


def seed_of(*parts: object) -> int:
    """A 63-bit seed from any printable parts: the same on every machine, independent between different parts."""
    return int.from_bytes(hashlib.sha256(repr(parts).encode()).digest()[:8], "little") >> 1


def numpy_rng(*parts: object) -> np.random.Generator:
    """A numpy generator that depends on nothing but `parts`."""
    return np.random.default_rng(seed_of(*parts))


def drop_state(path: Path) -> None:
    """Deletes the state of a stage that is done, and what killed attempts to write one have left."""
    path.unlink(missing_ok=True)
    _sweep(path)
