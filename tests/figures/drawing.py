"""How every figure is drawn from tables, and tables that are awkward to draw."""

from collections.abc import Callable

import numpy as np
import pandas as pd
import synthetic
import synthetic_many
from matplotlib.figure import Figure

from vitedit.figures.ablations import fig5b_samples, figJ_ablations
from vitedit.figures.curves import fig4_curves, fig4b_success, figF_curves
from vitedit.figures.examples import fig6a_examples
from vitedit.figures.gallery import fig0b_groups, fig3_pretraining, tableA_groups, tableB_styles
from vitedit.figures.layers import fig2_layers
from vitedit.figures.many import figL_sequences, figM_combined, figN_conflicts
from vitedit.figures.masks import fig5a_masks
from vitedit.figures.sheets import figA_natural, figB_natural, figC_style, figD_style
from vitedit.figures.sites import figK_sites
from vitedit.figures.specificity import fig6_specificity
from vitedit.figures.summary import fig0_summary
from vitedit.figures.system import fig1_system
from vitedit.figures.training import figH_training, figI_editor_training
from vitedit.measure import many, tabulate

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
    "figL_sequences": lambda t: figL_sequences(t["many_edits"]),
    "figM_combined": lambda t: figM_combined(t["many_edits"]),
    "figN_conflicts": lambda t: figN_conflicts(t["many_edits"], t["conflicts"]),
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


def texts(figure: Figure) -> str:
    """Everything that is written in a figure."""
    figure.draw_without_rendering()
    return "\n".join(text.get_text() for text in figure.findobj(lambda artist: hasattr(artist, "get_text")))  # type: ignore[attr-defined]


def one_group() -> Tables:
    """A run of one group and one edit sample in it; the search was not run and nothing was replayed."""
    made = synthetic.edits({"natural": 1}, ("hypernet", "ft"), count=1)
    pairs = synthetic.masks(1, 2)
    matrix = tabulate.specificity(pairs).assign(backbone="base")
    search = synthetic.training().query("phase == 'search'").head(3)
    first = synthetic_many.many_rows(("hypernet", "ft")).query(
        "count == 1 and way in ['first order', 'merge']"
    )
    return {
        "curves": tabulate.curves(made, 20, 0),
        "differences": tabulate.differences(made, 20, 0),
        "groups": synthetic.groups({"natural": 1}),
        "layers": synthetic.layers().iloc[:0],
        "system": synthetic.system(),
        "sites": synthetic.sites(1),
        "ablations": tabulate.curves(made, 20, 0).assign(
            family="tied", variant="default", default=True, released=False, tried="no"
        ),
        "many_edits": many.summary(first),
        "conflicts": many.conflicts(first),
        "training": search,
        "editor_training": synthetic.editor_training(networks=("mend",)).head(1),
        "masks": pairs,
        "specificity": matrix,
        "overlap": pd.DataFrame([tabulate.overlap(pairs, 0.95, 20, 0)]).assign(backbone="base"),
        "gallery": synthetic.gallery({"natural": 1}),
    }


def with_gaps(tables: Tables) -> Tables:
    """Nothing known of generalization; no logged divergence."""
    lost = ["gr", "gr_low", "gr_high"]
    return tables | {
        "curves": tables["curves"].assign(**dict.fromkeys(lost, np.nan)),
        "differences": tables["differences"].assign(difference=np.nan, low=np.nan, high=np.nan),
        "layers": tables["layers"].assign(**dict.fromkeys(lost, np.nan), on_front=False),
        "many_edits": tables["many_edits"].assign(**dict.fromkeys(lost, np.nan)),
        "conflicts": tables["conflicts"].assign(held=0, lost=0, share=np.nan),
        "training": tables["training"].assign(kl=np.nan),
        "editor_training": tables["editor_training"].assign(kl=np.nan, success_before=np.nan),
    }


def empty_run(tables: Tables) -> Tables:
    """No rows at all."""
    return {name: table.iloc[:0] for name, table in tables.items()}


def one_backbone(tables: Tables) -> Tables:
    """The run without its second backbone."""
    return {name: table[table["backbone"] == "base"] for name, table in tables.items() if name != "inputs"}
