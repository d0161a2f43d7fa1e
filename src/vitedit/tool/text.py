"""What the commands say, as aligned plain text."""

from collections.abc import Sequence
from math import prod

import pandas as pd

from vitedit.model.about import About, Measured
from vitedit.model.difference import Difference
from vitedit.model.patch import SHORT, Patch
from vitedit.tool.comparing import Overlap
from vitedit.tool.editing import Outcome
from vitedit.tool.layout import count_of, few, percent, printable, table
from vitedit.tool.methods import methods_file
from vitedit.tool.samples_text import of_lost, of_records, of_samples, right_class
from vitedit.tool.ways import can_join

STAND_IN = "a stand-in: rendered pictures that the model is least sure of; give photographs of your own with --locality DIR"
LOGGED = {
    "regression_loss": "loss of the hypernetwork",
    "kl": "divergence under the searched masks",
    "sparsity_searched": "sparsity of the searched masks",
    "sparsity_predicted": "sparsity of its masks",
    "seconds": "seconds an iteration",
}
"""Columns of a meta-training's log, in words."""
SINGLE = ("merge", "sequence")
"""Ways that make an edit of each failure."""
OVERLAPS = ("first", "second", "both", "conflicts")


def of_edit(outcome: Outcome, classes: Sequence[str] | None) -> str:
    """What the model saw before and after, the rates, and where the weights changed."""
    about = outcome.patch.about
    parts = (
        printable(f"{about.model.name}, {right_class(about, classes)}"),
        of_samples(outcome, classes),
        table(rates(about)),
        of_lost(outcome, classes),
        table(where(outcome.patch)),
    )
    return "\n\n".join(filter(None, parts))


def failed(outcome: Outcome) -> str:
    """Why there is no patch of an edit that did not succeed."""
    about, made = outcome.patch.about, outcome.patch.about.measured
    wrong = count_of(1 - made.success, count := len(about.images), "samples" if count > 1 else "sample")
    return (
        f"the edited model is still wrong about {wrong} ({about.method}{_way(about)}, {_steps(made.steps)}). "
        f"{_stronger(about) if count == 1 or about.way not in SINGLE else _together_instead(about)}"
    )


def _steps(count: int) -> str:
    return f"{count} step{'s' * (count != 1)}"


def _stronger(about: About) -> str:
    """How one descent does more, as far as the method has it."""
    rate = "the step size or " if "learning_rate" in about.setting else ""
    names = " ".join(f"{name}=..." for name in ("learning_rate", "max_steps") if name in about.setting)
    sparsity = ", or lower `--sparsity`" if "sparsity" in about.setting else ""
    return f"Raise {rate}the steps (`--set {names}`){sparsity}."


def _together_instead(about: About) -> str:
    """What else to try where single edits make up the patch."""
    other = (
        "" if can_join(about.method, about.labels) else f" with another method, as {methods_file().default}"
    )
    return f"Edits of single failures disturb each other: try `--way joint`{other}."


def rates(about: About) -> list[tuple[str, str]]:
    """Success, generalization, locality and size of an edit; of a sequence retention too."""
    made = about.measured
    return [
        ("success", _success(about)),
        *_sequence(about),
        ("generalization", _generalization(about)),
        ("locality", _locality(made)),
        ("changed", f"{made.fraction:.2%} of the backbone's weights, by {made.norm:.3g} (L2 norm)"),
        (
            "edit",
            f"{made.steps} steps of {about.method}{_way(about)} ({_setting(about)}) in {made.seconds:.1f} s",
        ),
    ]


def _success(about: About) -> str:
    count = len(about.images)
    said = count_of(about.measured.success, count, "samples right")
    right = sum(image.before == image.label for image in about.images)
    return said if count == 1 else f"{said} (before: {right} of {count})"


def _sequence(about: About) -> list[tuple[str, str]]:
    made = about.measured
    if made.directly is None:
        return []
    directly = round(made.directly * len(about.images))
    rows = [("directly", f"{directly} of {len(about.images)} samples right directly after their own edit")]
    if made.retention is None:
        return rows
    return [
        *rows,
        ("retention", f"{count_of(made.retention, directly, 'of these')} still right after all edits"),
    ]


def _way(about: About) -> str:
    return f", {about.way}" if len(about.images) > 1 else ""


def _generalization(about: About) -> str:
    made, several = about.measured, len(about.labels) > 1
    if made.generalization is None:
        what = "failures with --neighbours FILE.csv" if several else "failure with --neighbours DIR"
        return f"not measured; give images of the same {what}"
    before = count_of(made.generalization_before or 0.0, made.neighbours, "")
    return f"{count_of(made.generalization, made.neighbours, 'neighbours right')} (before: {before})"


def _locality(made: Measured) -> str:
    if made.locality is None:
        return "not measured"
    kept = f"{count_of(made.locality, made.locality_images, 'images keep their prediction')}, {made.locality:.1%}"
    return f"{kept} ({STAND_IN})" if made.stand_in else kept


def _setting(about: About) -> str:
    return ", ".join(f"{name} {value}" for name, value in about.setting.items())


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
    """What `facts` says, the samples where there are several, and where the weights changed."""
    samples = [of_records(patch.about)] if len(patch.about.images) > 1 else []
    return "\n\n".join([table(facts(patch)), *samples, table(where(patch))])


def facts(patch: Patch) -> list[tuple[str, str]]:
    """What, when, by what method, from which base model, with what success."""
    about = patch.about
    return [
        ("model", f"{about.model.name} {about.model.architecture or ''}".strip()),
        ("base model", f"sha256 {patch.base}"),
        ("edited model", f"sha256 {patch.edited}"),
        *_samples(about),
        ("date", about.date),
        *rates(about),
        ("made with", ", ".join(f"{name} {value}" for name, value in about.versions.items())),
    ]


def _samples(about: About) -> list[tuple[str, str]]:
    """Right class and names of the samples."""
    names, (first, *_) = few([image.name for image in about.images]), about.images
    if len(about.labels) > 1:
        return [("made from", f"{right_class(about)}: {names}")]
    named = f" ({first.class_name})" if first.class_name else ""
    before = few([f"{image.before}" for image in about.images])
    return [("right class", f"{first.label}{named}; before: {before}"), ("made from", names)]


def of_comparison(first: Patch, second: Patch, shared: Sequence[Overlap]) -> str:
    """Rates of two patches beside each other, and the weights that both change."""
    one, other = dict(known(first)), dict(known(second))
    sides = [(name, one.get(name, "-"), other.get(name, "-")) for name in dict.fromkeys([*one, *other])]
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
    return [
        ("model", about.model.name),
        ("base model", short(patch.base)),
        *_samples(about),
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
