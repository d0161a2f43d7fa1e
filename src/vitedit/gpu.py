"""Which GPUs a process may use. Read by the default profile too, so nothing heavy may be imported here."""

import fcntl
import glob
import logging
import os
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import IO

log = logging.getLogger(__name__)

VISIBLE = "CUDA_VISIBLE_DEVICES"


def visible_gpus() -> list[str]:
    """Names of the GPUs that this process may use: those of CUDA_VISIBLE_DEVICES if it is set, else all of the machine."""
    chosen = os.environ.get(VISIBLE)
    if chosen is not None:
        return [name.strip() for name in chosen.split(",") if name.strip()]
    return [str(index) for index in range(len(glob.glob("/dev/nvidia[0-9]*")))]


def claim_gpu(folder: Path | None = None, seconds_between: float = 5.0) -> IO[str] | None:
    """Restricts this process to one GPU that no other process of ours uses; waits for one while all are taken.

    Snakemake counts GPUs but never says which one a job has. With a single visible GPU, or none, nothing is done.

    Args:
        folder: Where the locks lie; the machine's folder for temporary files by default.
        seconds_between: Pause between two looks.

    Returns:
        The lock, held until it is closed or the process ends.
    """
    names = visible_gpus()
    if len(names) < 2:
        return None
    while (lock := _free(names, folder or Path(tempfile.gettempdir()))) is None:
        log.info("all %d GPUs are taken by other jobs; waiting", len(names))
        time.sleep(seconds_between)
    return lock


def _free(names: Sequence[str], folder: Path) -> IO[str] | None:
    job = os.environ.get("SLURM_JOB_ID", "local")
    for name in names:
        lock = (folder / f"vitedit-{os.getuid()}-{job}-gpu-{name.replace('/', '_')}.lock").open("w")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.close()
            continue
        os.environ[VISIBLE] = name
        return lock
    return None
