"""Training curves: Fig. H of the hypernetwork, Fig. I of the networks that edit themselves."""

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from vitedit.figures.style import (
    BLACK,
    BLUE,
    GREEN,
    ORANGE,
    STYLED,
    VERMILION,
    Look,
    empty,
    grid,
    legend_below,
    log_axis,
    methods,
    notice,
    panel_title,
    percent_axis,
)

IMPORTED = (
    "The hypernetwork of this run was imported (meta_train.checkpoint), or no method needs one,\n"
    "so there is no training to show."
)
"""What stands in the place of Fig. H and its words in a run that trains no hypernetwork."""

_SERIES = {
    "sparsity_searched": ("searched masks", ORANGE),
    "sparsity_predicted": ("hypernetwork's masks", BLUE),
}
_EDITOR_PANELS = {
    "loss_edit": ("Loss of the edit", "Cross-entropy on other views"),
    "success": ("Success on other views", "Other views put right (%)"),
    "kl": ("Divergence elsewhere", "KL divergence on other images"),
}
_RATES = (*_SERIES, "success", "success_before")  # shown in per cent
_MOST_SMOOTHED = 40


@STYLED
def figH_training(training: pd.DataFrame) -> Figure:
    """Mask sparsity, outer divergence and regression loss over the iterations; a row of panels a backbone.

    Args:
        training: Table `training`; without rows where the run took its hypernetworks over (`meta_train.checkpoint`).
    """
    backbones = list(dict.fromkeys(training["backbone"]))
    if not backbones:
        return notice(IMPORTED)
    figure, axes = grid(3 * len(backbones), 3, 3.3, 3.0)
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
    """One column over the iterations."""
    rows = log[["iteration", name]].dropna()
    axis.set_xlabel("Iteration")
    if rows.empty:
        empty(axis, "not recorded")
        return
    _running(axis, rows, name, colour, text)
    if name in _SERIES:
        percent_axis(axis.yaxis)


def _running(
    axis: Axes, rows: pd.DataFrame, name: str, colour: str, text: str | None, line: str = "-"
) -> None:
    """Every iteration pale, the running median strong."""
    scale = 100 if name in _RATES else 1
    window = max(1, min(_MOST_SMOOTHED, len(rows) // 8))
    axis.plot(rows["iteration"], scale * rows[name], color=colour, alpha=0.25, lw=0.8)
    smooth = rows[name].rolling(window, center=True, min_periods=1).median()
    axis.plot(rows["iteration"], scale * smooth, color=colour, lw=1.8, ls=line, label=text)


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


@STYLED
def figI_editor_training(training: pd.DataFrame) -> Figure:
    """Loss of the edit, success on views and divergence of the networks that edit; a row of panels a backbone.

    Args:
        training: Table `editor_training`.
    """
    backbones = list(dict.fromkeys(training["backbone"]))
    if not backbones:
        return notice("No method in this run edits with a trained network, as KE and MEND do.")
    figure, axes = grid(3 * len(backbones), 3, 3.3, 3.0)
    look = methods(training["network"])
    for at, axis in enumerate(axes):
        backbone, name = backbones[at // 3], list(_EDITOR_PANELS)[at % 3]
        title, label = _EDITOR_PANELS[name]
        axis.set_title(panel_title(backbone, backbones, title) if at % 3 == 0 else title)
        axis.set(xlabel="Iteration", ylabel=label)
        log = training[training["backbone"] == backbone].dropna(subset=[name])
        if log.empty:
            empty(axis, "not recorded")
        for network, rows in log.groupby("network", sort=False):
            _running(axis, rows, name, look[str(network)].colour, look[str(network)].words)
            if name == "success":
                _before(axis, rows)
            elif name == "kl":
                _margin(axis, rows, look[str(network)])
        _editor_scale(axis, name, log)
    legend_below(figure, axes)
    return figure


def _editor_scale(axis: Axes, name: str, log: pd.DataFrame) -> None:
    if name in _RATES:
        axis.set_ylim(-3, 103)
    elif len(log) and (log[name] > 0).all():
        axis.set_yscale("log")
        log_axis(axis.yaxis)


def _before(axis: Axes, rows: pd.DataFrame) -> None:
    """The share that is right without an edit."""
    known = rows.dropna(subset=["success_before"])
    if len(known):
        level = 100 * known["success_before"].rolling(_MOST_SMOOTHED, center=True, min_periods=1).mean()
        axis.plot(known["iteration"], level, color=BLACK, lw=1.1, ls=":", label="before the edit")


def _margin(axis: Axes, rows: pd.DataFrame, look: Look) -> None:
    """The divergence that a constrained training allows."""
    known = rows.dropna(subset=["margin"])
    if len(known):
        text = f"{look.words}: divergence allowed"
        axis.plot(
            known["iteration"],
            known["margin"],
            color=look.colour,
            lw=1.2,
            ls="--",
            drawstyle="steps-post",
            label=text,
        )
