"""Gradients of linear layers token by token: dL/dW = sum over tokens of (dL/dy)(x)^T for y = W x."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from vitedit.model.objectives import Labels, per_sample
from vitedit.model.vit import Split, Weights


@dataclass(frozen=True)
class Factors:
    """Inputs of one linear layer and the gradients at its outputs, for the tokens of all samples of each edit."""

    inputs: Float[Tensor, "edits tokens columns"]
    """x of every token."""
    deltas: Float[Tensor, "edits tokens rows"]
    """delta = dL/dy of every token."""


@contextmanager
def recorded(model: nn.Module, names: Sequence[str]) -> Iterator[dict[str, tuple[Tensor, Tensor]]]:
    """Collects (input, output) of the named modules while the block runs; the model is left as it was."""
    seen: dict[str, tuple[Tensor, Tensor]] = {}

    def keep(name: str) -> Callable[..., None]:
        return lambda module, inputs, output: seen.update({name: (inputs[0], output)})

    handles = [model.get_submodule(name).register_forward_hook(keep(name)) for name in names]
    try:
        yield seen
    finally:
        for handle in handles:
            handle.remove()


def token_factors(
    split: Split, tokens: Float[Tensor, "edits samples tokens width"], labels: Labels
) -> dict[str, Factors]:
    """Factors of every site's gradient at the base weights, from one pass over the samples of all edits.

    The loss is the cross-entropy summed over samples and edits, so that no edit depends on another: the gradient of an edit's
    mean loss is its sum over tokens divided by the number of samples.
    """
    edits, samples = tokens.shape[:2]
    modules = {site.name: site.name.removesuffix(".weight") for site in split.sites}
    with torch.enable_grad(), recorded(split.vit, list(modules.values())) as seen:
        # nothing in the base model asks for gradients: the graph hangs on its input
        logits = split.suffix(tokens.detach().flatten(0, 1).requires_grad_())
        loss = F.cross_entropy(logits, per_sample(labels, samples).flatten(), reduction="sum")
    deltas = torch.autograd.grad(loss, [seen[module][1] for module in modules.values()])
    return {
        name: Factors(
            seen[module][0].detach().reshape(edits, -1, seen[module][0].shape[-1]),
            delta.reshape(edits, -1, delta.shape[-1]),
        )
        for (name, module), delta in zip(modules.items(), deltas, strict=True)
    }


def gradients(split: Split, tokens: Float[Tensor, "edits samples tokens width"], labels: Labels) -> Weights:
    """Gradient of each edit's mean cross-entropy at the base weights, {site name: (E, *shape)}; the base products are shared."""
    factors = token_factors(split, tokens, labels)
    return {name: factor.deltas.mT @ factor.inputs / tokens.shape[1] for name, factor in factors.items()}
