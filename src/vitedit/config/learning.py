"""Where edits are allowed, how long they may take, and what is learned once a backbone."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from vitedit.config.section import File, Fraction, Lax, Name, Positive, Rate, Section, Unique


class SitesConfig(Section):
    """Which weight matrices may be edited."""

    blocks: Annotated[list[Annotated[int, Field(ge=0)]], Field(min_length=1), Unique] | None = None
    """0-based blocks, or null to take those that the layer search chose. The paper's 8th-10th FFN is [7, 8, 9]."""
    part: Literal["mlp", "attn"] = "mlp"
    """FFN or self-attention matrices; used when `blocks` is given."""


class DescentConfig(Section):
    """Budget and stop rule of every method (published code)."""

    max_steps: Positive = 100
    """Most updates of one edit."""
    stop_loss: Rate = 0.01
    """Stop once the cross-entropy is below and the prediction is right."""


class SearchConfig(Section):
    """Greedy search over windows of consecutive blocks (paper Fig. 2)."""

    learning_rate: Rate = 2e-5
    """RMSprop step size of the fine-tuning that compares the windows."""
    subset: Name = "natural"
    """Subset of the group that is used."""
    group: str | None = None
    """Name of the group; null takes the largest."""
    window: Positive = 3
    """Consecutive blocks that are edited together."""
    max_edits: Positive = 20
    """Edit samples."""
    bootstrap: Positive = 2000
    """Resamples of the confidence intervals."""


class PseudoConfig(Section):
    """Pseudo-samples (paper section 3.3)."""

    images: Name
    """Pre-training images."""
    strategy: Literal["cutmix", "mixup", "cutout", "crop", "noise", "none"] = "cutmix"
    """How an image becomes a pseudo-sample: CutMix, or another way of the appendix (`vitedit.data.strategies`)."""
    scale: Annotated[tuple[Fraction, Fraction], Lax] = (0.25, 1.0)
    """Share of the area that a random crop keeps."""
    patches: Annotated[tuple[Positive, Positive], Lax] = (3, 8)
    """Least and greatest side of the pasted rectangle, in ViT patches."""

    @model_validator(mode="after")
    def _ordered(self) -> "PseudoConfig":
        if self.patches[0] > self.patches[1] or self.scale[0] > self.scale[1]:
            raise ValueError("`patches` and `scale` are [least, greatest]")
        return self


class ReplayConfig(Section):
    """Regression on stored searched masks (not in the paper; makes short meta-trainings specific)."""

    steps: Positive
    """Regression steps after the searches."""
    batch_size: Positive = 32
    """Stored pairs a step."""


class MaskSearchConfig(Section):
    """The bilevel search of one sample's mask (paper eq. 2-3; published code)."""

    temperature: Rate = 5.0
    """Temperature T of the Kullback-Leibler divergence."""
    inner_steps: Positive = 5
    """Gradient steps of the inner loop."""
    inner_learning_rate: Rate = 1e-3
    """Step size of the inner loop."""
    search_steps: Positive = 10
    """RMSprop steps on the free mask logits."""
    search_learning_rate: Rate = 0.1
    """Step size of the mask search."""
    sparsity_weight: Annotated[float, Field(ge=0)] = 0.125
    """Weight lambda of a sample's mean mask; the published code's 1.0 a batch of 8 is 0.125 a sample (deviation D9)."""
    tied: bool = False
    """One mask for the rows of fc1 and the columns of fc2 of a block, instead of one each."""


class MetaTrainConfig(MaskSearchConfig):
    """Hypernetwork and decoupled meta-training (paper section 3.2-3.3; published code)."""

    pseudo: PseudoConfig
    """Pseudo-samples."""
    checkpoint: File | None = None
    """Hypernetwork to take over instead of training one: a state dict of the published class (.pth), what `vitedit
    import-hypernet` wrote, or another run's; null trains. Of the values below only `heads` then counts, for a .pth."""
    iterations: Positive = 7000
    """Batches of pseudo-samples."""
    batch_size: Positive = 8
    """Pseudo-samples an iteration."""
    blocks: Positive = 3
    """Transformer blocks of the hypernetwork."""
    heads: Positive = 6
    """Attention heads of the hypernetwork."""
    condition_on_label: bool = False
    """Show the hypernetwork the right class beside the image, which the published one never sees (deviation D30)."""
    learning_rate: Rate = 1e-4
    """RMSprop step size of the hypernetwork."""
    regression_steps: Positive = 4
    """Regression steps on each batch."""
    schedule: Positive = 20000
    """Iterations of the cosine schedule's half period."""
    replay: ReplayConfig | None = None
    """Replay of the searched masks; null as in the paper."""
    checkpoint_every: Positive = 500
    """Iterations between two resumable states."""


class StatisticsConfig(Section):
    """What T-Patcher's memory, ROME's key covariance, X-Edit's null space and refine_heads's anchors are collected from."""

    images: Name | None = None
    """Pre-training images; null takes those of the pseudo-samples."""
    max_images: Positive | None = 40000
    """Images used, evenly spaced; null uses all."""
    anchors: Positive = 500
    """Images whose keys X-Edit leaves alone, evenly spaced."""
    traced: Positive = 50
    """Of the anchors, those whose predictions choose X-Edit's blocks."""
    kept: Positive = 128
    """Anchors, evenly spaced, that are kept as images: refine_heads keeps predictions on them."""


class PredictedEditsConfig(Section):
    """What the meta-trainings of networks that predict edits have in common."""

    iterations: Positive = 7000
    """Batches of pseudo-samples."""
    batch_size: Positive = 8
    """Edits an iteration."""
    others: Positive = 8
    """Other images an iteration; every edited model is compared with the base model on all of them."""
    checkpoint_every: Positive = 500
    """Iterations between two resumable states."""


class KeTrainConfig(PredictedEditsConfig):
    """Meta-training of KE, a network that predicts edits from gradients (De Cao et al., EMNLP 2021)."""

    condition: Positive = 1024
    """Length of the condition vector."""
    hidden: Positive = 128
    """Hidden units of a conditioner."""
    max_scale: Rate = 1.0
    """Greatest factor of gradient and offset; the first edits are gradient steps of half of it."""
    learning_rate: Rate = 3e-4
    """Highest step size of RMSprop."""
    warmup: Annotated[int, Field(ge=0)] = 1000
    """Iterations in which the step size rises; afterwards it falls to 0."""
    margin: Rate = 0.1
    """Kullback-Leibler divergence on other images that is allowed at first."""
    margin_factor: Annotated[float, Field(gt=0, le=1)] = 0.8
    """What the margin is multiplied by while edits succeed."""
    margin_floor: Rate = 1e-3
    """Least margin."""
    margin_every: Positive = 500
    """Iterations between two looks at the success of the edits."""
    margin_success: Fraction = 0.9
    """Success of the edits on their own images above which the margin shrinks."""
    multiplier_learning_rate: Rate = 0.1
    """Step size of the gradient ascent of the constraint's multiplier."""


class MendTrainConfig(PredictedEditsConfig):
    """Meta-training of MEND, a network that transforms gradients into edits (Mitchell et al., ICLR 2022)."""

    batch_size: Positive = 10
    """Edits an iteration."""
    rank: Positive | None = None
    """Rank of the residual layers; null takes half the length of a layer's input and output together (1920 for ViT-B/16)."""
    alpha: Rate = 1e-4
    """First step size of an edit; it is learned for every matrix."""
    learning_rate: Rate = 1e-5
    """Adam step size of the residual layers; the published 1e-6 is for up to a million steps."""
    alpha_learning_rate: Rate = 1e-4
    """Adam step size of the step sizes alpha."""
    edit_weight: Rate = 0.1
    """Weight c_e of the cross-entropy on the other view of the edited image."""
    locality_weight: Rate = 1.0
    """Weight c_loc of the Kullback-Leibler divergence on other images."""
    clip: Rate = 100.0
    """Greatest norm of the meta-gradient."""


class TrainEditorConfig(Section):
    """Networks that predict edits; their pseudo-samples are those of `meta_train.pseudo`."""

    ke: KeTrainConfig = KeTrainConfig()
    """KE."""
    mend: MendTrainConfig = MendTrainConfig()
    """MEND."""
