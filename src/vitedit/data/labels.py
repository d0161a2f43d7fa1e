"""Class indices from what a set of images calls its classes: indices, WordNet ids, names, or words that a map explains."""

import json
import logging
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from vitedit.config import ImagesConfig
from vitedit.data.class_names import WNID, ClassNames
from vitedit.data.sources import remedy
from vitedit.data.table import Tag, read_tags
from vitedit.errors import ImageError

log = logging.getLogger(__name__)

MOST_DIGITS = 9
"""Of a class index; one that is longer fits no integer of an array."""
GROUP = re.compile(rf"(\d{{1,{MOST_DIGITS}}})(_.*)?")
NO_INDEX = "is no class index (0, 1, 2, ...)"
NO_NAMES = f"{NO_INDEX}; `classes` could say what names mean"
NO_ORDER = (
    "is a WordNet id, whose index `classes` must say (`classes: imagenet` for ImageNet-1k); "
    "counted among the ids at hand, one missing class would shift the others"
)

Meanings = Mapping[str, int | str | None]
"""Label -> class index; or why there is none, to be read after the label; or None for a label of several classes."""


def read_labels(
    name: str, config: ImagesConfig, files: Sequence[str], classes: Sequence[str] | None
) -> dict[str, int]:
    """Class index of every file that has one: all files or those of the table, without labels of several classes.

    Args:
        name: The set, for messages.
        config: The set.
        files: Its files.
        classes: Lines of the class file. Without them names of class folders mean their place in sorted order.

    Raises:
        ImageError: A file has no label, or a label no meaning or several.
    """
    tags = read_tags(name, config, files) if config.labels == "csv" else _folders(name, files)
    meanings = _meanings(name, config, sorted({tag.label for tag in tags.values()}), classes)
    if unclear := {label: why for label, why in meanings.items() if isinstance(why, str)}:
        raise ImageError(_complaint(name, config, tags, unclear, None if classes is None else ClassNames(classes)))
    found = {file: index for file, tag in tags.items() if isinstance(index := meanings[tag.label], int)}
    if several := [label for label, meaning in meanings.items() if meaning is None]:
        log.info(
            "images.%s: %d of %d images left out, as %s has no single class for their labels: %s",
            *(name, len(tags) - len(found), len(tags), config.label_map, ", ".join(several)),
        )
    if not found:
        raise ImageError(f"images.{name}: no image has a label of a single class in {config.label_map}.")
    return found


def _folders(name: str, files: Sequence[str]) -> dict[str, Tag]:
    """The top folder of every file as its label."""
    loose = next((file for file in files if "/" not in file), None)
    if loose is not None:
        raise ImageError(
            f"images.{name}: {loose} lies in no class folder; move it, or set `labels: none` or `csv`."
        )
    return {file: Tag(file.split("/", 1)[0], 0) for file in files}


def _complaint(
    name: str,
    config: ImagesConfig,
    tags: Mapping[str, Tag],
    unclear: Mapping[str, str],
    names: ClassNames | None,
) -> str:
    """What is wrong with the first label that has no meaning."""
    label, line = next(tag for tag in tags.values() if tag.label in unclear)
    why = unclear[label] + (names.similar(label) if names and unclear[label] == names.unknown else "")
    if line:
        return f"images.{name}: {config.csv}, line {line}: '{label}' in column `{config.label_column}` {why}."
    alone = len({tag.label for tag in tags.values()}) == 1
    below = f" If the class folders lie in it, set `folder: {label}`." if alone else ""
    return (
        f"images.{name}: {len(unclear)} class folders fit no class or several, first '{label}': it {why}. "
        f"Correct the file `classes` or the folder's name.{below}"
    )


def _meanings(
    name: str, config: ImagesConfig, labels: Sequence[str], classes: Sequence[str] | None
) -> Meanings:
    if config.labels == "groups":
        return {label: _group(label) for label in labels}
    if config.label_map is not None:
        explained, unknown = read_label_map(name, config.label_map), f"is not explained in {config.label_map}"
        return {label: explained.get(label, unknown) for label in labels}
    names = None if classes is None else ClassNames(classes)
    if 2 * sum(map(str.isdecimal, labels)) >= len(labels):  # by majority, so that a mistake stands out
        return {label: _index(label, names) for label in labels}
    if names is not None:
        return {label: names.by_id(label) if WNID.match(label) else names.by_name(label) for label in labels}
    in_order = config.labels == "folder"
    return {
        label: NO_ORDER if WNID.match(label) else place if in_order else NO_NAMES
        for place, label in enumerate(labels)
    }


def _index(label: str, names: ClassNames | None) -> int | str:
    """A class index; refused where a class of another index is called so."""
    if not label.isdecimal() or len(label) > MOST_DIGITS:
        return NO_INDEX
    named = names.by_line(label) if names is not None else []
    if named and named != [int(label)]:
        return f"could be the class index {int(label)} or the name of class {named[0]}; rename the classes"
    return int(label)


def _group(folder: str) -> int | str:
    match = GROUP.fullmatch(folder)
    return int(match[1]) if match else "is no group folder `<class index>` or `<class index>_<anything>`"


def read_label_map(name: str, path: Path) -> dict[str, int | None]:
    """Class index of every label in a JSON file of label -> index or list of indices; None for several or none.

    Raises:
        ImageError: The file is missing or no such mapping.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise ImageError(
            f"images.{name}: the label map {path} cannot be read ({error}). {remedy(path)}"
        ) from error
    if not isinstance(content, dict):
        raise ImageError(f"images.{name}: {path} holds no mapping of labels to class indices.")
    meant = {label: given if isinstance(given, list) else [given] for label, given in content.items()}
    for label, indices in meant.items():
        if not all(type(index) is int and 0 <= index < 10**MOST_DIGITS for index in indices):
            raise ImageError(
                f"images.{name}: {path} maps '{label}' to {content[label]!r}, which is no class index or list of them."
            )
    return {label: indices[0] if len(indices) == 1 else None for label, indices in meant.items()}
