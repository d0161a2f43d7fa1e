"""What the commands say, as aligned plain text. Names from files are shown without control characters."""

from collections.abc import Iterable, Sequence
from math import prod

import pandas as pd

from vitedit.model.about import About, Measured
from vitedit.model.difference import Difference
from vitedit.model.patch import SHORT, Patch
from vitedit.tool.comparing import Overlap
from vitedit.tool.editing import Outcome
from vitedit.tool.labels import class_name
from vitedit.tool.measuring import Seen

STAND_IN = "a stand-in: rendered pictures that the model is least sure of; give photographs of your own with --locality DIR"
GAP = "  "
LOGGED = {
    "regression_loss": "loss of the hypernetwork",
    "kl": "divergence under the searched masks",
    "sparsity_searched": "sparsity of the searched masks",
    "sparsity_predicted": "sparsity of its masks",
    "seconds": "seconds an iteration",
}
"""Columns of a meta-training's log, in words."""
OVERLAPS = ("first", "second", "both", "conflicts")


def table(rows: Iterable[Sequence[str]]) -> str:
    """Rows as lines, their columns aligned; nothing in them can move the cursor or change colours."""
    shown = [[printable(cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*shown, strict=True)]
    return "\n".join(
        GAP.join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in shown
    )


def printable(text: str) -> str:
    """Text with `?` for what a terminal would act on."""
    return "".join(letter if letter.isprintable() else "?" for letter in text)


def of_edit(outcome: Outcome, classes: Sequence[str] | None) -> str:
    """What the model saw before and after, the rates, and where the weights changed."""
    about = outcome.patch.about
    head = f"{about.model.name}, right class {about.label} ({class_name(about.label, classes)})"
    return "\n\n".join(
        (
            printable(head),
            table(_seen(outcome.samples, [image.name for image in about.images], classes)),
            table(rates(about)),
            table(where(outcome.patch)),
        )
    )


def _seen(seen: Seen, names: Sequence[str], classes: Sequence[str] | None) -> list[tuple[str, ...]]:
    def words(index: int, probability: float) -> str:
        return f"{class_name(index, classes)} ({percent(probability)})"

    found = zip(names, seen.before, seen.sure_before, seen.after[0], seen.sure_after[0], strict=True)
    rows = [(name, words(int(b), p), words(int(a), q)) for name, b, p, a, q in found]
    return [("image", "before", "after"), *rows]


def rates(about: About) -> list[tuple[str, str]]:
    """Success, generalization, locality and size of an edit."""
    made = about.measured
    return [
        ("success", _share(made.success, len(about.images), "samples right")),
        ("generalization", _generalization(made)),
        ("locality", _locality(made)),
        ("changed", f"{made.fraction:.2%} of the backbone's weights, by {made.norm:.3g} (L2 norm)"),
        ("edit", f"{made.steps} steps of {about.method} ({_setting(about)}) in {made.seconds:.1f} s"),
    ]


def _generalization(made: Measured) -> str:
    if made.generalization is None:
        return "not measured; give images of the same failure with --neighbours DIR"
    before = _share(made.generalization_before or 0.0, made.neighbours, "")
    return f"{_share(made.generalization, made.neighbours, 'neighbours right')} (before: {before})"


def _locality(made: Measured) -> str:
    if made.locality is None:
        return "not measured"
    kept = (
        f"{_share(made.locality, made.locality_images, 'images keep their prediction')}, {made.locality:.1%}"
    )
    return f"{kept} ({STAND_IN})" if made.stand_in else kept


def _share(rate: float, count: int, what: str) -> str:
    return f"{round(rate * count)} of {count} {what}".rstrip()


def _setting(about: About) -> str:
    return ", ".join(f"{name} {value}" for name, value in about.setting.items())


def percent(share: float) -> str:
    """A probability without decimals."""
    return f"{share:.0%}"


def where(patch: Patch) -> list[tuple[str, str, str]]:
    """What changed of every parameter."""
    rows = []
    for name, change in patch.differences.items():
        count, size = len(change.entries()[0]), prod(change.grown)
        grown = f", grown from {'x'.join(map(str, change.shape))}" if change.grows else ""
        share = f"{count} of {size} ({count / size:.1%})"
        rows.append((name, share, f"{_places(change)}{grown}"))
    return [("where", "weights changed", "as"), *rows]


def _places(change: Difference) -> str:
    """Rows, columns or single weights, as they are kept."""
    sides = {"rows": change.grown[0], "columns": prod(change.grown[1:])}
    if change.layout == "entries":
        return "single weights"
    return f"{len(change.index)} of {sides[change.layout]} {change.layout}"


def trade_off(outcomes: Sequence[Outcome], chosen: int | None) -> str:
    """A line a sparsity: rates and share of the weights; an arrow at the one that is kept."""
    head = ("", "sparsity", "success", "generalization", "locality", "changed")
    rows = []
    for at, outcome in enumerate(outcomes):
        about, made = outcome.patch.about, outcome.patch.about.measured
        general = "-" if made.generalization is None else percent(made.generalization)
        local = "-" if made.locality is None else f"{made.locality:.1%}"
        rows.append(
            (
                "->" if at == chosen else "",
                f"{about.setting['sparsity']}",
                percent(made.success),
                general,
                local,
            )
            + (f"{made.fraction:.2%}",)
        )
    return table([head, *rows])


def of_patch(patch: Patch) -> str:
    """What `facts` says, and where the weights changed."""
    return f"{table(facts(patch))}\n\n{table(where(patch))}"


def facts(patch: Patch) -> list[tuple[str, str]]:
    """What, when, by what method, from which base model, with what success."""
    about = patch.about
    images = ", ".join(image.name for image in about.images)
    named = f" ({about.class_name})" if about.class_name else ""
    return [
        ("model", f"{about.model.name} {about.model.architecture or ''}".strip()),
        ("base model", f"sha256 {patch.base}"),
        ("edited model", f"sha256 {patch.edited}"),
        ("right class", f"{about.label}{named}; before: {', '.join(map(str, about.predicted)) or 'unknown'}"),
        ("made from", images),
        ("date", about.date),
        *rates(about),
        ("made with", ", ".join(f"{name} {value}" for name, value in about.versions.items())),
    ]


def of_comparison(first: Patch, second: Patch, shared: Sequence[Overlap]) -> str:
    """Rates of two patches beside each other, and the weights that both change."""
    facts_of = [known(one) for one in (first, second)]
    sides = [(name, value, other) for (name, value), (_, other) in zip(*facts_of, strict=True)]
    total = Overlap("together", *(sum(getattr(one, part) for one in shared) for part in OVERLAPS))
    counts = [(one.name, *(f"{getattr(one, part)}" for part in OVERLAPS)) for one in (*shared, total)]
    head = ("weights changed", "first", "second", "both", "to other values")
    return f"{table([('', 'first', 'second'), *sides])}\n\n{table([head, *counts])}\n\n{_together(first, second, total)}"


def _together(first: Patch, second: Patch, total: Overlap) -> str:
    if first.base == second.edited or second.base == first.edited:
        return "One was made on top of the other: apply them in that order, and revert them in the other."
    if first.base != second.base:
        return "They are of different base models, so no model takes both."
    found = f"they disagree about {total.conflicts} weights" if total.conflicts else "no weight is in dispute"
    return f"They are of the same base model; {found}. Once one is applied the other is refused: edit the edited model instead."


def known(patch: Patch) -> list[tuple[str, str]]:
    """What patches are compared by."""
    about = patch.about
    named = f" ({about.class_name})" if about.class_name else ""
    return [
        ("model", about.model.name),
        ("base model", short(patch.base)),
        ("right class", f"{about.label}{named}"),
        ("made from", ", ".join(image.name for image in about.images)),
        *rates(about),
        ("date", about.date),
    ]


def of_training(log: pd.DataFrame) -> str:
    """What a meta-training measured at first and at last; of masks that are searched, without the iterations of the replay."""
    rows = [(words, *_ends(log[column].dropna())) for column, words in LOGGED.items()]
    return table([(f"{len(log)} iterations", "first tenth", "last tenth"), *rows])


def _ends(values: pd.Series) -> tuple[str, str]:
    """Means of the first and of the last tenth of some values, at least one."""
    tenth = -(-len(values) // 10)
    return f"{values.head(tenth).mean():.4g}", f"{values.tail(tenth).mean():.4g}"


def short(checksum: str) -> str:
    """As much of a checksum as tells models apart."""
    return checksum[:SHORT]
