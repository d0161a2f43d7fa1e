"""Tables and sentences for people: rates in per cent with intervals, Markdown computed from the tables."""

from collections.abc import Sequence

import pandas as pd

from vitedit.figures.claims import Claim, change, percentages, points
from vitedit.figures.style import PROPOSED, group_title, methods, words

_MARKS = {"reproduced": "✔", "not reproduced": "✘", "undecided": "?"}


def claims_markdown(claims: Sequence[Claim], *sources: str) -> str:
    """Claims as a list: the paper's statement, the verdict, what was measured; of the named figures only, if any are."""
    kept = [claim for claim in claims if not sources or claim.source in sources]
    if not kept:
        return "This run measured nothing that tests a claim here."
    several = len({claim.backbone for claim in claims}) > 1
    lines = []
    for claim in kept:
        where = f"{claim.source}, {claim.backbone}" if several else claim.source
        lines.append(
            f"- {_MARKS[claim.verdict]} **{claim.verdict}** ({where}). *{claim.statement}* {claim.measured}"
        )
    return "\n".join(lines)


def groups_markdown(groups: pd.DataFrame) -> str:
    """The size of the benchmark in sentences."""
    lines = []
    for (backbone, subset), part in groups.groupby(["backbone", "subset"], sort=False):
        largest = part.loc[part["images"].idxmax()]
        images, title = part["images"], group_title(largest["label_name"], largest["predicted_name"])
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
            moved, low, high = change(loss)
            if pd.notna(moved):
                text = f"- **{backbone}**, {len(loss)} steps {what}: from the first to the last fifth the regression "
                lines.append(f"{text}loss changes by {moved:+.4f} [{low:+.4f}, {high:+.4f}].")
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
