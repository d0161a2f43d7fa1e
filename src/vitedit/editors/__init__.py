"""The methods, one file each, behind one literal table. A new method is one file and one line here."""

from collections.abc import Mapping
from dataclasses import fields
from importlib import import_module
from typing import Any, get_type_hints

from pydantic import TypeAdapter, ValidationError

from vitedit.config import Config, Scalar
from vitedit.editors.base import Editor
from vitedit.errors import ConfigError, UnknownNameError

EDITORS = {
    "hypernet": "HypernetMask",
    "ft": "FineTune",
    "ft_l1": "FineTuneL1",
    "ft_l2": "FineTuneL2",
    "t_patcher": "TPatcher",
    "kn": "KnowledgeNeurons",
    "kn_slots": "KnowledgeSlots",
    "spt": "SensitiveWeights",
    "rome": "Rome",
    "x_edit": "XEdit",
    "lora": "LoRA",
    "ke": "KnowledgeEditor",
    "mend": "Mend",
    "random_mask": "RandomMask",
    "searched_mask": "SearchedMask",
    "refine_heads": "RefineHeads",
}
"""Method -> its class in `vitedit.editors.<method>`, imported when it is asked for."""

SHARED = ("descent", "seed", "reference")
"""Fields that come from the run's configuration, not from the method's own section."""


def editor_class(method: str) -> type[Editor]:
    """The class of a method.

    Raises:
        UnknownNameError: No such method.
    """
    if method not in EDITORS:
        raise UnknownNameError(f"no method '{method}'. Methods: {', '.join(EDITORS)}.")
    return getattr(import_module(f"vitedit.editors.{method}"), EDITORS[method])


def build(method: str, setting: Mapping[str, Scalar], config: Config, artifacts: Mapping[str, Any]) -> Editor:
    """A method with one setting of its hyper-parameters and its trained artefacts."""
    cls = editor_class(method)
    own = {field.name for field in fields(cls)}  # type: ignore[arg-type]  # every Editor is a dataclass
    shared = {name: getattr(config, name) for name in SHARED if name in own}
    return cls(**shared, **setting, **artifacts)


def check(config: Config) -> None:
    """Checks every method's section before any work starts.

    Raises:
        UnknownNameError: No such method.
        ConfigError: An unknown, missing or impossible hyper-parameter, or missing artefacts.
    """
    for method, section in config.editors.items():
        cls = editor_class(method)
        if tuple(section.artifacts) != cls.artifacts:
            raise ConfigError(
                f"editors.{method}.artifacts: {section.artifacts} given, the method needs {list(cls.artifacts)}."
            )
        for setting in section.tried():
            check_setting(f"editors.{method}", cls, setting)
    _check_shown(config)


def _check_shown(config: Config) -> None:
    """Checks that the methods whose edits are shown exist, and that their knobs have the value that is named."""
    for method in config.show.methods:
        if method not in EDITORS:
            raise UnknownNameError(f"show.methods: no method '{method}'. Methods: {', '.join(EDITORS)}.")
    at = config.show.setting
    for method in config.shown_methods:
        section = config.editors[method]
        count = len(section.settings())
        if section.knob and not -count <= at < count:
            raise ConfigError(
                f"show.setting: {at} given, but {section.knob} of '{method}' has {count} values: name one from "
                f"{-count} to {count - 1}."
            )


def check_setting(where: str, cls: type[Editor], setting: Mapping[str, Scalar]) -> None:
    """Checks one setting of a method's hyper-parameters; `where` names it in messages.

    Raises:
        ConfigError: An unknown, missing or impossible hyper-parameter.
    """
    hints = get_type_hints(cls, include_extras=True)
    own = {f.name: f for f in fields(cls) if f.name not in (*SHARED, *cls.artifacts)}  # type: ignore[arg-type]
    unknown = sorted(setting.keys() - own.keys())
    absent = sorted(name for name, f in own.items() if f.default is f.default_factory and name not in setting)
    if unknown or absent:
        raise ConfigError(
            f"{where}: unknown {unknown}, missing {absent}. Hyper-parameters: {', '.join(own) or 'none'}."
        )
    for name, value in setting.items():
        try:
            TypeAdapter(hints[name]).validate_python(value, strict=True)
        except ValidationError as error:
            raise ConfigError(f"{where}.{name}: {error.errors()[0]['msg']}, got {value!r}.") from None
