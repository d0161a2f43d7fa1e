"""A copy of the project with a small chain of the real workflow: its runs, its jobs, and how two results of it differ."""

import csv
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from resource import RLIMIT_FSIZE, setrlimit

import pandas as pd
import pyarrow.parquet as pq
from tiny import write_images_and_weights

ROOT = Path(__file__).parents[2]
PARTS = ["Snakefile", "config", "workflow", "profiles", "environment.yml", "src/vitedit"]
OVERLAY = Path(__file__).with_name("chain.yaml")
RESULTS = Path("results/faults")
TIMED = {"seconds"}
"""Columns of measured time, the only ones that may differ between two runs."""


@dataclass(frozen=True)
class Job:
    """A job of the chain; paths are relative to the project."""

    name: str
    """Place of its log below `logs`, such as `edit_groups/tiny/ft`."""
    command: str
    inputs: tuple[Path, ...]
    """Results of other jobs that it reads."""
    outputs: tuple[Path, ...]
    seconds: float
    """How long it took in the undisturbed run."""

    @property
    def log(self) -> Path:
        return RESULTS / "logs" / f"{self.name}.log"

    @property
    def state(self) -> Path | None:
        """Where a training keeps its state while it runs; other jobs have none."""
        found = re.search(r"--state (\S+\.pt)", self.command)
        return Path(found[1]) if found else None


def with_followers(job: Job, jobs: list[Job]) -> list[Job]:
    """A job and all that read its results, directly or not."""
    found = [job]
    for one in found:
        found += [other for other in jobs if {*one.outputs} & {*other.inputs} and other not in found]
    return found


@dataclass(frozen=True)
class Done:
    """A `snakemake` that has ended."""

    code: int
    text: str
    """What it said, standard output and standard error together."""

    @property
    def jobs(self) -> int:
        """Jobs that it planned, the target itself not counted."""
        found = re.search(r"^total +(\d+)$", self.text, re.MULTILINE)
        return int(found[1]) - 1 if found else 0

    @property
    def idle(self) -> bool:
        return self.code == 0 and "Nothing to be done" in self.text


class Chain:
    """The project in one folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @classmethod
    def make(cls, folder: Path, vit) -> "Chain":
        """Workflow, package, images and weights, without results."""
        folder.mkdir()
        for part in PARTS:
            copy = shutil.copytree if (ROOT / part).is_dir() else shutil.copy
            (folder / part).parent.mkdir(exist_ok=True)
            copy(ROOT / part, folder / part)
        shutil.copy(OVERLAY, folder / "chain.yaml")
        write_images_and_weights(folder, vit)
        return cls(folder)

    def copy(self, folder: Path) -> "Chain":
        """The same with its results elsewhere; times of files are kept, as Snakemake looks at them."""
        shutil.copytree(self.folder, folder, symlinks=True, dirs_exist_ok=True)
        return Chain(folder)

    def start(self, *words: str, limit: int | None = None) -> "Running":
        """Starts `snakemake`, in a process group of its own as a terminal does; no file may grow beyond `limit` bytes."""
        command = [sys.executable, "-m", "snakemake", "--cores", "2", "--configfile", "chain.yaml", *words]
        env = {**os.environ, "PYTHONPATH": str(self.folder / "src"), "CUDA_VISIBLE_DEVICES": ""}
        return Running(command, self.folder, env, limit)

    def run(self, *words: str) -> Done:
        """`snakemake` until it ends; the target is the tables."""
        return self.start(*words, "--", "tables").wait()

    def unlock(self) -> None:
        """`snakemake --unlock`."""
        assert self.start("--unlock").wait().code == 0

    def jobs(self) -> list[Job]:
        """The jobs of a finished run, as Snakemake lists them."""
        listed = self.start("--detailed-summary", "tables").wait().text
        rows = list(csv.DictReader(listed[listed.index("output_file") :].splitlines(), delimiter="\t"))
        made: dict[str, list[dict[str, str]]] = {}
        for row in rows:
            made.setdefault(row["log-file(s)"], []).append(row)
        return [self._job(Path(log), files) for log, files in made.items()]

    def _job(self, log: Path, rows: list[dict[str, str]]) -> Job:
        """The job behind rows of Snakemake's list, which has a row an output."""
        place = log.relative_to(RESULTS / "logs").with_suffix("")
        timing = pd.read_csv(self.folder / RESULTS / "timings" / f"{place}.tsv", sep="\t")
        inputs = [Path(file) for file in rows[0]["input-file(s)"].split(",")]
        return Job(
            str(place),
            rows[0]["shellcmd"],
            tuple(file for file in inputs if file.is_relative_to(RESULTS)),
            tuple(Path(row["output_file"]) for row in rows),
            float(timing["s"][0]),
        )

    def delete(self, jobs: list[Job]) -> None:
        """Deletes the outputs of jobs, so that they are made again."""
        for path in (path for job in jobs for path in job.outputs):
            (self.folder / path).unlink()

    def leftovers(self) -> list[Path]:
        """Temporary files and states of trainings that nobody needs any more."""
        results = self.folder / RESULTS
        return sorted([*results.rglob(".*.tmp"), *results.rglob("state/*")])


class Running:
    """A `snakemake` under way."""

    def __init__(self, command: list[str], folder: Path, env: dict[str, str], limit: int | None) -> None:
        self._said = folder.with_name(f"{folder.name}-{time.monotonic_ns()}.txt")
        with self._said.open("w") as said:
            self.process = subprocess.Popen(
                command,
                cwd=folder,
                env=env,
                stdout=said,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=lambda: _as_from_a_terminal(limit),
            )

    @property
    def text(self) -> str:
        """What it has said so far."""
        return self._said.read_text(errors="replace")

    def wait(self, seconds: float = 1800) -> Done:
        """Waits for its end; kills it if that takes too long."""
        try:
            code = self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            raise
        return Done(code, self.text)


def _as_from_a_terminal(limit: int | None) -> None:
    """Lets Ctrl-C in, which a process started in the background ignores; bounds the size of files."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    if limit is not None:
        setrlimit(RLIMIT_FSIZE, (limit, limit))


def differences(one: Chain, other: Chain) -> Iterator[str]:
    """Tables of two runs that are not equal bit for bit, columns of measured time left out."""
    folders = [chain.folder / RESULTS / "tables" for chain in (one, other)]
    names = {path.name for folder in folders for path in folder.iterdir()}
    for name in sorted(names):
        files = [folder / name for folder in folders]
        if not all(file.is_file() for file in files):
            yield f"{name}: missing"
        elif _content(files[0]) != _content(files[1]):
            yield f"{name}: differs"


def _content(file: Path) -> list[str] | list[bytes]:
    """A table without columns of measured time: lines of a CSV file; types, provenance and values of a Parquet file."""
    if file.suffix == ".csv":
        table = pd.read_csv(file, dtype=str, keep_default_na=False)
        return table.drop(columns=TIMED & {*table.columns}).to_csv(index=False).splitlines()
    arrow = pq.read_table(file)
    kept = arrow.select([name for name in arrow.column_names if name not in TIMED]).combine_chunks()
    ours = (arrow.schema.metadata or {}).get(b"vitedit", b"")
    return [str(kept.schema.remove_metadata()).encode(), ours, kept.to_pandas().to_csv(index=False).encode()]
