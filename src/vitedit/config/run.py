"""A whole run: all sections together, and what must hold between them."""

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, model_validator

from vitedit.config.data import IMAGENET, BenchmarkConfig, ImagesConfig, LocalityConfig, ModelConfig
from vitedit.config.learning import (
    DescentConfig,
    MetaTrainConfig,
    SearchConfig,
    SitesConfig,
    StatisticsConfig,
    TrainEditorConfig,
)
from vitedit.config.many import ManyEditsConfig
from vitedit.config.methods import EditorConfig, ShowConfig, SpecificityConfig, TuningConfig
from vitedit.config.overlay import DEFAULT, TRAINING, Family, Overlay, overlay
from vitedit.config.section import File, Name, Positive, Scalar, Section, Unique
from vitedit.errors import UnknownNameError


class Config(Section):
    """A whole run."""

    run: Name
    """Name of the run; everything it makes lies under results/<run>/."""
    note: str | None = None
    """What a reader of the run's page has to know first."""
    seed: int = 0
    """Seed of everything random."""
    reference: bool = False
    """Edit and measure as the published code does where it differs from the paper: a mask lacks the unit at its threshold (D1),
    `gr` is `gr_ref` (D2), FT, FT-l1 and FT-l2 begin with a step of plain gradient descent (D17). `--reference` switches it on."""
    samples: Positive = 1
    """Images of one group that an edit is made from: the edit sample and those that follow it in its group. The layer search and
    the tuning edit from one."""
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
    """Budget and stop rule of an edit."""
    search: SearchConfig = SearchConfig()
    """The layer search."""
    meta_train: MetaTrainConfig
    """The hypernetwork."""
    statistics: StatisticsConfig = StatisticsConfig()
    """Memory, key covariance, null space and anchors."""
    tuning: TuningConfig = TuningConfig()
    """The budget of trials."""
    train_editor: TrainEditorConfig = TrainEditorConfig()
    """Networks that predict edits."""
    methods: Annotated[list[Name], Field(min_length=1), Unique] | None = None
    """Those of `editors` that the run compares; the others are left out of everything. Null compares all."""
    editors: Annotated[dict[Name, EditorConfig], Field(min_length=1)]
    """Methods with their hyper-parameters; those that `methods` does not name are dropped when a configuration is read."""
    methods_per_job: Positive = 1
    """Methods that one job edits or tunes with; more than one pays where jobs are so short that starting them counts."""
    shards: Positive = 1
    """Jobs that the edits of a lot of methods are spread over; more than one pays on a cluster, where edits take hours."""
    token_store_gb: Annotated[float, Field(ge=0)] = 4.0
    """Most gigabytes of prefix tokens on disk a backbone, when they are stored; 0 lets every job read the images."""
    specificity: SpecificityConfig = SpecificityConfig()
    """The mask study."""
    show: ShowConfig = ShowConfig()
    """Edits shown image by image."""
    many_edits: ManyEditsConfig = ManyEditsConfig()
    """Sequences of edits, and edits from many failures."""
    ablations: dict[Name, Family] = {}
    """Families of variants of the ablated method, each a piece of configuration laid over the run's. A family that changes
    `meta_train` is trained by `snakemake appendix`; the others are part of every run. Null drops a variant or a family."""
    ablation_budget: Overlay | None = None
    """Laid under every ablation with a training of its own, and under the default that these are compared with, which then is
    trained once more: a shorter training of all. Null compares with the run's own."""
    ablated_method: Name = "hypernet"
    """The method whose variants they are, on the first backbone."""
    released_ablations: File | None = None
    """Table `ablations.parquet` of a finished appendix, shown where this run did not compute its own; null shows none."""
    released_many_edits: File | None = None
    """The same of `many_edits.parquet`, which `snakemake many_edits` makes."""

    @model_validator(mode="before")
    @classmethod
    def _drop_methods(cls, values: Any) -> Any:
        match values:
            case {"methods": list(kept), "editors": dict(editors)}:
                _known("methods", [str(name) for name in kept], editors)
                return {**values, "editors": {name: editors[name] for name in editors if name in kept}}
        return values

    @model_validator(mode="after")
    def _names_exist(self) -> "Config":
        stronger = [self.benchmark.stronger] if self.benchmark.stronger else []
        _known("models", [*self.backbones, *stronger], self.models)
        named = [
            self.benchmark.images,
            *self.benchmark.styles,
            *self.locality_images,
            self.meta_train.pseudo.images,
            self.statistics_images,
        ]
        _known("images", [*named, *(self.many_edits.images or [])], self.images)
        starts = [m.pretrain.start_from for m in self.models.values() if m.pretrain and m.pretrain.start_from]
        _known("models (start_from)", starts, self.models)
        _known(
            "subset of search and specificity", [self.search.subset, self.specificity.subset], self.subsets
        )
        if taken := {"natural", "tuning"} & set(self.benchmark.styles):
            raise ValueError(f"benchmark.styles: {', '.join(taken)} is the name of another subset")
        if self.benchmark.rule == "mad" and not stronger:
            raise ValueError("benchmark: the rule `mad` needs `stronger: MODEL`")
        labels = self.images[self.benchmark.images].labels
        if (self.benchmark.rule == "published") != (labels == "groups"):
            raise ValueError(
                "benchmark: the rule `published` and images with `labels: groups` belong together"
            )
        if self.locality.published in (self.benchmark.images, *self.benchmark.styles, *self.locality.sources):
            raise ValueError("locality.published: the set serves for something else too")
        for method, editor in self.editors.items():
            _check_sparsity(method, editor)
            if editor.tune and len(editor.trials()) != self.tuning.trials:
                raise ValueError(
                    f"editors.{method}.tune: {len(editor.trials())} combinations, but every method gets the same "
                    f"{self.tuning.trials} (`tuning.trials`)"
                )
        return self

    @property
    def ablated_backbones(self) -> list[str]:
        """Backbones that ablations and many edits are made on."""
        return self.backbones[:1]

    def ablation_names(self, trained: bool) -> list[str]:
        """Ablations as FAMILY/VARIANT: those with a training of their own, or the others; none without the ablated method."""
        known = self._overlays() if self.ablated_method in self.editors else {}
        return [name for name, piece in known.items() if name != DEFAULT and (TRAINING in piece) is trained]

    @property
    def trained_ablations(self) -> list[str]:
        """What the appendix trains: the ablations that need it, and their default if it is not the run's own."""
        names = self.ablation_names(trained=True)
        return [*([DEFAULT] if names and self.ablation_budget else []), *names]

    def under(self, ablation: str) -> "Config":
        """The configuration under an ablation, named FAMILY/VARIANT, or under the budget of those that are trained, `default`.

        One that changes the training trains, also where the run takes a finished hypernetwork over. It shows no edits.

        Raises:
            UnknownNameError: No such ablation.
            ValidationError: An unknown key, or a value that is impossible.
        """
        known = self._overlays()
        if ablation not in known:
            raise UnknownNameError(f"no ablation '{ablation}'. Ablations: {', '.join(known) or 'none'}.")
        piece = known[ablation]
        values = overlay(self.model_dump(mode="json"), {"show": {"methods": []}})
        if TRAINING in piece:
            values = overlay(values, {TRAINING: {"checkpoint": None}})
        return Config.model_validate(overlay(values, piece))

    def _overlays(self) -> dict[str, Overlay]:
        budget = self.ablation_budget or {}
        pieces = {
            f"{family}/{variant}": overlay(budget if TRAINING in piece else {}, piece)
            for family, variants in self.ablations.items()
            for variant, piece in (variants or {}).items()
            if piece is not None
        }
        return ({DEFAULT: budget} if budget else {}) | pieces

    @property
    def subsets(self) -> list[str]:
        """Names of the benchmark's subsets: the natural one and the styles."""
        return ["natural", *self.benchmark.styles]

    @property
    def locality_images(self) -> list[str]:
        """Sets that the locality set is taken from."""
        return [*self.locality.sources, *([self.locality.published] if self.locality.published else [])]

    @property
    def statistics_images(self) -> str:
        """Images that memory, covariance, null space and anchors are collected from."""
        return self.statistics.images or self.meta_train.pseudo.images

    @property
    def failure_images(self) -> list[str]:
        """Labelled sets that the failures of many edits come from."""
        sets = [self.benchmark.images, *self.benchmark.styles, *self.locality.sources]
        labelled = [name for name in dict.fromkeys(sets) if self.images[name].labels != "none"]
        return self.many_edits.images or labelled

    @property
    def tuned_methods(self) -> list[str]:
        """Methods that have trials."""
        return [method for method, section in self.editors.items() if section.tune]

    @property
    def shown_methods(self) -> list[str]:
        """Methods of the run whose edits are shown."""
        return [method for method in self.show.methods if method in self.editors]

    def shown_setting(self, method: str) -> dict[str, Scalar]:
        """The setting of a method whose edits are shown."""
        section = self.editors[method]
        return section.settings()[self.show.setting if section.knob else 0]

    @property
    def artifacts(self) -> set[str]:
        """Trained artefacts that some method needs."""
        return {name for section in self.editors.values() for name in section.artifacts}

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
