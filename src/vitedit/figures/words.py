"""Tables and sentences for people: rates in per cent with intervals, Markdown computed from the tables."""

import re
from collections.abc import Sequence
from typing import Any

import pandas as pd
from pandas.io.formats.style import Styler

from vitedit.figures.style import PROPOSED, group_title, methods, words

VERDICTS = {"reproduced": "✔", "not reproduced": "✘", "undecided": "?"}
"""Verdicts of claims with their marks."""


COLUMNS = {
    "GR (published formula)": "Generalization by the formula of the published code: (images of the group that are right after the"
    " edit, less the samples) / all images of the group.",
    "GR (whole style)": "Generalization with the whole style as neighbours: share of its images, of any class, that are right"
    " after the edit. Styles only.",
    "not_converged": "Status of an edit in the table edits: its stop rule, the sample right and its loss small, was not met.",
}
"""Columns and values of the tables that do not explain themselves."""

_UNSEEN = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")
"""Control characters, and marks that turn the direction of what follows: a name could rewrite the sentence that it stands in."""


def harmless(value: Any) -> Any:
    """A name from the data with a placeholder for signs that cannot be seen; anything else as it is."""
    return _UNSEEN.sub("\ufffd", value) if type(value) is str else value


def literal(name: str) -> str:
    """A name from the data as Markdown that shows it letter by letter, whatever signs there are in it."""
    return re.sub(r"[^\w\s]|_|\s(?<! )", lambda sign: f"&#{ord(sign[0])};", harmless(name))


def readable(table: pd.DataFrame, precision: int = 6) -> Styler:
    """A table for a notebook, without the index; names in it are shown as they are, never as markup."""
    return table.map(harmless).style.hide(axis="index").format(precision=precision, escape="html")


def percentages(mean: float, low: float, high: float, unit: str = " %") -> str:
    """A rate in [0, 1] with its interval: "41.2 % [35.0, 47.1]"; without one where it is unknown."""
    if pd.isna(mean):
        return "not measured"
    interval = "" if pd.isna(low) or pd.isna(high) else f" [{100 * low:.1f}, {100 * high:.1f}]"
    return f"{100 * mean:.1f}{unit}{interval}"


def points(mean: float, low: float, high: float) -> str:
    """A signed difference of rates in percentage points with its interval: "+4.2 [+1.7, +6.6]"."""
    if pd.isna(mean):
        return "not measured"
    interval = "" if pd.isna(low) or pd.isna(high) else f" [{100 * low:+.1f}, {100 * high:+.1f}]"
    return f"{100 * mean:+.1f}{interval}".replace("-", "−")


def harmonic(table: pd.DataFrame, end: str = "") -> pd.Series:
    """Harmonic mean of the columns `gr` and `lr`, or of their ends `_low` or `_high`; 0 where both are."""
    gr, lr = table[f"gr{end}"], table[f"lr{end}"]
    return 2 * gr * lr / (gr + lr).clip(lower=1e-12)


def claims_markdown(claims: pd.DataFrame, *sources: str) -> str:
    """Claims as a list: the paper's statement, the verdict, what was measured; of the named figures only, if any are."""
    kept = claims[claims["source"].isin(sources)] if sources else claims
    if kept.empty:
        return "This run measured nothing that tests a claim here."
    return "\n".join(
        f"- {VERDICTS[claim['verdict']]} **{claim['verdict']}** ({claim['source']}, {claim['backbone']}). "
        f"*{claim['statement']}* {claim['measured']}"
        for claim in kept.to_dict("records")
    )


def groups_markdown(groups: pd.DataFrame) -> str:
    """The size of the benchmark in sentences."""
    lines = []
    for (backbone, subset), part in groups.groupby(["backbone", "subset"], sort=False):
        largest = part.loc[part["images"].idxmax()]
        images = part["images"]
        title = literal(group_title(largest["label_name"], largest["predicted_name"]))
        text = f"- **{words(str(subset))}** ({backbone}): {len(part)} groups of {images.min()} to {images.max()} images, "
        text += (
            f"{images.sum()} images and {part['edits'].sum()} edit samples in all; the largest is “{title}”."
        )
        right = _weighted(part)
        lines.append(
            text + (f" {100 * right:.1f} % of the images bear their true label." if right is not None else "")
        )
    return "\n".join(lines)


def _weighted(part: pd.DataFrame) -> float | None:
    known = part.dropna(subset=["label_correct"])
    return (
        None
        if known.empty
        else float((known["label_correct"] * known["images"]).sum() / known["images"].sum())
    )


def groups_table(groups: pd.DataFrame) -> pd.DataFrame:
    """Table A for reading."""
    named = {
        "subset": "Subset",
        "group": "Group",
        "label_name": "True class",
        "predicted_name": "Taken for",
        "images": "Images",
        "edits": "Edit samples",
    }
    table = groups.assign(subset=groups["subset"].map(words))
    return _with_backbone(table, named)


def layers_table(layers: pd.DataFrame) -> pd.DataFrame:
    """The layer search for reading, the choice first, then by GR and LR together."""
    table = layers.assign(total=layers["gr"] + layers["lr"]).sort_values(["chosen", "total"], ascending=False)
    table = table.assign(
        GR=_rates(table, "gr"), LR=_rates(table, "lr"), front=table["on_front"].map({True: "yes", False: ""})
    )
    table["taken"] = table["chosen"].map({True: "yes", False: ""})
    return _with_backbone(
        table, {"name": "Blocks", "GR": "GR", "LR": "LR", "front": "On the front", "taken": "Chosen"}
    )


def curves_table(curves: pd.DataFrame, subset: str = "all") -> pd.DataFrame:
    """Rates and cost of every method and setting on one subset, for reading."""
    table = curves[curves["subset"] == subset]
    look = methods(curves["method"])
    made = {
        "method": table["method"].map(lambda name: look[name].words),
        "setting": table["setting"].str.replace("=", " "),
        **{name.upper(): _rates(table, name) for name in ("sr", "gr", "lr")},
        "GRr": (100 * table["gr_ref"]).map("{:.1f} %".format),
        "GRs": (100 * table["gr_style"]).map("{:.1f} %".format),
        "updates": table["steps"].map("{:.0f}".format),
        "time": table["seconds"].map("{:.3g} s".format),
        "weights": (100 * table["fraction"]).map("{:.2f} %".format),
    }
    named = {
        "method": "Method",
        "setting": "Setting",
        "SR": "SR",
        "GR": "GR",
        "LR": "LR",
        "GRr": "GR (published formula)",
    }
    if table["gr_style"].notna().any():
        named["GRs"] = "GR (whole style)"
    named |= {"updates": "Updates", "time": "Time an edit", "weights": "Weights changed"}
    return _with_backbone(table.drop(columns=[n for n in made if n in table]).assign(**made), named)


def differences_table(
    differences: pd.DataFrame, proposed: str = PROPOSED, references: Sequence[str] = (), subset: str = ""
) -> pd.DataFrame:
    """What the proposed method gains, for reading: on one subset or on each, against some methods or against all."""
    table = differences[differences["method"] == proposed]
    table = table[table["reference"].isin(list(references))] if references else table
    table = table[table["subset"] == subset] if subset else table
    look = methods([*differences["method"], *differences["reference"]])
    table = table.assign(
        subset=table["subset"].map(words),
        reference=table["reference"].map(lambda name: look[name].words),
        value=[f"{value:g}" if pd.notna(value) else "" for value in table["value"]],
        gain=[
            points(*values) for values in zip(table["difference"], table["low"], table["high"], strict=True)
        ],
    )
    keys = ["backbone", "subset", "reference", "value"]
    wide = table.pivot(index=keys, columns="metric", values="gain").reindex(columns=["gr", "lr"])
    order = table[keys].drop_duplicates()
    named = {
        "subset": "Subset",
        "reference": "Against",
        "value": "Sparsity",
        "gr": "Gain in GR",
        "lr": "Gain in LR",
    }
    return _with_backbone(order.merge(wide.reset_index(), on=keys), named)


def training_markdown(training: pd.DataFrame) -> str:
    """How far the regression on the masks came, a sentence a backbone and phase."""
    lines = []
    for backbone, log in training.groupby("backbone", sort=False):
        for phase, what in (
            ("search", "on fresh batches of searched masks"),
            ("replay", "on stored masks, seen before"),
        ):
            loss = log.loc[log["phase"] == phase, "regression_loss"].to_numpy(float)
            fifth = len(loss) // 5
            if fifth:
                text = f"- **{backbone}**, {len(loss)} steps {what}: the mean regression loss goes from "
                lines.append(
                    f"{text}{loss[:fifth].mean():.4f} in the first to {loss[-fifth:].mean():.4f} in the last fifth."
                )
    return "\n".join(lines)


def _rates(table: pd.DataFrame, name: str) -> list[str]:
    return [
        percentages(*values)
        for values in zip(table[name], table[f"{name}_low"], table[f"{name}_high"], strict=True)
    ]


def _with_backbone(table: pd.DataFrame, named: dict[str, str]) -> pd.DataFrame:
    """Columns under their names for people; the backbone in front where there are several."""
    several = table["backbone"].nunique() > 1
    columns = {"backbone": "Backbone", **named} if several else named
    return table[list(columns)].rename(columns=columns).reset_index(drop=True)
