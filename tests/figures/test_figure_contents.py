"""What figures show is checked against their tables."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import synthetic
from drawing import DRAW, Tables, empty_run, one_backbone, texts
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

from vitedit.figures.ablations import figJ_ablations
from vitedit.figures.behind import behind
from vitedit.figures.curves import fig4_curves
from vitedit.figures.examples import examples, examples_table, fig6a_examples
from vitedit.figures.gallery import caption, fig3_pretraining, typical_pictures
from vitedit.figures.layers import fig2_layers
from vitedit.figures.masks import fig5a_masks
from vitedit.figures.sheets import figA_natural, halves
from vitedit.figures.sites import figK_sites
from vitedit.figures.style import METHODS, PROPOSED, grid, methods
from vitedit.figures.training import figI_editor_training


def test_legend_names_every_method_once(drawn: Callable[[str], Figure]) -> None:
    (legend,) = drawn("fig4_curves").legends
    assert [text.get_text() for text in legend.get_texts()] == [
        look.words for look in methods([*synthetic.METHODS, "newest"]).values()
    ]


def test_layer_figure_draws_the_table(tables: Tables) -> None:
    """The ring lies on the chosen window, the dashed front goes through the windows on it, bars end at the interval."""
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


def test_the_only_subset_is_not_drawn_twice(tables: Tables) -> None:
    curves = tables["curves"]
    figure = fig4_curves(curves[curves["subset"] != "stage_light"])
    written = texts(figure)
    assert "base · natural images (4 groups)" in written and "all groups" not in written


def test_the_proposed_method_stands_out(drawn: Callable[[str], Figure], tables: Tables) -> None:
    """Thickest, on top, and of many methods the only one whose ends bear their values."""
    axis = drawn("fig4_curves").axes[0]
    ours = METHODS[PROPOSED]
    others = [
        line
        for line in axis.lines
        if str(line.get_label()) not in (ours.words, "") and line.get_marker() != "None"
    ]
    assert len(others) == len(synthetic.METHODS)  # with the unknown one, without the proposed one
    assert all(line.get_linewidth() < ours.width and line.get_zorder() < ours.layer for line in others)
    numbers = {f"{end(synthetic.SPARSITIES):g}" for end in (min, max)}
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
    assert to_hex(lines["default (default)"].get_color()) == METHODS[PROPOSED].colour.lower()
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
    assert "KE of base kept within the allowed divergence in " in said["figI_editor_training"]
    assert "MEND of base kept" not in said["figI_editor_training"]
    assert said["fig6a_examples"] == "6 images, 15 pairs of masks."
    assert "4 groups (natural images), 6 sites" in said["figK_sites"]
    synthetic.write(tmp_path, empty_run(tables))
    assert all(behind(name, tmp_path) for name in DRAW)


def test_pretraining_pictures_are_those_shown(tables: Tables) -> None:
    """Of every group two pictures of either class and three of its own; the number behind the figure is theirs."""
    shown = typical_pictures(tables["gallery"])
    before = shown["role"] == "pretraining"
    classes = shown[before].groupby(["backbone", "group", "label_name"]).size()
    assert (classes == 2).all() and (shown[~before].groupby(["backbone", "group"]).size() == 3).all()
    drawn = sum(bool(axis.images) for axis in fig3_pretraining(tables["gallery"]).axes)
    assert drawn == len(shown) > 0


def test_a_long_text_below_a_picture_is_broken_not_cut() -> None:
    _, (axis,) = grid(1, 1)
    caption(axis, ("triangle spotted", "black"), ("seen: triangle striped", "black"), letters=16)
    written = [axis.get_xlabel().strip(), *(text.get_text() for text in axis.texts)]
    assert written == ["triangle spotted", "seen: triangle", "striped"]


def test_step_sizes_of_both_masks_are_behind_their_figures(tmp_path: Path, tables: Tables) -> None:
    synthetic.write(tmp_path, one_backbone(tables))
    for name in ("fig0_summary", "fig5a_masks"):
        assert "Step sizes: learned mask 0.002, random mask 0.005." in behind(name, tmp_path)
