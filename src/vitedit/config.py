"""Configuration as frozen, strict models: every choice of a run is a field here, with its meaning.

`workflow/schemas/config.schema.yaml` is generated from these classes by `vitedit schema`; `config_files` reads YAML.
"""

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

Fraction = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[int, Field(gt=0)]
Rate = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Sparsity = Annotated[float, Field(ge=0, lt=1)]
Scalar = bool | int | float | str
Lax = Field(strict=False)  # YAML has no paths and no tuples: these two are made from strings and lists
File = Annotated[Path, Lax]
Name = Annotated[str, Field(pattern=r"^[a-z0-9_]+$")]


def _unique(values: list[Any]) -> list[Any]:
    doubled = sorted({str(value) for value in values if values.count(value) > 1})
    if doubled:
        raise ValueError(f"{', '.join(doubled)} given more than once")
    return values


Unique = AfterValidator(_unique)

IMAGENET = Path("imagenet")
"""Value of `classes` that stands for the names of ImageNet-1k."""


class Section(BaseModel):
    """A frozen part of the configuration that refuses unknown keys."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid", use_attribute_docstrings=True)


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


class LocalityConfig(Section):
    """Images near the decision boundary, on which an edit must change nothing."""

    sources: Annotated[list[Name], Field(min_length=1), Unique]
    """Sets of labelled images."""
    gap: Fraction = 0.05
    """Largest difference of the two highest probabilities; the true label must have the highest."""
    max_images: Positive | None = None
    """Images kept, smallest difference first; null keeps all."""


class SitesConfig(Section):
    """Which weight matrices may be edited."""

    blocks: Annotated[list[Annotated[int, Field(ge=0)]], Field(min_length=1), Unique] | None = None
    """0-based blocks, or null to take those that the layer search chose. The paper's 8th-10th FFN is [7, 8, 9]."""
    part: Literal["mlp", "attn"] = "mlp"
    """FFN or self-attention matrices; used when `blocks` is given."""


class DescentConfig(Section):
    """The editing loop shared by all masked methods (published code)."""

    learning_rate: Rate = 2e-5
    """RMSprop step size."""
    max_steps: Positive = 100
    """Most updates of one edit."""
    stop_loss: Rate = 0.01
    """Stop once the cross-entropy is below and the prediction is right."""


class SearchConfig(Section):
    """Greedy search over runs of consecutive layers (paper Fig. 2)."""

    subset: Name = "natural"
    """Subset of the group that is used."""
    group: str | None = None
    """Name of the group; null takes the largest."""
    run_length: Positive = 3
    """Consecutive blocks in a run."""
    max_edits: Positive = 20
    """Edit samples."""
    bootstrap: Positive = 2000
    """Resamples of the confidence intervals."""


class PseudoConfig(Section):
    """CutMix pseudo-samples (paper section 3.3)."""

    images: Name
    """Pre-training images."""
    scale: Annotated[tuple[Fraction, Fraction], Lax] = (0.25, 1.0)
    """Share of the area that a random crop keeps."""
    patches: Annotated[tuple[Positive, Positive], Lax] = (3, 8)
    """Least and greatest side of the pasted rectangle, in ViT patches."""

    @model_validator(mode="after")
    def _ordered(self) -> "PseudoConfig":
        if self.patches[0] > self.patches[1] or self.scale[0] > self.scale[1]:
            raise ValueError("`patches` and `scale` are [least, greatest]")
        return self


class ReplayConfig(Section):
    """Regression on stored searched masks (not in the paper; makes short meta-trainings specific)."""

    steps: Positive
    """Regression steps after the searches."""
    batch_size: Positive = 32
    """Stored pairs a step."""


class MetaTrainConfig(Section):
    """Hypernetwork and decoupled meta-training (paper section 3.2-3.3; published code)."""

    pseudo: PseudoConfig
    """Pseudo-samples."""
    iterations: Positive = 7000
    """Batches of pseudo-samples."""
    batch_size: Positive = 8
    """Pseudo-samples an iteration."""
    temperature: Rate = 5.0
    """Temperature T of the Kullback-Leibler divergence."""
    inner_steps: Positive = 5
    """Gradient steps of the inner loop."""
    inner_learning_rate: Rate = 1e-3
    """Step size of the inner loop."""
    search_steps: Positive = 10
    """RMSprop steps on the free mask logits."""
    search_learning_rate: Rate = 0.1
    """Step size of the mask search."""
    sparsity_weight: Annotated[float, Field(ge=0)] = 0.125
    """Weight lambda of a sample's mean mask; the published code's 1.0 a batch of 8 is 0.125 a sample (deviation D9)."""
    blocks: Positive = 3
    """Transformer blocks of the hypernetwork."""
    heads: Positive = 6
    """Attention heads of the hypernetwork."""
    learning_rate: Rate = 1e-4
    """RMSprop step size of the hypernetwork."""
    regression_steps: Positive = 4
    """Regression steps on each batch."""
    schedule: Positive = 20000
    """Iterations of the cosine schedule's half period."""
    replay: ReplayConfig | None = None
    """Replay of the searched masks; null as in the paper."""
    checkpoint_every: Positive = 500
    """Iterations between two resumable states."""


class EditorConfig(BaseModel):
    """Hyper-parameters of one method: numbers, or a list for the one whose values span the GR-LR curve."""

    model_config = ConfigDict(frozen=True, strict=True, extra="allow", use_attribute_docstrings=True)

    artifacts: list[Name] = []
    """Trained artefacts that the method needs."""

    @property
    def parameters(self) -> dict[str, Any]:
        """Hyper-parameters as written."""
        return dict(self.__pydantic_extra__ or {})

    @model_validator(mode="after")
    def _one_knob(self) -> "EditorConfig":
        knobs = {key: value for key, value in self.parameters.items() if isinstance(value, list)}
        for key, values in knobs.items():
            if not values or len({str(value) for value in values}) < len(values):
                raise ValueError(f"{key}: {values} must hold at least one value, and each only once")
        if len(knobs) > 1:
            raise ValueError(
                f"only one hyper-parameter may be a list (the curve's knob), not {', '.join(knobs)}"
            )
        return self

    def settings(self) -> list[dict[str, Scalar]]:
        """One dictionary of hyper-parameters for each point of the curve."""
        knob = next((k for k, v in self.parameters.items() if isinstance(v, list)), None)
        if knob is None:
            return [self.parameters]
        return [self.parameters | {knob: value} for value in self.parameters[knob]]

    @property
    def knob(self) -> str:
        """Name of the hyper-parameter whose values span the curve; empty for a method without one."""
        return next((k for k, v in self.parameters.items() if isinstance(v, list)), "")


class SpecificityConfig(Section):
    """Overlap of masks within and between groups (paper Fig. 6)."""

    sparsity: Sparsity = 0.95
    """Sparsity of the compared masks."""
    subset: Name = "natural"
    """Subset whose groups are compared."""


class Config(Section):
    """A whole run."""

    run: Name
    """Name of the run; everything it makes lies under results/<run>/."""
    seed: int = 0
    """Seed of everything random."""
    use_released: bool = True
    """Take the released checkpoints; false takes those that `snakemake models` made in this run."""
    classes: File | None = None
    """Text file with one class name a line, in the order of the indices; `imagenet` for the names of ImageNet-1k that timm
    carries; null names classes by index or class folder."""
    backbones: Annotated[list[Name], Field(min_length=1), Unique]
    """Models to edit."""
    models: dict[Name, ModelConfig]
    """Every model by name."""
    images: dict[Name, ImagesConfig]
    """Every set of images by name."""
    benchmark: BenchmarkConfig
    """The groups."""
    locality: LocalityConfig
    """The locality set."""
    sites: SitesConfig = SitesConfig()
    """Where edits are allowed."""
    descent: DescentConfig = DescentConfig()
    """The editing loop."""
    search: SearchConfig = SearchConfig()
    """The layer search."""
    meta_train: MetaTrainConfig
    """The hypernetwork."""
    editors: Annotated[dict[Name, EditorConfig], Field(min_length=1)]
    """Methods to compare, with their hyper-parameters."""
    specificity: SpecificityConfig = SpecificityConfig()
    """The mask study."""

    @model_validator(mode="after")
    def _names_exist(self) -> "Config":
        stronger = [self.benchmark.stronger] if self.benchmark.stronger else []
        _known("models", [*self.backbones, *stronger], self.models)
        named = [
            self.benchmark.images,
            *self.benchmark.styles,
            *self.locality.sources,
            self.meta_train.pseudo.images,
        ]
        _known("images", named, self.images)
        starts = [m.pretrain.start_from for m in self.models.values() if m.pretrain and m.pretrain.start_from]
        _known("models (start_from)", starts, self.models)
        _known(
            "subset of search and specificity", [self.search.subset, self.specificity.subset], self.subsets
        )
        if "natural" in self.benchmark.styles:
            raise ValueError("benchmark.styles: `natural` is the name of the subset of natural groups")
        if self.benchmark.rule == "mad" and not stronger:
            raise ValueError("benchmark: the rule `mad` needs `stronger: MODEL`")
        for method, editor in self.editors.items():
            _check_sparsity(method, editor)
        return self

    @property
    def subsets(self) -> list[str]:
        """Names of the benchmark's subsets: the natural one and the styles."""
        return ["natural", *self.benchmark.styles]

    @property
    def classes_file(self) -> Path | None:
        """The file of class names, if they come from one."""
        return None if self.classes == IMAGENET else self.classes

    @property
    def results(self) -> Path:
        """Folder of the run."""
        return Path("results") / self.run

    def checkpoint(self, model: str) -> Path:
        """Weights of a model: the released ones, or those that this run pre-trained."""
        settings = self.models[model]
        if self.use_released or settings.pretrain is None:
            return settings.checkpoint
        return self.results / "pretrain" / f"{model}.safetensors"


def _known(kind: str, asked: Sequence[str], exist: Collection[str]) -> None:
    missing = [name for name in asked if name not in exist]
    if missing:
        raise ValueError(f"{kind}: {', '.join(missing)} not defined; defined: {', '.join(exist)}")


def _check_sparsity(method: str, editor: EditorConfig) -> None:
    for setting in editor.settings():
        value = setting.get("sparsity", 0.0)
        if not isinstance(value, int | float) or isinstance(value, bool) or not 0 <= value < 1:
            raise ValueError(f"editors.{method}.sparsity: {value!r} is not a number in [0, 1)")
