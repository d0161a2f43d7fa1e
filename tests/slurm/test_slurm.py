"""The workflow on a real SLURM: by itself, through cancelled and killed jobs and a dead node, to the tables of a local run.

`make test-slurm` runs it. It takes minutes, so `make test` leaves it out.
"""

import os
import re
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pandas as pd
import pytest
from cluster import Cluster, missing

ROOT = Path(__file__).parents[2]
PARTS = ("Snakefile", "config", "workflow", "profiles", "environment.yml", "notebooks", "src")
CONFIG = ["--configfile", "config/tiny.yaml", str(Path(__file__).with_name("small.yaml"))]
TARGETS = ["--", "tables", "results/slurm/notebooks/04_edits.html"]
MEASURED = {"seconds"}
"""Columns of measured time."""
TOO_LITTLE = "400*attempt**3"
"""MB that kill a job that loads a model, and then are enough."""

pytestmark = [
    pytest.mark.slurm,
    pytest.mark.skipif(bool(missing()), reason=f"no SLURM on this machine: {', '.join(missing())} missing"),
]


def project(folder: Path) -> Path:
    """A copy of workflow and package beside the released data."""
    if not (ROOT / "data/embedded").is_dir():
        pytest.skip("the released data are missing: dvc pull")
    folder.mkdir()
    for part in PARTS:
        copy = shutil.copytree if (ROOT / part).is_dir() else shutil.copy
        copy(ROOT / part, folder / part)
    (folder / "data").symlink_to(ROOT / "data")
    shutil.copy(ROOT / "data.dvc", folder)
    return folder


def command(*words: str) -> list[str]:
    return [sys.executable, "-m", "snakemake", *CONFIG, *words]


def environment(folder: Path, base: dict[str, str]) -> dict[str, str]:
    return {**base, "PYTHONPATH": str(folder / "src"), "OMP_NUM_THREADS": "1"}


@pytest.fixture(scope="session")
def local(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same run on this machine alone: what the tables have to be."""
    place = project(tmp_path_factory.mktemp("local") / "project")
    done = subprocess.run(
        command("--cores", "2", *TARGETS),
        cwd=place,
        env=environment(place, dict(os.environ)),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return place


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    made = Cluster(tmp_path / "cluster")
    try:
        made.start()
        yield made
    finally:
        made.stop()


class Saboteur(threading.Thread):
    """Does one thing each to the first running job of some rules, while Snakemake goes on."""

    def __init__(self, cluster: Cluster, harm: dict[str, Callable[[str, str], None]]) -> None:
        super().__init__(daemon=True)
        self.cluster, self.harm = cluster, dict(harm)
        self.done: dict[str, str] = {}
        self.over = threading.Event()

    def run(self) -> None:
        while self.harm and not self.over.wait(0.5):
            for line in self.cluster.ask("squeue", "-h", "-t", "RUNNING", "-o", "%i %N %k").splitlines():
                job, node, comment = line.split(None, 2)
                for rule in [rule for rule in self.harm if comment.startswith(f"rule_{rule}")]:
                    time.sleep(2)  # inside the stage, not in Snakemake's start
                    self.harm.pop(rule)(job, node)
                    self.done[rule] = job


def equal_tables(one: Path, other: Path) -> list[str]:
    """Names of tables that both runs have, after a check that they are equal bit for bit but for measured time."""
    names = sorted(path.name for path in one.glob("*.parquet"))
    assert names == sorted(path.name for path in other.glob("*.parquet"))
    for name in names:
        a, b = (pd.read_parquet(folder / name) for folder in (one, other))
        pd.testing.assert_frame_equal(
            a.drop(columns=MEASURED & {*a}), b.drop(columns=MEASURED & {*b}), check_exact=True, obj=name
        )
    return names


def test_a_run_survives_what_a_cluster_does_to_its_jobs(
    local: Path, cluster: Cluster, tmp_path: Path
) -> None:
    place = project(tmp_path / "project")

    def cancel(job: str, node: str) -> None:
        cluster.ask("scancel", job)

    def run_out_of_time(job: str, node: str) -> None:
        cluster.ask("scontrol", "update", f"JobId={job}", "TimeLimit=0:01")
        cluster.ask("scancel", "--signal=STOP", "--full", job)  # it hangs, whatever the machine's speed

    def lose_node(job: str, node: str) -> None:
        cluster.fail_node(node)
        threading.Timer(5, cluster.revive_node, [node]).start()

    saboteur = Saboteur(
        cluster, {"meta_train": cancel, "train_editor": run_out_of_time, "edit_shard": lose_node}
    )
    saboteur.start()
    done = subprocess.run(
        command("--set-resources", f"search_layers:mem_mb={TOO_LITTLE}", *TARGETS),
        cwd=place,
        env=environment(place, cluster.environment),
        capture_output=True,
        text=True,
        check=False,
    )
    saboteur.over.set()
    assert done.returncode == 0, done.stderr[-5000:]
    assert "as cluster jobs" in done.stderr, "without a flag, where there is a SLURM"
    assert saboteur.done.keys() == {"meta_train", "train_editor", "edit_shard"}
    failed = set(re.findall(r"SLURM status is: '(\w+)'", done.stderr))
    assert {"CANCELLED", "TIMEOUT"} <= failed, failed
    assert "search_layers" in " ".join(re.findall(r"Error in rule (\w+)", done.stderr)), (
        "killed for its memory"
    )
    tables = equal_tables(local / "results/slurm/tables", place / "results/slurm/tables")
    assert {"edits.parquet", "claims.parquet", "layers.parquet"} <= {*tables}
    again = subprocess.run(
        command("-n", *TARGETS),
        cwd=place,
        env=environment(place, cluster.environment),
        capture_output=True,
        text=True,
        check=False,
    )
    assert "Nothing to be done" in again.stdout + again.stderr
