"""When a fault strikes: moments in the life of one job of a `snakemake` under way."""

import time
from collections.abc import Callable
from random import Random

import psutil
from chain import Chain, Job, Running

PATIENCE = 120.0
"""Seconds until a job has to begin."""


class Missed(Exception):
    """What the fault was aimed at was over before it struck."""


def process_of(running: Running, job: Job) -> psutil.Process | None:
    """The stage behind a job: a descendant of Snakemake that runs `vitedit` with the words of the job's command."""
    try:
        family = psutil.Process(running.process.pid).children(recursive=True)
    except psutil.NoSuchProcess:
        return None
    return next((process for process in family if _is_stage(process, job)), None)


def _is_stage(process: psutil.Process, job: Job) -> bool:
    """Whether a process is the stage itself, and neither Snakemake nor the shell around the stage."""
    try:
        words = process.cmdline()
    except psutil.Error:
        return False
    if len(words) < 3 or not words[1].endswith("/vitedit"):
        return False
    return " ".join(words[2:]) in " ".join(job.command.split())


def begin(running: Running, job: Job) -> psutil.Process:
    """Waits until a job runs.

    Raises:
        Missed: Snakemake ended before.
    """
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until and running.process.poll() is None:
        if (stage := process_of(running, job)) is not None:
            return stage
        time.sleep(0.01)
    raise Missed(f"{job.name} never ran: {running.text[-500:]}")


Moment = Callable[[Chain, Job, psutil.Process, Random], str]
"""Waits for a moment of a job that has begun and says in words which it was."""


def share(chain: Chain, job: Job, stage: psutil.Process, rng: Random) -> str:
    """A random share of the job's time in the undisturbed run."""
    part = rng.random()
    _wait(stage, lambda: False, part * job.seconds)
    return f"after {100 * part:.0f} % of its time"


def writing(chain: Chain, job: Job, stage: psutil.Process, rng: Random) -> str:
    """While it writes one of its outputs."""
    folders = {(chain.folder / path).parent for path in job.outputs}
    _wait(stage, lambda: any(any(folder.glob(".*.tmp")) for folder in folders if folder.is_dir()))
    return "while it wrote its result"


def training(chain: Chain, job: Job, stage: psutil.Process, rng: Random) -> str:
    """After a random share of what follows a training's first kept state; of another job after a share of its time."""
    if job.state is None:
        return share(chain, job, stage, rng)
    state = chain.folder / job.state
    _wait(stage, state.exists)
    time.sleep(rng.random() * 0.3 * job.seconds)
    return "in training"


def recording(chain: Chain, job: Job, stage: psutil.Process, rng: Random) -> str:
    """When its results are there and Snakemake is about to write that down."""
    _wait(stage, lambda: all((chain.folder / path).exists() for path in job.outputs))
    time.sleep(0.3 * rng.random())
    return "when its results were there"


MOMENTS: tuple[Moment, ...] = (share, training, writing)
"""At which the stage itself still runs."""


def _wait(stage: psutil.Process, reached: Callable[[], bool], seconds: float = PATIENCE) -> None:
    """Waits until a moment is reached, the time is over or the stage has ended."""
    until = time.monotonic() + seconds
    while not reached() and time.monotonic() < until and _runs(stage):
        time.sleep(0.0005)


def _runs(stage: psutil.Process) -> bool:
    try:
        return stage.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
