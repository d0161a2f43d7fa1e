"""Where the edits sit: the share of each site's hidden units that the masks of a group select."""

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from vitedit.figures.style import STYLED, grid, group_title, notice, panel_title

_FEW = 8  # sites up to which every share is written out


@STYLED
def figK_sites(sites: pd.DataFrame, groups: pd.DataFrame) -> Figure:
    """A row a group, a column a site, a panel a backbone.

    Args:
        sites: Table `sites`.
        groups: Table `groups`, for names.
    """
    backbones = list(dict.fromkeys(sites["backbone"]))
    if not backbones:
        return notice("No method in this run edits under masks of a hypernetwork.")
    most = max(part["group"].nunique() for _, part in sites.groupby("backbone"))
    figure, axes = grid(len(backbones), 1, 7.4, 1.5 + 0.27 * most)
    for axis, backbone in zip(axes, backbones, strict=True):
        rows = sites[sites["backbone"] == backbone]
        text = f"Hidden units selected at sparsity {rows['sparsity'].iloc[0]:g} (%)"
        axis.set_title(panel_title(backbone, backbones, text))
        _heatmap(axis, rows, groups[groups["backbone"] == backbone])
    return figure


def _heatmap(axis: Axes, rows: pd.DataFrame, groups: pd.DataFrame) -> None:
    order = list(dict.fromkeys(rows["group"]))
    columns = list(dict.fromkeys(rows["site"]))
    square = 100 * rows.pivot(index="group", columns="site", values="share").loc[order, columns]
    named = {
        group: group_title(true, taken, 36)
        for group, true, taken in zip(
            groups["group"], groups["label_name"], groups["predicted_name"], strict=True
        )
    }
    sns.heatmap(
        square,
        ax=axis,
        vmin=0,
        cmap="cividis",
        annot=len(columns) <= _FEW,
        fmt=".1f",
        annot_kws={"size": 8},
        cbar_kws={"label": "Units selected (%)", "shrink": 0.9},
        linewidths=0.5,
    )
    heads = rows.drop_duplicates("site").set_index("site")
    texts = [f"{heads['block'][site] + 1}\n{heads['matrix'][site]}" for site in columns]
    axis.set_xticks(np.arange(len(columns)) + 0.5, texts, rotation=0, fontsize=8.5)
    axis.set_yticks(
        np.arange(len(order)) + 0.5,
        [named.get(group) or str(group) for group in order],
        rotation=0,
        fontsize=8.5,
    )
    axis.set(xlabel="Block and matrix", ylabel="")
