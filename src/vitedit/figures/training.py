"""Fig. H: training curves of the hypernetwork."""

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from vitedit.figures.style import (
    BLUE,
    GREEN,
    ORANGE,
    STYLED,
    VERMILION,
    empty,
    grid,
    panel_title,
    percent_axis,
)

_SERIES = {
    "sparsity_searched": ("searched masks", ORANGE),
    "sparsity_predicted": ("hypernetwork's masks", BLUE),
}
_MOST_SMOOTHED = 40


@STYLED
def figH_training(training: pd.DataFrame) -> Figure:
    """Mask sparsity, outer divergence and regression loss over the iterations; a row of panels a backbone.

    Args:
        training: Table `training`.
    """
    backbones = list(dict.fromkeys(training["backbone"])) or [""]
    figure, axes = grid(3 * len(backbones), 3, 4.0, 3.5)
    for at, backbone in enumerate(backbones):
        sparsity, divergence, loss = axes[3 * at : 3 * at + 3]
        log = training[training["backbone"] == backbone]
        search = log[log["phase"] == "search"]
        sparsity.set_title(panel_title(backbone, backbones, "Sparsity of the masks"))
        divergence.set_title("Outer divergence")
        loss.set_title("Regression on the masks")
        _sparsity(sparsity, search)
        _line(divergence, search, "kl", VERMILION)
        divergence.set_ylabel("KL divergence of a sample")
        _loss(loss, log)
    return figure


def _sparsity(axis: Axes, log: pd.DataFrame) -> None:
    for name, (text, colour) in _SERIES.items():
        _line(axis, log, name, colour, text)
    axis.set_ylabel("Sparsity (1 − mean mask value, %)")
    if not log.empty:
        axis.legend(loc="best", fontsize=8.5)


def _line(axis: Axes, log: pd.DataFrame, name: str, colour: str, text: str | None = None) -> None:
    """Every iteration pale, the running median strong."""
    rows = log[["iteration", name]].dropna()
    axis.set_xlabel("Iteration")
    if rows.empty:
        empty(axis, "not recorded")
        return
    scale = 100 if name in _SERIES else 1
    window = max(1, min(_MOST_SMOOTHED, len(rows) // 8))
    axis.plot(rows["iteration"], scale * rows[name], color=colour, alpha=0.28, lw=0.8)
    smooth = rows[name].rolling(window, center=True, min_periods=1).median()
    axis.plot(rows["iteration"], scale * smooth, color=colour, lw=1.8, label=text)
    if name in _SERIES:
        percent_axis(axis.yaxis)


def _loss(axis: Axes, log: pd.DataFrame) -> None:
    """During the search, and in the replay of stored masks if the run has one, counted on."""
    _line(axis, log, "regression_loss", GREEN)
    axis.set_ylabel("Cross-entropy to searched masks")
    replay = log.loc[log["phase"] == "replay", "iteration"]
    if len(replay):
        axis.axvspan(replay.min(), replay.max(), color="#000000", alpha=0.05, lw=0)
        axis.annotate(
            "replay of\nstored masks",
            (replay.mean(), 1),
            xycoords=("data", "axes fraction"),
            xytext=(0, -4),
            textcoords="offset points",
            ha="center",
            va="top",
            fontsize=8.5,
            color="#444444",
        )
