"""One edit from many failures, in one of several ways (the paper leaves open how)."""

from collections.abc import Callable
from dataclasses import fields, replace

from jaxtyping import Int
from torch import Tensor

from vitedit.editors.base import Editor
from vitedit.errors import ConfigError
from vitedit.model.changes import Changes
from vitedit.model.descent import closed_form
from vitedit.model.edits import Edits, Samples
from vitedit.model.vit import Split

Way = Callable[[Editor, Split, Samples], Edits]
"""(method, base model, n failures as n edits of one image) -> one edit."""


def joint(editor: Editor, base: Split, failures: Samples) -> Edits:
    """One run of the method on all failures; where it masks, by their mean scores."""
    return editor.edit(base, together(failures))


def union(editor: Editor, base: Split, failures: Samples) -> Edits:
    """The same where the mask of any failure allows it."""
    return joint(replace(editor, union=True), base, failures)  # type: ignore[type-var]  # every Editor is a dataclass


def merge(editor: Editor, base: Split, failures: Samples) -> Edits:
    """An edit for each failure, as if there were no other, and all changes added up."""
    apart = editor.edit(base, failures)
    merged = {name: change.merge() for name, change in apart.changes.items()}
    return as_one(editor, base, failures, merged, apart.steps)


WAYS: dict[str, Way] = {"joint": joint, "union": union, "merge": merge}


def ways_of(editor: Editor | type[Editor]) -> list[str]:
    """Those that a method can edit in."""
    parameters = {field.name for field in fields(editor)}  # type: ignore[arg-type]  # every Editor is a dataclass
    able = {"joint": editor.joint, "union": "union" in parameters, "merge": True}
    return [way for way in WAYS if able[way]]


def edit_together(way: str, editor: Editor, base: Split, failures: Samples) -> Edits:
    """One edit from n failures.

    Args:
        way: One of `WAYS`.
        editor: The method.
        base: The base model.
        failures: n edits of one image each, with their labels.

    Raises:
        ConfigError: The method cannot edit in this way.
        NumericalError: A loss or a weight became NaN or infinite.
    """
    if way not in (able := ways_of(editor)):
        raise ConfigError(
            f"{type(editor).__name__} cannot edit by way of '{way}'. Its ways: {', '.join(able)}."
        )
    return WAYS[way](editor, base, failures)


def as_one(
    editor: Editor, base: Split, failures: Samples, changes: Changes, steps: Int[Tensor, "failures"]
) -> Edits:
    """Changes that came of several edits as one edit of all failures; its steps are the sum of theirs.

    Raises:
        NumericalError: A weight is NaN or infinite.
    """
    cut, one = editor.cut(base), together(failures)
    tokens, labels = cut.prefix_samples(one.images), one.labels.to(cut.device)
    return closed_form(cut, changes, tokens, labels, editor.descent, steps.sum()[None]).check(base.vit)


def together(failures: Samples) -> Samples:
    """What one edit from n failures is made from: images (1, n, 3, S, S); labels (1, n), or (1,) if they share one."""
    labels = failures.labels[:1] if len(failures.labels.unique()) == 1 else failures.labels[None]
    return Samples(failures.images.transpose(0, 1), labels, failures.keys[:1])
