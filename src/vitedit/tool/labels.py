"""Labels as people write them: class indices, WordNet ids, names."""

from collections.abc import Sequence
from pathlib import Path

from vitedit.config import IMAGENET
from vitedit.data.class_names import WNID, ClassNames
from vitedit.data.images import read_classes
from vitedit.errors import ConfigError, UnknownNameError

IMAGENET_CLASSES = 1000
SEVERAL = "is the name of several"
"""What `ClassNames` says of a name of several classes; else there is none of that name."""


def class_list(path: Path | None, count: int) -> list[str] | None:
    """Names of a model's classes: those of the file, ImageNet's for a model of a thousand classes, else none.

    Raises:
        ConfigError: The file is unreadable, or has another number of lines than the model has classes.
    """
    if path is None:
        return read_classes(IMAGENET) if count == IMAGENET_CLASSES else None
    if not path.is_file():
        raise ConfigError(f"--classes {path}: no such file.")
    names = read_classes(path) or []
    if len(names) != count:
        raise ConfigError(
            f"--classes {path}: {len(names)} names for a model of {count} classes; one name a line."
        )
    return names


def find_label(label: str | int, classes: Sequence[str] | None, count: int) -> int:
    """Class index of a label.

    Raises:
        UnknownNameError: The model has no such class, or several of that name.
    """
    text = str(label).strip()
    if text.isdecimal():
        if int(text) >= count:
            raise UnknownNameError(f"label {text}: the model has the classes 0 to {count - 1}.")
        return int(text)
    if classes is None:
        raise UnknownNameError(
            f"label '{text}': the model has {count} classes without names; give a class index, or their names: "
            "`--classes FILE`, one a line; from Python `classes=[...]`."
        )
    names = ClassNames(classes)
    found = names.by_id(text) if WNID.match(text) else names.by_name(text)
    if isinstance(found, str) and not found.startswith(SEVERAL):
        raise UnknownNameError(
            f"label {text}: no class of this model. {_forms(classes)}{names.similar(text)}."
        )
    if isinstance(found, str):
        raise UnknownNameError(f"label '{text}' {found}.")
    return found


def _forms(classes: Sequence[str]) -> str:
    """How a class can be named, by the example of the first."""
    first, last, named = classes[0], len(classes) - 1, class_name(0, classes)
    if wnid := WNID.match(first):
        return f"Give its index (0 to {last}), WordNet id or name, as 0, {wnid[1]} or '{named}'"
    return f"Give its index (0 to {last}) or name, as 0 or '{named}'"


def class_name(index: int, classes: Sequence[str] | None) -> str:
    """A class in words: the first of its names, without its WordNet id; its index where it has no name."""
    if classes is None:
        return str(index)
    line = classes[index]
    rest = WNID.sub("", line, count=1).lstrip("_- ") if WNID.match(line) else line
    return rest.split(",")[0].strip() or line
