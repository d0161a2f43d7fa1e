"""How long each stage of a run took, from the benchmark tables that Snakemake leaves behind."""

import csv
from dataclasses import dataclass
from pathlib import Path

from vitedit.errors import ArtifactError


@dataclass(frozen=True)
class Timing:
    """Jobs of one stage: their number, the sum and the longest of their seconds."""

    stage: str
    jobs: int
    seconds: float
    longest: float


def read_timings(folder: Path) -> list[Timing]:
    """Timings of the stages of a run, the longest first.

    Args:
        folder: `results/<run>/timings`, with `<stage>.tsv` or `<stage>/**/<job>.tsv`.

    Raises:
        ArtifactError: There are none.
    """
    seconds: dict[str, list[float]] = {}
    for file in sorted(folder.rglob("*.tsv")):
        stage = file.relative_to(folder).with_suffix("").parts[0]
        with file.open(newline="") as lines:
            seconds.setdefault(stage, []).extend(
                float(row["s"]) for row in csv.DictReader(lines, delimiter="\t")
            )
    if not seconds:
        raise ArtifactError(f"{folder}: no timings. They appear once `snakemake` has run stages of that run.")
    made = [Timing(stage, len(jobs), sum(jobs), max(jobs)) for stage, jobs in seconds.items()]
    return sorted(made, key=lambda timing: timing.seconds, reverse=True)


def as_text(timings: list[Timing]) -> str:
    """The timings as aligned lines, with their sum."""
    rows = [("stage", "jobs", "seconds", "longest")]
    rows += [(t.stage, str(t.jobs), f"{t.seconds:.1f}", f"{t.longest:.1f}") for t in timings]
    rows += [("sum", str(sum(t.jobs for t in timings)), f"{sum(t.seconds for t in timings):.1f}", "")]
    return "\n".join(
        f"{stage:<16}{jobs:>6}{seconds:>10}{longest:>10}".rstrip() for stage, jobs, seconds, longest in rows
    )
