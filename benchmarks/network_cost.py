"""Operations and memory of one ViT: of its parts, forwards and backwards, for one image."""

from collections.abc import Sequence
from dataclasses import dataclass

from timm.models.vision_transformer import VisionTransformer

from vitedit.model.sites import Part

ATTENTION = 2.5
"""Passes of attention's backward: two products for one, and the scores, which fused kernels compute anew."""


@dataclass(frozen=True)
class Network:
    """A ViT whose head reads the CLS token, as far as the products of its forward and backward pass go."""

    tokens: int
    width: int
    hidden: int
    depth: int
    patch: int
    classes: int
    heads: int
    """Attention heads of a block."""

    @classmethod
    def of(cls, vit: VisionTransformer) -> "Network":
        """Sizes of a model, which may lie on torch's meta device."""
        block, kernel = vit.blocks[0], vit.patch_embed.proj.weight
        hidden = block.mlp.fc1.weight.shape[0]
        tokens = vit.patch_embed.num_patches + vit.num_prefix_tokens
        patch = 2 * vit.patch_embed.num_patches * kernel.numel()
        heads = block.attn.num_heads
        return cls(tokens, vit.embed_dim, hidden, len(vit.blocks), patch, vit.num_classes, heads)

    def products(self, part: Part, last: bool = False) -> list[tuple[int, float]]:
        """Operations of the products of half a block, each with the passes that its backward needs for its input.

        Args:
            part: The half.
            last: It is in the last block of a suffix, where the CLS token alone is a query and passes the FFN.
        """
        n, d = self.tokens, self.width
        read = 1 if last else n
        if part == "mlp":
            return [(2 * read * d * self.hidden, 1)] * 2
        return [(6 * n * d * d, 1), (4 * read * n * d, ATTENTION), (2 * read * d * d, 1)]

    def suffix(self, block: int, part: Part) -> list[tuple[int, Part, list[tuple[int, float]]]]:
        """Half blocks from the given one on."""
        halves: list[tuple[int, Part]] = [(b, p) for b in range(self.depth) for p in ("attn", "mlp")]
        kept = halves[halves.index((block, part)) :]
        return [(b, p, self.products(p, last=b == self.depth - 1)) for b, p in kept]

    @property
    def head(self) -> int:
        """Operations of the head."""
        return 2 * self.width * self.classes

    @property
    def whole(self) -> int:
        """One image through the whole model, every token to the end."""
        return self.patch + self.depth * self._block + self.head

    @property
    def _block(self) -> int:
        return sum(size for part in ("attn", "mlp") for size, _ in self.products(part))

    def prefix(self, block: int, part: Part) -> int:
        """One image up to where the edited half block begins."""
        before = sum(size for size, _ in self.products("attn")) if part == "mlp" else 0
        return self.patch + block * self._block + before

    def forward(self, block: int, part: Part) -> int:
        """One image from the prefix tokens to the logits."""
        return self.head + sum(size for *_, half in self.suffix(block, part) for size, _ in half)

    def step(self, blocks: Sequence[int], part: Part, weights: bool = True) -> int:
        """One image forward and backward from the prefix tokens, with the gradients of the edited matrices (or without).

        The backward pass ends at the first edited matrix, whose input needs no gradient.
        """
        total = self.forward(blocks[0], part) + self.head
        for at, (block, half, products) in enumerate(self.suffix(blocks[0], part)):
            edited = weights and block in blocks and half == part
            for place, (size, inputs) in enumerate(products):
                back = inputs if at or place else 0
                total += size * (back + (edited and inputs == 1))
        return total

    def edited(self, blocks: Sequence[int], part: Part) -> int:
        """Bytes of the edited matrices in single precision."""
        ffn, attention = 2 * self.width * self.hidden, 4 * self.width**2
        return 4 * len(blocks) * (ffn if part == "mlp" else attention)

    def kept(self, block: int) -> int:
        """Bytes of what the backward pass keeps for one image: inputs of the products, norms, GELU."""
        one = self.tokens * (9 * self.width + 2 * self.hidden)
        return 4 * one * (self.depth - block)
