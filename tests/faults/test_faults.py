"""Faults at random points of a small chain of the real workflow: the next `snakemake` finishes the work with equal tables.

`make test-faults` runs 50 seeds; FAULT_SEEDS ("0-49", "3 7") says which, none without it. FAULT_REPORT names a table of what
happened.
"""

import csv
import os
from pathlib import Path

import pytest
from faults import FAULTS
from trial import run_trial

NOTES = [*("seed", "fault", "job", "moment", "misses", "saw", "unlock", "resumed", "redone", "seconds")]


def seeds(text: str) -> list[int]:
    """Numbers and ranges of numbers: "3 7-9" are 3, 7, 8 and 9."""
    found = []
    for word in text.split():
        first, _, last = word.partition("-")
        found += range(int(first), int(last or first) + 1)
    return found


SEEDS = seeds(os.environ.get("FAULT_SEEDS", ""))


@pytest.fixture(scope="session")
def report():
    """Appends a row to the report, if one is asked for."""
    name = os.environ.get("FAULT_REPORT")
    if name is None:
        yield lambda notes: None
        return
    with Path(name).open("a", newline="") as file:
        table = csv.DictWriter(file, NOTES, delimiter="\t")
        table.writeheader()

        def write(notes):
            table.writerow(notes)
            file.flush()

        yield write


@pytest.mark.skipif(not SEEDS, reason="takes minutes: `make test-faults`")
@pytest.mark.parametrize("seed", SEEDS, ids=lambda seed: f"{seed}-{FAULTS[seed % len(FAULTS)].name}")
def test_the_next_run_finishes_the_work(seed, finished, report, tmp_path):
    chain, jobs = finished
    report(run_trial(FAULTS[seed % len(FAULTS)], seed, chain, jobs, tmp_path))


def test_seeds_are_numbers_and_ranges():
    assert seeds("3 7-9") == [3, 7, 8, 9] and seeds("") == []
