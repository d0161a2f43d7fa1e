"""What is to be mended: images that a model is wrong about, each with its right class."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Int64
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor

from vitedit.config import TransformConfig
from vitedit.data.images import ImageSet
from vitedit.errors import ConfigError
from vitedit.model.about import ModelRecord
from vitedit.progress import track
from vitedit.tool.labels import class_list, class_name, find_label
from vitedit.tool.models import record_of
from vitedit.tool.pictures import (
    BATCH,
    Given,
    Sample,
    open_locality,
    open_neighbours,
    read_sample,
    read_samples,
)
from vitedit.tool.tables import read_table, refuse_twins


@dataclass(frozen=True, eq=False)
class Failures:
    """Images that a model is to be right about."""

    vit: VisionTransformer
    model: ModelRecord
    images: Float[Tensor, "samples 3 side side"]
    samples: tuple[Sample, ...]
    labels: Int64[np.ndarray, "samples"]
    classes: Sequence[str] | None = None

    @classmethod
    def of(
        cls,
        vit: VisionTransformer,
        images: Sequence[Given],
        labels: Sequence[str | int],
        classes: Sequence[str] | None = None,
        transform: TransformConfig | None = None,
    ) -> "Failures":
        """Reads images and looks their labels up, one for all or one for each; a thousand classes without names are ImageNet's.

        Raises:
            ConfigError: Another number of labels than of images.
            UnknownNameError: The model has no such class.
            ImageError: An image cannot be read.
        """
        if len(labels) not in (1, len(images)):
            raise ConfigError(
                f"{len(labels)} labels for {len(images)} images; give one for each, or one for all."
            )
        classes = classes or class_list(None, vit.num_classes)
        indices = [find_label(label, classes, vit.num_classes) for label in labels]
        record = record_of(vit, transform)
        pixels, samples = read_samples(images, record.transform)
        every = np.array(indices * len(samples) if len(indices) == 1 else indices, np.int64)
        return cls(vit, record, pixels, samples, every, classes)

    @classmethod
    def listed(cls, vit: VisionTransformer, table: Path, classes: Sequence[str] | None) -> "Failures":
        """Reads a table of images with their right classes.

        Raises:
            ImageError: The table or an image cannot be read, or an image is there twice.
            UnknownNameError: The model has no such class.
        """
        listed, record = read_table("--failures", table, classes, vit.num_classes), record_of(vit)
        pixels, samples = [], []
        for number, one in enumerate(track(listed, "failures read", total=len(listed))):
            with one.named():
                read, sample = read_sample(one.path, number, record.transform)
            pixels.append(read)
            samples.append(Sample(one.name, sample.sha256))
        refuse_twins(listed, [sample.sha256 for sample in samples])
        labels = np.array([one.label for one in listed], np.int64)
        return cls(vit, record, torch.stack(pixels), tuple(samples), labels, classes)

    @property
    def transform(self) -> TransformConfig:
        """From image to input."""
        return self.model.transform

    @property
    def checksums(self) -> set[str]:
        """Of the samples."""
        return {sample.sha256 for sample in self.samples}

    @cached_property
    @torch.no_grad()
    def predicted(self) -> Int64[np.ndarray, "samples"]:
        """Classes that the model takes the images for."""
        device = next(self.vit.parameters()).device
        found = [self.vit(some.to(device)).argmax(-1) for some in self.images.split(BATCH)]
        return torch.cat(found).cpu().numpy()

    def refuse_right(self) -> None:
        """Refuses a model that has nothing to learn from the images.

        Raises:
            ConfigError: It is right about all of them.
        """
        if (self.predicted != self.labels).any():
            return
        which = self.samples[0].name if len(self.samples) == 1 else f"all {len(self.samples)} images"
        label, *others = set(self.labels.tolist())
        what = "their right classes" if others else f"{label} ({class_name(label, self.classes)})"
        raise ConfigError(f"the model already takes {which} for {what}; there is nothing to fix.")

    def sets(
        self, neighbours: str | Path | None, locality: str | Path | None
    ) -> tuple[ImageSet | None, ImageSet | None]:
        """Neighbours with their right classes, and the locality set.

        Raises:
            ViteditError: They cannot be read, or are empty, or the neighbours' right classes are not known.
        """
        own, labels, count = self.checksums, self.labels.tolist(), self.vit.num_classes
        near = open_neighbours(Path(neighbours), own, labels, self.classes, count) if neighbours else None
        return near, open_locality(Path(locality), own, near) if locality else None

    def wrong(self) -> tuple["Failures", list[str]]:
        """Those that the model is wrong about, and the names of the others."""
        kept = (self.predicted != self.labels).nonzero()[0].tolist()
        samples = tuple(self.samples[at] for at in kept)
        left_out = [one.name for at, one in enumerate(self.samples) if at not in set(kept)]
        return replace(self, images=self.images[kept], samples=samples, labels=self.labels[kept]), left_out
