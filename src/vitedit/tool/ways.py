"""How one edit comes of several failures: one descent over all, single edits added up, or one after another."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import get_args

import numpy as np
import torch
from jaxtyping import Bool, Int
from torch import Tensor

from vitedit.editors import EDITORS, editor_class, ways
from vitedit.editors.base import Editor
from vitedit.errors import ConfigError, UnknownNameError
from vitedit.model.about import Way
from vitedit.model.edits import Edits, Samples
from vitedit.model.successive import Successive
from vitedit.model.vit import Split
from vitedit.progress import track
from vitedit.tool.methods import Method, flag_of
from vitedit.tool.pictures import BATCH

UNION = "union"
"""The hyper-parameter of methods that can unite the masks of several samples."""


@dataclass(frozen=True)
class Made:
    """One edit of the base model, and how it came about."""

    edits: Edits
    """E = 1."""
    course: Bool[np.ndarray, "edits samples"] | None = None
    """Of a sequence: whether each sample was right after each edit; false before its own."""


def choose_way(asked: str | None, method: Method, labels: Sequence[int]) -> Way:
    """The way that is asked for; else one descent where the method can make it, else single edits added up.

    Every method makes a joint edit of images of one class; `Editor.joint` says which can of several.

    Raises:
        UnknownNameError: There is no such way.
        ConfigError: The method cannot go it.
    """
    if UNION in method.setting:
        raise ConfigError(f"--set {UNION}: the way says it, `--way {UNION}` or another.")
    joint = can_join(method.name, labels)
    if asked is None:
        return "joint" if joint else "merge"
    if asked not in WAYS:
        raise UnknownNameError(f"--way '{asked}': no such way. Ways: {', '.join(WAYS)}.")
    if asked == UNION and not _can(method.name, UNION):
        raise ConfigError(f"--way {UNION}: {_without_union(joint)}")
    if asked in ("joint", UNION) and not joint:
        able = ", ".join(name for name in EDITORS if _can(name, "joint"))
        raise ConfigError(
            f"--way {asked}: {method.name} makes an edit from images of one class, and these are of {len(set(labels))}. Take "
            f"`--way merge` or `--way sequence`, or a method that can: {able}."
        )
    return next(way for way in get_args(Way) if way == asked)


def can_join(method: str, labels: Sequence[int]) -> bool:
    """Whether a method makes one descent over all failures of some classes."""
    return _can(method, "joint") or len(set(labels)) == 1


def _without_union(joint: bool) -> str:
    """Who can unite masks, and what to do instead."""
    able = [name for name in EDITORS if _can(name, UNION)]
    flags = " ".join(flag_of(one) for name in able for one in editor_class(name).artifacts)
    others = [way for way in WAYS if way != UNION and (joint or way != "joint")]
    return f"only {', '.join(able)} can unite its masks; take {flags}, or another way: {', '.join(others)}."


def _can(method: str, way: str) -> bool:
    return way in ways.ways_of(editor_class(method))


def _joint(editor: Editor, base: Split, samples: Samples) -> Made:
    return Made(ways.joint(editor, base, samples))


def _merge(editor: Editor, base: Split, samples: Samples) -> Made:
    return Made(ways.merge(editor, base, samples))


def _sequence(editor: Editor, base: Split, samples: Samples) -> Made:
    """An edit for each sample, each on the model with those before it."""
    model, steps, rows = Successive(base), [], []
    tokens = editor.cut(base).prefix(samples.images[:, 0])
    for at in track(range(len(samples)), "edits of the sequence", total=len(samples)):
        one = slice(at, at + 1)
        edits = editor.edit(model.split, Samples(samples.images[one], samples.labels[one], samples.keys[one]))
        model.take(edits.changes)
        steps.append(edits.steps)
        rows.append(_right(editor.cut(model.split), tokens[: at + 1], samples.labels, len(samples)))
    made = ways.as_one(editor, base, samples, model.changes(), torch.cat(steps))
    return Made(made, np.stack(rows))


@torch.no_grad()
def _right(
    split: Split, tokens: Tensor, labels: Int[Tensor, "samples"], count: int
) -> Bool[np.ndarray, "samples"]:
    """Whether the first samples, as prefix tokens, are predicted right; false for the others of `count`."""
    found = torch.cat([split.suffix(part).argmax(-1) for part in tokens.split(BATCH)])
    right = np.zeros(count, bool)
    right[: len(found)] = (found == labels[: len(found)]).cpu().numpy()
    return right


WAYS: Mapping[Way, Callable[[Editor, Split, Samples], Made]] = {
    "joint": _joint,
    "union": _joint,  # the method itself unites the masks (`Method.uniting`)
    "merge": _merge,
    "sequence": _sequence,
}
"""Way -> how it makes one edit of E failures, given as samples of one image each."""
