"""Attribution: integrated gradients of the hidden neurons of FFNs (knowledge neurons; Dai et al., ACL 2022, section 3)."""

from collections.abc import Callable, Iterator
from typing import Any, Literal, cast

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from timm.layers.mlp import Mlp
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor
from torch.func import grad

from vitedit.errors import ConfigError
from vitedit.model.edits import Samples
from vitedit.model.objectives import per_sample
from vitedit.model.vit import Split, Suffix, attention_half, blocks_of, ffn_half

Target = Literal["probability", "log_probability"]
"""What is attributed to the neurons: P(label | image) (original) or its logarithm."""
Positions = Literal["all", "cls"]
"""Tokens whose activations count: all, or CLS alone (like the original's one masked word)."""

TARGETS: dict[Target, Callable[..., Tensor]] = {
    "probability": F.softmax,
    "log_probability": F.log_softmax,
}


@torch.no_grad()
def attribute_neurons(
    split: Split,
    samples: Samples,
    steps: int = 20,
    target: Target = "probability",
    tokens: Positions = "all",
) -> Float[Tensor, "edits neurons"]:
    """Attr(w) = w / m sum_k dP(k / m w) / dw, k = 0 ... m - 1, of every neuron's activation w.

    The activation is what fc2 multiplies with the neuron's column: the non-linearity's output, normed where an FFN has a norm
    (before it, the path would be constant but for a jump at zero). All neurons of one FFN are scaled from zero together, and
    the FFNs after it follow. The left Riemann sum is the original's; its error falls like 1 / m. Summed over tokens, mean over
    the samples of an edit. The base weights are shared, so that one batch of E * n images serves a step.

    Args:
        split: The base model, cut before FFNs.
        samples: What is attributed; the labels are the desired ones.
        steps: m, points of the path.
        target: What is attributed.
        tokens: Which tokens' activations are scaled and counted; those of the others stay as they are.

    Returns:
        Attributions of the hidden neurons of all FFNs, side by side in forward order.

    Raises:
        ConfigError: An FFN is gated, so that its hidden neurons are not one row and one column each; or the model has no CLS.
    """
    _check(split, tokens)
    edits, count = samples.images.shape[:2]
    labels = per_sample(samples.labels, count).flatten().to(split.device)
    parts = [
        _attribute(split.vit, block, entering, labels, steps, TARGETS[target], tokens)
        for block, entering in _ffn_inputs(split, samples.images.flatten(0, 1))
    ]
    return torch.cat(parts, dim=-1).unflatten(0, (edits, count)).mean(1)


def _check(split: Split, tokens: Positions) -> None:
    for index in split.blocks:
        mlp = blocks_of(split.vit)[index].mlp
        if not isinstance(mlp, Mlp):
            raise ConfigError(
                f"block {index} has a {type(mlp).__name__}; knowledge neurons need plain FFNs (timm's Mlp)."
            )
    if tokens == "cls" and split.vit.cls_token is None:
        raise ConfigError('tokens "cls": the model has no CLS token; use "all".')


def _ffn_inputs(
    split: Split, images: Float[Tensor, "images 3 side side"]
) -> Iterator[tuple[int, Float[Tensor, "images tokens width"]]]:
    """Each FFN's block and the tokens that enter its half block, all from one pass."""
    tokens, first, last = split.prefix(images), split.blocks[0], split.blocks[-1]
    for index in range(first, last + 1):
        block = blocks_of(split.vit)[index]
        if index > first:
            tokens = attention_half(block, tokens)
        if index in split.blocks:
            yield index, tokens
        tokens = ffn_half(block, tokens)


def _attribute(
    vit: VisionTransformer,
    index: int,
    entering: Float[Tensor, "images tokens width"],
    labels: Int[Tensor, "images"],
    steps: int,
    target: Callable[..., Tensor],
    tokens: Positions,
) -> Float[Tensor, "images neurons"]:
    """Integrated gradients of one FFN; only what follows its activations is computed at every step."""
    block, later = blocks_of(vit)[index], Suffix(vit, (index + 1, 0))
    mlp = cast("Any", block.mlp)  # an Mlp, whose modules timm does not declare as callable
    hidden = mlp.norm(mlp.drop1(mlp.act(mlp.fc1(block.norm2(entering)))))
    moved, still = hidden.tensor_split([1 if tokens == "cls" else hidden.shape[1]], dim=1)

    def total(part: Tensor) -> Tensor:
        """Sum over the images: each one's target depends on its own activations only."""
        written = mlp.drop2(mlp.fc2(torch.cat([part, still], dim=1)))
        logits = later(entering + block.drop_path2(block.ls2(written)))
        return target(logits, dim=-1).gather(1, labels[:, None]).sum()

    gradient = torch.zeros_like(moved)
    for step in range(steps):
        gradient += grad(total)(step / steps * moved)
    return (moved * gradient).sum(1) / steps
