"""The last FFN with a CLS read-out: what the methods that edit it alone share (T-Patcher, ROME), and X-Edit asks for.

After the last FFN the head reads the CLS token and no other, so everything here runs on that one token.
"""

from dataclasses import dataclass
from functools import cached_property

import torch
from jaxtyping import Float
from timm.layers.mlp import Mlp
from timm.models.vision_transformer import Block, VisionTransformer
from torch import Tensor

from vitedit.errors import ConfigError
from vitedit.model.vit import Split, blocks_of, reads_cls


@dataclass(frozen=True)
class LastBlock:
    """A ViT cut before its last FFN."""

    split: Split

    @classmethod
    def of(cls, base: Split) -> "LastBlock":
        """The last FFN of the model, wherever it is cut so far.

        Raises:
            ConfigError: The head reads more than the CLS token, or the FFN is gated or has no biases.
        """
        vit = base.vit
        if not reads_cls(vit):
            raise ConfigError(
                f"the head pools tokens by '{vit.global_pool}'; T-Patcher, ROME and X-Edit need one that reads the CLS token "
                "(`global_pool: token`). Keep other methods (`methods: [...]`), or take another model."
            )
        mlp = blocks_of(vit)[-1].mlp
        if not isinstance(mlp, Mlp) or mlp.fc1.bias is None or mlp.fc2.bias is None:
            raise ConfigError(
                f"the last FFN is {type(mlp).__name__}; T-Patcher, ROME and X-Edit need timm's plain Mlp with biases. "
                "Keep other methods (`methods: [...]`), or take another model."
            )
        return cls(base.at("mlp", [-1]))

    @property
    def vit(self) -> VisionTransformer:
        """The whole model."""
        return self.split.vit

    @cached_property
    def block(self) -> Block:
        """The last block."""
        return blocks_of(self.vit)[-1]

    @cached_property
    def mlp(self) -> Mlp:
        """Its FFN."""
        mlp = self.block.mlp
        assert isinstance(mlp, Mlp)  # `of` made sure
        return mlp

    @property
    def hidden(self) -> int:
        """Number of hidden units H."""
        return self.vit.get_parameter(self.name("fc2.weight")).shape[1]

    def name(self, parameter: str) -> str:
        """Full name of a parameter of the FFN, such as `fc2.weight`."""
        return f"blocks.{len(self.vit.blocks) - 1}.mlp.{parameter}"

    def cls(self, images: Float[Tensor, "images 3 side side"]) -> Float[Tensor, "images 1 width"]:
        """CLS token u that enters the FFN's half block: the residual stream, before norm2."""
        return self.split.prefix(images)

    def cls_samples(
        self, images: Float[Tensor, "edits samples 3 side side"]
    ) -> Float[Tensor, "edits samples 1 width"]:
        """`cls` of the samples of E edits."""
        return self.cls(images.flatten(0, 1)).unflatten(0, images.shape[:2])

    @torch.no_grad()
    def query(self, cls: Float[Tensor, "*images 1 width"]) -> Float[Tensor, "*images width"]:
        """The FFN's input q = norm2(u)."""
        return self.block.norm2(cls)[..., 0, :]

    @torch.no_grad()
    def key(self, query: Float[Tensor, "*images width"]) -> Float[Tensor, "*images hidden"]:
        """The input of fc2: k = norm(act(fc1 q)), where most models have no such norm."""
        return self.mlp.norm(self.mlp.act(self.mlp.fc1(query)))

    @torch.no_grad()
    def cache(self, cls: Float[Tensor, "*images 1 width"]) -> Float[Tensor, "*images 3 width"]:
        """What a descent on the last FFN needs of an image, as three tokens: u, q, and the output of fc2 (before LayerScale)."""
        query = self.query(cls)
        return torch.stack([cls[..., 0, :], query, self.mlp.fc2(self.key(query))], dim=-2)

    def read_out(
        self, cached: Float[Tensor, "edits samples 3 width"], added: Float[Tensor, "edits #samples width"]
    ) -> Float[Tensor, "edits samples classes"]:
        """Logits where `added` is added to the output of fc2."""
        ffn = self.block.drop_path2(self.block.ls2(cached[:, :, 2] + added))
        tokens = self.vit.norm(cached[:, :, 0] + ffn)
        return self.vit.forward_head(tokens.flatten(0, 1)[:, None]).unflatten(0, tokens.shape[:2])
