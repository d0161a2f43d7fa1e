"""Title and caption of every figure; `workflow/report/<figure>.rst` repeats them for Snakemake's report."""

CAPTIONS: dict[str, tuple[str, str]] = {
    "fig0_summary": (
        "Gain of learned masks",
        "Paired differences in generalization and locality between learned masks and random masks of the same sparsity (share"
        " of the hidden units of all edited matrices that a mask freezes), and between learned masks and plain fine-tuning;"
        " each kind of mask with a step size of its own. Means over all groups, bars: 95 % bootstrap intervals over groups. To"
        " the right of the line learned masks are better.",
    ),
    "fig1_system": (
        "The system",
        "What this run edits, drawn from its configuration and its models. The hypernetwork reads the CLS token of the edit"
        " sample and scores every hidden unit of the edited matrices; those with the highest scores may change (blue,"
        " drawn by chance), the others stay. Masked fine-tuning then puts the edit sample right. (Paper: Figure 1.)",
    ),
    "fig0b_groups": (
        "Groups of the benchmark",
        "Each row is a group of images on which the model errs in the same way: one image is edited, the others must be"
        " corrected with it. Below each image its label and what the unedited model sees. The last row of each backbone shows"
        " images that the model only just gets right and that no edit may change. (As the paper's Figures A to D, in brief.)",
    ),
    "figA_natural": (
        "Natural groups, first half",
        "The edit sample of every group and up to three of its neighbours; above them the true class, what it is taken for,"
        " and the number of images. Where a group is taken for several classes, each image says for which. Where groups come"
        " from the MAD competition, the true class is what the stronger model says, so a few images show another. (Paper:"
        " Figure A.)",
    ),
    "figB_natural": (
        "Natural groups, second half",
        "As the figure before. (Paper: Figure B.)",
    ),
    "figC_style": (
        "Groups of the first style",
        "Edit sample and neighbours of the groups of generated images in the first configured style, as in the figures before;"
        " of many groups the first 24. (Paper: Figure C, oil painting.)",
    ),
    "figD_style": (
        "Groups of the second style",
        "As the figure before, for the second configured style. (Paper: Figure D, stage light.)",
    ),
    "tableB_styles": (
        "Size of the generated subsets",
        "Classes, images and edit samples of each style that this run edits. (Paper: Table B.)",
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
        "Left: images of the searched group, with their label and what the unedited model sees. Right: generalization and"
        " locality after fine-tuning each window of consecutive feed-forward networks or self-attentions on it, numbered by its"
        " blocks; bars: 95 % bootstrap intervals over edits. (Paper: Figure 2.)",
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
        "A line a method, a point a setting, on the first backbone; up and right is better. Numbers are the least and the"
        " greatest sparsity of the learned mask. Bars: 95 % bootstrap intervals over groups, faint for the other methods; they"
        " are wide because groups differ, and all methods edit the same groups. The searched mask, where it is shown, comes"
        " from a mask search on the edit sample itself, which is what the hypernetwork learns to predict. (Paper: Figure 4.)",
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
        "Generalization and locality over the sparsity of the mask, the share of the hidden units of all edited matrices that"
        " it freezes; sparsities stand evenly, so this axis is not to scale. Learned and random masks have each a step size of"
        " their own. Means over all groups; bands: 95 % bootstrap intervals over groups, of learned and random masks; dashed"
        " level: fine-tuning without a mask. Other methods that choose what to change are shown at the same sparsity. Above:"
        " share of the backbone's weights that an edit with a learned mask changes. (Paper: Figure 5a.)",
    ),
    "fig5b_samples": (
        "One, two and three samples",
        "Generalization and locality of learned masks over their sparsity, when an edit is made from one or from several images"
        " of the same failure; means over all groups, bands: 95 % bootstrap intervals over groups. The default is the"
        " number of samples that the other figures use. (Paper: Figure 5b.)",
    ),
    "fig6a_examples": (
        "Masks of six images",
        "Two images of each of three groups, and the intersection over union of the masks of every two of them; darker is more."
        " Specific masks overlap more within the pairs beside the diagonal. (Paper: Figure 6a.)",
    ),
    "fig6_specificity": (
        "Specificity of the masks",
        "Left: mean intersection over union of the masks of two images, by their groups. Right: its distribution for pairs of"
        " one group and of different groups. (Paper: Figure 6b.)",
    ),
    "figK_sites": (
        "Where the edits sit",
        "Share of each edited matrix's hidden units (rows of fc1 or qkv, columns of fc2 or proj) that the masks of a group's"
        " images select. Random masks would select about the same share everywhere, one minus the sparsity. (Not in the paper.)",
    ),
    "figJ_ablations": (
        "Ablations",
        "Generalization against locality of learned masks when one choice of the method differs from the default (thick"
        " blue): a panel a choice, a line a value tried, a point a sparsity, means over the groups that all variants edited."
        " Bars: 95 % bootstrap intervals over groups. All hypernetworks here, that of the default too, are trained for as long"
        " as `ablation_budget` says; where that is shorter than the main training, the default is not the learned mask of the"
        " other figures. (Paper: appendix.)",
    ),
    "figL_sequences": (
        "Edits one after another",
        "One model is edited again and again, each time from a failure of its own, with every method at the middle value of its"
        " knob. Over the number of edits so far: share of edit samples that were right directly after their own edit; retention,"
        " the share of these that are still right; generalization to neighbours, other images with the same true and predicted"
        " class, none of which was ever edited; locality near the decision boundary; and other images that were right before any"
        " edit. Released results are marked. (Not in the paper.)",
    ),
    "figM_combined": (
        "One edit from many failures",
        "One edit is made from several failures of any class at once: by one run of the method on all of them, for learned"
        " masks also with the masks of the single failures united instead of their scores averaged, or by an edit for each"
        " failure, all added up. Lines: means over edits from failures of their own; bands: least and greatest. Methods that"
        " edit one class at a time can only be added up. (Not in the paper.)",
    ),
    "figN_conflicts": (
        "Order and conflicts",
        "Left: retention after the same edits in several random orders, and group by group (rings). Right: of the earlier edits"
        " that still held, the share that a single later edit undid, by what the later edit teaches: the same mistake, another"
        " mistake of the same class, the opposite mistake, a mistake that moves images out of the earlier edit's class or into"
        " the class it was taken for, or none of these. (Not in the paper.)",
    ),
}
"""Figure -> (title, caption). The caption serves as alternative text too."""
