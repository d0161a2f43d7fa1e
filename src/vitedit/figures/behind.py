"""The numbers of images, groups and edits behind each figure, computed from the run's tables."""

from collections.abc import Callable
from pathlib import Path

import pandas as pd

from vitedit.figures.ablations import SAMPLES, appendix, family
from vitedit.figures.examples import examples_table
from vitedit.figures.gallery import typical_pictures
from vitedit.figures.layers import searched_images
from vitedit.figures.many import combined, orders, sequences
from vitedit.figures.sheets import NATURAL, halves, style_pictures
from vitedit.figures.style import PROPOSED, REFERENCES, load, methods, words

Read = Callable[[str], pd.DataFrame]
"""Reads a table of the run by its name."""

NOTHING = "Nothing is shown."
_MASKED = (PROPOSED, "random_mask")


def behind(name: str, folder: str | Path) -> str:
    """A sentence: how many images, groups and edits a figure rests on.

    Args:
        name: The figure.
        folder: The run's tables.

    Raises:
        KeyError: No such figure.
        ArtifactError: A table is missing.
    """
    return _COUNTED[name](lambda table: load(folder, table)) or NOTHING


def _count(number: int, thing: str) -> str:
    """1 group, 2 groups, 1,500 images."""
    return f"{number:,} {thing}{'s' * (number != 1)}"


def _sentences(parts: list[tuple[str, str]]) -> str:
    """A sentence a backbone, named where there are several."""
    return " ".join(f"{backbone}: {text}." if len(parts) > 1 else f"{text}." for backbone, text in parts)


def _edits(read: Read, kept: Callable[[pd.DataFrame], pd.Series] | None = None) -> str:
    """Edits, by methods, samples and groups, and the images of these groups."""
    edits, groups = read("edits"), read("groups")
    edits = edits[kept(edits)] if kept else edits
    return _per_backbone(edits, groups)


def _per_backbone(edits: pd.DataFrame, groups: pd.DataFrame) -> str:
    parts = []
    for backbone, rows in edits.groupby("backbone", sort=False):
        places = rows[["subset", "group"]].drop_duplicates()
        images = groups[groups["backbone"] == backbone].merge(places)["images"].sum()
        samples = len(rows[["subset", "group", "edit"]].drop_duplicates())
        settings = len(rows[["method", "setting"]].drop_duplicates())
        text = (
            f"{_count(len(rows), 'edit')}: {_count(samples, 'edit sample')} of {_count(len(places), 'group')}"
        )
        text += f" ({_count(int(images), 'image')}), {_count(rows['method'].nunique(), 'method')} in"
        parts.append((str(backbone), f"{text} {_count(settings, 'setting')}"))
    return _sentences(parts)


def _step_sizes(system: pd.DataFrame) -> str:
    """Step sizes of learned and of random masks, each its own; the same for all backbones of a run."""
    known = dict(pair.split("=") for pair in " ".join(system["step_sizes"].head(1)).split())
    look = methods(known)
    each = [f"{look[name].words.split(' (')[0].lower()} {known[name]}" for name in _MASKED if name in known]
    return f" Step sizes: {', '.join(each)}." if each else ""


def _main(edits: pd.DataFrame) -> pd.Series:
    return edits["backbone"].isin(edits["backbone"].iloc[:1])


def _others(edits: pd.DataFrame) -> pd.Series:
    return ~_main(edits)


def _compared(edits: pd.DataFrame) -> pd.Series:
    return edits["method"].isin([PROPOSED, *REFERENCES])


def _at_sparsities(edits: pd.DataFrame) -> pd.Series:
    return (edits["knob"] == "sparsity") | edits["value"].isna()


def _pictures(pictures: pd.DataFrame, groups: pd.DataFrame) -> str:
    """Pictures shown, of groups of so many images."""
    grouped = pictures[pictures["group"] != ""]
    places = grouped[["backbone", "subset", "group"]].drop_duplicates()
    images = int(groups.merge(places)["images"].sum())
    if pictures.empty:
        return ""
    return f"{_count(len(pictures), 'picture')}; {_count(len(places), 'group')} of {_count(images, 'image')}."


def _groups(groups: pd.DataFrame) -> str:
    parts = []
    for backbone, part in groups.groupby("backbone", sort=False):
        images, edits = int(part["images"].sum()), int(part["edits"].sum())
        text = f"{_count(len(part), 'group')} of {_count(images, 'image')}, {_count(edits, 'edit sample')}"
        parts.append((str(backbone), text))
    return _sentences(parts)


def _search(read: Read) -> str:
    """Edits of the layer search."""
    layers, groups = read("layers"), read("groups")
    parts = []
    for backbone, part in layers.groupby("backbone", sort=False):
        images = groups[groups["backbone"] == backbone].merge(part[["subset", "group"]].drop_duplicates())
        text = f"{_count(int(part['edits'].sum()), 'edit')}: {_count(int(part['edits'].max()), 'edit sample')} of one group"
        of = f" ({_count(int(images['images'].sum()), 'image')})" if len(images) else ""
        parts.append((str(backbone), f"{text}{of}, {_count(len(part), 'window')} of blocks"))
    pictures = len(searched_images(layers, read("gallery")))
    return f"{_sentences(parts)} {_count(pictures, 'picture')} shown." if parts else ""


def _iterations(log: pd.DataFrame, by: list[str]) -> str:
    parts = []
    for backbone, part in log.groupby("backbone", sort=False):
        each = [f"{name} {rows:,}" for name, rows in part.groupby(by, sort=False).size().items()]
        parts.append((str(backbone), f"Iterations: {', '.join(each)}"))
    return _sentences(parts)


def _editor_training(log: pd.DataFrame) -> str:
    """Iterations, and in how many of them a constrained training kept its constraint."""
    parts = [_iterations(log, ["network"])]
    bounded = log.dropna(subset=["kl", "margin"])
    for (backbone, network), rows in bounded.groupby(["backbone", "network"], sort=False):
        name = methods([network])[network].words
        met = int((rows["kl"] <= rows["margin"]).sum())
        parts.append(
            f"{name} of {backbone} kept within the allowed divergence in {met:,} of {len(rows):,} iterations."
        )
    return " ".join(parts)


def _masks(read: Read) -> str:
    masks = read("masks")
    parts = []
    for backbone, pairs in masks.groupby("backbone", sort=False):
        groups = {*pairs["group_a"], *pairs["group_b"]}
        images = {*pairs["edit_a"], *pairs["edit_b"]}
        text = f"{_count(len(pairs), 'pair')} of masks of {_count(len(images), 'image')} in {_count(len(groups), 'group')}"
        parts.append((str(backbone), text))
    return _sentences(parts)


def _sites(sites: pd.DataFrame) -> str:
    parts = []
    for backbone, part in sites.groupby("backbone", sort=False):
        masks = int(part.drop_duplicates(["subset", "group"])["masks"].sum())
        subset = words(str(part["subset"].iloc[0]))
        text = (
            f"{_count(masks, 'mask')}, one an image, in {_count(part['group'].nunique(), 'group')} ({subset})"
        )
        parts.append((str(backbone), f"{text}, {_count(part['site'].nunique(), 'site')}"))
    return _sentences(parts)


def _examples(read: Read) -> str:
    table = examples_table(read("masks"), read("gallery"))
    sides = [table[["backbone", f"group_{side}", f"file_{side}"]].to_numpy().tolist() for side in "ab"]
    images = {tuple(image) for side in sides for image in side}
    return f"{_count(len(images), 'image')}, {_count(len(table), 'pair')} of masks." if images else ""


def _ablations(table: pd.DataFrame) -> str:
    """Edits of a point, and points."""
    if table.empty:
        return ""
    least, most = int(table["edits"].min()), int(table["edits"].max())
    edits = _count(most, "edit") if least == most else f"{least:,} to {_count(most, 'edit')}"
    groups = int(table["groups"].max())
    variants = len(table[["family", "variant"]].drop_duplicates())
    points = f"{_count(len(table), 'point')} of {_count(variants, 'variant')}"
    return f"{points}, each the mean of {edits} in {_count(groups, 'group')}."


def _sequences(table: pd.DataFrame) -> str:
    """Methods, and edits of each."""
    if table.empty:
        return ""
    each = _count(int(table["count"].max()), "edit")
    return f"{_count(table['method'].nunique(), 'method')}, {each} one after another with each."


def _combined(table: pd.DataFrame) -> str:
    """Methods, and edits behind a point."""
    if table.empty:
        return ""
    sizes = _count(int(table["count"].max()), "failure")
    each = _count(int(table["edits"].max()), "edit")
    return f"{_count(table['method'].nunique(), 'method')}; {each} a point, from up to {sizes}."


def _conflicts(read: Read) -> str:
    """Orders and edits, and pairs of an earlier and a later edit."""
    table, pairs = orders(read("many_edits")), read("conflicts")
    if table.empty:
        return ""
    edits = _count(int(table["count"].iloc[0]), "edit")
    held = int(pairs.groupby("method")["held"].sum().max())
    text = (
        f"{_count(table['method'].nunique(), 'method')}; {edits} in {_count(table['way'].nunique(), 'order')}"
    )
    return (
        f"{text}; up to {_count(held, 'pair')} of a later edit and an earlier one that held, with a method."
    )


def _typical(read: Read) -> str:
    shown = typical_pictures(read("gallery"))
    typical = int((shown["role"] == "pretraining").sum())
    places = shown[["backbone", "subset", "group"]].drop_duplicates()
    return (
        f"{_count(typical, 'pre-training picture')} and {_count(len(shown) - typical, 'picture')}"
        f" of {_count(len(places), 'group')} shown. {_groups(read('groups'))}"
    )


def _styles(read: Read) -> str:
    groups = read("groups")
    return _groups(groups[groups["subset"] != NATURAL])


_COUNTED: dict[str, Callable[[Read], str]] = {
    "fig0_summary": lambda read: _edits(read, _compared) + _step_sizes(read("system")),
    "fig0b_groups": lambda read: _groups(read("groups")),
    "fig1_system": lambda read: _groups(read("groups")),
    "fig2_layers": _search,
    "fig3_pretraining": _typical,
    "tableA_groups": lambda read: _groups(read("groups")),
    "tableB_styles": _styles,
    "figA_natural": lambda read: _pictures(halves(read("gallery"))[0], read("groups")),
    "figB_natural": lambda read: _pictures(halves(read("gallery"))[1], read("groups")),
    "figC_style": lambda read: _pictures(style_pictures(read("gallery"), 0), read("groups")),
    "figD_style": lambda read: _pictures(style_pictures(read("gallery"), 1), read("groups")),
    "figH_training": lambda read: _iterations(read("training"), ["phase"]),
    "figI_editor_training": lambda read: _editor_training(read("editor_training")),
    "fig4_curves": lambda read: _edits(read, _main),
    "figF_curves": lambda read: _edits(read, _others),
    "fig4b_success": _edits,
    "fig5a_masks": lambda read: _edits(read, _at_sparsities) + _step_sizes(read("system")),
    "fig5b_samples": lambda read: _ablations(family(read("ablations"), SAMPLES)),
    "fig6a_examples": _examples,
    "fig6_specificity": _masks,
    "figK_sites": lambda read: _sites(read("sites")),
    "figJ_ablations": lambda read: _ablations(appendix(read("ablations"))),
    "figL_sequences": lambda read: _sequences(sequences(read("many_edits"))),
    "figM_combined": lambda read: _combined(combined(read("many_edits"))),
    "figN_conflicts": _conflicts,
}
"""Figure -> what counts what is behind it."""
