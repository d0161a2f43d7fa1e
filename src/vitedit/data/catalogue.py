"""The catalogue of data sets (config/datasets.yaml): what each is, where it must lie, and how one gets it.

The Snakefile reads it in every job, so nothing heavy may be imported here.
"""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Literal

import yaml
from pydantic import Field, ValidationError, model_validator

from vitedit.config import Config
from vitedit.config.section import File, Name, Positive, Section
from vitedit.data.sources import SUFFIXES
from vitedit.errors import ConfigError
from vitedit.yaml_files import read_yaml

CATALOGUE = Path("config/datasets.yaml")
UNKNOWN_SUM = "unknown until first download"
ARCHIVES = (".zip", ".tar")

Known = Positive | Literal["unknown"]


class Dataset(Section):
    """A data set, or a file that belongs to one."""

    title: str
    """Name for people."""
    path: File
    """Where a run expects it: a folder, or a file that is read in place."""
    page: str
    """Page that describes it and its terms."""
    licence: str
    """Terms of use."""
    layout: str
    """How it is laid out."""
    size: Known = "unknown"
    """Bytes to download, roughly."""
    address: Annotated[str, Field(pattern="^https?://")] | None = None
    """Address of the file, if it may be downloaded."""
    hub: str | None = None
    """For weights: repository on the hub (`timm/...`), or a timm name, whose repository timm knows."""
    archive: File | None = None
    """Where the download is put if it cannot be read in place; `manual` says what to do with it."""
    manual: str | None = None
    """What a person has to do."""
    images: Known | None = None
    """Least number of images; null for what is no set of images."""
    classes: Positive | None = None
    """Least number of folders with images, where that is the number of classes."""
    sha256: Annotated[str, Field(pattern=f"^([0-9a-f]{{64}}|{UNKNOWN_SUM})$")] = UNKNOWN_SUM
    """Checksum of the file."""

    @model_validator(mode="after")
    def _can_be_had(self) -> "Dataset":
        if (self.address is None) + (self.hub is None) == 0:
            raise ValueError("`address` and `hub` exclude each other")
        if not (self.address or self.hub or self.manual):
            raise ValueError("needs `address`, `hub` or `manual`: how does one get it?")
        if self.archive and not (self.address and self.manual):
            raise ValueError("`archive` needs `address`, and `manual` that says how to unpack it")
        return self

    @property
    def automatic(self) -> bool:
        """Whether `vitedit fetch` alone puts it in place."""
        return bool(self.address or self.hub) and self.archive is None

    @property
    def there(self) -> bool:
        """Whether it lies in place; a folder without images or subfolders, as an empty mount, is not the set."""
        if self.images is None or not self.path.is_dir():
            return self.path.exists()
        return any(child.is_dir() or child.suffix.lower() in SUFFIXES for child in self.path.iterdir())

    def how(self, command: str) -> str:
        """What a person has to do, before and after `command`."""
        first = (
            f"`{command}` downloads {self.archive}. " if self.archive and not self.archive.exists() else ""
        )
        return f"{first}{self.manual}"

    def __str__(self) -> str:
        size = self.size if self.size == "unknown" else human(self.size)
        return f"{self.title}, size {size}, licence: {self.licence}, to {self.path}"


class _Catalogue(Section):
    datasets: dict[Name, Dataset]


def human(size: int) -> str:
    """A number of bytes for people."""
    for unit, name in ((10**9, "GB"), (10**6, "MB"), (10**3, "kB")):
        if size >= unit:
            return f"{size / unit:.3g} {name}"
    return f"{size} bytes"


def read_catalogue(path: Path = CATALOGUE) -> dict[str, Dataset]:
    """Name of each data set -> the set.

    Raises:
        ConfigError: The file is missing or no YAML, a key is unknown or missing, a value is impossible, two sets share a path.
    """
    try:
        sets = _Catalogue.model_validate(read_yaml(path)).datasets
    except (OSError, yaml.YAMLError) as error:
        raise ConfigError(f"{path}: the catalogue of data sets cannot be read ({error}).") from None
    except ValidationError as error:
        keys = ", ".join(Dataset.model_fields)
        problems = [f"{'.'.join(map(str, one['loc'])) or 'datasets'}: {one['msg']}" for one in error.errors()]
        raise ConfigError(f"{path}: {'; '.join(problems)}. Keys of a data set: {keys}.") from None
    owners: dict[Path, str] = {}
    for name, one in sets.items():
        if (other := owners.setdefault(one.path, name)) != name:
            raise ConfigError(f"{path}: {other} and {name} cannot both lie at {one.path}.")
    return sets


def with_weights(config: Config, sets: Mapping[str, Dataset]) -> dict[str, Dataset]:
    """The catalogue and the run's models with `weights: hub` that it does not hold."""
    return dict(sets) | {
        f"weights_{name}": Dataset(
            title=f"timm's weights of {model.name}",
            path=config.checkpoint(name),
            page=f"https://huggingface.co/models?library=timm&search={model.name}",
            licence="see the model's page",
            layout="state dict in timm's names",
            hub=model.name,
        )
        for name, model in config.models.items()
        if model.weights == "hub" and owner_of(config.checkpoint(name), sets) is None
    }


def files_of(config: Config, models: Iterable[str], images: Iterable[str]) -> list[Path]:
    """Paths from outside the run: weights of models, sets of images with their tables, names of classes.

    For a folder with several sets (`path: imagenet`, `folder: train`) it is the set's own.
    """
    files = [config.checkpoint(name) for name in models]
    for section in (config.images[name] for name in images):
        whole = section.path.suffix in ARCHIVES or section.path.is_file()
        inner = section.path if whole else section.path / section.folder
        tables = [value for key, value in section if isinstance(value, Path) and key != "path"]
        files += [inner, *tables]
    files += [config.classes_file] if config.classes_file else []
    return [file for file in dict.fromkeys(files) if not file.is_relative_to(config.results)]


def needed(config: Config) -> list[Path]:
    """Every path from outside that a whole run reads."""
    stronger = config.benchmark.stronger if config.benchmark.rule == "mad" else None
    models = [*config.backbones, *([stronger] if stronger else [])]
    images = [config.benchmark.images, *config.benchmark.styles, *config.locality_images]
    images.append(config.meta_train.pseudo.images)
    images += [config.statistics_images] if {"memory", "covariance", "null_space"} & config.artifacts else []
    taken_over = config.meta_train.checkpoint if "hypernet" in config.artifacts else None
    files = files_of(config, models, dict.fromkeys(images))
    return [*files, *([taken_over] if taken_over else [])]


def owner_of(path: Path, sets: Mapping[str, Dataset]) -> str | None:
    """Name of the data set that a path is, or lies in; the innermost of several."""
    holding = [name for name, one in sets.items() if Path(path).is_relative_to(one.path)]
    return max(holding, key=lambda name: len(sets[name].path.parts), default=None)


def absent(paths: Iterable[Path], sets: Mapping[str, Dataset]) -> list[Path]:
    """Those of some paths where nothing lies, or a data set's folder that is empty."""
    places = {one.path: one for one in sets.values()}
    return [path for path in paths if not (places[path].there if path in places else path.exists())]


def message(missing: Sequence[Path], sets: Mapping[str, Dataset], command: str) -> str:
    """How to get missing files: what `command` downloads, what a person has to do, and what no catalogue knows."""
    names = dict.fromkeys(owner_of(path, sets) for path in missing)
    loose = [path for path in missing if owner_of(path, sets) is None]
    found = {name: sets[name] for name in names if name}
    loaded = [f"  {name}: {one}" for name, one in found.items() if one.automatic]
    by_hand = [f"  {name}: {one}. {one.how(command)}" for name, one in found.items() if not one.automatic]
    lines = [f"`{command}` downloads:", *loaded] if loaded else []
    lines += ["By hand:", *by_hand] if by_hand else []
    return "\n".join([*lines, *([loose_remedy(loose)] if loose else [])])


def loose_remedy(missing: Iterable[Path]) -> str:
    """How to get missing files that are in no catalogue."""
    missing = list(missing)
    tops, names = {path.parts[0] for path in missing}, ", ".join(map(str, missing))
    if "data" in tops:
        return "Files below data/ are released with the project: run `dvc pull` (docs/dvc.md)."
    if "photos" in tops:
        return (
            f"{names}: yours to bring, or to name otherwise in the configuration. config/photos.yaml expects photos/photos.csv with the "
            "columns file (below photos/) and imagenet_index (0-999), and weights in photos/weights/ (docs/own-photos.md)."
        )
    return f"{names}: yours to bring; the configuration says where they are expected."
