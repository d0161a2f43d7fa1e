"""Stage `tabulate`: all results of a run as the tables that figures, notebooks and the page read."""

import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from vitedit.artifacts import atomic, load_json, load_table, provenance, save_table, seed_of
from vitedit.config import Config
from vitedit.data.catalogue import needed
from vitedit.data.checksums import checksums
from vitedit.data.images import ImageSet, open_images, read_classes
from vitedit.figures import TABLES
from vitedit.lineage import ARTIFACTS, depends, lots, shown_lot
from vitedit.measure import ablations
from vitedit.measure import many as many_edits
from vitedit.measure import tabulate as tables
from vitedit.measure.claims import claims
from vitedit.measure.gallery import SHOWN_COLUMNS, gallery, shown_edits
from vitedit.measure.system import HYPERNET, system
from vitedit.measure.verdicts import read_paper_values
from vitedit.stages.ablations import ablation_rows, needs
from vitedit.stages.many_edits import needs as many_needs

Tables = dict[str, pd.DataFrame]

TRAINS_EDITORS = "train_editor"
"""Stage that trains the networks that edit, each with a log of its own."""
EDITOR_LOG = [
    *("network", "iteration", "loss_edit", "kl", "success", "success_before", "multiplier", "margin"),
    "seconds",
]
"""Columns of the table `editor_training` of a run without such networks."""
_MASKS = {
    "training": "iteration phase kl sparsity_searched sparsity_predicted regression_loss seconds",
    "masks": "group_a group_b edit_a edit_b file_a file_b iou",
    "specificity": "group_a group_b iou pairs",
    "overlap": "within between difference groups within_pairs between_pairs sparsity chance",
    "sites": "subset group site block matrix share masks sparsity",
}
"""Tables about the hypernetwork with some of their columns: without rows where no method needs one."""


def tabulate(
    config: Config,
    *,
    output: Path,
    truth: Path | None = None,
    appendix: Path | None = None,
    released: Path | None = None,
    many: Path | None = None,
    released_many: Path | None = None,
) -> None:
    """Writes `<output>/<table>.parquet` and `.csv` for every table of `vitedit.figures.TABLES`.

    Args:
        config: The run; its results are read from `results/<run>/`.
        output: Folder of the tables.
        truth: Table with columns file and label that says what the unlabelled natural images really show, if known.
        appendix: What `vitedit ablations` wrote, if this run computed it.
        released: The same of another run, shown if this one did not.
        many: What `vitedit many-edits` wrote, if this run computed it.
        released_many: The same of another run, shown if this one did not.

    Raises:
        ArtifactError: A result is missing, damaged or was made under another configuration.
    """
    names = class_names(config)
    true = _truth(truth)
    parts = [_backbone_tables(config, backbone, names, true) for backbone in config.backbones]
    meta = provenance("tabulate", {"run": config.run, "seed": config.seed})
    joined = {name: pd.concat([part[name] for part in parts], ignore_index=True) for name in parts[0]}
    compared = _edit_tables(config)
    ablated = _ablation_tables(config, compared["edits"], appendix, released)
    every = joined | compared | ablated | _many_tables(config, many, released_many)
    tested = claims(
        every | {"layer_edits": _layer_edits(config)},
        read_paper_values(),
        config.search.bootstrap,
        _seed(config),
    )
    for name, table in ({"claims": tested, "inputs": checksums(needed(config))} | every).items():
        save_table(output / f"{name}.parquet", table, meta)
        if "csv" in TABLES[name]:
            with atomic(output / f"{name}.csv") as temporary:
                table.to_csv(temporary, index=False)


def class_names(config: Config) -> Callable[[int], str]:
    """Names of classes by index, in words; "class 7" where there is none.

    Raises:
        ConfigError: The file of names is missing or damaged.
    """
    lines = [_in_words(line) for line in read_classes(config.classes) or []]
    return lambda index: lines[index] if 0 <= index < len(lines) else f"class {index}"


def _in_words(line: str) -> str:
    """Without the WordNet id that lists of ImageNet classes begin with, and without further names after a comma."""
    name = re.sub(r"^n\d{8}\s+", "", line).replace("_", " ")
    return name.split(",")[0]


def _edit_tables(config: Config) -> Tables:
    """Tables over all backbones and methods."""
    made = _by_method(config, pd.concat(list(_edits(config)), ignore_index=True))
    made = made.sort_values(
        "backbone", key=lambda names: names.map(config.backbones.index), kind="stable", ignore_index=True
    )
    resamples, seed = config.search.bootstrap, _seed(config)
    return {
        "edits": made,
        "curves": tables.curves(made, resamples, seed),
        "differences": tables.differences(made, resamples, seed),
    }


def _by_method(config: Config, rows: pd.DataFrame) -> pd.DataFrame:
    """Rows in the order in which the configuration lists the methods, which figures follow."""
    order = {method: at for at, method in enumerate(config.editors)}
    return rows.sort_values("method", key=lambda names: names.map(order), kind="stable", ignore_index=True)


def _ablation_tables(
    config: Config, edits: pd.DataFrame, appendix: Path | None, released: Path | None
) -> Tables:
    """Tables of the variants of one method; of those that need a training only what is given."""
    parts = [ablation_rows(config, edits, trained=False)]
    if appendix is not None:
        parts.append(load_table(appendix, needs(config)))
    elif released is not None:
        parts.append(load_table(released).assign(released=True))
    rows = pd.concat([part for part in parts if len(part)] or parts, ignore_index=True)
    curves = ablations.curves(rows, config.search.bootstrap, _seed(config))
    known = ablations.tried(config) if config.ablated_method in config.editors else {}
    pairs = zip(curves["family"], curves["variant"], strict=True)
    tried = [known.get(pair, str(pair[1]).replace("_", " ")) for pair in pairs]
    return {"ablation_edits": rows, "ablations": curves.assign(tried=tried)}


def _many_tables(config: Config, made: Path | None, released: Path | None) -> Tables:
    """Tables of sequences of edits and of edits from many failures; no rows where none are given."""
    rows = pd.DataFrame(columns=[*many_edits.COLUMNS, "released"])
    if made is not None:
        rows = load_table(made, many_needs(config)).assign(released=False)
    elif released is not None:
        rows = load_table(released).assign(released=True)
    rows = _by_method(config, rows)
    return {"many_edits": many_edits.summary(rows), "conflicts": many_edits.conflicts(rows)}


def _edits(config: Config) -> Iterator[pd.DataFrame]:
    for backbone in config.backbones:
        for lot in lots(config, config.editors):
            fresh = depends(config, "edit_groups", backbone=backbone, method=lot)
            yield load_table(config.results / backbone / "edits" / f"{lot}.parquet", fresh)


def _layer_edits(config: Config) -> pd.DataFrame:
    """Rows of the layer search, one an edit and window of blocks."""
    parts = []
    for backbone in config.backbones:
        fresh = depends(config, "search_layers", backbone=backbone)
        parts.append(
            load_table(config.results / backbone / "layers.parquet", fresh).assign(backbone=backbone)
        )
    return pd.concat(parts, ignore_index=True)


def _backbone_tables(
    config: Config, backbone: str, names: Callable[[int], str], truth: Mapping[str, int] | None
) -> Tables:
    """Tables of one backbone, each with its name as the first column."""
    folder, resamples, seed = config.results / backbone, config.search.bootstrap, _seed(config)

    def read(stage: str, file: str) -> pd.DataFrame:
        return load_table(folder / file, depends(config, stage, backbone=backbone))

    manifest, locality = (
        read("build_benchmark", "benchmark.parquet"),
        read("build_locality", "locality.parquet"),
    )
    # without what is held out for tuning
    benchmark, locality = manifest[manifest["subset"].isin(config.subsets)], locality[~locality["held_out"]]
    choice: Mapping[str, Any] = load_json(
        folder / "layers.json", depends(config, "search_layers", backbone=backbone)
    )
    sets = _image_sets(config, benchmark, locality)
    search = tables.searched(read("search_layers", "layers.parquet"), benchmark, config.search.subset)
    made = {
        "system": pd.DataFrame([system(config, backbone, choice)]),
        "groups": tables.add_truth(tables.groups(benchmark, names), benchmark, truth),
        "layers": tables.layers(search, choice, resamples, seed),
        "editor_training": _editor_training(config, backbone),
        "gallery": gallery(benchmark, locality, sets, config.meta_train.pseudo.images, names),
        "shown_edits": _shown_edits(config, backbone, sets, names),
    } | _mask_tables(config, read)
    return {
        name: table.assign(backbone=backbone)[["backbone", *table.columns]] for name, table in made.items()
    }


def _mask_tables(config: Config, read: Callable[[str, str], pd.DataFrame]) -> Tables:
    """Tables about one backbone's hypernetwork; no rows where no method needs one."""
    if HYPERNET not in config.artifacts:
        return {name: pd.DataFrame(columns=columns.split()) for name, columns in _MASKS.items()}
    pairs = read("specificity", "specificity.parquet")
    matrix = tables.specificity(pairs)
    row = tables.overlap(pairs, config.specificity.sparsity, config.search.bootstrap, _seed(config))
    training = read("meta_train", "hypernet_log.parquet")
    return {
        "training": training,
        "masks": pairs,
        "specificity": matrix,
        "overlap": pd.DataFrame([row]),
        "sites": read("specificity", "sites.parquet").assign(sparsity=config.specificity.sparsity),
    }


def _editor_training(config: Config, backbone: str) -> pd.DataFrame:
    """Logs of the networks that configured methods edit with; no rows where no method needs one."""
    logs = [pd.DataFrame(columns=EDITOR_LOG)]
    for network, stage in ARTIFACTS.items():
        if stage == TRAINS_EDITORS and network in config.artifacts:
            path = config.results / backbone / f"{network}_log.parquet"
            log = load_table(path, depends(config, stage, backbone=backbone, method=network))
            logs.append(log.assign(network=network)[["network", *log.columns]])
    return pd.concat(logs[1:] or logs, ignore_index=True)


def _image_sets(config: Config, *manifests: pd.DataFrame) -> dict[str, ImageSet]:
    """Sets of the images that are shown: those of the manifests, and the one that says what is typical."""
    named = [name for manifest in manifests for name in manifest["images"]]
    classes = read_classes(config.classes)
    keys = dict.fromkeys([*named, config.meta_train.pseudo.images])
    return {key: open_images(key, config.images[key], classes) for key in keys}


def _shown_edits(
    config: Config, backbone: str, sets: Mapping[str, ImageSet], names: Callable[[int], str]
) -> pd.DataFrame:
    """Single images before and after edits; no rows where no method is shown."""
    if not (lot := shown_lot(config)):
        return pd.DataFrame(columns=SHOWN_COLUMNS)
    fresh = depends(config, "show_edits", backbone=backbone, method=lot)
    return shown_edits(load_table(config.results / backbone / "shown_edits.parquet", fresh), sets, names)


def _truth(path: Path | None) -> dict[str, int] | None:
    if path is None:
        return None
    table = pd.read_csv(path)
    return {str(file): int(label) for file, label in zip(table["file"], table["label"], strict=True)}


def _seed(config: Config) -> int:
    return seed_of(config.seed, "bootstrap")
