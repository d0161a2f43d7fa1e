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
from vitedit.tool.samples_text import (
    counted,
    lost_rows,
    numbered,
    of_lost,
    of_samples,
    record_rows,
    right_class,
    seen_before,
)
from vitedit.tool.ways import can_join

STAND_IN = "a stand-in: rendered pictures that the model is least sure of; give photographs of your own with --locality DIR"
UNMEASURED = "not measured"
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
        of_lost(about),
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
    """How one descent does more, as far as the method has one."""
    if not about.measured.steps:
        return f"It descends by no steps; take another method, as `--method {methods_file().default}`."
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
            f"{_steps(made.steps)} of {about.method}{_way(about)} ({_setting(about)}) in {made.seconds:.1f} s{_unmet(about)}",
        ),
    ]


def _unmet(about: About) -> str:
    """That a descent ended before its stop rule was met."""
    made, most = about.measured, about.setting.get("max_steps")
    single = about.way in ("joint", "union") or len(about.images) == 1
    stopped = single and not made.converged and most is not None and made.steps >= float(most)
    return " (stopped at max_steps)" if stopped else ""


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
        return f"{UNMEASURED}; give images of the same {what}"
    before = count_of(made.generalization_before or 0.0, made.neighbours, "")
    return f"{count_of(made.generalization, made.neighbours, 'neighbours right')} (before: {before})"


def _locality(made: Measured) -> str:
    if made.locality is None:
        return UNMEASURED
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
    return "\n\n".join(map(table, [facts(patch), *samples(patch.about), where(patch)]))


def samples(about: About) -> list[list[tuple[str, ...]]]:
    """Tables of the samples where there are several: all, and those that a sequence lost again."""
    tables = [record_rows(about), lost_rows(about)] if len(about.images) > 1 else []
    return [rows for rows in tables if rows]


def facts(patch: Patch) -> list[tuple[str, str]]:
    """What, when, by what method, from which base model, with what success."""
    about = patch.about
    return [
        ("model", f"{about.model.name} {about.model.architecture or ''}".strip()),
        ("base model", f"sha256 {patch.base}"),
        ("edited model", f"sha256 {patch.edited}"),
        *_history(about),
        *_samples(about),
        ("date", about.date),
        *rates(about),
        ("made with", ", ".join(f"{name} {value}" for name, value in about.versions.items())),
    ]


def _history(about: About) -> list[tuple[str, str]]:
    """What an edit was made after."""
    if not (count := len(about.after)):
        return []
    earlier = "another patch" if count == 1 else f"{count} other patches"
    return [("made after", f"{earlier}, on the original model sha256 {about.after[0]}")]


def _samples(about: About) -> list[tuple[str, str]]:
    """Right class and names of the samples."""
    names, (first, *_) = few([image.name for image in about.images]), about.images
    if len(about.labels) > 1:
        return [("made from", f"{counted(about)}: {names}")]
    before = few([seen_before(image) for image in about.images])
    return [
        ("right class", f"{numbered(first.label, first.class_name)}; before: {before}"),
        ("made from", names),
    ]


def of_comparison(first: Patch, second: Patch, shared: Sequence[Overlap]) -> str:
    """Rates of two patches beside each other, and the weights that both change."""
    one, other = dict(known(first)), dict(known(second))
    sides = [(name, one.get(name, "-"), other.get(name, "-")) for name in dict.fromkeys([*one, *other])]
    total = Overlap("together", *(sum(getattr(one, part) for one in shared) for part in OVERLAPS))
    counts = [(one.name, *(f"{getattr(one, part)}" for part in OVERLAPS)) for one in (*shared, total)]
    head = ("weights changed", "first", "second", "both", "to other values")
    return f"{table([('', 'first', 'second'), *sides])}\n\n{table([head, *counts])}\n\n{_together(first, second, total)}"


def _together(first: Patch, second: Patch, total: Overlap) -> str:
    for above, below in ((first, second), (second, first)):
        if below.edited in (above.base, *above.about.after):
            return printable(_on_top(above, below))
    if first.base != second.base:
        return "They are of different base models, so no model takes both."
    found = f"they disagree about {total.conflicts} weights" if total.conflicts else "no weight is in dispute"
    return f"They are of the same base model; {found}. Once one is applied the other is refused: edit the edited model instead."


def _on_top(above: Patch, below: Patch) -> str:
    """How to apply two patches of which one was made on top of the other, or on top of others on top of it."""
    between = "" if above.base == below.edited else " ..."
    return (
        f"{above.path} was made on top of {below.path}: `vitedit apply {below.path}{between} {above.path}`. "
        "Give them to `apply` and `revert` alike in the order in which they were made."
    )


def known(patch: Patch) -> list[tuple[str, str]]:
    """What patches are compared by."""
    about = patch.about
    return [
        ("model", about.model.name),
        ("base model", short(patch.base)),
        *_briefly(about),
        *((name, _without_advice(said)) for name, said in rates(about)),
        ("date", about.date),
    ]


def _without_advice(said: str) -> str:
    """A rate without what to give the next time."""
    return UNMEASURED if said.startswith(UNMEASURED) else said.replace(f" ({STAND_IN})", " (of a stand-in)")


def _briefly(about: About) -> list[tuple[str, str]]:
    """`_samples` in a width that stands beside another's: of more than two only their number."""
    if len(about.images) <= 2:
        return _samples(about)
    return [("made from", counted(about))]


def of_training(log: pd.DataFrame) -> str:
    """What a meta-training measured at first and at last; of masks that are searched, without the iterations of the replay."""
    rows = [(words, *_ends(log[column].dropna())) for column, words in LOGGED.items()]
    searched = int(log["kl"].notna().sum())
    replayed = f", {len(log) - searched} steps of the replay" if searched < len(log) else ""
    return table([(f"{searched} iterations{replayed}", "first tenth", "last tenth"), *rows])


def _ends(values: pd.Series) -> tuple[str, str]:
    """Means of the first and of the last tenth of some values, at least one."""
    tenth = -(-len(values) // 10)
    return f"{values.head(tenth).mean():.4g}", f"{values.tail(tenth).mean():.4g}"


def short(checksum: str) -> str:
    """As much of a checksum as tells models apart."""
    return checksum[:SHORT]
