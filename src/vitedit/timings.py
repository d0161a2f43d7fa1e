"""How long each stage of a run took and how much memory, from the benchmark tables that Snakemake leaves behind."""

import csv
import math
from dataclasses import dataclass
from pathlib import Path

from vitedit.errors import ArtifactError


@dataclass(frozen=True)
class Timing:
    """Jobs of one stage: their number, the sum and the longest of their seconds, the most memory of one (MiB, NaN if unknown)."""

    stage: str
    jobs: int
    seconds: float
    longest: float
    memory: float


def read_timings(folder: Path) -> list[Timing]:
    """Timings of the stages of a run, the longest first.

    Args:
        folder: `results/<run>/timings`, with `<stage>.tsv` or `<stage>/**/<job>.tsv`.

    Raises:
        ArtifactError: There are none.
    """
    jobs: dict[str, list[tuple[float, float]]] = {}
    for file in sorted(folder.rglob("*.tsv")):
        stage = file.relative_to(folder).with_suffix("").parts[0]
        with file.open(newline="") as lines:
            jobs.setdefault(stage, []).extend(
                (float(row["s"]), _number(row.get("max_rss")))
                for row in csv.DictReader(lines, delimiter="\t")
            )
    if not jobs:
        raise ArtifactError(f"{folder}: no timings. They appear once `snakemake` has run stages of that run.")
    made = [_timing(stage, measured) for stage, measured in jobs.items()]
    return sorted(made, key=lambda timing: timing.seconds, reverse=True)


def _timing(stage: str, jobs: list[tuple[float, float]]) -> Timing:
    """Of the seconds and the memory of every job."""
    seconds, memory = zip(*jobs, strict=True)
    known = [most for most in memory if not math.isnan(most)]
    return Timing(stage, len(jobs), sum(seconds), max(seconds), max(known, default=math.nan))


def _number(text: str | None) -> float:
    """What Snakemake measured; NaN where it says "-" or "NA", as for jobs too short to be measured."""
    return math.nan if text in (None, "-", "NA") else float(text)


def as_text(timings: list[Timing]) -> str:
    """The timings as aligned lines, with their sum and the most memory of all."""
    rows = [("stage", "jobs", "seconds", "longest", "MiB")]
    rows += [
        (t.stage, str(t.jobs), f"{t.seconds:.1f}", f"{t.longest:.1f}", f"{t.memory:.0f}") for t in timings
    ]
    rows += [("sum", str(sum(t.jobs for t in timings)), f"{sum(t.seconds for t in timings):.1f}", "", "")]
    return "\n".join(
        f"{stage:<20}{jobs:>6}{seconds:>10}{longest:>10}{memory:>8}".rstrip()
        for stage, jobs, seconds, longest, memory in rows
    )
