"""Fig. 5b and the ablations of the appendix: what single choices are worth, each against the default."""

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from vitedit.figures.style import (
    BLACK,
    BLUE,
    GREEN,
    ORANGE,
    PROPOSED,
    PURPLE,
    SKY,
    STYLED,
    VERMILION,
    Look,
    grid,
    intervals,
    legend_below,
    notice,
    panel_title,
    percent,
    percent_axis,
)

SAMPLES = "samples"
"""Family whose variants differ in the number of samples of an edit (paper Fig. 5b)."""
FAMILIES = {
    "pseudo": "Pseudo-samples",
    "sparsity_weight": "Weight of the sparsity",
    "inner_steps": "Inner steps",
    "inner_learning_rate": "Inner learning rate",
    "blocks": "Blocks of the hypernetwork",
    "conditioning": "Mask conditioned on the label",
    "tied": "Masks of fc1 and fc2 tied",
}
"""Family -> title of its panel, in the order of the figure. Others follow under their own name."""
ABSENT = "Not computed in this run (`snakemake appendix` makes them)"
_RATES = {"gr": "Generalization rate GR (%)", "lr": "Locality rate LR (%)"}
_LOOKS = [
    (ORANGE, "s", "--"), (GREEN, "^", "-."), (PURPLE, "D", ":"), (VERMILION, "v", "--"), (SKY, "p", "-."), (BLACK, "X", ":"),
]  # fmt: skip
_DEFAULT = "default"
_FAINT = 0.25  # strength of intervals


@STYLED
def fig5b_samples(ablations: pd.DataFrame) -> Figure:
    """GR and LR of learned masks over their sparsity, a line a number of samples; a row of panels a backbone.

    Args:
        ablations: Table `ablations`.
    """
    table = family(ablations, SAMPLES)
    backbones = list(dict.fromkeys(table["backbone"]))
    if not backbones:
        return notice("Edits with several samples were not made in this run (ablations.samples).")
    figure, axes = grid(2 * len(backbones), 2, 3.7, 3.3)
    counts = table.groupby("variant")["samples"].first().astype(int)
    looks = {
        name: look._replace(words="1 sample" if counts[name] == 1 else f"{counts[name]} samples")
        for name, look in _looks(table).items()
    }
    for at, axis in enumerate(axes):
        backbone, rate = backbones[at // 2], list(_RATES)[at % 2]
        title = {"gr": "Neighbours corrected", "lr": "Others left alone"}[rate]
        axis.set_title(panel_title(backbone, backbones, title))
        _over_sparsity(axis, table[table["backbone"] == backbone], rate, looks)
    legend_below(figure, axes)
    return figure


@STYLED
def figJ_ablations(ablations: pd.DataFrame) -> Figure:
    """GR against LR of the variants of every family, on the first backbone that has some; a panel a family.

    Args:
        ablations: Table `ablations`.
    """
    table = appendix(ablations)
    more = [name for name in dict.fromkeys(table["family"]) if name not in FAMILIES]
    families = [name for name in [*FAMILIES, *more] if (table["family"] == name).any()]
    absent = [title for name, title in FAMILIES.items() if name not in families]
    if not families:
        return notice(f"{ABSENT}: {', '.join(absent).lower()}.")
    figure, axes = grid(len(families), 2, 3.7, 3.6)
    notes = [f"{ABSENT}:\n{', '.join(absent).lower()}."] if absent else []
    for axis, name in zip(axes, families, strict=True):
        rows = table[table["family"] == name]
        title = FAMILIES.get(name) or str(name).replace("_", " ")
        axis.set_title(title + (" *" if rows["released"].any() else ""))
        _trade_off(axis, rows)
    if table["released"].any():
        notes.append("* Released results, not computed by this run.")
    figure.supxlabel("\n".join(notes), fontsize=9, color="#666666")
    return figure


def family(ablations: pd.DataFrame, name: str) -> pd.DataFrame:
    """Rows of one family: of the proposed method, over all groups."""
    kept = (ablations["family"] == name) & (ablations["subset"] == "all") & (ablations["method"] == PROPOSED)
    return ablations[kept]


def appendix(ablations: pd.DataFrame) -> pd.DataFrame:
    """Rows of all families but that of the samples, on the first backbone that has some."""
    names = [name for name in dict.fromkeys(ablations["family"]) if name != SAMPLES]
    table = pd.concat([family(ablations, name) for name in names] or [ablations.iloc[:0]])
    return table[table["backbone"] == table["backbone"].iloc[0]] if len(table) else table


def _looks(table: pd.DataFrame) -> dict[str, Look]:
    """Variant -> look, named by the value tried: the default as the proposed method is drawn, the others in their order."""
    own = list(dict.fromkeys(table.loc[table["default"].astype(bool), "variant"]))
    others = [name for name in dict.fromkeys(table["variant"]) if name not in own]
    tried = table.groupby("variant")["tried"].first()
    looks = {name: Look(f"{tried[name]} ({_DEFAULT})", BLUE, "o", size=7, width=2.8, layer=4) for name in own}
    for at, name in enumerate(others):
        looks[name] = Look(tried[name], *_LOOKS[at % len(_LOOKS)])
    return looks


def _over_sparsity(axis: Axes, table: pd.DataFrame, rate: str, looks: dict[str, Look]) -> None:
    """A line and its band a variant; sparsities stand evenly, as most lie close to 1."""
    values = sorted(table["value"].dropna().unique())
    for name, look in looks.items():
        points = table[table["variant"] == name].dropna(subset=[rate, "value"]).sort_values("value")
        if points.empty:
            continue
        x = [values.index(value) for value in points["value"]]
        look.plot(axis, x, percent(points[rate]))
        low, high = (percent(points[f"{rate}_{end}"]) for end in ("low", "high"))
        axis.fill_between(x, low, high, color=look.colour, alpha=0.12, lw=0)
    axis.set_xticks(range(len(values)), [f"{value:g}" for value in values])
    axis.set_xlabel("Sparsity of the mask")
    axis.set_ylabel(_RATES[rate])
    percent_axis(axis.yaxis)


def _trade_off(axis: Axes, rows: pd.DataFrame) -> None:
    looks = _looks(rows)
    for name, look in looks.items():
        points = rows[rows["variant"] == name].dropna(subset=["gr", "lr"]).sort_values("value")
        intervals(axis, points, look, _FAINT)
        look.plot(axis, percent(points["lr"]), percent(points["gr"]))
    axis.set_xlabel("Locality rate LR (%)")
    axis.set_ylabel(_RATES["gr"])
    percent_axis(axis.xaxis)
    percent_axis(axis.yaxis)
    axis.margins(0.08)
    axis.legend(loc="upper center", bbox_to_anchor=(0.45, -0.2), ncols=2, fontsize=8.5)
