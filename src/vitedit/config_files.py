"""Reading configurations: strict YAML files laid over each other, and messages that name file, key and valid keys."""

import reprlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError

from vitedit.config import Config, overlay
from vitedit.config.section import as_number
from vitedit.errors import ConfigError
from vitedit.lineage import methods
from vitedit.yaml_files import read_yaml

SHOWN = reprlib.Repr()
"""Shows of a wrong value what fits into a message."""
SHOWN.maxstring = SHOWN.maxother = 200
SHOWN.maxlevel = 3


def load(*paths: Path) -> Config:
    """Reads configuration files, each laid over those before it.

    Raises:
        ConfigError: A file is missing or no YAML mapping, a key is unknown, a value has the wrong type or is impossible.
    """
    merged: dict[Any, Any] = {}
    for path in paths:
        merged = overlay(merged, read(path))
    return parse(merged, source=" + ".join(str(path) for path in paths))


def parse(values: Mapping[Any, Any], source: str) -> Config:
    """Checks a configuration; `source` names it in error messages.

    Raises:
        ConfigError: There is no such method, a key is unknown, a value has the wrong type or is impossible; also of an ablation.
    """
    editors, exist = values.get("editors"), methods()
    if unknown := [name for name in editors if name not in exist] if isinstance(editors, Mapping) else []:
        raise ConfigError(f"{source}: editors: no method '{unknown[0]}'. Methods: {', '.join(exist)}.")
    with _explained(source):
        config = Config.model_validate(values)
    if config.ablated_method not in exist:
        raise ConfigError(
            f"{source}: ablated_method: no method '{config.ablated_method}'. Methods: {', '.join(exist)}."
        )
    for ablation in [*config.ablation_names(trained=False), *config.trained_ablations]:
        with _explained(f"{source}: ablations.{ablation.replace('/', '.')}"):
            config.under(ablation)
    return config


@contextmanager
def _explained(source: str) -> Iterator[None]:
    """Turns what pydantic finds into messages that name file, key and valid keys."""
    try:
        yield
    except ValidationError as error:
        raise ConfigError("\n".join(_explain(source, detail) for detail in error.errors())) from None


def read(path: Path) -> Mapping[Any, Any]:
    """One configuration file.

    Raises:
        ConfigError: Missing, unreadable, no YAML mapping, or a key is given twice.
    """
    try:
        values = read_yaml(path)
    except FileNotFoundError:
        raise ConfigError(f"{path}: no such configuration file. The project's own lie in config/.") from None
    except OSError as error:
        raise ConfigError(f"{path}: the configuration cannot be read ({error}).") from None
    except yaml.YAMLError as error:
        raise ConfigError(f"{path}: not valid YAML: {error}") from None
    if not isinstance(values, Mapping):
        raise ConfigError(
            f"{path}: a configuration is a mapping of keys to values, this is {type(values).__name__}."
        )
    return values


def _explain(source: str, detail: Mapping[str, Any]) -> str:
    place = ".".join(str(part) for part in detail["loc"]) or "configuration"
    if detail["type"] == "extra_forbidden":
        return f"{source}: unknown key '{place}'. Keys there: {', '.join(_siblings(detail['loc']))}."
    given = "" if detail["type"] in ("missing", "value_error") else f", got {SHOWN.repr(detail['input'])}"
    number = "" if detail["type"] == "value_error" else as_number(detail["input"])
    if number and detail["type"].startswith("int"):
        number = f"{float(number):.0f}"
    hint = f" (YAML reads it as text; write {number})" if number else ""
    return f"{source}: {place}: {detail['msg']}{given}{hint}."


def _siblings(location: Sequence[Any]) -> list[str]:
    """Valid keys beside a wrong one, found by walking the classes along its location."""
    section: Any = Config
    for part in location[:-1]:
        field = section.model_fields.get(part) if _is_section(section) else None
        section = _section_of(field.annotation) if field is not None else section
    return sorted(section.model_fields) if _is_section(section) else []


def _section_of(annotation: Any) -> Any:
    """The configuration class inside an annotation such as `X`, `X | None` or `dict[str, X]`."""
    if _is_section(annotation):
        return annotation
    inner = [_section_of(part) for part in getattr(annotation, "__args__", ())]
    return next((part for part in inner if _is_section(part)), None)


def _is_section(value: Any) -> bool:
    return isinstance(value, type) and issubclass(value, BaseModel)
