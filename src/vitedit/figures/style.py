"""One look for all figures: palette, names in words, reading tables, saving figures."""

import re
import textwrap
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple, cast

import matplotlib as mpl
import matplotlib.axis
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib import ticker
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from vitedit.errors import ArtifactError

BEYOND = "beyond the paper"
"""Stands for the figure of a comparison that the paper does not make."""

# Okabe and Ito's colours, which people with any colour vision can tell apart.
BLUE, VERMILION, GREY, GREEN, PURPLE, ORANGE, SKY, BLACK = (
    "#0072B2", "#D55E00", "#858585", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#222222",
)  # fmt: skip


class Look(NamedTuple):
    """How a method is drawn and named in every figure."""

    words: str
    """Name in legends."""
    colour: str
    marker: str
    line: str = "-"
    """Style of the line through its settings."""
    paper: str = BEYOND
    """Where the paper compares with it."""
    size: float = 5.5
    """Size of the marker, points."""
    width: float = 1.3
    """Width of the line, points."""
    layer: float = 2.5
    """What is on a higher layer is drawn on top."""
    hollow: bool = False
    """Whether the marker is an outline."""

    def plot(self, axis: Axes, x: ArrayLike, y: ArrayLike, **changes: Any) -> None:
        """Draws the method's settings; `changes` are matplotlib's."""
        look = {"marker": self.marker, "ls": self.line, "color": self.colour, "label": self.words}
        size = {"lw": self.width, "ms": self.size, "mec": "white", "mew": 0.5, "zorder": self.layer}
        outline = {"mfc": "white", "mec": self.colour, "mew": 1.5} if self.hollow else {}
        axis.plot(x, y, **{**look, **size, **outline, **changes})


PROPOSED = "hypernet"
REFERENCES = ("random_mask", "ft")
"""What the place is worth: random masks of the same sparsity, and no mask at all."""

# Markers and line styles differ where a colour-blind eye sees two colours alike.
METHODS = {
    PROPOSED: Look("Learned mask (proposed)", BLUE, "o", paper="Figure 4", size=7, width=2.8, layer=4),
    "searched_mask": Look("Searched mask", "#00264D", "o", "--", size=7, width=1.8, layer=3, hollow=True),
    "ft": Look("Fine-tuning (FT)", VERMILION, "*", paper="Figure 4", size=13, layer=3.5),
    "ft_l1": Look("FT + ℓ1", "#D9A520", "^", paper="Figure 4"),
    "ft_l2": Look("FT + ℓ2", "#7A3B10", "v", "--", paper="Figure 4"),
    "t_patcher": Look("T-Patcher", "#7D1A5A", "P", "-.", paper="Figure 4", size=6.5),
    "kn": Look("Knowledge neurons (KN)", "#17A67A", "D", paper="Figure 4", size=5),
    "kn_slots": Look("KN, value slots", "#0F5C3A", "d", ":", size=6.5),
    "spt": Look("SPT", "#7C8A00", "h", "--", paper="Figure 4", size=6.5),
    "rome": Look("ROME", "#3B278C", "<", "-.", paper="Figure 4"),
    "x_edit": Look("X-Edit (null space)", "#EB005E", "s", ":", size=6.5, hollow=True),
    "lora": Look("LoRA", "#45BCEB", "p", "--", paper="Figure 4", size=6.5),
    "ke": Look("KE", "#EB8FB5", "X", paper="Figure 4", size=6.5),
    "mend": Look("MEND", "#C832DB", ">", ":", paper="Figure 4"),
    "refine_heads": Look("Heads removed, projection", "#2D1EFF", "D", ":", size=5.5, hollow=True),
    "random_mask": Look("Random mask", GREY, "s", paper="Figure 5a", layer=2.2),
}
SPARE = [
    ("#222222", "H", "--"),
    ("#E0393E", "8", "-."),
    ("#5B7F00", "o", "-"),
    ("#00A0A0", "s", ":"),
    ("#B38B6D", "^", "--"),
    ("#9C8ADE", "D", "-."),
    ("#6F8FAF", "v", ":"),
]
"""Colour, marker and line of methods that nobody knew of, by name."""
WORDS = {
    "natural": "natural images",
    "oil_painting": "oil painting",
    "stage_light": "stage light",
    "all": "all groups",
}
SUBSET_COLOURS = [BLUE, ORANGE, GREEN, PURPLE, SKY, VERMILION, BLACK]

_MOST_COLUMNS = 4  # of a legend

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
    "text.parse_math": False,  # a name may hold dollar signs, carets and underscores
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
def save(figure: Figure, folder: str | Path, name: str, data: pd.DataFrame) -> Path:
    """Writes `<folder>/<name>.png` (150 dpi), `.pdf` and `.csv`, the same bytes for the same figure; returns the picture's path.

    `data` is what the figure shows, a row a point, bar or picture; of pictures the names of their files, not the pictures.
    """
    Path(folder).mkdir(parents=True, exist_ok=True)
    for ending, metadata in (("png", {"Software": None}), ("pdf", {"CreationDate": None})):
        figure.savefig(
            Path(folder) / f"{name}.{ending}",
            dpi=150,
            bbox_inches="tight",
            pad_inches=0.12,
            metadata=metadata,
        )
    data.drop(columns="png", errors="ignore").to_csv(Path(folder) / f"{name}.csv", index=False)
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
    count = max(len(handles), 1)
    columns = -(-count // -(-count // _MOST_COLUMNS))  # rows as equal as they can be
    figure.legend(handles.values(), handles.keys(), loc="outside lower center", ncols=columns)


def methods(names: Iterable[str]) -> dict[str, Look]:
    """Name -> look. Known methods keep theirs in every figure; others take spare ones by name."""
    unique = list(dict.fromkeys(names))
    new = sorted(set(unique) - METHODS.keys())
    spare = {name: Look(name.replace("_", " "), *SPARE[at % len(SPARE)]) for at, name in enumerate(new)}
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


class PowersOfTen(ticker.LogFormatterSciNotation):
    """Ticks of a logarithmic axis in plain text, such as 2×10⁻³, as `text.parse_math` is off."""

    def __call__(self, x: float, pos: int | None = None) -> str:
        """One tick; empty where matplotlib leaves it out."""
        text = re.sub(r"\$\\mathdefault\{(.*)\}\$", r"\1", super().__call__(x, pos)).replace(r"\times", "×")
        return re.sub(r"\^\{(-?\d+)\}", lambda found: found[1].translate(_SUPERSCRIPTS), text)


_SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def log_axis(axis: matplotlib.axis.Axis) -> None:
    """Ticks as powers of ten; for an axis that is logarithmic already."""
    axis.set_major_formatter(PowersOfTen())
    axis.set_minor_formatter(PowersOfTen())


def intervals(axis: Axes, points: pd.DataFrame, look: Look, strength: float) -> None:
    """Bars of both rates around points of the GR-LR plane, behind the points."""
    axis.errorbar(
        percent(points["lr"]),
        percent(points["gr"]),
        xerr=errors(points, "lr"),
        yerr=errors(points, "gr"),
        fmt="none",
        ecolor=(look.colour, strength),
        elinewidth=0.5 + 1.2 * strength,
        zorder=2,
    )


def errors(table: pd.DataFrame, name: str) -> np.ndarray:
    """Distances (2, n) from a rate to the ends of its interval in per cent; zero where there is none."""
    middle = percent(table[name])
    both = np.stack([middle - percent(table[f"{name}_low"]), percent(table[f"{name}_high"]) - middle])
    return np.nan_to_num(both.clip(min=0))


def empty(axis: Axes, text: str) -> None:
    """Says in an empty panel why it is empty."""
    axis.set_axis_off()
    axis.text(0.5, 0.5, text, ha="center", va="center", transform=axis.transAxes, color="#666666")


def notice(text: str) -> Figure:
    """A figure that only says why there is nothing to draw."""
    figure, (axis,) = grid(1, 1, 9.4, 1.1)
    empty(axis, "\n".join(textwrap.fill(line, 100) for line in text.split("\n")))
    return figure
