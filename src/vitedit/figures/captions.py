"""Title and caption of every figure; `workflow/report/<figure>.rst` repeats them for Snakemake's report."""

CAPTIONS: dict[str, tuple[str, str]] = {
    "fig0_summary": (
        "Gain of learned masks",
        "Paired differences in generalization and locality between learned masks and random masks of the same sparsity,"
        " and between learned masks and plain fine-tuning. Means over all groups, bars: 95 % bootstrap intervals over groups."
        " To the right of the line learned masks are better.",
    ),
    "fig1_groups": (
        "Groups of the benchmark",
        "Each row is a group of images on which the model errs in the same way: one image is edited, the others"
        " must be corrected with it. Below each image its label and what the unedited model sees. The last row shows"
        " images that the model only just gets right and that no edit may change. (Paper: Figures A to D.)",
    ),
    "fig3_pretraining": (
        "Pre-training images against benchmark images",
        "Typical pre-training images of the true class and of the class that is seen instead, beside images of the"
        " benchmark. (Paper: Figure 3.)",
    ),
    "tableA_groups": (
        "Size of the benchmark",
        "Images of each group; the dark part of a bar are the edit samples. (Paper: Tables A and B.)",
    ),
    "fig2_layers": (
        "Which layers to edit",
        "Generalization and locality after fine-tuning each run of consecutive feed-forward networks or self-attentions"
        " on one group; bars: 95 % bootstrap intervals over edits. (Paper: Figure 2.)",
    ),
    "figH_training": (
        "Training of the hypernetwork",
        "Sparsity of the searched and of the predicted masks, divergence of the edited from the original prediction, and"
        " regression loss. Pale: every iteration; strong: running median. (Paper: Figure H.)",
    ),
    "figI_editor_training": (
        "Training of the networks that edit",
        "KE and MEND learn to compute an edit themselves: loss of the edit, share of other views of the edit sample that are"
        " right after the edit (dotted: before it), and divergence of predictions on other images (dashed: what KE's training"
        " allows). Pale: every iteration; strong: running median. (Not in the paper.)",
    ),
    "fig4_curves": (
        "Generalization against locality",
        "A line a method, a point a setting, on the first backbone; up and right is better. Numbers are sparsities of the"
        " learned mask. Bars: 95 % bootstrap intervals over groups, faint for the other methods; they are wide because groups"
        " differ, and all methods edit the same groups. (Paper: Figure 4.)",
    ),
    "figF_curves": (
        "Generalization against locality on the other backbone",
        "As the figure before, for the run's other backbones. (Paper: Figure F, ViT-S.)",
    ),
    "fig4b_success": (
        "Success, updates and time of edits",
        "Share of edits after which the edit sample itself is right, mean number of updates and mean time of an edit, failed ones"
        " included, over all groups. A row a method, a point a setting; bars reach from the least to the greatest.",
    ),
    "fig5a_masks": (
        "Learned against random masks",
        "Generalization and locality over the sparsity of the mask, means over all groups; bands: 95 % bootstrap intervals over"
        " groups, of learned and random masks; dashed level: fine-tuning without a mask. Other methods that choose what to change"
        " are shown at the same sparsity. Above: share of the backbone's weights that an edit with a learned mask changes."
        " (Paper: Figure 5a.)",
    ),
    "fig6_specificity": (
        "Specificity of the masks",
        "Left: mean intersection over union of the masks of two images, by their groups. Right: its distribution for pairs of"
        " one group and of different groups. (Paper: Figure 6b.)",
    ),
}
"""Figure -> (title, caption). The caption serves as alternative text too."""
