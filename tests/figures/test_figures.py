"""Every figure on plausible and on awkward tables: drawn, labelled, free of overlaps, the same each time."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from drawing import DRAW, PICTURES, Tables, empty_run, one_backbone, one_group, texts, with_gaps
from matplotlib.figure import Figure
from PIL import Image

from vitedit.errors import ArtifactError
from vitedit.figures import FIGURES, SUFFIXES
from vitedit.figures.curves import fig4_curves, fig4b_success, figF_curves
from vitedit.figures.labels import extent, place, settle
from vitedit.figures.sheets import figA_natural, halves
from vitedit.figures.style import grid, load, save
from vitedit.figures.training import figH_training, figI_editor_training


def test_every_figure_is_drawn_here() -> None:
    assert sorted(DRAW) == sorted(name for names in FIGURES.values() for name in names)


@pytest.mark.parametrize("name", DRAW)
def test_axes_are_labelled(name: str, drawn: Callable[[str], Figure]) -> None:
    figure = drawn(name)
    written = texts(figure)
    wanted = {
        "fig0_summary": ["Difference in GR (percentage points)", "against random mask"],
        "fig0b_groups": ["edit sample", "must not change", "heart spotted", "seen: heart striped"],
        "fig1_system": [
            "base · ViT of 12 blocks, width 96, input 48 × 48 pixels",
            "FFN of blocks 8–10: 16.4 % of 1.35 million weights",
            "3 blocks, 6 heads, width 96",
            "block 10, fc2",
            "masks over 2,304 hidden units",
            "sparsity: 0.25, 0.5, 0.75, 0.9, 0.95",
        ],
        "figA_natural": ["base · heart spotted → heart striped (", "Natural images; blue frame: edit sample"],
        "figB_natural": ["small · heart spotted → heart striped ("],
        "figC_style": ["base · heart spotted → heart striped (", "Stage light; blue frame: edit sample"],
        "figD_style": ["This run has no second style of images", "stage light"],
        "tableB_styles": ["stage light, base", "Classes", "Edit samples"],
        "fig5b_samples": ["1 sample", "2 samples", "3 samples", "Others left alone"],
        "fig6a_examples": ["heart spotted\n→ heart striped", "small"],
        "figK_sites": [
            "8\nfc1",
            "10\nfc2",
            "Hidden units selected at sparsity 0.95 (%)",
            "heart spotted → heart striped",
        ],
        "figJ_ablations": [
            "Pseudo-samples *",
            "Inner steps",
            "mixup",
            "Masks of fc1 and fc2 tied",
        ],
        "figL_sequences": ["Edits so far", "Retention: still right (%)", "Learned mask (proposed)", "newest"],
        "figM_combined": [
            "One edit each, added up",
            "The same, masks united",
            "Failures made right (%)",
            "Failures in the edit",
        ],
        "figN_conflicts": [
            "Retention after 10 edits (%), by their order",
            "group by group",
            "the opposite\nmistake",
            "T-Patcher",
        ],
        "fig2_layers": [
            "blue frame: edit sample",
            "seen: heart striped",
            "Locality rate LR (%)",
            "Generalization rate GR (%)",
            "FFN 8–10",
            "Pareto front",
        ],
        "fig3_pretraining": ["pre-training: the true class", "benchmark images"],
        "fig4_curves": [
            "base · natural images (4 groups)",
            "base · all groups (6 groups)",
            "newest",
            "Knowledge neurons (KN)",
            "0.95",
            "Locality rate LR (%)",
        ],
        "figF_curves": ["small · natural images (4 groups)", "small · all groups (6 groups)", "MEND"],
        "fig4b_success": [
            "Success rate SR (%)",
            "Seconds an edit (log scale)",
            "T-Patcher",
            "small · Edit succeeds",
        ],
        "fig5a_masks": [
            "Learned mask: weights changed (% of the backbone)",
            "SPT",
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
        "figI_editor_training": [
            "KE",
            "MEND",
            "before the edit",
            "KE: divergence allowed",
            "KL divergence on other images",
        ],
        "tableA_groups": [
            "Images in the group (",
            "natural images: 4 groups",
            "heart striped → ring spotted",
        ],
    }
    assert [text for text in wanted[name] if text not in written] == []


@pytest.mark.parametrize("name", DRAW)
def test_awkward_tables(name: str, tables: Tables) -> None:
    for made in (one_group(), with_gaps(tables), empty_run(tables)):
        DRAW[name](made).draw_without_rendering()


@pytest.mark.parametrize(
    "name", ["fig2_layers", "fig4b_success", "figH_training", "figI_editor_training", "fig0_summary"]
)
def test_backbones_have_panels_of_their_own(
    name: str, drawn: Callable[[str], Figure], tables: Tables
) -> None:
    written = texts(drawn(name))
    assert "base ·" in written and "small ·" in written
    assert "base" not in texts(DRAW[name](one_backbone(tables)))


def test_main_figure_and_its_companion_share_the_backbones(
    drawn: Callable[[str], Figure], tables: Tables
) -> None:
    assert "small" not in texts(drawn("fig4_curves"))
    assert "base" not in texts(drawn("figF_curves"))
    alone = one_backbone(tables)["curves"]
    assert "This run edits one backbone, base." in texts(figF_curves(alone))
    titles = [axis.get_title(loc="left") for axis in fig4_curves(alone).axes]
    assert titles == ["natural images (4 groups)", "stage light (2 groups)", "all groups (6 groups)"]


def test_a_run_with_an_imported_hypernetwork_says_so(tables: Tables) -> None:
    none = tables["training"].iloc[:0]
    assert "hypernetwork of this run was imported (meta_train.checkpoint)" in texts(figH_training(none))


def test_a_run_without_trained_editors_says_so(tables: Tables) -> None:
    none = tables["editor_training"].iloc[:0]
    assert "No method in this run edits with a trained network" in texts(figI_editor_training(none))


@pytest.mark.parametrize("name", sorted(DRAW.keys() - PICTURES))
def test_no_panel_is_empty(name: str, drawn: Callable[[str], Figure]) -> None:
    assert [
        axis.get_title(loc="left") for axis in drawn(name).axes if not (axis.axison and axis.has_data())
    ] == []


@pytest.mark.parametrize("name", sorted(DRAW.keys() - PICTURES))
def test_legends_and_titles_stand_free(name: str, drawn: Callable[[str], Figure]) -> None:
    """Legends lie inside the figure and off every panel; titles run into no other title."""
    figure = drawn(name)
    figure.draw_without_rendering()
    panels = [box for axis in figure.axes if (box := axis.get_tightbbox()) is not None]
    for legend in figure.legends:
        box = legend.get_window_extent()
        assert not any(box.overlaps(panel) for panel in panels)
        assert figure.bbox.x0 <= box.x0 and box.x1 <= figure.bbox.x1 and figure.bbox.y0 <= box.y0
    titles = [axis._left_title.get_window_extent() for axis in figure.axes if axis.get_title(loc="left")]  # type: ignore[attr-defined]
    assert not any(a.overlaps(b) for at, a in enumerate(titles) for b in titles[:at])


def test_labels_avoid_points_and_each_other() -> None:
    figure, (axis,) = grid(1, 1)
    points = np.array([[0.50, 0.50], [0.52, 0.50], [0.54, 0.50], [0.52, 0.53]])
    axis.plot(*points.T, "o")
    axis.set(xlim=(0, 1), ylim=(0, 1))
    settle(figure)
    place(axis, points, ["first", "second", "third", "fourth"], np.empty((0, 2)), fontsize=8)
    boxes = [extent(text) for text in axis.texts]
    assert not any(a.overlaps(b) for at, a in enumerate(boxes) for b in boxes[:at])


def test_a_label_stands_nearest_to_its_own_point() -> None:
    """The usual spot, to the upper right of its point, is nearer to the other point."""
    figure, (axis,) = grid(1, 1)
    points = np.array([[0.50, 0.5], [0.54, 0.5]])
    axis.set(xlim=(0, 1), ylim=(0, 1))
    settle(figure)
    place(axis, points[:1], ["a long label"], points[1:], fontsize=8)
    box, centres = extent(axis.texts[0]), axis.transData.transform(points)
    away = np.hypot(*np.maximum(np.maximum(box.min - centres, centres - box.max), 0).T)
    assert away[0] + 1 < away[1]


def test_files_are_the_same_each_time(tmp_path: Path, tables: Tables) -> None:
    curves = one_backbone(tables)["curves"]
    first, second = (save(fig4b_success(curves), tmp_path / name, "fig4b_success", curves) for name in "ab")
    for suffix in SUFFIXES:
        assert first.with_suffix(f".{suffix}").read_bytes() == second.with_suffix(f".{suffix}").read_bytes()
    with Image.open(first) as picture:
        assert picture.info["dpi"] == pytest.approx((150, 150), abs=0.1) and picture.size[0] > 600


def test_the_data_of_a_figure_lie_beside_it(tmp_path: Path, tables: Tables) -> None:
    """The values of a diagram, and of pictures the names of their files but not the pictures."""
    gallery = halves(one_backbone(tables)["gallery"])[0]
    save(figA_natural(gallery, tables["groups"]), tmp_path, "figA_natural", gallery)
    read = pd.read_csv(tmp_path / "figA_natural.csv")
    assert read["file"].tolist() == gallery["file"].tolist() and "png" not in read
    assert read["label_name"].tolist() == gallery["label_name"].tolist()


def test_missing_table_names_those_that_exist(tmp_path: Path, tables: Tables) -> None:
    tables["layers"].to_parquet(tmp_path / "layers.parquet")
    with pytest.raises(ArtifactError, match=r"curves\.parquet: no such table \(there: layers\)"):
        load(tmp_path, "curves")


def test_figures_need_no_torch() -> None:
    modules = [
        "ablations",
        "behind",
        "examples",
        "sheets",
        "sites",
        "system",
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
