"""Writes the image sets of the embedded benchmark as zip files with the same bytes every time."""

import csv
import io
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from vitedit.artifacts import atomic
from vitedit.embedded.render import BALANCED, CLASSES, CONTEXTS, sample

TIME = (1980, 1, 1, 0, 0, 0)  # of every member; the earliest that a zip file can hold
QUALITY = 90
POOL = "natural"
"""The set without labels: a flat folder, in random order, its truth in a table beside it."""


@dataclass(frozen=True)
class SetPlan:
    """How one image set is drawn. Its name is also its stream."""

    images: int
    typical_share: float
    style: str = "plain"


IMAGE_SETS: dict[str, SetPlan] = {
    "train": SetPlan(2400, 0.9),
    "natural": SetPlan(3000, BALANCED),
    "oil_painting": SetPlan(600, BALANCED, "oil_painting"),
    "stage_light": SetPlan(600, BALANCED, "stage_light"),
    "val": SetPlan(2400, 0.9),
    "renditions": SetPlan(1500, 0.9, "renditions"),
    "sketch": SetPlan(1500, 0.9, "sketch"),
}


@dataclass(frozen=True)
class Member:
    """One picture of a set, its place in the zip file, and the truth about it."""

    file: str
    label: int
    context: int
    picture: np.ndarray


def write_image_sets(folder: Path, seed: int, plans: Mapping[str, SetPlan] = IMAGE_SETS) -> None:
    """Writes `<set>.zip` for every set and the table `natural_truth.csv` into `folder`.

    `plans` says what to write, the released sets by default.
    Labelled sets hold `<set>/<class>/<index>.jpg`, the pool holds `natural/<number>.jpg`.
    """
    for name, plan in plans.items():
        members = sorted(_members(name, seed, plan), key=lambda member: member.file)
        with atomic(folder / f"{name}.zip") as temporary:
            _write_zip(temporary, members)
        if name == POOL:
            with atomic(folder / f"{name}_truth.csv") as temporary:
                _write_truth(temporary, members)


def _members(name: str, seed: int, plan: SetPlan) -> Iterator[Member]:
    # Classes take turns in a stream; the pool's numbers are shuffled, so that they say nothing about the class.
    numbers = np.random.default_rng([seed, plan.images]).permutation(plan.images)
    for index in range(plan.images):
        picture, label, context = sample(
            seed, name, index, typical_share=plan.typical_share, style=plan.style
        )
        place = f"{numbers[index]:05d}" if name == POOL else f"{CLASSES[label]}/{index:05d}"
        yield Member(f"{name}/{place}.jpg", label, context, picture)


def _jpeg(picture: np.ndarray) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(picture).save(stream, "JPEG", quality=QUALITY, subsampling=0, optimize=True)
    return stream.getvalue()


def _write_zip(path: Path, members: list[Member]) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        for member in members:
            archive.writestr(zipfile.ZipInfo(member.file, TIME), _jpeg(member.picture))


def _write_truth(path: Path, members: list[Member]) -> None:
    with path.open("w", newline="") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(["file", "label", "class", "context"])
        for member in members:
            name = Path(member.file).name
            table.writerow([name, member.label, CLASSES[member.label], CONTEXTS[member.context]])
