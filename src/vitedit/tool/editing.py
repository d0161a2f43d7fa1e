"""Edits of one failure, made, measured and kept as patches."""

import datetime
import time
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor

from vitedit.artifacts import provenance
from vitedit.config import TransformConfig
from vitedit.data.images import ImageSet
from vitedit.errors import ConfigError, ViteditError
from vitedit.model.about import About, ImageRecord, Measured, ModelRecord, SiteRecord
from vitedit.model.edits import Edits, Samples
from vitedit.model.patch import Patch
from vitedit.model.vit import Split
from vitedit.tool.labels import class_name, find_label
from vitedit.tool.measuring import Seen, look, look_at
from vitedit.tool.methods import Method
from vitedit.tool.models import record_of
from vitedit.tool.pictures import Given, read_samples

VERSIONS = ("vitedit", "commit", "torch", "timm", "python", "device")


@dataclass(frozen=True)
class Failure:
    """What is to be mended: images that a model is wrong about, and their right class."""

    vit: VisionTransformer
    model: ModelRecord
    images: Float[Tensor, "samples 3 side side"]
    records: tuple[ImageRecord, ...]
    label: int
    classes: Sequence[str] | None = None

    @classmethod
    def of(
        cls,
        vit: VisionTransformer,
        images: Sequence[Given],
        label: str | int,
        classes: Sequence[str] | None = None,
        transform: TransformConfig | None = None,
    ) -> "Failure":
        """Reads the images and looks the label up.

        Raises:
            UnknownNameError: The model has no such class.
            ImageError: An image cannot be read.
        """
        index, record = find_label(label, classes, vit.num_classes), record_of(vit, transform)
        pixels, records = read_samples(images, record.transform)
        return cls(vit, record, pixels, records, index, classes)

    @property
    def transform(self) -> TransformConfig:
        """From image to input."""
        return self.model.transform

    @property
    def checksums(self) -> set[str]:
        """Of the samples."""
        return {record.sha256 for record in self.records}


@dataclass(frozen=True)
class Attempt:
    """One edit of a failure by one method."""

    method: Method
    cut: Split
    edits: Edits
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


def refuse_training(vit: VisionTransformer) -> None:
    """Refuses a model whose answers are random.

    Raises:
        ConfigError: It is in training mode.
    """
    if vit.training:
        raise ConfigError("the model is in training mode; call `model.eval()` before an edit.")


def refuse_right(failure: Failure) -> None:
    """Refuses a model that has nothing to learn from the samples.

    Raises:
        ConfigError: It predicts the right class for all of them.
    """
    with torch.no_grad():
        found = failure.vit(failure.images.to(next(failure.vit.parameters()).device)).argmax(-1).tolist()
    if all(one == failure.label for one in found):
        name = class_name(failure.label, failure.classes)
        which = f"all {len(found)} images" if len(found) > 1 else failure.records[0].name
        raise ConfigError(
            f"the model already takes {which} for {failure.label} ({name}); there is nothing to fix."
        )


def make(failure: Failure, method: Method, base: Split) -> Attempt:
    """Edits the model once, by one method."""
    method = method.for_width(failure.vit.embed_dim)
    editor = method.build(base)
    samples = Samples(
        failure.images[None].to(base.device),
        torch.tensor([failure.label], device=base.device),
        (failure.records[0].sha256,),
    )
    began = time.monotonic()
    edits = editor.edit(base, samples)
    return Attempt(method, editor.cut(base), edits, time.monotonic() - began)


@torch.no_grad()
def measure(
    failure: Failure, attempts: Sequence[Attempt], neighbours: ImageSet | None, locality: ImageSet | None
) -> list[Outcome]:
    """What each of several edits of one failure does to its samples, to its neighbours and to other images."""
    cut, changed = attempts[0].cut, [attempt.changed for attempt in attempts]
    samples = look(cut, changed, [failure.images])
    seen = [
        None if images is None else look_at(cut, changed, images, failure.transform)
        for images in (neighbours, locality)
    ]
    stand_in = locality is not None and locality.name == "rendered"
    return [
        _outcome(failure, attempt, samples, seen[0], seen[1], at, stand_in)
        for at, attempt in enumerate(attempts)
    ]


def _outcome(
    failure: Failure,
    attempt: Attempt,
    samples: Seen,
    near: Seen | None,
    far: Seen | None,
    at: int,
    stand_in: bool,
) -> Outcome:
    label, vit = failure.label, failure.vit
    measured = Measured(
        success=float(samples.right(label)[at]),
        generalization=None if near is None else float(near.right(label)[at]),
        generalization_before=None if near is None else near.right_before(label),
        neighbours=0 if near is None else len(near),
        locality=None if far is None else float(far.kept()[at]),
        locality_images=0 if far is None else len(far),
        stand_in=stand_in,
        fraction=float(attempt.edits.fraction(vit)[0]),
        norm=float(attempt.edits.norm()[0]),
        steps=int(attempt.edits.steps[0]),
        seconds=attempt.seconds,
    )
    about = About(
        model=failure.model,
        method=attempt.method.name,
        setting=attempt.method.hyper_parameters,
        label=label,
        class_name=None if failure.classes is None else class_name(label, failure.classes),
        predicted=tuple(samples.before.tolist()),
        images=failure.records,
        sites=tuple(SiteRecord(name=site.name, axis=site.axis) for site in attempt.cut.sites),
        measured=measured,
        date=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        versions=_versions(),
    )
    patch = Patch.of(attempt.edits, 0, vit, about)
    neighbours, locality = (None if one is None else _of_edit(one, at) for one in (near, far))
    return Outcome(patch, _of_edit(samples, at), neighbours, locality)


def _of_edit(seen: Seen, at: int) -> Seen:
    return Seen(seen.before, seen.sure_before, seen.after[[at]], seen.sure_after[[at]])


def _versions() -> dict[str, str]:
    known = provenance("edit", {})
    return {name: str(known[name]) for name in VERSIONS}


def failed(outcome: Outcome) -> ViteditError:
    """Why there is no patch of an edit that did not succeed."""
    about = outcome.patch.about
    return ViteditError(
        f"the edited model is still wrong about {1 - about.measured.success:.0%} of the samples after {about.measured.steps} "
        f"steps of {about.method} {dict(about.setting)}. Raise its learning rate or `max_steps`, or lower its sparsity."
    )
