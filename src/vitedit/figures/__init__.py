"""Figures, tables in words, and the result page. Everything here reads tables only: no torch, no model, no image set.

The literal tables below are also read by the workflow, so nothing heavy may be imported here.
"""

FIGURES: dict[str, tuple[str, ...]] = {
    "00_overview": ("fig0_summary",),
    "00_system": ("fig1_system",),
    "01_benchmark": ("fig0b_groups", "fig3_pretraining", "tableA_groups", "tableB_styles"),
    "01_examples": ("figA_natural", "figB_natural", "figC_style", "figD_style"),
    "02_layer_search": ("fig2_layers",),
    "03_meta_training": ("figH_training", "figI_editor_training"),
    "04_edits": ("fig4_curves", "figF_curves", "fig4b_success"),
    "05_masks": ("fig5a_masks", "fig5b_samples"),
    "06_specificity": ("fig6a_examples", "fig6_specificity", "figK_sites"),
    "07_ablations": ("figJ_ablations",),
    "08_many_edits": ("figL_sequences", "figM_combined", "figN_conflicts"),
}
"""Notebook -> the figures that it makes, each with the endings of `SUFFIXES`."""

SUFFIXES = ("png", "pdf", "csv")
"""Of a figure's files: the picture, the same for print, and what it shows as a table."""

TABLES: dict[str, tuple[str, ...]] = {
    "claims": ("parquet", "csv"),
    "system": ("parquet", "csv"),
    "edits": ("parquet", "csv"),
    "curves": ("parquet", "csv"),
    "differences": ("parquet", "csv"),
    "groups": ("parquet", "csv"),
    "layers": ("parquet", "csv"),
    "training": ("parquet", "csv"),
    "editor_training": ("parquet", "csv"),
    "masks": ("parquet", "csv"),
    "specificity": ("parquet", "csv"),
    "overlap": ("parquet", "csv"),
    "ablation_edits": ("parquet", "csv"),
    "sites": ("parquet", "csv"),
    "ablations": ("parquet", "csv"),
    "many_edits": ("parquet", "csv"),
    "conflicts": ("parquet", "csv"),
    "inputs": ("parquet", "csv"),
    "gallery": ("parquet",),
    "shown_edits": ("parquet",),
}
"""Table -> its file formats; `vitedit tabulate` writes them all."""
