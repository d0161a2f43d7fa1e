"""What a patch says of itself beside its weights: strict records, so that a file from elsewhere cannot say anything else."""

from typing import Annotated

from pydantic import Field

from vitedit.config import Fraction, Scalar, Section, TransformConfig

Count = Annotated[int, Field(ge=0)]


class ImageRecord(Section):
    """An image that an edit was made from: its name without folders, and its content by checksum."""

    name: str
    """Name of the file, or of the place in a batch of tensors."""
    sha256: str
    """Of the file's bytes, or of the pixels of an image without a file."""


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
    label: Count
    """Class that the samples belong to."""
    class_name: str | None = None
    """Its name."""
    predicted: tuple[Count, ...] = ()
    """Classes that the base model took the samples for."""
    images: tuple[ImageRecord, ...]
    """The samples."""
    sites: tuple[SiteRecord, ...]
    """Where the edit was allowed."""
    measured: Measured
    """What it does."""
    date: str
    """Time of the edit, in UTC (ISO 8601)."""
    versions: dict[str, str]
    """Of vitedit and what it computes with."""
