"""`vitedit report`: one page that shows what a patch does to single images. It opens offline."""

import base64
import io
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import jinja2
import numpy as np
from jaxtyping import Bool
from PIL import Image
from timm.models.vision_transformer import VisionTransformer

from vitedit.artifacts import atomic
from vitedit.data.images import ImageSet
from vitedit.errors import ImageError
from vitedit.figures.page_template import STYLE
from vitedit.figures.words import harmless
from vitedit.model.patch import Patch
from vitedit.model.sites import Site
from vitedit.model.vit import Split
from vitedit.tool import text
from vitedit.tool.labels import class_name
from vitedit.tool.measuring import Seen, look_at
from vitedit.tool.pictures import checksums, open_files, open_sets
from vitedit.tool.report_template import CARDS, TEMPLATE

SIDE = 160
"""Of a thumbnail's longer side, in pixels."""
MOST_CARDS = 60
"""Images of one section; the page says how many it leaves out."""


@dataclass(frozen=True)
class Card:
    """One image, and what it was taken for."""

    name: str
    picture: str
    """JPEG file in base64."""
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


def write_report(
    output: Path,
    patch: Patch,
    vit: VisionTransformer,
    classes: Sequence[str] | None,
    samples: Sequence[Path],
    neighbours: Path | None,
    locality: Path | None,
) -> None:
    """Writes the page.

    Raises:
        ArtifactError: The model is not the patch's base model, or the file cannot be written.
        ImageError: An image cannot be read, or is none of those that the edit was made from.
    """
    sections = list(_sections(patch, vit, classes, samples, neighbours, locality))
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined, finalize=harmless)
    page = environment.from_string(TEMPLATE).render(
        style=STYLE + CARDS,
        title=f"{patch.about.model.name}: {class_name(patch.about.label, classes)}",
        facts=text.facts(patch),
        where=text.where(patch),
        sections=sections,
    )
    with atomic(output) as temporary:
        temporary.write_text(page, encoding="utf-8")


def _sections(
    patch: Patch,
    vit: VisionTransformer,
    classes: Sequence[str] | None,
    samples: Sequence[Path],
    neighbours: Path | None,
    locality: Path | None,
) -> Iterator[Section]:
    own, label = {record.sha256 for record in patch.about.images}, patch.about.label
    gallery = _Gallery(patch, vit, classes)
    if samples:
        images = open_files(samples)
        if foreign := [
            name for name, known in zip(images.files, checksums(images), strict=True) if known not in own
        ]:
            raise ImageError(f"{foreign[0]} is none of the images that the patch was made from.")
        seen = gallery.look(images)
        yield gallery.section(
            "The sample", "What the edit was made from.", images, seen, seen.after[0] == label
        )
    near, far = open_sets(neighbours, locality, own)
    if near is not None:
        seen = gallery.look(near)
        right, before = seen.after[0] == label, seen.before == label
        words = f"{right.sum()} of {len(seen)} right after the edit, {before.sum()} before."
        yield gallery.section("Its neighbours", words, near, seen, right)
    if far is not None:
        seen = gallery.look(far)
        flipped = seen.flipped()
        words = (
            f"{flipped.sum()} of {len(seen)} images are taken for something else after the edit; none should."
        )
        yield gallery.section("Images that flipped", words, far, seen, ~flipped, flipped)


@dataclass(frozen=True)
class _Gallery:
    patch: Patch
    vit: VisionTransformer
    classes: Sequence[str] | None

    def look(self, images: ImageSet) -> Seen:
        """What the base model and the edited one take images for."""
        changed = {name: values[0] for name, values in self.patch.replaced(self.vit).items()}
        return look_at(_cut(self.vit, changed), [changed], images, self.patch.about.model.transform)

    def section(
        self,
        title: str,
        words: str,
        images: ImageSet,
        seen: Seen,
        fine: Bool[np.ndarray, "images"],
        shown: Bool[np.ndarray, "images"] | None = None,
    ) -> Section:
        """The images as cards, all or those that are `shown`."""
        places = range(len(seen)) if shown is None else shown.nonzero()[0].tolist()
        cards = [
            Card(
                images.files[at],
                _thumbnail(images.picture(at)),
                self._words(int(seen.before[at]), float(seen.sure_before[at])),
                self._words(int(seen.after[0, at]), float(seen.sure_after[0, at])),
                bool(fine[at]),
            )
            for at in places[:MOST_CARDS]
        ]
        return Section(title, words, cards, max(0, len(places) - MOST_CARDS))

    def _words(self, index: int, probability: float) -> str:
        return f"{class_name(index, self.classes)} ({text.percent(probability)})"


def _cut(vit: VisionTransformer, changed: Iterable[str]) -> Split:
    """The model cut before all changed parameters: the first one in a block, or the last block where the head alone changed."""
    sites = tuple(Site(name, 0) for name in changed if name.startswith("blocks."))
    return Split(vit, sites) if sites else Split(vit, ()).at("attn", [-1])


def _thumbnail(picture: Image.Image) -> str:
    picture = picture.copy()
    picture.thumbnail((SIDE, SIDE))
    content = io.BytesIO()
    picture.save(content, "JPEG", quality=80)
    return base64.b64encode(content.getvalue()).decode()
