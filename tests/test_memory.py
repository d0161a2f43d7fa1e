"""Memory that a process keeps, seen from outside: faults that the same work takes."""

import subprocess
import sys

import pytest

WORK = """
import resource, sys
import torch
from vitedit.memory import keep_freed_memory
if sys.argv[1] == "keep":
    keep_freed_memory()
x = torch.ones(16 * 2**20)
faults = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(10):  # until there are blocks for all that lives at once
    x + 1
before = faults()
for _ in range(5):
    x + 1
print(faults() - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only glibc is told to keep memory")
def test_freed_memory_is_not_mapped_anew():
    """64 MiB are 16,384 pages of 4 KiB (32 of 2 MiB)."""
    taken = {
        mode: int(
            subprocess.run(
                [sys.executable, "-c", WORK, mode], capture_output=True, text=True, check=True
            ).stdout
        )
        for mode in ("keep", "usual")
    }
    assert taken["keep"] < 0.2 * taken["usual"] and taken["usual"] >= 5 * 30
