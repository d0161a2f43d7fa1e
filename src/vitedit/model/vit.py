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
import torch.nn.functional as F
from jaxtyping import Float
from timm.layers.attention import Attention
from timm.models.vision_transformer import Block, VisionTransformer
from torch import Tensor, nn

from vitedit.config import ModelConfig
from vitedit.errors import ConfigError
from vitedit.model.changes import Change, Changes, Full, changing
from vitedit.model.checkpoints import fill
from vitedit.model.first_ffn import FirstFfn, of_ffn
from vitedit.model.sites import Part, Point, Site, check_names, find_sites

Weights = dict[str, Tensor]
"""Parameter name -> (*shape) for one model, (E, *shape) for many edits."""

Shared = Mapping[str, Tensor]
"""What edits share of images, by name, with a leading axis of 1 (the same images for all edits) or E."""

ENTRY: Point = (0, 0)
"""Where embedded patches enter the first block."""

PASS_BYTES = {"cpu": 2**21, "cuda": 2**32}
"""Hidden units of a usual FFN (four times the width) in one batched pass: what stays in a CPU's cache, or fits a GPU."""


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
    if reason := uneditable(model, config.transform.size):
        raise ConfigError(f"'{config.name}' cannot be edited: {reason}.")
    return cast("VisionTransformer", model)


def uneditable(model: nn.Module, size: int | None) -> str | None:
    """Why a model cannot be edited, or cannot take images of a size; None if it can."""
    if reason := _foreign(model):
        return reason
    vit = cast("VisionTransformer", model)
    return _incomplete(vit) or (_other_size(vit, size) if size else None)


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


def _incomplete(vit: VisionTransformer) -> str | None:
    """Why a plain ViT does not classify RGB images."""
    if vit.num_classes < 1:
        return (
            "it has no classification head; name the number of classes of its checkpoint's head, as in "
            "`architecture: {num_classes: 1000}`"
        )
    if vit.global_pool == "":
        return "its head pools no tokens; name how, as in `architecture: {global_pool: token}`"
    if vit.in_chans != 3:
        return f"it takes images of {vit.in_chans} channels; leave `in_chans` out, for images are RGB"
    return None


def _other_size(vit: VisionTransformer, size: int) -> str | None:
    """Why a plain ViT does not take images of a size."""
    side = vit.patch_embed.img_size
    if not vit.dynamic_img_size and side is not None and tuple(side) != (size, size):
        return (
            f"it takes images of {side[0]} x {side[1]} pixels, but `transform.size` is {size}; make them equal, here or with "
            f"`architecture: {{img_size: {size}}}`"
        )
    return None


def load_vit(config: ModelConfig, checkpoint: Path, device: torch.device) -> VisionTransformer:
    """A frozen pre-trained ViT in evaluation mode.

    Raises:
        ArtifactError: The checkpoint is missing, damaged, or of another architecture. Never continues with random weights.
    """
    model = build_vit(config)
    fill(model, checkpoint, config)
    return model.eval().requires_grad_(False).to(device)


class Suffix(nn.Module):
    """The part of a ViT from `point` on: (B, T, D) prefix tokens -> (B, C) logits.

    Where it begins with an FFN, tokens may be (1 | E, n, T, D): a layer with changes then gives (E, n, T, ...), so that what
    comes before the first of them is computed once for all edits.
    """

    def __init__(self, vit: VisionTransformer, point: Point) -> None:
        super().__init__()
        self.vit = vit
        self.point = point

    def forward(self, tokens: Float[Tensor, "*images tokens width"]) -> Float[Tensor, "images classes"]:
        """Runs the remaining blocks, the final norm and the head."""
        (first, part), blocks = self.point, blocks_of(self.vit)
        for at, block in enumerate(blocks[first:]):
            cls = block is blocks[-1] and reads_cls(self.vit)  # nobody reads the other tokens any more
            if at > 0 or part == 0:
                tokens = cls_attention_half(block, tokens) if cls else attention_half(block, tokens)
            elif cls:
                tokens = tokens[..., :1, :]
            tokens = ffn_half(block, tokens)
            if tokens.dim() == 4:
                tokens = tokens.flatten(0, 1)
        return self.vit.forward_head(self.vit.norm(tokens))


def reads_cls(vit: VisionTransformer) -> bool:
    """Whether the head reads the CLS token alone."""
    return vit.global_pool == "token" and vit.attn_pool is None


def blocks_of(vit: VisionTransformer) -> list[Block]:
    """The transformer blocks, typed."""
    return cast("list[Block]", list(vit.blocks))


def half_blocks(depth: int) -> list[Point]:
    """All of a model, in forward order."""
    return [(block, part) for block in range(depth) for part in (0, 1)]


def attention_half(
    block: Block, tokens: Float[Tensor, "images tokens width"]
) -> Float[Tensor, "images tokens width"]:
    """First half of a pre-norm block: x + attn(norm(x))."""
    return tokens + block.drop_path1(block.ls1(block.attn(block.norm1(tokens))))


def cls_attention_half(
    block: Block, tokens: Float[Tensor, "images tokens width"]
) -> Float[Tensor, "images 1 width"]:
    """CLS row of `attention_half`: all tokens are keys and values, CLS alone is a query."""
    attn, x = block.attn, block.norm1(tokens)
    if type(attn) is not Attention:
        return attention_half(block, tokens)[:, :1]
    q, k, v = attn.qkv(x).unflatten(-1, (3, attn.num_heads, attn.head_dim)).permute(2, 0, 3, 1, 4)
    read = F.scaled_dot_product_attention(attn.q_norm(q[:, :, :1]), attn.k_norm(k), v, scale=attn.scale)
    read = attn.norm(read.transpose(1, 2).flatten(2))
    if attn.gate is not None:
        read = read * attn.gate(x[:, :1]).sigmoid()
    return tokens[:, :1] + block.drop_path1(block.ls1(attn.proj_drop(attn.proj(read))))


def ffn_half(
    block: Block, tokens: Float[Tensor, "*images tokens width"]
) -> Float[Tensor, "*edited tokens width"]:
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
    def point(self) -> Point:
        """Half block of the first site."""
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
        """Tokens that enter the first site's half block; before the last FFN, where nobody reads others, CLS alone."""
        vit = self.vit
        tokens = vit.norm_pre(vit.patch_drop(vit._pos_embed(vit.patch_embed(images.to(self.device)))))
        return self.advance(tokens, ENTRY)

    @torch.no_grad()
    def advance(
        self, tokens: Float[Tensor, "images tokens width"], point: Point
    ) -> Float[Tensor, "images read width"]:
        """Prefix tokens from those that enter an earlier half block."""
        blocks = blocks_of(self.vit)
        for block, part in half_blocks(len(blocks)):
            if point <= (block, part) < self.point:
                tokens = (attention_half, ffn_half)[part](blocks[block], tokens)
        last = self.point == (len(blocks) - 1, 1) and reads_cls(self.vit)
        return tokens[:, :1] if last else tokens

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
        return self.run(tokens[None], self.full({name: tensor[None] for name, tensor in changed.items()}))[0]

    def full(self, values: Mapping[str, Tensor]) -> dict[str, Change]:
        """New values {name: (E, *shape)} as changes."""
        return {name: Full(self.vit.get_parameter(name), value) for name, value in values.items()}

    def call(
        self, values: Mapping[str, Tensor], tokens: Float[Tensor, "lead images tokens width"]
    ) -> Float[Tensor, "edits images classes"]:
        """`run` with new values in full, {name: (E, *shape)}."""
        return self.run(tokens, self.full(values))

    def run(
        self, tokens: Float[Tensor, "lead images tokens width"] | Shared, changes: Changes
    ) -> Float[Tensor, "edits images classes"]:
        """Logits of E edited models; differentiable in the changes. Names are checked by whoever made the changes.

        Args:
            tokens: Prefix tokens, the same for all edits (lead = 1) or each edit's own (lead = E); or what `share` made of them.
            changes: What is edited; without any, the base model's logits, E = lead.
        """
        shared = self.share(tokens, changes) if isinstance(tokens, Tensor) else tokens
        lead = next(iter(shared.values()))
        edits, images = edit_count(changes, len(lead)), lead.shape[1]
        with changing(self.vit, changes):
            return self._finish(shared, changes, edits).unflatten(0, (edits, images))

    def share(self, tokens: Float[Tensor, "lead images tokens width"], changes: Changes) -> Shared:
        """What stays the same of images when such changes are made: to be computed once for many runs."""
        if self._first_ffn(changes):
            return FirstFfn.enter(blocks_of(self.vit)[self.point[0]], tokens)
        return {"tokens": tokens}

    def _finish(self, shared: Shared, changes: Changes, edits: int) -> Float[Tensor, "rows classes"]:
        """The rest of the model, rows = E * n (or n where nothing is edited)."""
        if "tokens" not in shared:
            ffn = self._first_ffn(changes)
            assert ffn is not None, "these changes need another `share`"
            return self._later(ffn.leave(shared).flatten(0, 1))
        tokens = shared["tokens"]
        if self.point[1] == 0 or not changes:
            tokens = tokens.expand(edits, *tokens.shape[1:]).flatten(0, 1)
        return self._suffix(tokens)

    def _first_ffn(self, changes: Changes) -> FirstFfn | None:
        """The FFN that edits begin with, where it can be computed by what changes alone and all tokens are read after it."""
        block, part = self.point
        if part == 0 or block == len(self.vit.blocks) - 1:
            return None
        return FirstFfn.of(blocks_of(self.vit)[block], of_ffn(changes, block))

    @cached_property
    def _later(self) -> Suffix:
        return Suffix(self.vit, (self.point[0] + 1, 0))

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
    def predict_many(self, tokens: Tensor, changes: Changes) -> Tensor:
        """Predictions of E edited models, in as many passes as memory asks for.

        Args:
            tokens: Prefix tokens (n, T, D) shared by all edits, or (E, n, T, D) of their own.
            changes: What is edited.

        Returns:
            Predicted classes (E, n).
        """
        check_names(self.vit, changes)
        edits, lead = edit_count(changes, 1), tokens if tokens.dim() == 4 else tokens[None]
        room = max(1, PASS_BYTES[self.device.type] // (4 * lead[0, 0].numel() * lead.element_size()))
        step = max(1, room // lead.shape[1])
        chunks = [torch.arange(i, min(i + step, edits), device=self.device) for i in range(0, edits, step)]
        some = [{name: change.take(which) for name, change in changes.items()} for which in chunks]

        def predict(part: Tensor) -> Tensor:
            if len(lead) > 1:
                own = zip(chunks, some, strict=True)
                return torch.cat([self.run(part[which], few).argmax(-1) for which, few in own])
            shared = self.share(part, changes)
            return torch.cat([self.run(shared, few).argmax(-1) for few in some])

        return torch.cat([predict(part) for part in lead.split(room, dim=1)], dim=1)


def edit_count(changes: Changes, otherwise: int) -> int:
    """E of some changes."""
    return len(next(iter(changes.values()))) if changes else otherwise
