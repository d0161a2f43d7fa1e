"""The harness itself: it sees a difference, draws a fault that missed again, and fills and closes disks."""

import errno
from pathlib import Path
from random import Random

import numpy as np
import pandas as pd
import pytest
from chain import RESULTS, Chain, Done, Job, differences, with_followers
from faults import Fault
from moments import Missed
from surroundings import leave_free, may_mount, read_only, small_disk
from trial import draw, run_trial, told

from vitedit.artifacts import save_table


def job(name: str, inputs: str = "", outputs: str = "") -> Job:
    return Job(name, "", tuple(map(Path, inputs.split())), tuple(map(Path, outputs.split())), 1.0)


JOBS = [job("a", "", "x y"), job("b", "x", "z"), job("c", "z", "end"), job("d", "", "other")]


def write(folder: Path, rate: float, seconds: float, stage: str = "tabulate") -> Chain:
    tables = folder / RESULTS / "tables"
    tables.mkdir(parents=True, exist_ok=True)
    table = pd.DataFrame({"rate": [rate, np.nan], "name": ["a", None], "seconds": seconds})
    save_table(tables / "edits.parquet", table, {"stage": stage})
    table.to_csv(tables / "edits.csv", index=False)
    return Chain(folder)


def test_times_may_differ_and_nothing_else(tmp_path):
    one = write(tmp_path / "one", 0.1, 1.0)
    assert not list(differences(one, write(tmp_path / "same", 0.1, 2.0)))
    nearly = write(tmp_path / "nearly", float(np.nextafter(0.1, 1)), 1.0)
    assert list(differences(one, nearly)) == ["edits.csv: differs", "edits.parquet: differs"]
    assert list(differences(one, write(tmp_path / "made", 0.1, 1.0, "other"))) == ["edits.parquet: differs"]
    (tmp_path / "nearly" / RESULTS / "tables/edits.csv").unlink()
    assert "edits.csv: missing" in list(differences(one, nearly))


def test_what_follows_a_job_is_made_again_too():
    assert [one.name for one in with_followers(JOBS[0], JOBS)] == ["a", "b", "c"]
    assert with_followers(JOBS[3], JOBS) == [JOBS[3]]


def test_jobs_that_many_follow_are_drawn_less_often():
    rng = Random(0)
    drawn = [draw(JOBS, JOBS, rng).name for _ in range(1000)]
    assert 0 < drawn.count("a") < drawn.count("b") < drawn.count("d")


class Nothing:
    """Stands in for a chain that is never run."""

    def copy(self, folder):
        return self

    def delete(self, jobs):
        pass


def test_a_fault_that_always_misses_is_a_failure_of_the_harness(tmp_path):
    struck = []

    def late(trial):
        struck.append(trial.job.name)
        raise Missed("too late")

    with pytest.raises(AssertionError, match="seed 3: late never struck.*too late"):
        run_trial(Fault(late, fits=lambda one: one.name != "d"), 3, Nothing(), JOBS, tmp_path)
    assert len(struck) == 5 and set(struck) <= {"a", "b", "c"}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("SomeError in rule\nvitedit: x.json: damaged\n", "vitedit: x.json: damaged"),
        (
            "CalledProcessError in file:\nreturned non-zero exit status 137.",
            "returned non-zero exit status 137.",
        ),
        ("Traceback (most recent call last)\nKeyError: 'x'", "with a traceback: KeyError: 'x'"),
        ("", "exit code 1"),
    ],
)
def test_the_clearest_line_is_what_the_user_sees(text, said):
    assert told(Done(1, text)) == said


def test_an_idle_run_and_the_number_of_jobs_are_read_from_what_snakemake_says():
    assert Done(0, "Nothing to be done (all ...)").idle and not Done(1, "Nothing to be done").idle
    assert Done(0, "Job stats:\ntabulate  1\ntotal     4\n").jobs == 3


@pytest.mark.skipif(not may_mount(), reason="may not mount here")
def test_a_small_disk_is_full_and_has_space_again(tmp_path):
    file = tmp_path / "disk" / "file"
    with small_disk(file.parent):
        leave_free(file.parent, 0)
        with pytest.raises(OSError) as full:
            file.write_bytes(b"x" * 100_000)
        assert full.value.errno == errno.ENOSPC
        leave_free(file.parent, None)
        file.write_bytes(b"x" * 100_000)
    assert not file.exists()


@pytest.mark.skipif(not may_mount(), reason="root may write everywhere, and may not mount here")
def test_a_read_only_folder_is_read_and_not_written(tmp_path):
    (tmp_path / "file").write_text("kept")
    with read_only(tmp_path):
        assert (tmp_path / "file").read_text() == "kept"
        with pytest.raises(OSError, match="Read-only file system"):
            (tmp_path / "other").write_text("")
    (tmp_path / "other").write_text("")
