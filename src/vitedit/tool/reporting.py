"""`vitedit report`: one page that shows what a patch does to single images. It opens offline."""

import base64
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import jinja2
import numpy as np
from jaxtyping import Bool, Int64
from PIL import Image
from timm.models.vision_transformer import VisionTransformer

from vitedit.artifacts import atomic
from vitedit.data.images import ImageSet
from vitedit.errors import ImageError
from vitedit.figures.page_template import STYLE
from vitedit.figures.words import harmless
from vitedit.model.about import Measured
from vitedit.model.patch import Patch
from vitedit.tool import text
from vitedit.tool.labels import class_name
from vitedit.tool.layout import percent
from vitedit.tool.measuring import Seen, batches_of, look_through
from vitedit.tool.pictures import checksums, left_out, open_files, open_locality, open_neighbours
from vitedit.tool.report_template import CARDS, TEMPLATE
from vitedit.tool.samples_text import right_class
from vitedit.tool.tables import read_table

SIDE = 160
"""Of a thumbnail's longer side, in pixels."""
MOST_CARDS = 60
"""Neighbours, or images that flipped; the page says how many it leaves out."""


@dataclass(frozen=True)
class Card:
    """One image, and what it was taken for."""

    name: str
    picture: str
    """JPEG file in base64."""
    right: str
    """Its right class; empty where all images of a page share it."""
    before: str
    after: str
    fine: bool
    """Whether the prediction after the edit is what it should be."""


@dataclass(frozen=True)
class Section:
    """Images of one kind."""

    title: str
    words: str
    cards: list[Card]
    left_out: int


@dataclass(frozen=True)
class Gallery:
    """What a patch does to images."""

    patch: Patch
    vit: VisionTransformer
    """Its base model."""
    classes: Sequence[str] | None

    def look(self, images: ImageSet) -> Seen:
        """What the base model and the edited one take images for."""
        return look_through(self.patch, self.vit, batches_of(images, self.patch.about.model.transform))

    def section(
        self,
        title: str,
        words: str,
        images: ImageSet,
        seen: Seen,
        fine: Bool[np.ndarray, "images"],
        shown: Bool[np.ndarray, "images"] | None = None,
        most: int = MOST_CARDS,
    ) -> Section:
        """The images as cards, all or those that are `shown`, at most so many."""
        places = range(len(seen)) if shown is None else shown.nonzero()[0].tolist()
        cards = [self._card(images, seen, at, bool(fine[at])) for at in places[:most]]
        return Section(title, words, cards, len(places) - len(cards))

    def labelled(
        self, title: str, images: ImageSet, labels: Int64[np.ndarray, "images"], most: int = MOST_CARDS
    ) -> Section:
        """Images with their right classes, and how many are right."""
        seen = self.look(images)
        right, before = seen.after[0] == labels, seen.before == labels
        words = f"{right.sum()} of {len(seen)} right after the edit, {before.sum()} before."
        return self.section(title, words, images, seen, right, most=most)

    def _card(self, images: ImageSet, seen: Seen, at: int, fine: bool) -> Card:
        labels = images.labels if len(self.patch.about.labels) > 1 else None
        return Card(
            images.files[at],
            _thumbnail(images.picture(at)),
            "" if labels is None else self._class(int(labels[at])),
            self._words(int(seen.before[at]), float(seen.sure_before[at])),
            self._words(int(seen.after[0, at]), float(seen.sure_after[0, at])),
            fine,
        )

    def _words(self, index: int, probability: float) -> str:
        return f"{self._class(index)} ({percent(probability)})"

    def _class(self, index: int) -> str:
        """A class in words, by the given names or those that the patch knows."""
        return class_name(index, self.classes) if self.classes else self._known.get(index, f"{index}")

    @cached_property
    def _known(self) -> dict[int, str]:
        """Names of classes that the patch keeps."""
        images = self.patch.about.images
        named = [
            *((image.label, image.class_name) for image in images),
            *((image.before, image.before_name) for image in images),
            *((image.after, image.after_name) for image in images),
        ]
        return {index: name for index, name in named if name}


def samples_of(gallery: Gallery, images: Sequence[Path], table: Path | None) -> ImageSet | None:
    """The samples of a patch with their right classes, from files or the table of its failures; None without either.

    Of a table those count that the patch was made from: the model was right about the others.

    Raises:
        ImageError: An image cannot be read, or is none of those that the edit was made from.
    """
    listed = read_table("--failures", table, gallery.classes, gallery.vit.num_classes) if table else []
    paths = [*images, *(one.path for one in listed)]
    if not paths:
        return None
    labels = {record.sha256: record.label for record in gallery.patch.about.images}
    own = list(zip(paths, checksums(open_files("image", paths, [0] * len(paths))), strict=True))
    kept = [(path, labels[known]) for path, known in own if known in labels]
    foreign = [path for path, known in own[: len(images)] if known not in labels] or (not kept and paths)
    if foreign:
        raise ImageError(f"{foreign[0]} is none of the images that the patch was made from.")
    return open_files("image", *zip(*kept, strict=True))


def write_report(
    output: Path, gallery: Gallery, samples: ImageSet | None, neighbours: Path | None, locality: Path | None
) -> None:
    """Writes the page.

    Raises:
        ArtifactError: The model is not the patch's base model, or the file cannot be written.
        ImageError: An image cannot be read.
        ConfigError: The neighbours' right classes are not known.
    """
    patch, sections = gallery.patch, list(_sections(gallery, samples, neighbours, locality))
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined, finalize=harmless)
    page = environment.from_string(TEMPLATE).render(
        style=STYLE + CARDS,
        title=f"{patch.about.model.name}: {right_class(patch.about, gallery.classes)}",
        failures=len(patch.about.images) if len(patch.about.labels) > 1 else 1,
        facts=text.facts(patch),
        samples=text.samples(patch.about),
        where=text.where(patch),
        sections=sections,
    )
    with atomic(output) as temporary:
        temporary.write_text(page, encoding="utf-8")


def _sections(
    gallery: Gallery, samples: ImageSet | None, neighbours: Path | None, locality: Path | None
) -> Iterator[Section]:
    about, near = gallery.patch.about, None
    own = {record.sha256 for record in about.images}
    if samples is not None and samples.labels is not None:
        title = "The sample" if len(samples) == 1 else "The samples"
        title, count = f"{title} that the edit was made from", len(samples)
        yield gallery.labelled(title, samples, samples.labels, count)
    if neighbours is not None:
        near = open_neighbours(neighbours, own, about.labels, gallery.classes, gallery.vit.num_classes)
        assert near.labels is not None  # `open_neighbours` made sure
        yield gallery.labelled("Neighbours", near, near.labels)
    if locality is not None:
        far = open_locality(locality, own, near)
        seen = gallery.look(far)
        flipped = seen.flipped()
        words = (
            f"{flipped.sum()} of {len(seen)} images are taken for something else after the edit; none should."
            f"{_measured_on(about.measured, len(seen), int(flipped.sum()))}"
        )
        words = " ".join([words, *left_out(None, far)])
        yield gallery.section("Images that flipped", words, far, seen, ~flipped, flipped)


def _measured_on(measured: Measured, images: int, flipped: int) -> str:
    """That the locality of the edit was measured on other images, where the counts show it."""
    if measured.locality is None:
        return ""
    then = (measured.locality_images, round((1 - measured.locality) * measured.locality_images))
    if then == (images, flipped):
        return ""
    kind = "rendered pictures" if measured.stand_in else "other images"
    return f" The locality above was measured on {then[0]} {kind}."


def _thumbnail(picture: Image.Image) -> str:
    picture = picture.copy()
    picture.thumbnail((SIDE, SIDE))
    content = io.BytesIO()
    picture.save(content, "JPEG", quality=80)
    return base64.b64encode(content.getvalue()).decode()
