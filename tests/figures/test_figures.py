"""Every figure on plausible and on awkward tables; what it shows is checked against the table."""

import subprocess
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import synthetic
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from PIL import Image

from vitedit.errors import ArtifactError
from vitedit.figures import FIGURES, SUFFIXES
from vitedit.figures.ablations import fig5b_samples, figJ_ablations
from vitedit.figures.behind import behind
from vitedit.figures.curves import fig4_curves, fig4b_success, figF_curves
from vitedit.figures.examples import examples, examples_table, fig6a_examples
from vitedit.figures.gallery import fig0b_groups, fig3_pretraining, tableA_groups, tableB_styles
from vitedit.figures.labels import place, settle
from vitedit.figures.layers import fig2_layers
from vitedit.figures.masks import fig5a_masks
from vitedit.figures.sheets import figA_natural, figB_natural, figC_style, figD_style, halves
from vitedit.figures.sites import figK_sites
from vitedit.figures.specificity import fig6_specificity
from vitedit.figures.style import METHODS, PROPOSED, grid, load, methods, save
from vitedit.figures.summary import fig0_summary
from vitedit.figures.system import fig1_system
from vitedit.figures.training import figH_training, figI_editor_training
from vitedit.measure import tabulate

Tables = dict[str, pd.DataFrame]

DRAW: dict[str, Callable[[Tables], Figure]] = {
    "fig0_summary": lambda t: fig0_summary(t["differences"]),
    "fig0b_groups": lambda t: fig0b_groups(t["gallery"]),
    "fig1_system": lambda t: fig1_system(t["system"]),
    "fig2_layers": lambda t: fig2_layers(t["layers"], t["gallery"]),
    "figA_natural": lambda t: figA_natural(t["gallery"], t["groups"]),
    "figB_natural": lambda t: figB_natural(t["gallery"], t["groups"]),
    "figC_style": lambda t: figC_style(t["gallery"], t["groups"]),
    "figD_style": lambda t: figD_style(t["gallery"], t["groups"]),
    "tableB_styles": lambda t: tableB_styles(t["groups"]),
    "fig5b_samples": lambda t: fig5b_samples(t["ablations"]),
    "fig6a_examples": lambda t: fig6a_examples(t["masks"], t["gallery"]),
    "figK_sites": lambda t: figK_sites(t["sites"], t["groups"]),
    "figJ_ablations": lambda t: figJ_ablations(t["ablations"]),
    "fig3_pretraining": lambda t: fig3_pretraining(t["gallery"]),
    "fig4_curves": lambda t: fig4_curves(t["curves"]),
    "fig4b_success": lambda t: fig4b_success(t["curves"]),
    "figF_curves": lambda t: figF_curves(t["curves"]),
    "fig5a_masks": lambda t: fig5a_masks(t["curves"]),
    "fig6_specificity": lambda t: fig6_specificity(t["specificity"], t["masks"], t["overlap"], t["groups"]),
    "figH_training": lambda t: figH_training(t["training"]),
    "figI_editor_training": lambda t: figI_editor_training(t["editor_training"]),
    "tableA_groups": lambda t: tableA_groups(t["groups"]),
}


PICTURES = {
    *("fig0b_groups", "fig1_system", "fig3_pretraining", "fig6a_examples"),
    *("figA_natural", "figB_natural", "figC_style", "figD_style"),
}
"""Figures without panels of data."""


@pytest.fixture(scope="session")
def drawn(tables: Tables) -> Callable[[str], Figure]:
    """Every figure of the synthetic run, drawn once; for tests that only look at it."""
    return cache(lambda name: DRAW[name](tables))


def texts(figure: Figure) -> str:
    """Everything that is written in a figure."""
    figure.draw_without_rendering()
    return "\n".join(text.get_text() for text in figure.findobj(lambda artist: hasattr(artist, "get_text")))  # type: ignore[attr-defined]


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
            "base · vit_tiny, 12 blocks",
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
            "Pseudo-samples (released results)",
            "Inner steps",
            "mixup",
            "Masks of fc1 and fc2 tied",
        ],
        "fig2_layers": [
            "edit sample",
            "neighbours",
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
        "system": synthetic.system(),
        "sites": synthetic.sites(1),
        "ablations": tabulate.curves(made, 20, 0).assign(
            family="tied", variant="default", default=True, released=False
        ),
        "training": search,
        "editor_training": synthetic.editor_training(networks=("mend",)).head(1),
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
        "editor_training": tables["editor_training"].assign(kl=np.nan, success_before=np.nan),
    }


def empty_run(tables: Tables) -> Tables:
    """No rows at all."""
    return {name: table.iloc[:0] for name, table in tables.items()}


def one_backbone(tables: Tables) -> Tables:
    """The run without its second backbone."""
    return {name: table[table["backbone"] == "base"] for name, table in tables.items() if name != "inputs"}


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


def test_legend_names_every_method_once(drawn: Callable[[str], Figure]) -> None:
    (legend,) = drawn("fig4_curves").legends
    assert [text.get_text() for text in legend.get_texts()] == [
        look.words for look in methods([*synthetic.METHODS, "newest"]).values()
    ]


def test_layer_figure_draws_the_table(tables: Tables) -> None:
    """The ring lies on the chosen run, the dashed front goes through the runs on it, bars end at the interval."""
    layers = one_backbone(tables)["layers"]
    axis = fig2_layers(layers, tables["gallery"]).axes[0]
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


def test_curves_draw_the_table(drawn: Callable[[str], Figure], tables: Tables) -> None:
    curves = tables["curves"]
    for name, backbone in (("fig4_curves", "base"), ("figF_curves", "small")):
        lines = {str(line.get_label()): line for line in drawn(name).axes[0].lines}
        natural = curves[(curves["backbone"] == backbone) & (curves["subset"] == "natural")]
        for method in ("hypernet", "mend", "ft"):
            rows = natural[natural["method"] == method]
            line, table = lines[METHODS[method].words], rows.sort_values("value")
            np.testing.assert_allclose(line.get_xydata(), 100 * table[["lr", "gr"]].to_numpy())
            assert to_hex(line.get_color()) == METHODS[method].colour.lower()


def test_the_proposed_method_stands_out(drawn: Callable[[str], Figure], tables: Tables) -> None:
    """Thickest, on top, and of many methods the only one whose points bear their values."""
    axis = drawn("fig4_curves").axes[0]
    ours = METHODS[PROPOSED]
    others = [
        line
        for line in axis.lines
        if str(line.get_label()) not in (ours.words, "") and line.get_marker() != "None"
    ]
    assert len(others) == len(synthetic.METHODS)  # with the unknown one, without the proposed one
    assert all(line.get_linewidth() < ours.width and line.get_zorder() < ours.layer for line in others)
    numbers = {f"{value:g}" for value in synthetic.SPARSITIES}
    assert sorted(text.get_text() for text in axis.texts if text.get_text()[0].isdigit()) == sorted(numbers)
    few = tables["curves"].query("method in ['hypernet', 'random_mask', 'ft']")
    written = [text.get_text() for text in fig4_curves(few).axes[0].texts]
    assert sorted(text for text in written if text in numbers) == sorted([*numbers, *numbers])


def test_success_spans_the_settings(drawn: Callable[[str], Figure], tables: Tables) -> None:
    """A row a method: points are the table's values, the bar ends at the least and the greatest."""
    axes = drawn("fig4b_success").axes
    table = tables["curves"].query("subset == 'all' and backbone == 'small'")
    shown = list(dict.fromkeys(table["method"]))
    for axis, name, scale in zip(axes[3:], ("sr", "steps", "seconds"), (100, 1, 1), strict=True):
        for row, method in enumerate(shown):
            values = scale * table.loc[table["method"] == method, name].to_numpy()
            bar, points = (line for line in axis.lines if set(line.get_ydata()) == {row})
            np.testing.assert_allclose(bar.get_xdata(), [values.min(), values.max()])
            np.testing.assert_allclose(points.get_xdata(), values)
    assert [axis.get_xscale() for axis in axes[3:]] == ["linear", "linear", "log"]
    assert [text.get_text() for text in axes[3].get_yticklabels()] == [
        look.words for look in methods(shown).values()
    ]


def test_editor_training_draws_the_table(tables: Tables) -> None:
    """Every iteration, the running median between its extremes, and the margin of the network that has one."""
    log = one_backbone(tables)["editor_training"]
    loss, success, divergence = figI_editor_training(log).axes
    ke = log[log["network"] == "ke"]
    np.testing.assert_allclose(loss.lines[0].get_ydata(), ke["loss_edit"])
    named = {line.get_label(): line for line in divergence.lines}
    np.testing.assert_allclose(named["KE: divergence allowed"].get_ydata(), ke["margin"])
    assert not [text for text in named if str(text).startswith("MEND:")]
    smooth = np.asarray({line.get_label(): line for line in success.lines}["KE"].get_ydata())
    assert smooth.max() < 100 * ke["success"].max() and smooth[-50:].mean() > smooth[:50].mean() + 20


def test_masks_are_compared_at_equal_sparsity(tables: Tables) -> None:
    """Fine-tuning is a level line; learned and random masks stand at the same places."""
    curves = one_backbone(tables)["curves"]
    axis = fig5a_masks(curves).axes[0]
    lines = {line.get_label(): line for line in axis.lines}
    ft = curves.query("subset == 'all' and method == 'ft'").iloc[0]
    assert set(lines["Fine-tuning (FT), no mask"].get_ydata()) == {100 * ft["gr"]}
    np.testing.assert_array_equal(
        lines["Random mask"].get_xdata(), lines["Learned mask (proposed)"].get_xdata()
    )
    learned = curves.query("subset == 'all' and method == 'hypernet'").sort_values("value")
    np.testing.assert_allclose(lines["Learned mask (proposed)"].get_ydata(), 100 * learned["gr"])


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


def test_every_natural_group_is_on_one_sheet(tables: Tables) -> None:
    first, second = halves(tables["gallery"])
    places = ["backbone", "group"]
    both = pd.concat([first, second])[places].drop_duplicates()
    natural = tables["gallery"].query("subset == 'natural'")[places].drop_duplicates()
    assert sorted(map(tuple, both.to_numpy())) == sorted(map(tuple, natural.to_numpy()))
    assert first.merge(second, on=places).empty
    shown = figA_natural(tables["gallery"], tables["groups"])
    assert sum(bool(axis.images) for axis in shown.axes) == len(first)


def test_search_shows_images_of_the_searched_group(tables: Tables) -> None:
    layers, gallery = one_backbone(tables)["layers"], one_backbone(tables)["gallery"]
    other = gallery.query("subset == 'natural'")["group"].unique()[1]
    figure = fig2_layers(layers.assign(group=other), gallery)
    name = gallery.loc[gallery["group"] == other, "label_name"].iloc[0]
    pictures = [axis for axis in figure.axes if axis.images]
    assert len(pictures) == 6 and all(axis.get_xlabel().strip() == name for axis in pictures)


def test_example_masks_are_those_of_the_pictures(tables: Tables) -> None:
    masks, gallery = one_backbone(tables)["masks"], one_backbone(tables)["gallery"]
    images = examples(masks, gallery)
    assert images.groupby("group").size().tolist() == [2, 2, 2]
    written = {text.get_text() for axis in fig6a_examples(masks, gallery).axes for text in axis.texts}
    for row in examples_table(masks, gallery).to_dict("records"):
        sides = [(row[f"group_{side}"], row[f"file_{side}"]) for side in "ab"]
        found = [
            pair["iou"]
            for pair in masks.to_dict("records")
            if {(pair[f"group_{side}"], pair[f"file_{side}"]) for side in "ab"} == set(sides)
        ]
        assert found == [row["iou"]] and f"{row['iou']:.2f}" in written


def test_sites_are_drawn_in_per_cent(tables: Tables) -> None:
    sites = one_backbone(tables)["sites"]
    axis = figK_sites(sites, tables["groups"]).axes[0]
    shares = np.asarray(axis.collections[0].get_array()).ravel()
    np.testing.assert_allclose(shares, 100 * sites["share"])


def test_ablations_draw_the_table_and_name_what_is_missing(tables: Tables) -> None:
    ablations = tables["ablations"]
    some = ablations[ablations["family"].isin(["tied", "blocks"])]
    figure = figJ_ablations(some)
    assert [axis.get_title(loc="left") for axis in figure.axes] == [
        "Blocks of the hypernetwork",
        "Masks of fc1 and fc2 tied",
    ]
    written = texts(figure)
    assert "snakemake appendix" in written and "pseudo-samples, weight of the sparsity" in written
    rows = some.query("family == 'tied' and variant == 'tied' and subset == 'all' and backbone == 'base'")
    lines = {str(line.get_label()): line for line in figure.axes[1].lines}
    np.testing.assert_allclose(lines["tied"].get_xdata(), 100 * rows.sort_values("value")["lr"])
    assert to_hex(lines["default"].get_color()) == METHODS[PROPOSED].colour.lower()
    assert "snakemake appendix" in texts(figJ_ablations(ablations.iloc[:0]))


def test_numbers_behind_a_figure_are_counted(tmp_path: Path, tables: Tables) -> None:
    synthetic.write(tmp_path, one_backbone(tables))
    said = {name: behind(name, tmp_path) for name in DRAW}
    edits, groups = one_backbone(tables)["edits"], one_backbone(tables)["groups"]
    settings = len(edits[["method", "setting"]].drop_duplicates())
    assert said["fig4_curves"] == (
        f"{len(edits):,} edits: 24 edit samples of 6 groups ({groups['images'].sum()} images), "
        f"{edits['method'].nunique()} methods in {settings} settings."
    )
    assert said["figF_curves"] == said["figD_style"] == "Nothing is shown."
    assert said["fig2_layers"].startswith("400 edits: 20 edit samples of one group")
    assert said["figA_natural"].startswith("8 pictures; 2 groups of")
    assert said["fig6a_examples"] == "6 images, 15 pairs of masks."
    assert "4 groups (natural images), 6 sites" in said["figK_sites"]
    synthetic.write(tmp_path, empty_run(tables))
    assert all(behind(name, tmp_path) for name in DRAW)


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
