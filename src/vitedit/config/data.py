"""Models, images, benchmark and locality set."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, model_validator

from vitedit.config.section import File, Fraction, Lax, Name, Positive, Rate, Scalar, Section, Unique

IMAGENET = Path("imagenet")
"""Value of `classes` that stands for the names of ImageNet-1k."""


class TransformConfig(Section):
    """From a decoded RGB image to the model's input."""

    resize: Positive | None = None
    """Length of the shorter side after resizing, in pixels; null resizes to the input size itself."""
    size: Positive
    """Side of the square input, in pixels; the centre is cropped."""
    interpolation: Literal["bilinear", "bicubic"] = "bilinear"
    """Resampling filter. The published code uses torchvision's default, bilinear."""
    mean: Annotated[tuple[float, float, float], Lax] = (0.5, 0.5, 0.5)
    """Subtracted from each channel of an image in [0, 1]."""
    std: Annotated[tuple[Rate, Rate, Rate], Lax] = (0.5, 0.5, 0.5)
    """Each channel is divided by it."""

    @model_validator(mode="after")
    def _crop_fits(self) -> "TransformConfig":
        if self.resize is not None and self.resize < self.size:
            raise ValueError(
                f"a centre of {self.size} pixels cannot be cropped after `resize: {self.resize}`"
            )
        return self


class PretrainConfig(Section):
    """How a ViT of the embedded world is trained. Only models that this project trains have this section."""

    typical_share: Fraction
    """Share of training images that show the class in its typical context; 0.125 is balanced over 8 contexts."""
    images: Positive
    """Fresh images an epoch."""
    epochs: Positive
    """Passes over fresh images."""
    batch_size: Positive = 128
    """Images a step."""
    learning_rate: Rate = 1.5e-3
    """Peak of the one-cycle schedule of AdamW."""
    weight_decay: Annotated[float, Field(ge=0)] = 0.05
    """Decoupled weight decay."""
    start_from: Name | None = None
    """Model whose trained weights are the start; null starts from random weights."""
    seed: int = 0
    """Seed of the weights, of the images and of their order."""


class ModelConfig(Section):
    """A timm ViT and where its weights lie."""

    name: str
    """Model name in timm."""
    architecture: dict[str, Scalar] | None = None
    """Arguments of `timm.create_model` that differ from the named model's."""
    checkpoint: File
    """Released weights (.safetensors, or .pth read without unpickling code)."""
    transform: TransformConfig
    """From image to input."""
    pretrain: PretrainConfig | None = None
    """How this project trains the model; null for a model that comes from elsewhere."""


class ImagesConfig(Section):
    """One set of images: a folder or a zip file, read in place."""

    path: File
    """Folder or zip file."""
    folder: str = ""
    """Folder inside `path` that holds the set."""
    labels: Literal["folder", "none", "csv"] = "folder"
    """Where labels come from: the name of the class folder, nowhere (a flat folder), or a table."""
    csv: File | None = None
    """The table, for `labels: csv`."""
    file_column: str = "file"
    """Column of the table with the path of the image below `path`/`folder`."""
    label_column: str = "label"
    """Column of the table with the class index."""

    @model_validator(mode="after")
    def _table_named(self) -> "ImagesConfig":
        if (self.labels == "csv") != (self.csv is not None):
            raise ValueError("`labels: csv` and `csv: FILE` belong together")
        return self


class BenchmarkConfig(Section):
    """Groups of images that fail in the same way (paper section 4; Table A)."""

    rule: Literal["mad", "errors"]
    """`mad`: base and stronger model disagree on unlabelled images, both confident. `errors`: the base model is wrong on
    labelled images."""
    images: Name
    """The set that natural groups are picked from."""
    stronger: Name | None = None
    """The stronger model of the MAD competition."""
    min_confidence: Fraction = 0.8
    """Least top-1 probability of both models for an image to enter the MAD competition."""
    same_prediction: bool = True
    """For `errors`: a group shares true and predicted class (true) or only the true class (false)."""
    groups: Positive = 16
    """Number of natural groups kept, the largest first."""
    min_size: Annotated[int, Field(ge=2)] = 2
    """Smallest group; generalization needs at least one neighbour."""
    styles: Annotated[list[Name], Unique] = []
    """Sets of labelled images in another style; each becomes a subset with one group a class."""
    style_groups: Positive = 20
    """Number of classes kept a style, the largest groups first."""
    max_edits: Positive | None = None
    """Edit samples a group (evenly spaced in the group); null edits with every image. All images of a group are neighbours."""
    max_images: Annotated[int, Field(ge=2)] | None = None
    """Images kept a group; null keeps all."""
    held_out_groups: Annotated[int, Field(ge=0)] = 0
    """Groups that methods are tuned on, of the natural images and of each style: the next largest after those kept."""
    held_out_edits: Positive | None = 2
    """Edit samples a held-out group."""


class LocalityConfig(Section):
    """Images near the decision boundary, on which an edit must change nothing."""

    sources: Annotated[list[Name], Field(min_length=1), Unique]
    """Sets of labelled images."""
    gap: Fraction = 0.05
    """Largest difference of the two highest probabilities; the true label must have the highest."""
    max_images: Positive | None = None
    """Images kept, smallest difference first; null keeps all."""
