"""Causal tracing: which block's CLS token carries a prediction (Meng et al., NeurIPS 2022; X-Edit, arXiv 2605.24932)."""

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor

from vitedit.model.vit import Split, Suffix, blocks_of
from vitedit.tensors import torch_rng

NOISE = 3.0
"""Standard deviation of the noise, in standard deviations of the patch tokens (ROME's; X-Edit's code runs with a fixed 0.1)."""
COPIES = 10
"""Noised copies of an image."""


@torch.no_grad()
def trace(base: Split, images: Float[Tensor, "images 3 side side"], seed: int) -> Float[Tensor, "blocks"]:
    """Average indirect effect of every block: probability that restoring its CLS token gives back.

    Noise on the patch tokens that enter the first block lowers the probability of the class that the model gives the clean
    image. Then the output of one block at the CLS token is set to what it is for the clean image, and the rest of the model
    runs on. Where the head reads CLS, restoring the last block gives everything back whatever the model.

    Args:
        base: The model, wherever it is cut.
        images: Images as the model's input.
        seed: Of the noise.

    Returns:
        Mean over images and copies of P(class | restored) - P(class | noised), in [-1, 1].
    """
    vit, start = base.vit, base.at("attn", [0]).prefix(images)
    clean, answers = _clean(vit, start)
    patches = start[:, vit.num_prefix_tokens :]
    rng, effects = torch_rng(seed, "trace"), torch.zeros(len(clean), device=start.device)
    for _ in range(COPIES):
        noise = torch.randn(patches.shape, generator=rng).to(patches)
        noised = start.clone()
        noised[:, vit.num_prefix_tokens :] += NOISE * patches.std() * noise
        effects += _effects(vit, noised, clean, answers) / COPIES
    return effects.cpu()


def strongest(effects: Float[Tensor, "blocks"], count: int) -> list[int]:
    """The blocks with the greatest effects, in forward order."""
    return sorted(effects.argsort(descending=True, stable=True)[:count].tolist())


def _clean(
    vit: VisionTransformer, tokens: Float[Tensor, "images tokens width"]
) -> tuple[Float[Tensor, "blocks images width"], Int[Tensor, "images"]]:
    """CLS token after every block, and predictions."""
    seen = list[Tensor]()
    for block in blocks_of(vit):
        tokens = block(tokens)
        seen.append(tokens[:, 0])
    return torch.stack(seen), vit.forward_head(vit.norm(tokens)).argmax(-1)


def _effects(
    vit: VisionTransformer,
    noised: Float[Tensor, "images tokens width"],
    clean: Float[Tensor, "blocks images width"],
    answers: Int[Tensor, "images"],
) -> Float[Tensor, "blocks"]:
    """Effects with one copy of the noise; only what follows a restored block is computed anew."""
    restored = list[Tensor]()
    for at, block in enumerate(blocks_of(vit)):
        noised = block(noised)
        mended = torch.cat([clean[at][:, None], noised[:, 1:]], dim=1)
        restored.append(_probability(Suffix(vit, (at + 1, 0))(mended), answers))
    low = _probability(vit.forward_head(vit.norm(noised)), answers)
    return torch.stack(restored) - low


def _probability(
    logits: Float[Tensor, "images classes"], answers: Int[Tensor, "images"]
) -> Float[Tensor, ""]:
    return F.softmax(logits, dim=-1).gather(1, answers[:, None]).mean()
