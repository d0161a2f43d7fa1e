"""Classes by name: which line of a list of classes is meant."""

import re
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from difflib import get_close_matches

WNID = re.compile(r"(n\d{8})(?![0-9A-Za-z])")
"""A WordNet id at the beginning of a name, alone or before a space, `_` or `-`."""

Forms = Callable[[str], list[str]]


class ClassNames:
    """Finds classes by WordNet id or name in lines such as `n01440764 tench, Tinca tinca` or `disc spotted`.

    A name counts as the first of these that any class has: the whole line; the line without its id, or the first of the names
    there; the first word of the line; one of the further names. So `missile` is the missile and not the projectile, which
    is also called so. `_` counts as a space. Upper and lower case only count where both are names (`cardigan`, `Cardigan`).
    """

    def __init__(self, classes: Sequence[str]) -> None:
        self._classes = classes
        self._ids = _table(classes, _ids, str)
        self._first_names = _table(classes, FORMS[1], _folded)
        self._tables = [(fold, _table(classes, forms, fold)) for fold in (_plain, _folded) for forms in FORMS]

    def by_id(self, label: str) -> int | str:
        """Index of a WordNet id, which more may follow (`n02085620-Chihuahua`), or why there is none."""
        found = [index for wnid in _ids(label) for index in self._ids.get(wnid, [])]
        return self._single(found) if found else f"is no WordNet id of {self._shown()}"

    def by_line(self, name: str) -> list[int]:
        """Indices of the classes whose whole line is the name."""
        return [index for index, line in enumerate(self._classes) if line == name]

    def by_name(self, name: str) -> int | str:
        """Index of a name, or why it has none."""
        for fold, table in self._tables:
            if found := table.get(fold(name)):
                return self._single(found)
        return self.unknown

    @property
    def unknown(self) -> str:
        """Why a name has no index that none of the classes has."""
        return f"is no class index, WordNet id or name of a class ({self._shown()})"

    def similar(self, name: str) -> str:
        """Names like one that no class has, to be read after `unknown`. Takes milliseconds: not to be asked for every label."""
        near = get_close_matches(_folded(name), self._first_names, n=3, cutoff=0.7)
        return f"; similar: {', '.join(near)}" if near else ""

    def _single(self, found: Sequence[int]) -> int | str:
        if len(found) == 1:
            return found[0]
        which = ", ".join(f"{index} ({self._classes[index]})" for index in found)
        return f"is the name of several classes: {which}; say which by class index or WordNet id"

    def _shown(self) -> str:
        return f"`classes` {', '.join(self._classes[:3])}, ..."


def _ids(line: str) -> list[str]:
    return [match[1]] if (match := WNID.match(line)) else []


def _described(line: str) -> str:
    """A line without its WordNet id."""
    return WNID.sub("", line, count=1).lstrip("_- ") if WNID.match(line) else line


def _lemmas(line: str) -> list[str]:
    return [lemma.strip() for lemma in _described(line).split(",")]


FORMS: tuple[Forms, ...] = (
    lambda line: [line],
    lambda line: [_described(line), _lemmas(line)[0]],
    lambda line: line.split()[:1],
    lambda line: _lemmas(line)[1:],
)


def _plain(name: str) -> str:
    return " ".join(unicodedata.normalize("NFC", name).replace("_", " ").split())


def _folded(name: str) -> str:
    return _plain(name).casefold()


def _table(classes: Sequence[str], forms: Forms, fold: Callable[[str], str]) -> Mapping[str, list[int]]:
    """Name -> indices of all classes of that name."""
    table: dict[str, list[int]] = {}
    for index, line in enumerate(classes):
        for name in {fold(form) for form in forms(line)}:
            table.setdefault(name, []).append(index)
    return table
