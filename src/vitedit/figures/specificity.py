"""Fig. 6b: do images of one group get the same mask?"""

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from vitedit.figures.style import BLACK, BLUE, ORANGE, STYLED, empty, grid, group_title, panel_title

_KINDS = {"within": "same group", "between": "different groups"}


@STYLED
def fig6_specificity(
    specificity: pd.DataFrame, masks: pd.DataFrame, overlap: pd.DataFrame, groups: pd.DataFrame
) -> Figure:
    """Mean IoU of the masks of every two groups, and its distribution within and between groups; a row a backbone.

    Args:
        specificity: Table `specificity` (means of group pairs).
        masks: Table `masks` (single pairs).
        overlap: Table `overlap` (means with intervals).
        groups: Table `groups`, for names.
    """
    backbones = list(dict.fromkeys(specificity["backbone"])) or [""]
    figure, axes = grid(2 * len(backbones), 2, 5.6, 5.0)
    for at, backbone in enumerate(backbones):
        left, right = axes[2 * at], axes[2 * at + 1]
        matrix, pairs, means = (
            table[table["backbone"] == backbone] for table in (specificity, masks, overlap)
        )
        left.set_title(panel_title(backbone, backbones, "Mean IoU of two masks"))
        right.set_title("Within and between groups")
        if matrix.empty:
            empty(left, "No masks were compared in this run.")
            empty(right, "")
            continue
        _heatmap(left, matrix, groups[groups["backbone"] == backbone])
        _distributions(right, pairs, means.iloc[0])
    return figure


def _heatmap(axis: Axes, matrix: pd.DataFrame, groups: pd.DataFrame) -> None:
    order = list(dict.fromkeys(matrix["group_a"]))
    square = matrix.pivot(index="group_a", columns="group_b", values="iou").reindex(
        index=order, columns=order
    )
    pairs = zip(groups["group"], groups["label_name"], groups["predicted_name"], strict=True)
    named = {group: group_title(true, taken, 36) for group, true, taken in pairs}
    titles = [named.get(group, str(group)) for group in order]
    numbers = [str(at + 1) for at in range(len(order))]
    few = len(order) <= 10
    values = square.to_numpy(float)
    ends = {"vmin": np.floor(20 * np.nanmin(values)) / 20, "vmax": np.ceil(20 * np.nanmax(values)) / 20}
    bar = {"label": "Intersection over union", "shrink": 0.8}
    sns.heatmap(
        square,
        ax=axis,
        **ends,
        cmap="cividis",
        square=True,
        annot=few,
        fmt=".2f",
        annot_kws={"size": 8},
        cbar_kws=bar,
        linewidths=0.5,
    )
    axis.set_xticks(np.arange(len(order)) + 0.5, numbers, rotation=0, fontsize=8.5)
    axis.set_yticks(
        np.arange(len(order)) + 0.5,
        [f"{title}  {at}" for title, at in zip(titles, numbers, strict=True)],
        rotation=0,
        fontsize=8.5,
    )
    axis.set_xlabel("")
    axis.set_ylabel("")


def _distributions(axis: Axes, pairs: pd.DataFrame, means: pd.Series) -> None:
    same, different = _KINDS.values()
    kind = np.where(pairs["group_a"] == pairs["group_b"], same, different)
    colours = {same: BLUE, different: ORANGE}
    sns.violinplot(
        x=kind,
        y=pairs["iou"],
        hue=kind,
        order=list(colours),
        palette=colours,
        inner=None,
        cut=0,
        linewidth=0,
        alpha=0.35,
        ax=axis,
        legend=False,
    )
    for at, name in enumerate(_KINDS):
        mean, low, high = means[name], means[f"{name}_low"], means[f"{name}_high"]
        bar = np.nan_to_num([[mean - low], [high - mean]])
        axis.errorbar(at, mean, yerr=bar, fmt="o", color=BLACK, ms=6, capsize=4)
        if np.isfinite(mean):
            axis.annotate(
                f"mean {mean:.2f}", (at, mean), (12, 0), textcoords="offset points", va="center", fontsize=9
            )
    axis.axhline(means["chance"], color="#666666", ls=":", lw=1.3)
    axis.annotate(
        "independent random masks",
        (1.5, means["chance"]),
        (-2, 3),
        textcoords="offset points",
        ha="right",
        fontsize=8,
        color="#555555",
    )
    axis.set_xticks(
        [0, 1], [f"{text}\n({int(means[f'{name}_pairs'])} pairs)" for name, text in _KINDS.items()]
    )
    axis.set_xlim(-0.5, 1.5)
    axis.set_ylim(0, None)
    axis.set_xlabel(f"Pairs of masks of sparsity {means['sparsity']:g}; bars: 95 % interval over groups")
    axis.set_ylabel("Intersection over union of their masks")
    axis.grid(axis="x", visible=False)
