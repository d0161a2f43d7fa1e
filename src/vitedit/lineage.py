"""What the result of a stage depends on: parts of the configuration, code, and the version of the data.

Snakemake gets these as `params` (a change reruns the stage and what follows); artefacts carry the configuration part in
their provenance (a stage refuses an input made under another configuration). Imported by the Snakefile in every job,
so nothing heavy may be imported here.
"""

import ast
import hashlib
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from vitedit.config import Config
from vitedit.errors import UnknownNameError

PACKAGE = Path(__file__).parent

UPSTREAM: dict[str, tuple[str, ...]] = {
    "render_images": (),
    "pretrain": (),
    "measure_world": (),
    "build_benchmark": (),
    "build_locality": (),
    "search_layers": ("build_benchmark", "build_locality"),
    "meta_train": ("search_layers",),
    "edit_groups": ("search_layers",),
    "specificity": ("meta_train",),
    "tabulate": (
        "build_benchmark",
        "build_locality",
        "search_layers",
        "meta_train",
        "edit_groups",
        "specificity",
    ),
    "notebook": (),
    "page": (),
}
"""Stages whose results a stage reads. The artefacts that a method needs are added by `depends`."""


def depends(
    config: Config, stage: str, *, backbone: str = "", method: str = "", model: str = ""
) -> dict[str, Any]:
    """The parts of the configuration that a stage's result depends on, those of the stages before it included.

    Raises:
        UnknownNameError: No such stage.
    """
    parts: dict[str, Any] = {}
    for name in _chain(config, stage, method):
        parts |= _own(config, name, backbone, method, model)
    return parts


def _chain(config: Config, stage: str, method: str) -> list[str]:
    """The stage and all stages before it, each once."""
    if stage not in UPSTREAM:
        raise UnknownNameError(f"no stage '{stage}'. Stages: {', '.join(UPSTREAM)}.")
    before = list(UPSTREAM[stage])
    if stage == "edit_groups" and "hypernet" in config.editors[method].artifacts:
        before.append("meta_train")
    chain = [stage]
    for name in before:
        chain += [other for other in _chain(config, name, method) if other not in chain]
    return chain


def _own(config: Config, stage: str, backbone: str, method: str, model: str) -> dict[str, Any]:
    """The parts that a stage reads itself, as plain JSON values."""
    benchmark, locality, meta = config.benchmark, config.locality, config.meta_train
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
                | _images(config, locality.sources)
                | _plain(config, "locality", "classes")
            )
        case "search_layers":
            return _plain(config, "search", "descent", "sites")
        case "meta_train":
            return _images(config, [meta.pseudo.images]) | _plain(config, "meta_train")
        case "edit_groups":
            return (
                _plain(config, "descent")
                | {f"editors.{method}": config.editors[method].model_dump(mode="json")}
                if method
                else {}
            )
        case "specificity":
            return _plain(config, "specificity")
        case _:
            return {}


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


def code(stage: str, *editors: str) -> str:
    """Hash of the code that a stage runs: its module and every module of ours that this imports, directly or not.

    Comments, docstrings and formatting do not count. Of the methods only those named count.
    """
    found: dict[str, str] = {}
    queue = [f"vitedit.stages.{stage}", *(f"vitedit.editors.{name}" for name in editors)]
    while queue:
        module = queue.pop()
        if module not in found and (path := _path(module)):
            tree = _tree(path)
            found[module] = ast.dump(tree)
            queue += [] if module == "vitedit.editors" else _imports(tree)
    return hashlib.sha256(repr(sorted(found.items())).encode()).hexdigest()[:16]


def _path(module: str) -> Path | None:
    """File of a module of ours."""
    base = PACKAGE.joinpath(*module.split(".")[1:])
    return next((path for path in (base.with_suffix(".py"), base / "__init__.py") if path.is_file()), None)


@cache
def _tree(path: Path) -> ast.Module:
    """Syntax tree without docstrings."""
    tree = ast.parse(path.read_text())
    for node in ast.walk(tree):
        if (
            isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef)
            and ast.get_docstring(node) is not None
        ):
            node.body = node.body[1:]
    return tree


def _imports(tree: ast.Module) -> Iterator[str]:
    """Names of ours that a module imports; `from vitedit.x import y` may mean module x or module x.y."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("vitedit"):
            yield str(node.module)
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name.startswith("vitedit"))


def data_version(*paths: Path, pointer: Path = Path("data.dvc")) -> str:
    """Checksum of the DVC-tracked data if any of the files belongs to it, else an empty string.

    DVC checks files out with a new modification time, so time stamps say nothing about them (docs/dvc.md).
    """
    tracked = any(Path(path).parts[:1] == ("data",) for path in paths)
    if not tracked or not pointer.is_file():
        return ""
    return yaml.safe_load(pointer.read_text())["outs"][0]["md5"]
