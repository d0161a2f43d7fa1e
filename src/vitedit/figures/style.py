"""One look for all figures: palette, names in words, reading tables, saving figures."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, cast

import matplotlib as mpl
import matplotlib.axis
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib import ticker
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from vitedit.errors import ArtifactError

# Okabe and Ito's colours, which people with any colour vision can tell apart.
BLUE, VERMILION, GREY, GREEN, PURPLE, ORANGE, SKY, BLACK = (
    "#0072B2", "#D55E00", "#7A7A7A", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#222222",
)  # fmt: skip
METHODS = {
    "hypernet": ("Learned mask (proposed)", BLUE, "o"),
    "random_mask": ("Random mask", GREY, "s"),
    "ft": ("Fine-tuning (FT)", VERMILION, "*"),
    "ft_l1": ("FT with l1 penalty", ORANGE, "^"),
    "ft_l2": ("FT with l2 penalty", PURPLE, "v"),
}
SPARE = [
    (GREEN, "D"),
    (SKY, "P"),
    (BLACK, "X"),
    ("#882255", "<"),
    ("#44AA99", ">"),
    ("#999933", "h"),
    ("#332288", "d"),
]
WORDS = {
    "natural": "natural images",
    "oil_painting": "oil painting",
    "stage_light": "stage light",
    "all": "all groups",
}
SUBSET_COLOURS = [BLUE, ORANGE, GREEN, PURPLE, SKY, VERMILION, BLACK]

WIDTH = 860
"""Width of a figure in a notebook, pixels."""

_RC: dict[Any, Any] = {
    "font.family": "DejaVu Sans",
    "font.size": 9.5,
    "axes.titlesize": 10.5,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.labelsize": 9.5,
    "axes.edgecolor": "#555555",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "grid.color": "#E4E4E4",
    "grid.linewidth": 0.7,
    "legend.frameon": False,
    "figure.facecolor": "white",
    "savefig.facecolor": "white",
    "pdf.fonttype": 42,
}

STYLED = mpl.rc_context(cast(Any, sns.axes_style("whitegrid") | _RC))
"""Decorator of every figure function: fonts and lines of the project, without touching anybody's settings."""


def load(folder: str | Path, table: str) -> pd.DataFrame:
    """Reads `<folder>/<table>.parquet`.

    Raises:
        ArtifactError: No such table.
    """
    path = Path(folder) / f"{table}.parquet"
    if not path.is_file():
        present = ", ".join(sorted(p.stem for p in path.parent.glob("*.parquet"))) or "none"
        raise ArtifactError(
            f"{path}: no such table (there: {present}). `snakemake` makes all tables of a run."
        )
    return pd.read_parquet(path)


@STYLED
def save(figure: Figure, folder: str | Path, name: str) -> Path:
    """Writes `<folder>/<name>.png` (150 dpi) and `.pdf`, the same bytes for the same figure; returns the picture's path."""
    Path(folder).mkdir(parents=True, exist_ok=True)
    for ending, metadata in (("png", {"Software": None}), ("pdf", {"CreationDate": None})):
        figure.savefig(
            Path(folder) / f"{name}.{ending}",
            dpi=150,
            bbox_inches="tight",
            pad_inches=0.12,
            metadata=metadata,
        )
    return Path(folder) / f"{name}.png"


def grid(panels: int, columns: int, width: float = 4.2, height: float = 3.6) -> tuple[Figure, list[Axes]]:
    """A figure with `panels` panels in rows of `columns`; sizes in inches a panel."""
    columns = min(columns, panels)
    rows = -(-panels // columns)
    figure = Figure(figsize=(width * columns, height * rows), layout="constrained")
    axes = [figure.add_subplot(rows, columns, at + 1) for at in range(panels)]
    for axis in axes:
        axis.set_axisbelow(True)
    return figure, axes


def legend_below(figure: Figure, axes: Sequence[Axes]) -> None:
    """One legend for all panels, below them."""
    both = [zip(*axis.get_legend_handles_labels(), strict=True) for axis in axes]
    handles = {label: handle for pairs in both for handle, label in pairs}
    columns = min(4, max(len(handles), 1))
    figure.legend(handles.values(), handles.keys(), loc="outside lower center", ncols=columns)


def methods(names: Iterable[str]) -> dict[str, tuple[str, str, str]]:
    """Name -> (words, colour, marker). Known methods keep theirs in every figure; others take spare ones by name."""
    unique = list(dict.fromkeys(names))
    new = sorted(set(unique) - METHODS.keys())
    spare = {name: (name.replace("_", " "), *SPARE[at % len(SPARE)]) for at, name in enumerate(new)}
    return {name: METHODS.get(name) or spare[name] for name in unique}


def words(subset: str) -> str:
    """Name of a subset in words."""
    return WORDS.get(subset, subset.replace("_", " "))


def group_title(label_name: str, predicted_name: str, width: int = 0) -> str:
    """A group in words: "volleyball → basketball" (true class, then what it is taken for), cut to `width` if positive."""
    text = label_name if predicted_name in ("", "various") else f"{label_name} → {predicted_name}"
    return text if not width or len(text) <= width else text[: width - 1] + "…"


def panel_title(backbone: str, backbones: Sequence[str], text: str = "") -> str:
    """Title of a panel; names the backbone only where there are several."""
    return " · ".join(part for part in (backbone if len(set(backbones)) > 1 else "", text) if part)


def percent(values: pd.Series | np.ndarray) -> np.ndarray:
    """Rates in [0, 1] as per cent."""
    return 100 * np.asarray(values, float)


def percent_axis(axis: matplotlib.axis.Axis) -> None:
    """Ticks as plain per cent numbers."""
    axis.set_major_locator(ticker.MaxNLocator(6, steps=[1, 2, 2.5, 5, 10]))
    axis.set_major_formatter(ticker.FormatStrFormatter("%g"))


def errors(table: pd.DataFrame, name: str) -> np.ndarray:
    """Distances (2, n) from a rate to the ends of its interval in per cent; zero where there is none."""
    middle = percent(table[name])
    both = np.stack([middle - percent(table[f"{name}_low"]), percent(table[f"{name}_high"]) - middle])
    return np.nan_to_num(both.clip(min=0))


def empty(axis: Axes, text: str) -> None:
    """Says in an empty panel why it is empty."""
    axis.set_axis_off()
    axis.text(0.5, 0.5, text, ha="center", va="center", transform=axis.transAxes, color="#666666")
