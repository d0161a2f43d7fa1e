"""The base model: loading a timm ViT, and splitting it where edits begin.

Nothing before the first edited matrix ever changes, so its output (the *prefix tokens*) is computed once an image; an edit
or a measurement then runs the *suffix* only.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, cast

import timm
import torch
from jaxtyping import Float
from timm.models.vision_transformer import Block, VisionTransformer
from torch import Tensor, nn
from torch.func import functional_call, vmap

from vitedit.config import ModelConfig
from vitedit.errors import ConfigError
from vitedit.model.checkpoints import fill
from vitedit.model.sites import Part, Site, check_names, find_sites

Weights = dict[str, Tensor]
"""Parameter name -> (*shape) for one model, (E, *shape) for many edits."""

PASS_BYTES = {"cpu": 2**21, "cuda": 2**32}
"""Widest activations (the FFN's hidden units) of one batched pass: what stays in a CPU's cache, or fits a GPU beside the rest."""


def build_vit(config: ModelConfig) -> VisionTransformer:
    """The architecture with random weights.

    Raises:
        ConfigError: timm has no such model, refuses an argument, or the model is no plain ViT classifier that can be edited.
    """
    if ":" in config.name:
        raise ConfigError(
            f"'{config.name}' names a place that a model is downloaded from, which no stage does; give timm's own name of the "
            "architecture and the weights as `checkpoint`."
        )
    try:
        model = timm.create_model(
            config.name, pretrained=False, **cast("dict[str, Any]", config.architecture or {})
        )
    except (RuntimeError, TypeError, ValueError, AssertionError, LookupError, AttributeError) as error:
        raise ConfigError(
            f"timm cannot make the model '{config.name}' with {config.architecture or {}}: {error}"
        ) from None
    if reason := _foreign(model) or _incomplete(cast("VisionTransformer", model), config):
        raise ConfigError(f"'{config.name}' cannot be edited: {reason}.")
    return cast("VisionTransformer", model)


def _foreign(model: nn.Module) -> str | None:
    """Why a model is none of the plain ViTs whose forward pass `Split` repeats."""
    kind, only = (
        type(model).__name__,
        "only timm's VisionTransformer with its plain Block (attn and mlp, each after a norm)",
    )
    blocks = getattr(model, "blocks", None)
    if blocks is None:
        return f"it is timm's {kind}, without a ViT's `blocks`; {only} can be"
    if type(model) is not VisionTransformer:
        second = ", with a distillation token and a second head" if hasattr(model, "dist_token") else ""
        return f"it is timm's {kind}{second}; {only} can be"
    if others := sorted({type(block).__name__ for block in blocks if type(block) is not Block}):
        return f"its blocks are of the kind {', '.join(others)}; {only} can be"
    return None


def _incomplete(vit: VisionTransformer, config: ModelConfig) -> str | None:
    """Why a plain ViT does not classify the images that the configuration gives it."""
    if vit.num_classes < 1:
        return (
            "it has no classification head; name the number of classes of its checkpoint's head, as in "
            "`architecture: {num_classes: 1000}`"
        )
    if vit.global_pool == "":
        return "its head pools no tokens; name how, as in `architecture: {global_pool: token}`"
    if vit.in_chans != 3:
        return f"it takes images of {vit.in_chans} channels; leave `in_chans` out, for images are RGB"
    side, size = vit.patch_embed.img_size, config.transform.size
    if not vit.dynamic_img_size and side is not None and tuple(side) != (size, size):
        return (
            f"it takes images of {side[0]} x {side[1]} pixels, but `transform.size` is {size}; make them equal, here or with "
            f"`architecture: {{img_size: {size}}}`"
        )
    return None


def load_vit(config: ModelConfig, checkpoint: Path, device: torch.device) -> VisionTransformer:
    """A frozen pre-trained ViT in evaluation mode.

    Attention is computed with plain matrix products: fused kernels have no batched form over many edits.

    Raises:
        ArtifactError: The checkpoint is missing, damaged, or of another architecture. Never continues with random weights.
    """
    model = build_vit(config)
    fill(model, checkpoint, config)
    for module in model.modules():  # the blocks' attention, and the head's where it pools by attention
        if hasattr(module, "fused_attn"):
            cast("Any", module).fused_attn = False
    return model.eval().requires_grad_(False).to(device)


class Suffix(nn.Module):
    """The part of a ViT from `point` on: (B, T, D) prefix tokens -> (B, C) logits."""

    def __init__(self, vit: VisionTransformer, point: tuple[int, int]) -> None:
        super().__init__()
        self.vit = vit
        self.point = point

    def forward(self, tokens: Float[Tensor, "images tokens width"]) -> Float[Tensor, "images classes"]:
        """Runs the remaining blocks, the final norm and the head."""
        (first, part), blocks = self.point, blocks_of(self.vit)
        for at, block in enumerate(blocks[first:]):
            if at > 0 or part == 0:
                tokens = attention_half(block, tokens)
            if block is blocks[-1] and reads_cls(self.vit):
                tokens = tokens[:, :1]  # nobody reads the others any more
            tokens = ffn_half(block, tokens)
        return self.vit.forward_head(self.vit.norm(tokens))


def reads_cls(vit: VisionTransformer) -> bool:
    """Whether the head reads the CLS token alone."""
    return vit.global_pool == "token" and vit.attn_pool is None


def blocks_of(vit: VisionTransformer) -> list[Block]:
    """The transformer blocks, typed."""
    return cast("list[Block]", list(vit.blocks))


def attention_half(
    block: Block, tokens: Float[Tensor, "images tokens width"]
) -> Float[Tensor, "images tokens width"]:
    """First half of a pre-norm block: x + attn(norm(x))."""
    return tokens + block.drop_path1(block.ls1(block.attn(block.norm1(tokens))))


def ffn_half(
    block: Block, tokens: Float[Tensor, "images tokens width"]
) -> Float[Tensor, "images tokens width"]:
    """Second half of a pre-norm block: x + mlp(norm(x))."""
    return tokens + block.drop_path2(block.ls2(block.mlp(block.norm2(tokens))))


@dataclass(frozen=True)
class Split:
    """A ViT cut before the first of the sites. `suffix(prefix(images))` equals `vit(images)`."""

    vit: VisionTransformer
    sites: tuple[Site, ...]

    def __post_init__(self) -> None:
        check_names(self.vit, (site.name for site in self.sites))

    @cached_property
    def point(self) -> tuple[int, int]:
        """(block, 0 attention | 1 FFN) of the first site."""
        return min(site.point for site in self.sites)

    @cached_property
    def _suffix(self) -> Suffix:
        return Suffix(self.vit, self.point)

    @property
    def blocks(self) -> list[int]:
        """The 0-based blocks that hold sites, in forward order."""
        return sorted({site.point[0] for site in self.sites})

    def at(self, part: Part, blocks: Sequence[int]) -> "Split":
        """The same model cut before the FFNs or self-attentions of other blocks; negative ones count from the end."""
        depth = len(self.vit.blocks)
        return Split(self.vit, find_sites(self.vit, part, [block % depth for block in blocks]))

    @property
    def weights(self) -> Weights:
        """The sites' unedited matrices."""
        return {site.name: self.vit.get_parameter(site.name) for site in self.sites}

    @property
    def device(self) -> torch.device:
        """Where the model lies."""
        return next(self.vit.parameters()).device

    @torch.no_grad()
    def prefix(self, images: Float[Tensor, "images 3 side side"]) -> Float[Tensor, "images tokens width"]:
        """Tokens that enter the first site's half block."""
        vit, (block, part) = self.vit, self.point
        tokens = vit.norm_pre(vit.patch_drop(vit._pos_embed(vit.patch_embed(images.to(self.device)))))
        for earlier in blocks_of(vit)[:block]:
            tokens = earlier(tokens)
        return attention_half(blocks_of(vit)[block], tokens) if part == 1 else tokens

    def prefix_samples(
        self, images: Float[Tensor, "edits samples 3 side side"]
    ) -> Float[Tensor, "edits samples tokens width"]:
        """`prefix` of the samples of E edits."""
        return self.prefix(images.flatten(0, 1)).unflatten(0, images.shape[:2])

    def suffix(
        self, tokens: Float[Tensor, "images tokens width"], changed: Mapping[str, Tensor] | None = None
    ) -> Float[Tensor, "images classes"]:
        """Logits, with some matrices replaced.

        Raises:
            UnknownNameError: A replaced matrix is no parameter of the model.
        """
        changed = changed or {}
        check_names(self.vit, changed)
        return self.call(changed, tokens)

    def call(self, changed: Mapping[str, Tensor], tokens: Tensor) -> Tensor:
        """`suffix` without the check of names: for use under vmap, where the caller has checked them once."""
        return functional_call(
            self._suffix, {f"vit.{name}": tensor for name, tensor in changed.items()}, (tokens,)
        )

    def cls(self, images: Float[Tensor, "images 3 side side"]) -> Float[Tensor, "images width"]:
        """CLS token after the final norm: the hypernetwork's input (published code).

        Raises:
            ConfigError: The model has none.
        """
        if self.vit.cls_token is None:
            raise ConfigError(
                f"the model has no CLS token (its head pools tokens by '{self.vit.global_pool}'), which the hypernetwork reads. "
                "Keep other methods (`methods: [...]`), or take another model."
            )
        with torch.no_grad():
            return self.vit.forward_features(images.to(self.device))[:, 0]

    @torch.no_grad()
    def predict_many(self, tokens: Tensor, changed: Mapping[str, Tensor]) -> Tensor:
        """Predictions of E edited models, in as many passes as memory asks for.

        Args:
            tokens: Prefix tokens (n, T, D) shared by all edits, or (E, n, T, D) of their own.
            changed: Replaced matrices {name: (E, *shape)}.

        Returns:
            Predicted classes (E, n).
        """
        check_names(self.vit, changed)
        edits, own = len(next(iter(changed.values()))), tokens.dim() == 4
        hidden = max(tensor.shape[-2] for tensor in changed.values())
        room = max(1, PASS_BYTES[self.device.type] // (tokens.shape[-2] * hidden * tokens.element_size()))
        images = min(tokens.shape[-3], room)
        one = vmap(lambda weights, some: self.call(weights, some).argmax(-1), in_dims=(0, 0 if own else None))

        def rows(start: int, stop: int) -> Tensor:
            weights = {name: tensor[start:stop] for name, tensor in changed.items()}
            parts = (tokens[start:stop] if own else tokens).split(images, dim=-3)
            return torch.cat([one(weights, part) for part in parts], dim=-1)

        step = max(1, room // images)
        return torch.cat([rows(i, min(i + step, edits)) for i in range(0, edits, step)])
