"""Models, images, benchmark and locality set."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, model_validator

from vitedit.config.section import File, Fraction, Name, Positive, Rate, Scalar, Section, Unique
from vitedit.config.transforms import Transform

IMAGENET = Path("imagenet")
"""Value of `classes` that stands for the names of ImageNet-1k."""


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
    weights: Literal["file", "hub"] = "file"
    """Where they come from: you bring them, or `snakemake fetch` downloads timm's weights of that name to `checkpoint`. No
    other job downloads anything."""
    transform: Transform
    """From image to input. Instead of a section `timm`, as timm evaluates this model (with the input size that `architecture`
    may ask for), or `published`, as the published code does: shorter side 256, bilinear, centre 224, mean and std 0.5."""
    pretrain: PretrainConfig | None = None
    """How this project trains the model; null for a model that comes from elsewhere."""


class ImagesConfig(Section):
    """One set of images: a folder, or a .zip or .tar file, read in place."""

    path: File
    """Folder, .zip or uncompressed .tar file."""
    folder: str = ""
    """Folder inside `path` that holds the set."""
    labels: Literal["folder", "none", "csv", "groups"] = "folder"
    """Where labels come from: the name of the class folder, nowhere (a flat folder), a table, or group folders named
    `<class index>` or `<class index>_<anything>`. Class folders and tables may give class indices, or WordNet ids and class names
    of `classes`; they are indices if most of a set are numbers. A name that several classes have is refused."""
    csv: File | None = None
    """The table, for `labels: csv`; images that it does not list are left out."""
    file_column: str = "file"
    """Column of the table with the path of the image below `path`/`folder`."""
    label_column: str = "label"
    """Column of the table with the label."""
    rows: dict[str, str | int | float] = {}
    """Column of the table -> value: rows with another value are left out."""
    except_rows: dict[str, str | int | float] = {}
    """Column of the table -> value: rows with this value are left out."""
    label_map: File | None = None
    """JSON file: label -> class index or list of class indices, for labels that mean something else. An edit needs one class:
    images whose label has several are left out, and the log counts them."""
    mask: File | None = None
    """.npy file with 0 for the images to leave out, else 1: one entry an image of the whole set, in the order of class folders
    and in each of file names (torchvision's). Code in the file is never run."""
    mask_key: str = ""
    """Name of the array in `mask`, if it holds a dictionary of arrays."""
    min_images: Positive | None = None
    """Fewer images at the place than this, before any are left out, are an error: nothing runs on a part of a data set."""

    @property
    def files(self) -> list[Path]:
        """Every file or folder that the set is read from."""
        return [path for path in (self.path, self.csv, self.label_map, self.mask) if path is not None]

    @model_validator(mode="after")
    def _parts_fit(self) -> "ImagesConfig":
        if (self.labels == "csv") != (self.csv is not None):
            raise ValueError("`labels: csv` and `csv: FILE` belong together")
        if (self.rows or self.except_rows) and self.csv is None:
            raise ValueError("`rows` and `except_rows` choose rows of a table; there is no `csv`")
        if self.label_map and self.labels not in ("csv", "folder"):
            raise ValueError(
                f"`label_map` explains labels of a csv or of class folders, not `labels: {self.labels}`"
            )
        if self.mask_key and self.mask is None:
            raise ValueError("`mask_key` names an array in `mask`; there is no `mask`")
        return self


class BenchmarkConfig(Section):
    """Groups of images that fail in the same way (paper section 4; Table A)."""

    rule: Literal["mad", "errors", "published"]
    """`mad`: base and stronger model disagree on unlabelled images, both confident. `errors`: the base model is wrong on
    labelled images. `published`: the folders of a set with `labels: groups` are the groups, less the images that the base
    model gets right."""
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
    style_neighbours: Positive | None = None
    """Images of the whole style, other classes included, on which `gr_style` of an edit is measured (evenly spaced); null
    leaves it out."""
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
    min_images: Positive = 20
    """Fewer images near the boundary than this are an error."""
    published: Name | None = None
    """A set that is the locality set as it is, labels unused; `sources` then serve for tuning only."""
    max_images: Positive | None = None
    """Images kept, smallest difference first; null keeps all."""
