"""Downloads that go on where they stopped, and checksums that are recorded on first use and hold ever after."""

import datetime
import hashlib
import logging
import os
import shutil
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import requests
import yaml

from vitedit.data.catalogue import UNKNOWN_SUM, Dataset, human
from vitedit.errors import ArtifactError
from vitedit.progress import track
from vitedit.yaml_files import read_yaml

log = logging.getLogger(__name__)

CHUNK = 2**20
WAITS = (2.0, 8.0, 30.0, 60.0)
"""Seconds before each further attempt; a new attempt that gets further starts them again."""
TIMEOUT = (15.0, 60.0)
LOCK = "datasets.lock.yaml"
BUSY = (408, 425, 429)


def download(
    address: str, target: Path, check: Callable[[Path], None], waits: Sequence[float] = WAITS
) -> None:
    """Downloads a file under the name `<target>.part` and renames it once it is whole and `check` accepts it.

    Raises:
        ArtifactError: The server refuses, is out of reach, or sends a web page; the disk is full. What `check` raises.
    """
    part = target.with_name(f"{target.name}.part")
    target.parent.mkdir(parents=True, exist_ok=True)
    failures = furthest = 0
    while True:
        try:
            _receive(address, part)
            break
        except requests.RequestException as error:
            size = _size(part)
            failures, furthest = (0, size) if size > furthest else (failures, furthest)
            if failures == len(waits):
                raise ArtifactError(
                    f"{address}: {error}. {human(size)} are kept in {part}; the same command goes on from there."
                ) from None
            log.warning("%s: %s; next attempt in %.0f s", target, error, waits[failures])
            time.sleep(waits[failures])
            failures += 1
        except OSError as error:
            raise ArtifactError(
                f"{part}: {error}. Free space or mend the folder; the same command goes on from there."
            ) from None
    _stamp(part).unlink(missing_ok=True)
    try:
        check(part)
    except ArtifactError:
        part.unlink()  # whole but wrong: nothing to go on from
        raise
    os.replace(part, target)


def _receive(address: str, part: Path) -> None:
    """One attempt: what is missing of the file, or all of it where the server cannot vouch that it is the same file."""
    start, stamp = _size(part), _stamp(part)
    same = stamp.read_text() if start and stamp.exists() else ""
    headers = {"Accept-Encoding": "identity"}
    headers |= {"Range": f"bytes={start}-", "If-Range": same} if same else {}
    with requests.get(address, headers=headers, stream=True, timeout=TIMEOUT) as response:
        covers = response.headers.get("Content-Range", "")
        if response.status_code == 416 and covers == f"bytes */{start}":
            return  # stopped between the last byte and the renaming
        fits = covers.startswith(f"bytes {start}-") and _validator(response) in (same, "")
        if response.status_code == 416 or (response.status_code == 206 and not fits):
            part.unlink()
            raise requests.ConnectionError("not the file that was begun; starting anew")
        _refuse(address, response)
        if response.status_code != 206:
            start = 0
            part.unlink(missing_ok=True)
            stamp.write_text(_validator(response))
        length = response.headers.get("Content-Length")
        total = start + int(length) if length else None
        _check_space(part, total and total - start)
        with part.open("ab" if start else "wb") as file:
            for chunk in _progress(response.iter_content(CHUNK), part.stem, start, total):
                file.write(chunk)
    if total is not None and _size(part) != total:
        raise requests.ConnectionError(f"{_size(part)} of {total} bytes arrived")


def _refuse(address: str, response: requests.Response) -> None:
    """Raises for an answer that is no file: for good, or as something that may pass."""
    status, kind = response.status_code, response.headers.get("Content-Type", "")
    if status >= 500 or status in BUSY:
        raise requests.ConnectionError(f"the server answers {status} {response.reason}")
    if status >= 400:
        raise ArtifactError(f"{address}: the server answers {status} {response.reason}. Has the file moved?")
    if kind.startswith("text/html"):
        raise ArtifactError(f"{address}: a web page came instead of the file. Open the address in a browser.")


def _validator(response: requests.Response) -> str:
    """What identifies this version of the file in `If-Range`: a strong ETag or the time of its last change."""
    tag = response.headers.get("ETag", "")
    return tag if tag.startswith('"') else response.headers.get("Last-Modified", "")


def _check_space(part: Path, more: int | None) -> None:
    free = shutil.disk_usage(part.parent).free
    if more and more > free:
        raise OSError(f"{human(more)} are to come, {human(free)} are free")


def _progress(chunks: Iterable[bytes], what: str, start: int, total: int | None) -> Iterable[bytes]:
    if total is None:
        return chunks
    return track(chunks, f"{what}, MiB", total=-(-total // CHUNK), start=start // CHUNK)


def _stamp(part: Path) -> Path:
    return part.with_name(f"{part.name}.version")


def _size(part: Path) -> int:
    return part.stat().st_size if part.exists() else 0


def download_weights(hub: str, target: Path, check: Callable[[Path], None]) -> None:
    """Downloads a model's `model.safetensors` from the hub.

    Raises:
        ArtifactError: timm knows no repository for the name, or the hub cannot be reached. What `check` raises.
    """
    from huggingface_hub import hf_hub_download

    repository = hub if "/" in hub else repository_of(hub)
    folder = target.with_name(f".{target.name}.hub")  # keeps what an interrupted download got
    try:
        file = Path(hf_hub_download(repository, "model.safetensors", local_dir=folder))
    except Exception as error:  # besides the hub's own errors, those of whatever it speaks HTTP with
        raise ArtifactError(
            f"{repository}: no model.safetensors from the hub ({error}). Run the same command again, or put the weights at "
            f"{target} yourself."
        ) from error
    try:
        check(file)
        os.replace(file, target)
    finally:
        shutil.rmtree(folder)


def repository_of(name: str) -> str:
    """Repository of a timm model on the hub.

    Raises:
        ArtifactError: timm knows none.
    """
    import timm  # seconds

    settings = timm.get_pretrained_cfg(name)
    if settings is None or not settings.hf_hub_id:
        raise ArtifactError(f"timm knows no weights of '{name}' on the hub. Name a `checkpoint` of your own.")
    return settings.hf_hub_id


def lock_file(path: Path) -> Path:
    """The file of recorded checksums for a path: in the topmost folder of a relative one (paper/), else beside it."""
    return (path.parent if path.is_absolute() else Path(path.parts[0])) / LOCK


def verify(name: str, one: Dataset, file: Path, place: Path) -> None:
    """Compares a file that is (to be) at `place` with the checksum known for it; records it if none is.

    Raises:
        ArtifactError: The file is another one than that in the catalogue, or than at first use.
    """
    lock = lock_file(place)
    records = _records(lock)
    log.info("checking %s", file)
    with file.open("rb") as opened:
        found = hashlib.file_digest(opened, "sha256").hexdigest()
    record = records.get(name, {})
    known = {
        "the catalogue": one.sha256,
        f"{lock} of {record.get('date')}": record.get("sha256", UNKNOWN_SUM),
    }
    for source, expected in known.items():
        if expected not in (found, UNKNOWN_SUM):
            raise ArtifactError(
                f"{name}: {place} has the sha256 {found}, but by {source} it is {expected}. A damaged copy: delete it and "
                f"fetch it again. If it was replaced knowingly: delete '{name}' from {lock} (a run on it is another benchmark)."
            )
    if not record:
        today = datetime.datetime.now(datetime.UTC).date().isoformat()
        origin = one.address or one.hub or "by hand"
        entry = {"address": origin, "sha256": found, "bytes": file.stat().st_size, "date": today}
        _write(lock, records | {name: entry})


def _records(lock: Path) -> dict[str, dict[str, str | int]]:
    """What was recorded of each data set."""
    try:
        records = (read_yaml(lock) if lock.exists() else None) or {}
    except (OSError, yaml.YAMLError) as error:
        raise ArtifactError(f"{lock}: the recorded checksums cannot be read ({error}). {_UNREADABLE}") from None
    if not isinstance(records, dict) or not all(isinstance(one, dict) for one in records.values()):
        raise ArtifactError(f"{lock}: no mapping of data sets to checksums. {_UNREADABLE}")
    return records


_UNREADABLE = "Mend the file, or delete it: the files that are there now then count as right."


def _write(lock: Path, records: dict[str, dict[str, str | int]]) -> None:
    temporary = lock.with_name(f".{lock.name}.{os.getpid()}.tmp")
    lock.parent.mkdir(parents=True, exist_ok=True)
    temporary.write_text(yaml.safe_dump(records, sort_keys=True))
    os.replace(temporary, lock)
