"""The faults: each makes a run fail or its files wrong, and raises `Missed` if it came too late."""

import os
import re
import signal
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

import psutil
from chain import RESULTS, Done, Job
from moments import MOMENTS, Missed, begin, recording, share, training
from surroundings import leave_free, may_mount, read_only, small_disk
from trial import Trial, end, told

DAY = 86400.0


@dataclass(frozen=True)
class Fault:
    """What strikes, and which jobs it may strike."""

    inject: Callable[[Trial], None]
    fits: Callable[[Job], bool] = lambda job: True
    disk: Callable[[Path], AbstractContextManager[None]] | None = None
    """Puts the whole copy on a disk of its own."""

    @property
    def name(self) -> str:
        return self.inject.__name__


def kill_stage(trial: Trial) -> None:
    """kill -9 of the stage."""
    with trial.struck(*MOMENTS) as (_, stage):
        _signal(stage, signal.SIGKILL)


def kill_everything(trial: Trial) -> None:
    """kill -9 of Snakemake and all its children, as the kernel does when memory is short or the machine goes down."""
    trial.locked = True
    with trial.struck(*MOMENTS, recording) as (running, _):
        end(running)


def kill_snakemake(trial: Trial) -> None:
    """kill -9 of Snakemake alone: the stage goes on and writes its result while the next run has begun."""
    trial.locked, trial.resumes = True, False
    with trial.struck(*MOMENTS, recording) as (running, _):
        _signal(running.process, signal.SIGKILL)


def interrupt(trial: Trial) -> None:
    """Ctrl-C: SIGINT to Snakemake and its stages."""
    with trial.struck(*MOMENTS, recording) as (running, _):
        os.killpg(running.process.pid, signal.SIGINT)


def time_out(trial: Trial) -> None:
    """SLURM's way to end a job: SIGTERM to all, some seconds, SIGKILL."""
    trial.locked = True
    with trial.struck(*MOMENTS, recording) as (running, _):
        family = psutil.Process(running.process.pid).children(recursive=True)
        os.killpg(running.process.pid, signal.SIGTERM)
        psutil.wait_procs(family, timeout=trial.rng.uniform(0.5, 5))
        end(running)


def _signal(process, number: int) -> None:
    """Sends a signal to a process that must still be there."""
    try:
        process.send_signal(number)
    except psutil.NoSuchProcess as error:
        raise Missed(str(error)) from None


def full_disk(trial: Trial) -> None:
    """The disk is full at some time of the run, Snakemake's own folder included; then there is space again."""
    trial.locked = True
    if may_mount():
        free = int(trial.rng.uniform(0, 300_000))
        trial.notes["moment"] = f"{free} bytes free at the start"
        leave_free(trial.chain.folder, free)
        done = trial.chain.run()
        leave_free(trial.chain.folder, None)
    else:
        limit = int(trial.rng.uniform(100, 20_000))
        trial.notes["moment"] = f"no file longer than {limit} bytes"
        done = trial.chain.start("--", "tables", limit=limit).wait()
    _failed(trial, done)


def read_only_results(trial: Trial) -> None:
    """Nobody can write in the folder of the results, or in that of the backbone."""
    folder = trial.rng.choice([RESULTS, RESULTS / "tiny"])
    trial.notes["moment"] = f"{folder} from the start"
    with read_only(trial.chain.folder / folder):
        done = trial.chain.run()
    _failed(trial, done)
    assert "Read-only file system" in done.text or "Permission denied" in done.text, done.text


def _failed(trial: Trial, done: Done) -> None:
    """A run that the fault must have disturbed."""
    if done.code == 0:
        raise Missed(f"{trial.job.name}: the run did not notice")
    trial.notes["saw"] = told(done)


def two_at_once(trial: Trial) -> None:
    """A second `snakemake` in the same folder, half of the time with another configuration."""
    other = trial.rng.choice([[], ["--config", "seed=1"]])
    running = trial.chain.start("--", "tables")
    begin(running, trial.job)
    configured = (trial.chain.folder / RESULTS / "config.yaml").read_bytes()
    second = trial.chain.start(*other, "--", "tables").wait()
    if running.process.poll() is not None:
        raise Missed("the first had ended")
    trial.notes |= {"moment": f"second with {other or 'the same configuration'}", "saw": told(second)}
    assert second.code != 0 and "cannot be locked" in second.text, second.text
    first = running.wait()
    assert first.code == 0, first.text
    assert (trial.chain.folder / RESULTS / "config.yaml").read_bytes() == configured


def clock_skew(trial: Trial) -> None:
    """A result that the job reads is dated a day ahead or a day back; the user dates one of tomorrow now."""
    file, shift = trial.rng.choice(trial.job.inputs), trial.rng.choice([-DAY, DAY])
    path, when = trial.chain.folder / file, time.time() + shift
    os.utime(path, (when, when))
    trial.notes["moment"] = f"{file} dated {shift / DAY:+.0f} day"
    done = trial.chain.run()
    if shift < 0:
        assert done.code == 0, done.text
        return
    trial.notes["saw"] = told(done)
    assert done.code != 0 and f"older modification time than input {file}" in _undated(done.text), done.text
    path.touch()


def _undated(text: str) -> str:
    """Without dates in brackets."""
    return re.sub(r" \(\d{4}-[^)]*\)", "", text)


def deleted_input(trial: Trial) -> None:
    """A result that the job reads is deleted, before the run or while the job is under way."""
    file = trial.rng.choice(trial.job.inputs)
    trial.notes["moment"] = f"{file} before the run"
    if trial.rng.random() < 0.5:
        (trial.chain.folder / file).unlink()
        return
    running = trial.chain.start("--", "tables")
    stage = begin(running, trial.job)
    trial.notes["moment"] = f"{file} {share(trial.chain, trial.job, stage, trial.rng)}"
    (trial.chain.folder / file).unlink()
    done = running.wait()
    trial.notes["saw"] = told(done) if done.code else "nothing: it was read before"


def damaged_input(trial: Trial) -> None:
    """A result that the job reads is cut short or has a block of rubbish in it."""
    file = trial.rng.choice(trial.job.inputs)
    trial.notes["moment"] = f"{file} {_damage(trial, file)}"
    _refused(trial, file)


def damaged_state(trial: Trial) -> None:
    """The state of a training that was killed is cut short or has a block of rubbish in it."""
    with trial.struck(training) as (_, stage):
        _signal(stage, signal.SIGKILL)
    if not trial.state_kept():
        raise Missed("no state was kept")
    assert trial.job.state is not None
    trial.notes["moment"] = f"{trial.job.state} {_damage(trial, trial.job.state)}"
    _refused(trial, trial.job.state)


def _damage(trial: Trial, file: Path) -> str:
    """Damages a file and says how."""
    path = trial.chain.folder / file
    content, rng = bytearray(path.read_bytes()), trial.rng
    if rng.random() < 0.5:
        kept = int(rng.random() * len(content))
        path.write_bytes(content[:kept])
        return f"cut to {kept} of {len(content)} bytes"
    size = min(64, len(content))
    at = rng.randrange(len(content) - size + 1)
    content[at : at + size] = rng.randbytes(size)
    path.write_bytes(content)
    return f"with {size} bytes of rubbish at {at} of {len(content)}"


def _refused(trial: Trial, file: Path) -> None:
    """The run must say which file is damaged and what to do; then the user does that.

    Rubbish may hit bytes that say nothing, such as a column's statistics; then the run ends well, and its tables must be right.
    """
    done = trial.chain.run()
    if done.code == 0:
        trial.notes["saw"] = "nothing: no value was hit"
        return
    trial.notes["saw"] = told(done)
    assert f"vitedit: {file}: " in done.text, f"{trial.notes}\n{done.text}"
    assert "Delete it" in done.text or "delete the file" in done.text, f"{trial.notes}\n{done.text}"
    (trial.chain.folder / file).unlink()


def _reads(job: Job) -> bool:
    return bool(job.inputs)


def _trains(job: Job) -> bool:
    return job.state is not None


FAULTS = (
    Fault(kill_stage),
    Fault(kill_everything),
    Fault(kill_snakemake),
    Fault(interrupt),
    Fault(time_out),
    Fault(full_disk, disk=small_disk if may_mount() else None),
    Fault(read_only_results),
    Fault(two_at_once),
    Fault(clock_skew, fits=_reads),
    Fault(deleted_input, fits=_reads),
    Fault(damaged_input, fits=_reads),
    Fault(damaged_state, fits=_trains),
    Fault(kill_stage, fits=_trains),
)
"""In the order of the seeds: a seed's remainder chooses."""
