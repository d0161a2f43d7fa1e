"""Memory of a process that computes on the CPU."""

import ctypes
import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
"""Of glibc's malloc.h."""
LARGE = 2**30
GROUP_FILES = {
    "": ("memory.max", "memory.current", ""),
    "memory": ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_"),
}
"""Controllers in /proc/self/cgroup (none in version 2) -> files of limit and usage, prefix of a group's sums in memory.stat."""


def keep_freed_memory() -> None:
    """Lets the process keep memory that it has freed, for its next tensors.

    glibc maps every block above 32 MiB anew, and the system fills it with zeros page by page, for each result of each operation:
    a tenth to a sixth of the time of a batch of edits. Without effect where the C library is another.
    """
    if sys.platform == "linux":
        libc = ctypes.CDLL(None)
        if hasattr(libc, "mallopt"):
            libc.mallopt(M_MMAP_THRESHOLD, LARGE)
            libc.mallopt(M_TRIM_THRESHOLD, 2 * LARGE - 1)


def free_memory(root: Path = Path("/")) -> int:
    """Bytes that the process may still take: what the machine has available, or what its control groups (a cluster's job, a
    container) leave it if that is less. All of the machine's memory where the system says neither.

    Args:
        root: Where `proc` and `sys` lie.
    """
    return min([_available(root / "proc/meminfo"), *_left_by_groups(root)])


def _available(meminfo: Path) -> int:
    """Of the machine."""
    if meminfo.exists() and (found := re.search(r"MemAvailable: +(\d+) kB", meminfo.read_text())):
        return int(found[1]) * 1024
    if not hasattr(os, "sysconf"):
        return sys.maxsize
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def _left_by_groups(root: Path) -> Iterator[int]:
    """What the process's control groups leave it, and those around them; of both versions."""
    groups = root / "proc/self/cgroup"
    for line in groups.read_text().splitlines() if groups.exists() else ():
        _, controllers, path = line.split(":", 2)
        if controllers in ("", "memory"):
            top = root / "sys/fs/cgroup" / controllers
            own = top / path.lstrip("/")
            for group in [own, *own.parents]:
                if group.is_relative_to(top):
                    yield from _left(group, *GROUP_FILES[controllers])


def _left(group: Path, limit: str, usage: str, prefix: str) -> Iterator[int]:
    """Limit less usage of one group, if it has a limit. Pages of files count as usage, but are given back when asked for."""
    try:
        most, used = (group / limit).read_text().strip(), int((group / usage).read_text())
        stat = dict(line.split() for line in (group / "memory.stat").read_text().splitlines())
    except OSError:
        return
    if most != "max":
        files = sum(int(stat.get(f"{prefix}{kind}_file", 0)) for kind in ("active", "inactive"))
        yield max(0, int(most) - used + files)
