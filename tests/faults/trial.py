"""One trial: a fault in a copy of the finished chain, and what `snakemake` makes of it when it is run again."""

import re
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

import psutil
from chain import Chain, Done, Job, Running, differences, with_followers
from moments import Missed, Moment, begin

ATTEMPTS = 5
"""A fault that misses is drawn again; one that misses so often is a failure of the harness."""


@dataclass
class Trial:
    """A chain in which one job and all that follows it have to be made again."""

    chain: Chain
    job: Job
    rng: Random
    notes: dict[str, str] = field(default_factory=dict)
    """What happened, for the report: `moment` and what the user `saw`."""
    locked: bool = False
    """Whether the fault may leave Snakemake's lock behind, so that the user has to unlock."""
    resumes: bool = True
    """Whether a kept state is still there when the next run begins; a stage that nobody killed may finish and delete it."""

    @contextmanager
    def struck(self, *moments: Moment) -> Iterator[tuple[Running, psutil.Process]]:
        """The run and the job's stage at a moment; afterwards the run has ended.

        Raises:
            Missed: The run was not disturbed.
        """
        running = self.chain.start("--", "tables")
        try:
            stage = begin(running, self.job)
            self.notes["moment"] = self.rng.choice(moments)(self.chain, self.job, stage, self.rng)
            yield running, stage
            done = running.wait()
        finally:
            end(running)
        if done.code == 0:
            raise Missed(f"{self.job.name} was over {self.notes['moment']}")
        self.notes["saw"] = told(done)

    def state_kept(self) -> bool:
        """Whether the job is a training that has kept a state."""
        return self.job.state is not None and (self.chain.folder / self.job.state).exists()


SAID = (
    r"vitedit: .+",
    r".+ could not be written .+",
    r"Output .+ older modification time .+",
    r"Directory cannot be locked",
    r".*(?:No space left on device|Read-only file system).*",
    r"(?:returned non-zero exit status|died with) \S+",
    r".*[Ee]rror.*",
)
"""What says why a run failed, the clearest first."""


def told(done: Done) -> str:
    """What a failed run says, and whether it comes with a traceback."""
    found = next((found for pattern in SAID if (found := re.search(pattern, done.text))), None)
    line = found[0].strip() if found else f"exit code {done.code}"
    return ("with a traceback: " if "Traceback (" in done.text else "") + line


def end(running: Running) -> None:
    """Kills what is left of a run."""
    try:
        family = psutil.Process(running.process.pid).children(recursive=True)
    except psutil.NoSuchProcess:
        family = []
    running.process.kill()
    running.process.wait()
    for process in family:
        try:
            process.kill()
        except psutil.NoSuchProcess:
            continue


def run_again(trial: Trial) -> Done:
    """`snakemake` as the user runs it after the fault, with `--unlock` only where Snakemake asks for it."""
    done = trial.chain.run()
    if done.code != 0 and "--unlock" in done.text:
        assert trial.locked, f"this fault leaves a lock behind:\n{done.text}"
        trial.notes["unlock"] = "yes"
        trial.chain.unlock()
        done = trial.chain.run()
    return done


def check(trial: Trial, reference: Chain) -> None:
    """Runs again and checks that the work is finished as if nothing had happened."""
    kept, began = trial.resumes and trial.state_kept(), time.monotonic()
    done = run_again(trial)
    assert done.code == 0, f"{trial.notes}: the next run failed\n{done.text}"
    trial.notes |= {"redone": str(done.jobs), "seconds": f"{time.monotonic() - began:.0f}"}
    assert not list(differences(trial.chain, reference)), trial.notes
    if kept:
        assert "going on" in (trial.chain.folder / trial.job.log).read_text(), "the training did not resume"
        trial.notes["resumed"] = "yes"
    assert not trial.chain.leftovers(), trial.notes
    assert trial.chain.run().idle, f"{trial.notes}: a second run finds something to do"


def draw(jobs: list[Job], every: list[Job], rng: Random) -> Job:
    """One of some jobs; those that many others follow are drawn less often, as they cost so much more time."""
    return rng.choices(jobs, [1 / len(with_followers(job, every)) for job in jobs])[0]


def run_trial(fault, seed: int, reference: Chain, jobs: list[Job], folder: Path) -> dict[str, str]:
    """A fault at a random job and moment, drawn again until it strikes; returns what happened."""
    rng, misses = Random(seed), []
    for attempt in range(ATTEMPTS):
        place, job = folder / str(attempt), draw([job for job in jobs if fault.fits(job)], jobs, rng)
        with fault.disk(place) if fault.disk else nullcontext():
            trial = Trial(reference.copy(place), job, rng)
            trial.notes |= {"seed": str(seed), "fault": fault.name, "job": job.name}
            trial.chain.delete(with_followers(job, jobs))
            try:
                fault.inject(trial)
            except Missed as miss:
                misses.append(str(miss))
                continue
            check(trial, reference)
            return trial.notes | {"misses": str(len(misses))}
    raise AssertionError(f"seed {seed}: {fault.name} never struck: {misses}")
