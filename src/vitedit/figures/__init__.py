"""Figures, tables in words, and the result page. Everything here reads tables only: no torch, no model, no image set.

The two literal tables below are also read by the workflow, so nothing heavy may be imported here.
"""

FIGURES: dict[str, tuple[str, ...]] = {
    "00_overview": ("fig0_summary",),
    "01_benchmark": ("fig1_groups", "fig3_pretraining", "tableA_groups"),
    "02_layer_search": ("fig2_layers",),
    "03_meta_training": ("figH_training", "figI_editor_training"),
    "04_edits": ("fig4_curves", "figF_curves", "fig4b_success"),
    "05_masks": ("fig5a_masks",),
    "06_specificity": ("fig6_specificity",),
}
"""Notebook -> the figures that it makes, each as `<figures>/<name>.png` and `.pdf`."""

TABLES: dict[str, tuple[str, ...]] = {
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
    "ablations": ("parquet", "csv"),
    "gallery": ("parquet",),
}
"""Table -> its file formats; `vitedit tabulate` writes them all."""
