"""Edits of failures, made, measured and kept as patches."""

import datetime
import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor

from vitedit.artifacts import provenance
from vitedit.data.images import ImageSet
from vitedit.errors import ConfigError
from vitedit.model.about import About, ImageRecord, Measured, SiteRecord, Way
from vitedit.model.edits import Edits, Samples
from vitedit.model.patch import Patch
from vitedit.model.vit import Split
from vitedit.tool.failures import Failures
from vitedit.tool.labels import class_name
from vitedit.tool.measuring import Seen, look, look_at
from vitedit.tool.methods import Method, methods_file
from vitedit.tool.pictures import BATCH
from vitedit.tool.ways import UNION, WAYS

log = logging.getLogger(__name__)

VERSIONS = ("vitedit", "commit", "torch", "timm", "python", "device")


@dataclass(frozen=True)
class Attempt:
    """One edit of failures by one method."""

    method: Method
    way: Way
    cut: Split
    edits: Edits
    """E = 1."""
    course: Bool[np.ndarray, "edits samples"] | None
    """Of a sequence: whether each sample was right after each edit."""
    seconds: float

    @property
    def changed(self) -> dict[str, Tensor]:
        """New values of the edited parameters, {name: (*shape)}."""
        return {name: values[0] for name, values in self.edits.changed.items()}


@dataclass(frozen=True)
class Outcome:
    """A patch, and what single images are taken for before and after it."""

    patch: Patch
    samples: Seen
    neighbours: Seen | None
    locality: Seen | None


@dataclass(frozen=True)
class Ground:
    """The model to be edited, and the one that trained artefacts are for: another one where earlier patches are in it."""

    base: Split
    trained: Split

    @classmethod
    def of(cls, vit: VisionTransformer, trained: Split) -> "Ground":
        """A model, cut as the one that trained artefacts are for."""
        return cls(Split(vit, trained.sites), trained)

    @contextmanager
    def fitting(self, method: Method) -> Iterator[None]:
        """Says so where trained artefacts do not fit a model to which earlier patches have added neurons.

        Raises:
            ConfigError: They do not.
        """
        try:
            yield
        except RuntimeError as error:
            sizes = [[tuple(p.shape) for p in split.vit.parameters()] for split in (self.base, self.trained)]
            if sizes[0] == sizes[1] or not method.artifacts:
                raise
            raise ConfigError(
                f"earlier patches have added neurons to the model, which what {method.name} was trained with does not fit; take "
                f"a method that needs no training, as `--method {methods_file().default}`."
            ) from error


def make(failures: Failures, method: Method, ground: Ground, way: Way) -> Attempt:
    """Edits the model by one method, in one of the ways (`WAYS`)."""
    method = method.for_width(failures.vit.embed_dim)
    editor = (method.uniting() if way == UNION else method).build(ground.trained)
    samples = Samples(
        failures.images[:, None].to(ground.base.device),
        torch.from_numpy(failures.labels).to(ground.base.device),
        tuple(sample.sha256 for sample in failures.samples),
    )
    log.info("editing: %d failures by %s, %s", len(samples), method.name, way)
    began = time.monotonic()
    with ground.fitting(method):
        made = WAYS[way](editor, ground.base, samples)
    seconds = time.monotonic() - began
    return Attempt(method, way, editor.cut(ground.base), made.edits, made.course, seconds)


@torch.no_grad()
def measure(
    failures: Failures, attempts: Sequence[Attempt], neighbours: ImageSet | None, locality: ImageSet | None
) -> list[Outcome]:
    """What each of several edits of the same failures does to its samples, to its neighbours and to other images."""
    cut, changed = attempts[0].cut, [attempt.changed for attempt in attempts]
    samples = look(cut, changed, failures.images.split(BATCH))
    near, far = (
        None if images is None else look_at(cut, changed, images, failures.transform)
        for images in (neighbours, locality)
    )
    right = None if neighbours is None else neighbours.labels
    stand_in = locality is not None and locality.name == "rendered"
    found = []
    for at, attempt in enumerate(attempts):
        own = _of_edit(samples, at)
        around, others = (None if seen is None else _of_edit(seen, at) for seen in (near, far))
        measured = _measured(failures, attempt, own, around, others, right, stand_in)
        patch = Patch.of(attempt.edits, 0, failures.vit, _about(failures, attempt, own, measured))
        found.append(Outcome(patch, own, around, others))
    return found


def _of_edit(seen: Seen, at: int) -> Seen:
    return Seen(seen.before, seen.sure_before, seen.after[[at]], seen.sure_after[[at]])


def _measured(
    failures: Failures,
    attempt: Attempt,
    samples: Seen,
    near: Seen | None,
    far: Seen | None,
    right: np.ndarray | None,
    stand_in: bool,
) -> Measured:
    directly, retention = retained(attempt.course)
    return Measured(
        success=float(samples.right(failures.labels)[0]),
        directly=directly,
        retention=retention,
        generalization=None if near is None or right is None else float(near.right(right)[0]),
        generalization_before=None if near is None or right is None else near.right_before(right),
        neighbours=0 if near is None else len(near),
        locality=None if far is None else float(far.kept()[0]),
        locality_images=0 if far is None else len(far),
        stand_in=stand_in,
        fraction=float(attempt.edits.fraction(failures.vit)[0]),
        norm=float(attempt.edits.norm()[0]),
        steps=int(attempt.edits.steps[0]),
        converged=bool(attempt.edits.converged[0]),
        seconds=attempt.seconds,
    )


def _about(failures: Failures, attempt: Attempt, samples: Seen, measured: Measured) -> About:
    return About(
        model=failures.model,
        method=attempt.method.name,
        setting=attempt.method.hyper_parameters,
        way=attempt.way,
        images=tuple(_records(failures, samples, dict(lost_of(attempt.course)))),
        sites=tuple(SiteRecord(name=site.name, axis=site.axis) for site in attempt.cut.sites),
        measured=measured,
        date=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        versions=_versions(),
    )


def _records(failures: Failures, seen: Seen, lost: Mapping[int, int]) -> list[ImageRecord]:
    classes = zip(failures.labels.tolist(), seen.before.tolist(), seen.after[0].tolist(), strict=True)
    records = []
    for at, (label, before, after) in enumerate(classes):
        known, later = failures.samples[at], lost.get(at)
        records.append(
            ImageRecord(
                name=known.name,
                sha256=known.sha256,
                label=label,
                class_name=_name_of(failures, label),
                before=before,
                before_name=_name_of(failures, before),
                after=after,
                after_name=_name_of(failures, after),
                lost_by=None if later is None else failures.samples[later].name,
            )
        )
    return records


def _name_of(failures: Failures, index: int) -> str | None:
    """A class's name, where the classes are known."""
    return None if failures.classes is None else class_name(index, failures.classes)


def _versions() -> dict[str, str]:
    known = provenance("edit", {})
    return {name: str(known[name]) for name in VERSIONS}


def retained(course: Bool[np.ndarray, "edits samples"] | None) -> tuple[float | None, float | None]:
    """Of a sequence: share of the samples right directly after their own edit, and share of these still right at the end."""
    if course is None:
        return None, None
    directly = course.diagonal()
    return float(directly.mean()), float(course[-1, directly].mean()) if directly.any() else None


def lost_of(course: Bool[np.ndarray, "edits samples"] | None) -> list[tuple[int, int]]:
    """Samples right after their own edit and wrong at the end, each with the later edit after which it was wrong first."""
    if course is None:
        return []
    gone = (course.diagonal() & ~course[-1]).nonzero()[0].tolist()
    return [(at, at + int(course[at:, at].argmin())) for at in gone]
