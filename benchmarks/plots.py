"""Plots of what `bench.py` measured."""

from pathlib import Path

import matplotlib
import matplotlib.pyplot as plt
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes

matplotlib.use("Agg")
NAMES = {
    "search": "mask search",
    "descent": "edit",
    "locality": "locality",
    "t_patcher": "T-Patcher",
    "rome": "ROME",
}


def draw(ratios: pd.DataFrame, scaling: pd.DataFrame, folder: Path) -> None:
    """ratios.png and scaling.png."""
    sns.set_theme(style="whitegrid", palette="colorblind", font_scale=0.8)
    fig, ax = plt.subplots(figsize=(5, 2.6), layout="constrained")
    sns.barplot(ratios.assign(what=ratios["what"].map(NAMES)), x="what", y="ratio", hue="model", ax=ax)
    ax.set(yscale="log", xlabel="", ylabel="plain / ours", title="How many times as fast")
    for bars in ax.containers:
        ax.bar_label(bars, fmt="%.3g", fontsize=6)
    fig.savefig(folder / "ratios.png", dpi=150)
    fig, axes = plt.subplots(2, 3, figsize=(9, 4.6), layout="constrained")
    scaling = scaling.groupby(
        ["model", "edits", "images"], as_index=False
    ).min()  # a point of two series once
    edits = scaling[(scaling["model"] == "tiny") & (scaling["images"] == 16)]
    images = scaling[(scaling["model"] == "tiny") & (scaling["edits"] == 4)]
    models = scaling[(scaling["edits"] == 4) & (scaling["images"] == 16)]
    per_edit = {"step": edits["step"] / edits["edits"] * 1e3, "mib": edits["mib"] / edits["edits"]}
    _line(axes[0, 0], edits["edits"], per_edit["step"], "edits in a batch", "ms a step of one edit")
    _line(axes[1, 0], edits["edits"], per_edit["mib"], "edits in a batch", "MiB an edit")
    each = images["locality"] / images["edits"] / images["images"] * 1e3
    _line(axes[0, 1], images["images"], each, "locality images", "ms an edit and image")
    every = edits["locality"] / edits["edits"] / edits["images"] * 1e3
    _line(axes[1, 1], edits["edits"], every, "edits in a batch", "ms an edit and image")
    _bars(axes[0, 2], models["model"], models["step"] / 4 * 1e3, "ms a step of one edit")
    _bars(axes[1, 2], models["model"], models["locality"] / 64 * 1e3, "ms an edit and image")
    fig.savefig(folder / "scaling.png", dpi=150)


def _line(ax: Axes, x: pd.Series, y: pd.Series, across: str, up: str) -> None:
    order = x.argsort()
    ax.plot(x.iloc[order], y.iloc[order], marker="o")
    ax.set(xscale="log", xlabel=across, ylabel=up)
    ax.set_xticks(x, [str(value) for value in x], minor=False)
    ax.minorticks_off()
    ax.set_ylim(0, 1.12 * y.max())


def _bars(ax: Axes, x: pd.Series, y: pd.Series, up: str) -> None:
    sns.barplot(x=x, y=y, ax=ax, order=["tiny", "small", "base", "large"])
    ax.set(xlabel="", ylabel=up, yscale="log")
    ax.set_ylim(top=1.5 * y.max())  # room for the label
    ax.bar_label(ax.containers[0], fmt="%.3g", fontsize=6)  # type: ignore[arg-type]  # bars
