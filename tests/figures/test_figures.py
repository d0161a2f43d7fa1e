"""Every figure on plausible and on awkward tables; what it shows is checked against the table."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import synthetic
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from PIL import Image

from vitedit.errors import ArtifactError
from vitedit.figures import FIGURES
from vitedit.figures.curves import fig4_curves, fig4b_success
from vitedit.figures.gallery import fig1_groups, fig3_pretraining, tableA_groups
from vitedit.figures.labels import place, settle
from vitedit.figures.layers import fig2_layers
from vitedit.figures.masks import fig5a_masks
from vitedit.figures.specificity import fig6_specificity
from vitedit.figures.style import METHODS, grid, load, methods, save
from vitedit.figures.summary import fig0_summary
from vitedit.figures.training import figH_training
from vitedit.measure import tabulate

Tables = dict[str, pd.DataFrame]

DRAW: dict[str, Callable[[Tables], Figure]] = {
    "fig0_summary": lambda t: fig0_summary(t["differences"]),
    "fig1_groups": lambda t: fig1_groups(t["gallery"]),
    "fig2_layers": lambda t: fig2_layers(t["layers"]),
    "fig3_pretraining": lambda t: fig3_pretraining(t["gallery"]),
    "fig4_curves": lambda t: fig4_curves(t["curves"]),
    "fig4b_success": lambda t: fig4b_success(t["curves"]),
    "fig5a_masks": lambda t: fig5a_masks(t["curves"]),
    "fig6_specificity": lambda t: fig6_specificity(t["specificity"], t["masks"], t["overlap"], t["groups"]),
    "figH_training": lambda t: figH_training(t["training"]),
    "tableA_groups": lambda t: tableA_groups(t["groups"]),
}


def texts(figure: Figure) -> str:
    """Everything that is written in a figure."""
    figure.draw_without_rendering()
    return "\n".join(text.get_text() for text in figure.findobj(lambda artist: hasattr(artist, "get_text")))  # type: ignore[attr-defined]


def test_every_figure_is_drawn_here() -> None:
    assert sorted(DRAW) == sorted(name for names in FIGURES.values() for name in names)


@pytest.mark.parametrize("name", DRAW)
def test_axes_are_labelled(name: str, tables: Tables) -> None:
    figure = DRAW[name](tables)
    written = texts(figure)
    wanted = {
        "fig0_summary": ["Difference in GR (percentage points)", "against random mask"],
        "fig1_groups": ["edit sample", "must not change", "heart spotted", "seen: heart striped"],
        "fig2_layers": ["Locality rate LR (%)", "Generalization rate GR (%)", "FFN 8–10", "Pareto front"],
        "fig3_pretraining": ["pre-training: the true class", "benchmark images"],
        "fig4_curves": [
            "natural images (4 groups)",
            "all groups (6 groups)",
            "newest",
            "0.95",
            "Locality rate LR (%)",
        ],
        "fig4b_success": ["Success rate SR (%)", "gradient mask, sparsity 0.5", "Fine-tuning (FT)"],
        "fig5a_masks": [
            "Weights changed (% of the backbone)",
            "12.4",
            "0.83",
            "Random mask",
            "newest, no mask",
        ],
        "fig6_specificity": [
            "heart spotted → heart striped  1",
            "Intersection over union",
            "(24 pairs)",
            "independent random masks",
        ],
        "figH_training": ["Iteration", "searched masks", "replay of\nstored masks"],
        "tableA_groups": ["Images in the group", "natural images: 4 groups", "heart striped → ring spotted"],
    }
    assert [text for text in wanted[name] if text not in written] == []


def one_group() -> Tables:
    """A run of one group and one edit sample in it; the search was not run and nothing was replayed."""
    made = synthetic.edits({"natural": 1}, ("hypernet", "ft"), count=1)
    pairs = synthetic.masks(1, 2)
    matrix = tabulate.specificity(pairs).assign(backbone="base")
    search = synthetic.training().query("phase == 'search'").head(3)
    return {
        "curves": tabulate.curves(made, 20, 0),
        "differences": tabulate.differences(made, 20, 0),
        "groups": synthetic.groups({"natural": 1}),
        "layers": synthetic.layers().iloc[:0],
        "training": search,
        "masks": pairs,
        "specificity": matrix,
        "overlap": pd.DataFrame([tabulate.overlap(matrix, 0.95, 20, 0)]).assign(backbone="base"),
        "gallery": synthetic.gallery({"natural": 1}),
    }


def with_gaps(tables: Tables) -> Tables:
    """Nothing known of generalization; no logged divergence."""
    lost = ["gr", "gr_low", "gr_high"]
    return tables | {
        "curves": tables["curves"].assign(**dict.fromkeys(lost, np.nan)),
        "differences": tables["differences"].assign(difference=np.nan, low=np.nan, high=np.nan),
        "layers": tables["layers"].assign(**dict.fromkeys(lost, np.nan), on_front=False),
        "training": tables["training"].assign(kl=np.nan),
    }


def empty_run(tables: Tables) -> Tables:
    """No rows at all."""
    return {name: table.iloc[:0] for name, table in tables.items()}


def two_backbones(tables: Tables) -> Tables:
    """The same numbers for a second backbone."""
    return {
        name: pd.concat([table, table.assign(backbone="small")], ignore_index=True)
        for name, table in tables.items()
    }


@pytest.mark.parametrize("name", DRAW)
def test_awkward_tables(name: str, tables: Tables) -> None:
    for made in (one_group(), with_gaps(tables), empty_run(tables)):
        DRAW[name](made).draw_without_rendering()


@pytest.mark.parametrize("name", ["fig2_layers", "fig4b_success", "figH_training"])
def test_backbones_have_panels_of_their_own(name: str, tables: Tables) -> None:
    assert "small" in texts(DRAW[name](two_backbones(tables)))
    assert "base" not in texts(DRAW[name](tables))


def test_layer_figure_draws_the_table(tables: Tables) -> None:
    """The ring lies on the chosen run, the dashed front goes through the runs on it, bars end at the interval."""
    axis = fig2_layers(tables["layers"]).axes[0]
    layers = tables["layers"]
    ring = axis.collections[-1].get_offsets()
    chosen = layers[layers["chosen"]].iloc[0]
    np.testing.assert_allclose(np.asarray(ring), [[100 * chosen["lr"], 100 * chosen["gr"]]])
    front = next(line for line in axis.lines if line.get_label() == "Pareto front")
    on_front = layers[layers["on_front"]].sort_values("lr")
    np.testing.assert_allclose(front.get_xydata(), 100 * on_front[["lr", "gr"]].to_numpy())
    ends = {
        round(float(x), 6)
        for bar in axis.collections[:-1]
        for segment in bar.get_segments()
        for x in segment[:, 0]
    }
    assert {round(100 * value, 6) for value in layers["lr_low"]} <= ends


def test_curves_draw_the_table(tables: Tables) -> None:
    axis = fig4_curves(tables["curves"]).axes[0]
    table = tables["curves"].query("subset == 'natural' and method == 'hypernet'").sort_values("value")
    drawn = [
        line.get_xydata() for line in axis.lines if to_hex(line.get_color()) == METHODS["hypernet"][1].lower()
    ]
    assert any(
        np.allclose(line, 100 * table[["lr", "gr"]].to_numpy()) for line in drawn if len(line) == len(table)
    )


def test_masks_are_compared_at_equal_sparsity(tables: Tables) -> None:
    """Fine-tuning is a level line; learned and random masks stand at the same places."""
    axis = fig5a_masks(tables["curves"]).axes[0]
    lines = {line.get_label(): line for line in axis.lines}
    ft = tables["curves"].query("subset == 'all' and method == 'ft'").iloc[0]
    assert set(lines["Fine-tuning (FT), no mask"].get_ydata()) == {100 * ft["gr"]}
    np.testing.assert_array_equal(
        lines["Random mask"].get_xdata(), lines["Learned mask (proposed)"].get_xdata()
    )
    learned = tables["curves"].query("subset == 'all' and method == 'hypernet'").sort_values("value")
    np.testing.assert_allclose(lines["Learned mask (proposed)"].get_ydata(), 100 * learned["gr"])


def test_a_method_keeps_its_colour() -> None:
    few, many = methods(["ft", "hypernet"]), methods(["newest", "hypernet", "other", "ft"])
    assert few["hypernet"] == many["hypernet"] == METHODS["hypernet"]
    assert few["ft"] == many["ft"] and many["newest"] == methods(["other", "newest"])["newest"]
    colours = [look[1] for look in methods([*METHODS, "newest", "other", "third"]).values()]
    assert len(set(colours)) == len(colours)


def test_labels_avoid_points_and_each_other() -> None:
    figure, (axis,) = grid(1, 1)
    points = np.array([[0.50, 0.50], [0.52, 0.50], [0.54, 0.50], [0.52, 0.53]])
    axis.plot(*points.T, "o")
    axis.set(xlim=(0, 1), ylim=(0, 1))
    settle(figure)
    place(axis, points, ["first", "second", "third", "fourth"], np.empty((0, 2)), fontsize=8)
    boxes = [text.get_window_extent() for text in axis.texts]
    assert not any(a.overlaps(b) for at, a in enumerate(boxes) for b in boxes[:at])


def test_files_are_the_same_each_time(tmp_path: Path, tables: Tables) -> None:
    first, second = (save(fig4b_success(tables["curves"]), tmp_path / name, "fig4b_success") for name in "ab")
    assert first.read_bytes() == second.read_bytes()
    assert first.with_suffix(".pdf").read_bytes() == second.with_suffix(".pdf").read_bytes()
    with Image.open(first) as picture:
        assert picture.info["dpi"] == pytest.approx((150, 150), abs=0.1) and picture.size[0] > 600


def test_missing_table_names_those_that_exist(tmp_path: Path, tables: Tables) -> None:
    tables["layers"].to_parquet(tmp_path / "layers.parquet")
    with pytest.raises(ArtifactError, match=r"curves\.parquet: no such table \(there: layers\)"):
        load(tmp_path, "curves")


def test_figures_need_no_torch() -> None:
    modules = [
        "curves",
        "gallery",
        "layers",
        "masks",
        "specificity",
        "summary",
        "training",
        "words",
        "captions",
        "page_template",
    ]
    code = f"import sys, {', '.join('vitedit.figures.' + name for name in modules)}; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
    light = "import sys, vitedit.figures; assert not {'matplotlib', 'pandas', 'numpy'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", light], check=True)
