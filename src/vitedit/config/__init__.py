"""Configuration as frozen, strict models: every choice of a run is a field here, with its meaning.

`workflow/schemas/config.schema.yaml` is generated from these classes by `vitedit schema`; `config_files` reads YAML.
"""

from vitedit.config.data import (
    IMAGENET,
    BenchmarkConfig,
    ImagesConfig,
    LocalityConfig,
    ModelConfig,
    PretrainConfig,
)
from vitedit.config.learning import (
    DescentConfig,
    KeTrainConfig,
    MaskSearchConfig,
    MendTrainConfig,
    MetaTrainConfig,
    PseudoConfig,
    ReplayConfig,
    SearchConfig,
    SitesConfig,
    StatisticsConfig,
    TrainEditorConfig,
)
from vitedit.config.many import ManyEditsConfig
from vitedit.config.methods import EditorConfig, ShowConfig, SpecificityConfig, TuningConfig
from vitedit.config.overlay import overlay
from vitedit.config.run import Config
from vitedit.config.section import (
    File,
    Fraction,
    Lax,
    Name,
    Positive,
    Rate,
    Scalar,
    Section,
    Sparsity,
    Unique,
)
from vitedit.config.transforms import TransformConfig

__all__ = [
    "BenchmarkConfig",
    "Config",
    "DescentConfig",
    "EditorConfig",
    "File",
    "Fraction",
    "IMAGENET",
    "ImagesConfig",
    "KeTrainConfig",
    "Lax",
    "LocalityConfig",
    "ManyEditsConfig",
    "MendTrainConfig",
    "MaskSearchConfig",
    "MetaTrainConfig",
    "ModelConfig",
    "Name",
    "Positive",
    "PretrainConfig",
    "PseudoConfig",
    "Rate",
    "ReplayConfig",
    "Scalar",
    "SearchConfig",
    "Section",
    "ShowConfig",
    "SitesConfig",
    "Sparsity",
    "SpecificityConfig",
    "StatisticsConfig",
    "TrainEditorConfig",
    "TransformConfig",
    "TuningConfig",
    "Unique",
    "overlay",
]
