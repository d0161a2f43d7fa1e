"""Memory of a process that computes on the CPU."""

import ctypes
import sys

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
"""Of glibc's malloc.h."""
LARGE = 2**30


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
