"""Disks that are full or read-only: mounts where this process may mount, limits and permissions otherwise."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory


@cache
def may_mount() -> bool:
    """Whether this process may mount; root in a container often may not."""
    if os.getuid() != 0:
        return False
    with TemporaryDirectory() as folder:
        try:
            _call("mount", "-t", "tmpfs", "tmpfs", folder)
        except (OSError, subprocess.CalledProcessError):
            return False
        _call("umount", folder)
        return True


@contextmanager
def small_disk(folder: Path) -> Iterator[None]:
    """A disk of its own for a folder that does not exist yet."""
    folder.mkdir()
    _call("mount", "-t", "tmpfs", "-o", "size=1g", "tmpfs", str(folder))
    try:
        yield
    finally:
        _call("umount", "--lazy", str(folder))


def leave_free(folder: Path, bytes_free: int | None) -> None:
    """Resizes the disk of a folder so that so much is free; None: plenty."""
    now = os.statvfs(folder)
    used = (now.f_blocks - now.f_bfree) * now.f_frsize
    size = 2**30 if bytes_free is None else max(used + bytes_free, now.f_frsize)  # 0 would be no limit
    _call("mount", "-o", f"remount,size={size}", str(folder))


@contextmanager
def read_only(folder: Path) -> Iterator[None]:
    """A folder in which nobody can write."""
    if may_mount():
        _call("mount", "--bind", str(folder), str(folder))
        _call("mount", "-o", "remount,ro,bind", str(folder))
    else:
        _permit(folder, 0o555)
    try:
        yield
    finally:
        _call("umount", "--lazy", str(folder)) if may_mount() else _permit(folder, 0o755)


def _permit(folder: Path, mode: int) -> None:
    for path in [folder, *(path for path in folder.rglob("*") if path.is_dir())]:
        path.chmod(mode)


def _call(*words: str) -> None:
    subprocess.run(words, check=True, capture_output=True)
