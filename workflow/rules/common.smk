"""What the rules share: the checked configuration and functions of it. Parsed again in every submitted job, so it stays light."""

import os
import re
import sys
from contextlib import suppress
from pathlib import Path

import yaml
from snakemake.exceptions import WorkflowError
from snakemake.logging import logger

from vitedit import lineage
from vitedit.config_files import parse as parse_config  # Snakemake has a `parse` of its own
from vitedit.config_files import read as read_config
from vitedit.data import catalogue
from vitedit.errors import ConfigError
from vitedit.figures import FIGURES, SUFFIXES, TABLES

BASE_FILE = "config/config.yaml"  # Snakemake names it after the files that are laid over it
OVERLAYS = [os.path.relpath(file) for file in workflow.configfiles if str(file) != BASE_FILE]
ON_TOP = ["--config"] if workflow.config_settings.config else []

try:
    for file in workflow.configfiles:  # Snakemake takes the last of two sections of one name
        read_config(file)
    CONFIG = parse_config(config, source=" + ".join([BASE_FILE, *OVERLAYS, *ON_TOP]))
except ConfigError as error:
    raise WorkflowError(str(error)) from None

RESULTS = str(CONFIG.results)
EFFECTIVE = f"{RESULTS}/config.yaml"  # the merged configuration, which every stage reads
TABLE_FILES = [
    f"{RESULTS}/tables/{table}.{suffix}" for table, suffixes in TABLES.items() for suffix in suffixes
]
PARQUET_FILES = [file for file in TABLE_FILES if file.endswith(".parquet")]
FIGURE_FILES = [
    f"{RESULTS}/figures/{name}.{suffix}"
    for drawn in FIGURES.values()
    for name in drawn
    for suffix in SUFFIXES
]
NOTEBOOK_FILES = [f"{RESULTS}/notebooks/{name}.{suffix}" for name in FIGURES for suffix in ("ipynb", "html")]
RENDERED = [
    "train",
    "natural",
    "oil_painting",
    "stage_light",
    "val",
    "renditions",
    "sketch",
]
TRAINED_HERE = [name for name, model in CONFIG.models.items() if model.pretrain]
WORLD_WEIGHTS = [str(CONFIG.checkpoint(name)) for name in TRAINED_HERE]
NETWORKS = [name for name, stage in lineage.ARTIFACTS.items() if stage == "train_editor"]
SHOWN = lineage.shown_lot(CONFIG)
STRONGER = [CONFIG.benchmark.stronger] if CONFIG.benchmark.rule == "mad" else []

SHARDS = [f"{number}of{CONFIG.shards}" for number in range(1, CONFIG.shards + 1)]


class Extra:
    """A table that a target of its own makes: shown if this run has made it, or else as it was released."""

    def __init__(self, name, given, wanted=True):
        self.file = f"{RESULTS}/{name}.parquet"
        self.made = [self.file] if wanted and os.path.exists(self.file) else []
        self.released = [str(given)] if not self.made and given and given.exists() else []

    def flags(self, made, released):
        """Both as flags of `vitedit tabulate`."""
        shown = [f"--{made} {file}" for file in self.made]
        return " ".join([*shown, *(f"--{released} {file}" for file in self.released)])


APPENDIX = Extra("ablations", CONFIG.released_ablations, CONFIG.trained_ablations)
MANY = Extra("many_edits", CONFIG.released_many_edits)

# jobs find `vitedit` beside the running interpreter, whether the environment is activated or not
shell.prefix(f'set -euo pipefail; export PATH="{Path(sys.executable).parent}:$PATH"; ')


def made_here(file):
    """Whether a file is made by this run."""
    return Path(file).is_relative_to(RESULTS)


def scaled(amount):
    """A resource that is doubled each time a job is tried again (`retries`), as after it ran out of it."""
    return lambda wildcards, attempt: amount * 2 ** (attempt - 1)


def one_of(names):
    """A wildcard constraint: exactly these names."""
    return "|".join(map(re.escape, names))


def write_effective_config():
    """Writes the merged configuration, defaults included, if it differs from the file there and passes `vitedit check`."""
    text = yaml.safe_dump(CONFIG.model_dump(mode="json"), sort_keys=False)
    path = Path(EFFECTIVE)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        for left in path.parent.glob(f".{path.name}.*.tmp"):  # by runs that were killed
            left.unlink()
        temporary.write_text(text)
        shell(f"vitedit check --config {temporary}")  # settings, models and blocks, before hours of work
        if not path.exists() or path.read_text() != text:
            os.replace(temporary, path)
    except OSError as error:
        raise WorkflowError(
            f"{path}: could not be written ({error}). Free space or fix the folder, then run again."
        ) from None
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
    where = "here" if workflow.local_exec else "as cluster jobs"
    logger.info(f"Run '{CONFIG.run}' {where}; results: {RESULTS}/, configuration: {EFFECTIVE}")


def settings_of(wildcards):
    """The run's configuration, or that under the ablation which the wildcards name."""
    ablation = wildcards.get("ablation")
    return CONFIG.under(ablation) if ablation else CONFIG


def image_sets(settings, stage):
    """Names of the image sets that a stage reads."""
    pseudo = settings.meta_train.pseudo.images
    groups, boundary = [settings.benchmark.images, *settings.benchmark.styles], settings.locality_images
    return {
        "build_benchmark": groups,
        "build_locality": boundary,
        "search_layers": [*groups, *boundary],
        "store_tokens": [*groups, *boundary],
        "meta_train": [] if settings.meta_train.checkpoint else [pseudo],
        "collect_statistics": [settings.statistics_images],
        "train_editor": [pseudo],
        "tune": [*groups, *boundary],
        "edit_groups": [*groups, *boundary],
        "find_failures": [*settings.failure_images, *boundary],
        "edit_many": [*settings.failure_images, *boundary],
        "show_edits": [*groups, *boundary],
        "specificity": groups,
        "tabulate": [*groups, *boundary, pseudo],
    }[stage]


def files_given(stage, backbone, settings=CONFIG):
    """Paths from outside the run that a stage reads: released weights, image sets, tables of labels, names of classes."""
    models = [backbone, *(STRONGER if stage == "build_benchmark" else [])] if backbone else []
    files = catalogue.files_of(settings, models, dict.fromkeys(image_sets(settings, stage)))
    imported = settings.meta_train.checkpoint if stage == "meta_train" else None
    return list(map(str, [*files, *([imported] if imported else [])]))


def given(stage):
    """Input function: the files from outside the run; if some are missing it says how to get them."""

    def of(wildcards):
        files = files_given(stage, wildcards.get("backbone"), settings_of(wildcards))
        if missing := [file for file in files if not os.path.exists(file)]:
            raise WorkflowError(remedy([Path(file) for file in missing]))
        return files

    return of


def brought(wildcards):
    """Input function of targets: no file, but an error if anything that the run needs from outside is missing.

    Snakemake passes over a failing `given` where a job's outputs exist already.
    """
    sets = catalogue.with_weights(CONFIG, catalogue.read_catalogue())
    if missing := catalogue.absent(catalogue.needed(CONFIG), sets):
        raise WorkflowError(remedy(missing))
    return []


def remedy(missing):
    """What is missing and how to get it; where a data set of the catalogue is missing, for the whole run at once."""
    sets = catalogue.with_weights(CONFIG, catalogue.read_catalogue())
    if any(catalogue.owner_of(file, sets) for file in missing):
        missing = catalogue.absent(catalogue.needed(CONFIG), sets)
    command = " ".join(["snakemake fetch", *(["--configfile", *OVERLAYS] if OVERLAYS else [])])
    more = f" and {len(missing) - 3} more" if len(missing) > 3 else ""
    listed = ", ".join(map(str, missing[:3]))
    return f"Missing: {listed}{more}.\n{catalogue.message(missing, sets, command)}"


def data_version(stage, *more):
    """Version of the released data if the stage reads some; time stamps say nothing about them."""
    return lineage.data_version(
        *(file for backbone in CONFIG.backbones for file in files_given(stage, backbone)), *more
    )


def weights(stage):
    """Input function: weights that this run pre-trains itself; none with released weights."""

    def of(wildcards):
        models = [wildcards.backbone, *(STRONGER if stage == "build_benchmark" else [])]
        return [file for file in (CONFIG.checkpoint(name) for name in models) if file.is_relative_to(RESULTS)]

    return of


def truth_files():
    """The table that says what unlabelled natural images really show, if it lies beside them as `<set>_truth.csv`."""
    name = CONFIG.benchmark.images
    file = CONFIG.images[name].path.parent / f"{name}_truth.csv"
    return [str(file)] if file.exists() else []


def start_file(wildcards):
    """Weights from which a model's pre-training starts, if it starts from another model."""
    start = CONFIG.models[wildcards.model].pretrain.start_from
    return [f"{RESULTS}/pretrain/{start}.safetensors"] if start else []


def depends(stage):
    """The parts of the configuration behind a job's result, as a function of its wildcards."""

    def of(wildcards):
        given = {key: wildcards[key] for key in ("backbone", "model") if key in wildcards.keys()}
        lot = SHOWN if stage == "show_edits" else methods_of(wildcards)
        subject = wildcards.get("network") or (lot if stage in lineage.EDITING else "")
        return lineage.depends(settings_of(wildcards), stage, method=subject, **given)

    return of


def edit_files():
    """Rows of every method for every backbone."""
    return per_backbone(*(f"edits/{lot}.parquet" for lot in lineage.lots(CONFIG, CONFIG.editors)))


def methods_of(wildcards):
    """The lot of methods that a job edits with."""
    return wildcards.get("methods") or CONFIG.ablated_method


def ablation_flag(wildcards):
    """The flag that names a job's ablation."""
    return f"--ablation {wildcards.ablation}"


def state_file(stage, suffix):
    """Where a job of a stage keeps its state while it runs, as a function of its wildcards."""

    def of(wildcards):
        own = [wildcards.get(key, "") for key in ("ablation", "methods", "shard")]
        name = "-".join([wildcards.backbone, stage, *(part for value in own for part in Path(value).parts)])
        return f"{RESULTS}/state/{name}{suffix}"

    return of


def artifact_files(wildcards, lot=""):
    """Trained artefacts of a lot of methods, that of the job if none is named; an ablation has its own of what it trains."""
    own = wildcards.get("ablation") if wildcards.get("ablation") in CONFIG.trained_ablations else None
    folders = {"meta_train": f"ablations/{own}/"} if own else {}
    return [
        f"{RESULTS}/{wildcards.backbone}/{folders.get(lineage.ARTIFACTS[name], '')}{name}.safetensors"
        for name in lineage.artifacts_of(CONFIG, lot or methods_of(wildcards))
    ]


def default_edits():
    """The run's own edits of the ablated method, in the folder of a backbone."""
    ablated = CONFIG.ablated_method
    return [f"edits/{lineage.lot_of(CONFIG, ablated)}.parquet"] if ablated in CONFIG.editors else []


def ablation_edits(names):
    """Edits of some ablations, in the folder of a backbone."""
    return [f"ablations/{name}/edits.parquet" for name in names]


def per_ablated_backbone(*files):
    """Files that every backbone with ablations has."""
    return expand(f"{RESULTS}/{{backbone}}/{{file}}", backbone=CONFIG.ablated_backbones, file=files)


def artifact_flags(wildcards, lot=""):
    """The same as flags of the stages that edit."""
    return " ".join(f"--artifact {Path(file).stem}={file}" for file in artifact_files(wildcards, lot))


def per_backbone(*files):
    """Files that every backbone has."""
    return expand(f"{RESULTS}/{{backbone}}/{{file}}", backbone=CONFIG.backbones, file=files)


def shown_files():
    """Predictions of single images for every backbone, if any method is shown."""
    return per_backbone("shown_edits.parquet") if SHOWN else []


def network_logs():
    """Training logs of the networks that the run's methods need."""
    return per_backbone(*(f"{name}_log.parquet" for name in NETWORKS if name in CONFIG.artifacts))


def hypernet_files():
    """Training log and mask overlap of the hypernetwork, if a method needs one."""
    needed = "hypernet" in CONFIG.artifacts
    return per_backbone("hypernet_log.parquet", "specificity.parquet", "sites.parquet") if needed else []
