"""What the result of a stage depends on: parts of the configuration, code, and the version of the data.

Snakemake gets these as `params` (a change reruns the stage and what follows); artefacts carry the configuration part in
their provenance (a stage refuses an input made under another configuration). Imported by the Snakefile in every job,
so nothing heavy may be imported here.
"""

import ast
import hashlib
import json
from collections.abc import Iterable, Iterator
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from vitedit.config import Config
from vitedit.errors import ConfigError, UnknownNameError

PACKAGE = Path(__file__).parent

UPSTREAM: dict[str, tuple[str, ...]] = {
    "fetch": (),
    "render_images": (),
    "pretrain": (),
    "measure_world": (),
    "build_benchmark": (),
    "build_locality": (),
    "search_layers": ("build_benchmark", "build_locality"),
    "store_tokens": ("search_layers",),
    "meta_train": ("search_layers",),
    "collect_statistics": ("build_benchmark", "build_locality"),
    "train_editor": ("build_benchmark", "build_locality"),
    "tune": ("search_layers",),
    "tuning": (),
    "edit_groups": ("search_layers",),
    "find_failures": ("build_benchmark", "build_locality"),
    "edit_many": ("search_layers", "find_failures"),
    "many_edits": ("edit_many",),
    "join_edits": (),
    "show_edits": ("search_layers",),
    "specificity": ("meta_train",),
    "ablations": ("edit_groups",),
    "tabulate": (
        "build_benchmark",
        "build_locality",
        "search_layers",
        "meta_train",
        "edit_groups",
        "show_edits",
        "specificity",
    ),
    "notebook": (),
    "page": (),
}
"""Stages whose results a stage reads. The artefacts that a method needs are added by `depends`."""

EDITING = ("edit_groups", "show_edits", "edit_many", "tune")
"""Stages that edit with a lot of methods."""

ARTIFACTS: dict[str, str] = {
    "hypernet": "meta_train",
    "memory": "collect_statistics",
    "covariance": "collect_statistics",
    "null_space": "collect_statistics",
    "anchors": "collect_statistics",
    "ke": "train_editor",
    "mend": "train_editor",
}
"""Artefact that a method may need -> the stage that makes it, once a backbone."""


def lots(config: Config, methods: Iterable[str]) -> list[str]:
    """Methods that share a job, joined by "-": up to `methods_per_job` that wait for the same stages.

    Importing and loading a model takes longer than many a small job. The order of the configuration does not matter: it
    changes where files are laid over each other.
    """
    waiting: dict[frozenset[str], list[str]] = {}
    for method in sorted(methods):
        stages = frozenset(ARTIFACTS.get(name, name) for name in config.editors[method].artifacts)
        waiting.setdefault(stages, []).append(method)
    size = config.methods_per_job
    return ["-".join(some[i : i + size]) for some in waiting.values() for i in range(0, len(some), size)]


def lot_of(config: Config, method: str) -> str:
    """The lot that a method of the run is edited in.

    Raises:
        UnknownNameError: The run does not have the method.
    """
    found = [lot for lot in lots(config, config.editors) if method in lot.split("-")]
    if not found:
        raise UnknownNameError(f"no method '{method}' in this run. Methods: {', '.join(config.editors)}.")
    return found[0]


def shown_lot(config: Config) -> str:
    """The lot of methods whose edits are shown; empty if the run has none of them."""
    return "-".join(config.shown_methods)


def artifacts_of(config: Config, lot: str) -> list[str]:
    """Names of the artefacts that the methods of a lot need, each once."""
    names = list(
        dict.fromkeys(name for method in lot.split("-") for name in config.editors[method].artifacts)
    )
    if unknown := [name for name in names if name not in ARTIFACTS]:
        raise ConfigError(
            f"editors: no stage makes the artefact {', '.join(unknown)}. Artefacts: {', '.join(ARTIFACTS)} "
            "(a new one needs a line in vitedit.lineage.ARTIFACTS)."
        )
    return names


def depends(
    config: Config, stage: str, *, backbone: str = "", method: str = "", model: str = ""
) -> dict[str, Any]:
    """The parts of the configuration that a stage's result depends on, those of the stages before it included.

    `method` may be a lot of methods, or the name of an artefact for the stage that makes it.

    Raises:
        UnknownNameError: No such stage.
    """
    parts: dict[str, Any] = {}
    for name, subject in _chain(config, stage, method):
        parts |= _own(config, name, backbone, subject, model)
    return parts


def _chain(config: Config, stage: str, method: str) -> list[tuple[str, str]]:
    """The stage and all stages before it, each once, with the method or artefact that it is about."""
    if stage not in UPSTREAM:
        raise UnknownNameError(f"no stage '{stage}'. Stages: {', '.join(UPSTREAM)}.")
    before = [(name, method) for name in UPSTREAM[stage]]
    if stage in EDITING and method:
        before += [(ARTIFACTS[name], name) for name in artifacts_of(config, method)]
    chain = [(stage, method)]
    for name, subject in before:
        chain += [other for other in _chain(config, name, subject) if other not in chain]
    return chain


def _own(config: Config, stage: str, backbone: str, method: str, model: str) -> dict[str, Any]:
    """The parts that a stage reads itself, as plain JSON values."""
    benchmark, meta = config.benchmark, config.meta_train
    match stage:
        case "pretrain":
            return _models(config, [model], pretrain=True) | {"seed": config.seed}
        case "measure_world":
            return _models(
                config, [name for name, model in config.models.items() if model.pretrain]
            ) | _plain(config, "seed")
        case "build_benchmark":
            models = [backbone, *([benchmark.stronger] if benchmark.stronger else [])]
            return (
                _models(config, models)
                | _images(config, [benchmark.images, *benchmark.styles])
                | _plain(config, "benchmark", "seed", "classes")
            )
        case "build_locality":
            return (
                _models(config, [backbone])
                | _images(config, config.locality_images)
                | _plain(config, "locality", "classes")
            )
        case "search_layers":
            return _plain(config, "search", "descent", "sites")
        case "meta_train":
            return _images(config, [meta.pseudo.images]) | _plain(config, "meta_train")
        case "collect_statistics":
            return _images(config, [config.statistics_images]) | _plain(config, "statistics", "seed")
        case "train_editor":
            return (
                _images(config, [meta.pseudo.images])
                | {"meta_train.pseudo": meta.pseudo.model_dump(mode="json")}
                | {f"train_editor.{method}": getattr(config.train_editor, method).model_dump(mode="json")}
            )
        case "tune" | "edit_groups":
            return _edits(config, stage, method) if method else {}
        case "find_failures":
            return _images(config, config.failure_images) | _plain(config, "many_edits", "seed")
        case "edit_many":
            return _plain(config, "many_edits", "seed") | (_edits(config, stage, method) if method else {})
        case "show_edits":
            return _plain(config, "show") | (_edits(config, stage, method) if method else {})
        case "specificity":
            return _plain(config, "specificity", "reference")
        case _:
            return {}


def _edits(config: Config, stage: str, lot: str) -> dict[str, Any]:
    """What edits with some methods depend on; trials and many edits are made from one sample."""
    samples = [] if stage in ("edit_many", "tune") else ["samples"]
    return _plain(config, "descent", "reference", *samples) | _methods(config, stage, lot)


def _methods(config: Config, stage: str, lot: str) -> dict[str, Any]:
    """Sections of methods; what only `tune` reads is left out elsewhere, so that other trials do not make edits stale."""
    left_out = None if stage == "tune" else {"tune", "original"}
    return {
        f"editors.{method}": config.editors[method].model_dump(mode="json", exclude=left_out)
        for method in lot.split("-")
    }


def _plain(config: Config, *sections: str) -> dict[str, Any]:
    dumped = config.model_dump(mode="json", include=set(sections))
    return {name: dumped[name] for name in sections}


def _images(config: Config, names: list[str]) -> dict[str, Any]:
    return {f"images.{name}": config.images[name].model_dump(mode="json") for name in names}


def _models(config: Config, names: list[str], pretrain: bool = False) -> dict[str, Any]:
    left_out = None if pretrain else {"pretrain"}
    values = {
        f"models.{name}": config.models[name].model_dump(mode="json", exclude=left_out) for name in names
    }
    return {
        name: value | {"checkpoint": str(config.checkpoint(name.split(".")[1]))}
        for name, value in values.items()
    }


@cache
def code(stage: str, *editors: str) -> str:
    """Hash of the code that a stage runs: its module and every module of ours that this imports, directly or not.

    Comments, docstrings and formatting do not count. Of the methods only those named count, and not the table of all
    methods, so that a new method leaves the results of the others as they are.
    """
    return _hash([f"vitedit.stages.{stage}", *(f"vitedit.editors.{name}" for name in editors)])


def notebook_code(notebook: Path) -> str:
    """Hash of the code that executes a notebook, and of the modules of ours that its cells import.

    One that cannot be read imports nothing: its execution says what is wrong with it.
    """
    imported = list[str]()
    with suppress(OSError, ValueError, LookupError, TypeError, SyntaxError):
        cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
        source = "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "code")
        imported += _imports(ast.parse(source))
    return _hash(["vitedit.stages.notebook", *imported])


def _hash(modules: Iterable[str]) -> str:
    """Hash of some modules and of all that they import."""
    found: dict[str, str] = {}
    queue = list(modules)
    while queue:
        module = queue.pop()
        if module not in found and (path := _path(module)):
            found[module], imported = _read(path)
            queue += imported
    return hashlib.sha256(repr(sorted(found.items())).encode()).hexdigest()[:16]


def methods() -> list[str]:
    """Names in the table of methods, read without importing it and the torch behind it."""
    tree = ast.parse((PACKAGE / "editors/__init__.py").read_text())
    table = next(node for node in tree.body if isinstance(node, ast.Assign) and _is_method_table(node))
    return list(ast.literal_eval(table.value))


def _path(module: str) -> Path | None:
    """File of a module of ours."""
    base = PACKAGE.joinpath(*module.split(".")[1:])
    return next((path for path in (base.with_suffix(".py"), base / "__init__.py") if path.is_file()), None)


@cache
def _read(path: Path) -> tuple[str, list[str]]:
    """A module's code as a hash, and what it imports."""
    tree = _tree(path)
    return hashlib.sha256(ast.dump(tree).encode()).hexdigest(), [*_imports(tree)]


def _tree(path: Path) -> ast.Module:
    """Syntax tree without docstrings and without the table of methods."""
    tree = ast.parse(path.read_text())
    tree.body = [node for node in tree.body if not _is_method_table(node)]
    for node in ast.walk(tree):
        if (
            isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef)
            and ast.get_docstring(node) is not None
        ):
            node.body = node.body[1:]
    return tree


def _is_method_table(node: ast.stmt) -> bool:
    return isinstance(node, ast.Assign) and any(
        isinstance(target, ast.Name) and target.id == "EDITORS" for target in node.targets
    )


def _imports(tree: ast.Module) -> Iterator[str]:
    """Names of ours that a module imports; `from vitedit.x import y` may mean module x or module x.y."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("vitedit"):
            yield str(node.module)
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name.startswith("vitedit"))


def data_version(*paths: Path, root: Path = Path()) -> str:
    """Checksums of the DVC-tracked folders that the files belong to; empty if none does.

    DVC checks files out with a new modification time, so time stamps say nothing about them (docs/dvc.md).
    """
    tops = dict.fromkeys(Path(path).parts[0] for path in paths)
    pointers = [pointer for top in tops if (pointer := root / f"{top}.dvc").is_file()]
    return "+".join(yaml.safe_load(pointer.read_text())["outs"][0]["md5"] for pointer in pointers)
