"""One small random model of each family of ViTs, as a person would configure it."""

from pathlib import Path

import torch
from torch import nn

from vitedit.config import ModelConfig, Scalar, TransformConfig

SMALL: dict[str, Scalar] = {
    "img_size": 24,
    "patch_size": 8,
    "embed_dim": 24,
    "depth": 3,
    "num_heads": 3,
    "num_classes": 5,
}
FAMILIES: dict[str, tuple[str, dict[str, Scalar]]] = {
    "ViT": ("vit_base_patch16_224", {}),
    "DeiT": ("deit_tiny_patch16_224", {"num_classes": 7, "img_size": 32}),
    "DeiT III": ("deit3_small_patch16_224", {}),
    "CLIP": ("vit_base_patch16_clip_224", {}),
    "CLIP, quick GELU": ("vit_base_patch16_clip_quickgelu_224", {}),
    "DINOv2": ("vit_small_patch14_dinov2", {}),
    "DINOv2, registers": ("vit_small_patch14_reg4_dinov2", {}),
    "BEiT-3": ("beit3_base_patch16_224", {}),
    "EVA-L": ("eva_large_patch14_196", {}),
    "any input size": ("vit_base_patch16_224", {"dynamic_img_size": True}),
    "hybrid": ("vit_small_r26_s32_224", {"img_size": 64, "patch_size": 1}),
    "packed SwiGLU": ("vit_giant_patch14_reg4_dinov2", {}),
    "SigLIP": ("vit_base_patch16_siglip_224", {}),
    "SigLIP, mean": ("vit_base_patch16_siglip_gap_224", {}),
    "registers, mean": ("vit_medium_patch16_reg4_gap_256", {}),
    "differential attention": ("vit_dwee_patch16_reg1_gap_256", {"embed_dim": 24, "num_heads": 2}),
}
"""Family -> (name in timm, what differs from SMALL)."""
NO_CLS = {"SigLIP", "SigLIP, mean", "registers, mean", "differential attention"}
"""Families without a CLS token."""
GATED = {"packed SwiGLU"}
"""Families whose FFN is gated."""
POOLED = {*NO_CLS, "BEiT-3", "EVA-L"}
"""Families whose head reads other tokens than CLS."""


def config_of(name: str, **architecture: Scalar) -> ModelConfig:
    """A section of the configuration, SMALL but for the given arguments; None takes one of SMALL out."""
    arguments = {key: value for key, value in {**SMALL, **architecture}.items() if value is not None}
    side = int(arguments.get("img_size") or 224)
    return ModelConfig(
        name=name,
        architecture=arguments,
        checkpoint=Path("any.safetensors"),
        transform=TransformConfig(size=side),
    )


def enliven(model: nn.Module) -> nn.Module:
    """Random weights large enough for every part to matter."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            scale = "norm" in name and name.endswith("weight")
            parameter.normal_(float(scale), 1.0 if name == "head.weight" else 0.2, generator=generator)
    return model.eval()
