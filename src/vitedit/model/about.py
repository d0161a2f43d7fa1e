"""What a patch says of itself beside its weights: strict records, so that a file from elsewhere cannot say anything else."""

from typing import Annotated, Literal

from pydantic import Field

from vitedit.config import Fraction, Scalar, Section, TransformConfig

Count = Annotated[int, Field(ge=0)]
Checksum = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
Way = Literal["joint", "union", "merge", "sequence"]
"""How one patch comes of several failures (tool/ways.py)."""


class ImageRecord(Section):
    """An image that an edit was made from: its name, its content by checksum, and what it is and was taken for."""

    name: str
    """Name of the file without folders (in a table: as the table names it), or of the place in a batch of tensors."""
    sha256: str
    """Of the file's bytes, or of the pixels of an image without a file."""
    label: Count
    """Its right class."""
    class_name: str | None = None
    """The name of that class."""
    before: Count
    """Class that the base model takes it for."""
    before_name: str | None = None
    """The name of that class."""
    after: Count
    """Class that the edited model takes it for."""
    after_name: str | None = None
    """The name of that class."""
    lost_by: str | None = None
    """Of a sequence: name of the later sample after whose edit it was wrong first; of those that were right after their own."""

    @property
    def wrong(self) -> bool:
        """Whether the edited model is still wrong about it."""
        return self.after != self.label


class ModelRecord(Section):
    """The base model: what timm builds it from, and how it sees an image."""

    name: str
    """timm's name."""
    architecture: dict[str, Scalar] = {}
    """Arguments of `timm.create_model` that differ from the named model's."""
    transform: TransformConfig
    """From image to input."""


class SiteRecord(Section):
    """One of the matrices that the edit might change."""

    name: str
    """Parameter of the model."""
    axis: Count
    """The axis that runs over its hidden units."""


class Measured(Section):
    """What an edit does to the images that it was measured on; rates in [0, 1], null without images."""

    success: Fraction
    """Share of the samples that the edited model gets right."""
    directly: Fraction | None = None
    """Of a sequence: share of the samples that were right directly after their own edit."""
    retention: Fraction | None = None
    """Share of these that are still right after all edits; null if there are none."""
    generalization: Fraction | None = None
    """Share of the neighbours that it gets right."""
    generalization_before: Fraction | None = None
    """Share of them that the base model gets right."""
    neighbours: Count = 0
    """Number of neighbours."""
    locality: Fraction | None = None
    """Share of the locality set whose prediction stays."""
    locality_images: Count = 0
    """Number of its images."""
    stand_in: bool = False
    """Whether these were rendered pictures, in place of photographs of the kind that the model sees."""
    fraction: Annotated[float, Field(ge=0, allow_inf_nan=False)]
    """Share of the backbone's weights that differ (head not counted)."""
    norm: Annotated[float, Field(ge=0, allow_inf_nan=False)]
    """L2 norm of the change."""
    steps: Count
    """Updates made."""
    converged: bool = True
    """Whether the edit met its stop rule."""
    seconds: Annotated[float, Field(ge=0, allow_inf_nan=False)]
    """Time that the edit took."""


class About(Section):
    """What was edited, when, by what method, and with what success."""

    model: ModelRecord
    """The base model."""
    method: str
    """Name in `vitedit.editors.EDITORS`."""
    setting: dict[str, Scalar]
    """Its hyper-parameters, and budget and stop rule of the descent (`max_steps`, `stop_loss`)."""
    way: Way
    """How it was made from its samples."""
    images: Annotated[tuple[ImageRecord, ...], Field(min_length=1)]
    """The samples, in the order of their edits."""
    sites: tuple[SiteRecord, ...]
    """Where the edit was allowed."""
    measured: Measured
    """What it does."""
    date: str
    """Time of the edit, in UTC (ISO 8601)."""
    versions: dict[str, str]
    """Of vitedit and what it computes with."""
    after: tuple[Checksum, ...] = ()
    """Base models of the patches that this one was made on top of, in order; none for a patch of an original model."""

    @property
    def labels(self) -> list[int]:
        """Right classes of the samples, each once, in their order."""
        return list(dict.fromkeys(image.label for image in self.images))
