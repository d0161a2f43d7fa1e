"""Methods with their hyper-parameters, their tuning, and the mask study."""

from itertools import product
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, model_validator

from vitedit.config.section import Name, NonNegative, Positive, Scalar, Section, Sparsity, Unique, as_number


class EditorConfig(BaseModel):
    """Hyper-parameters of one method: numbers, or a list for the one whose values span the GR-LR curve."""

    model_config = ConfigDict(frozen=True, strict=True, extra="allow", use_attribute_docstrings=True)

    artifacts: list[Name] = []
    """Trained artefacts that the method needs."""
    tune: dict[Name, Annotated[list[Scalar], Field(min_length=1), Unique]] = {}
    """Values of hyper-parameters that `snakemake tuning` tries in every combination; `tuning.trials` of them."""
    original: dict[Name, Scalar] = {}
    """Hyper-parameters of the method's own publication, tried beside them."""

    @property
    def parameters(self) -> dict[str, Any]:
        """Hyper-parameters as written."""
        return dict(self.__pydantic_extra__ or {})

    @model_validator(mode="after")
    def _numbers(self) -> "EditorConfig":
        for key, value in [*self.parameters.items(), *self.tune.items(), *self.original.items()]:
            for one in value if isinstance(value, list) else [value]:
                if not isinstance(one, Scalar):
                    raise ValueError(f"{key}: a hyper-parameter is a number or a word, or a list of numbers")
                if number := as_number(one):
                    raise ValueError(f"{key}: YAML reads '{one}' as text; write {number}")
        return self

    @model_validator(mode="after")
    def _one_knob(self) -> "EditorConfig":
        knobs = {key: value for key, value in self.parameters.items() if isinstance(value, list)}
        for key, values in knobs.items():
            if any(isinstance(value, bool) or not isinstance(value, int | float) for value in values):
                raise ValueError(f"{key}: {values} spans a curve, so its values must be numbers")
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

    def tried(self) -> list[dict[str, Scalar]]:
        """Every setting that a run or its tuning may edit with."""
        original = [self.middle() | self.original] if self.original else []
        return [*self.settings(), *self.trials(), *original]

    def middle(self) -> dict[str, Scalar]:
        """One setting: the middle value of the knob."""
        settings = self.settings()
        return settings[len(settings) // 2]

    def trials(self) -> list[dict[str, Scalar]]:
        """Every combination of the values that `tune` names; a knob that it does not name keeps its middle value."""
        if not self.tune:
            return []
        return [
            self.middle() | dict(zip(self.tune, values, strict=True))
            for values in product(*self.tune.values())
        ]

    @property
    def knob(self) -> str:
        """Name of the hyper-parameter whose values span the curve; empty for a method without one."""
        return next((k for k, v in self.parameters.items() if isinstance(v, list)), "")


class TuningConfig(Section):
    """Tuning of every method on groups that are held out of the benchmark (`snakemake tuning`)."""

    trials: Positive = 6
    """Combinations of hyper-parameters that each method tries: the same number for all."""


class ShowConfig(Section):
    """Edits whose images are shown one by one: predictions before and after (`shown_edits`)."""

    methods: Annotated[list[Name], Unique] = ["hypernet", "ft"]
    """Methods that edit; those that the run leaves out (`methods`) are skipped. An empty list shows none."""
    setting: int = -1
    """Which value of a method's knob, counted from 0; -1 is the last. A method without a knob has one setting."""
    groups: Positive = 16
    """Most groups a subset, the first ones; each is edited from its first edit sample."""
    neighbours: NonNegative = 12
    """Most neighbours of an edit that are shown, in the order of the group."""
    flipped: NonNegative = 12
    """Most images shown of the locality set whose prediction an edit changed, in the order of the set."""


class SpecificityConfig(Section):
    """Overlap of masks within and between groups (paper Fig. 6)."""

    sparsity: Sparsity = 0.95
    """Sparsity of the compared masks."""
    subset: Name = "natural"
    """Subset whose groups are compared."""
