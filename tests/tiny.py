"""A ViT that is small enough for unit tests."""

from pathlib import Path

from vitedit.config import ModelConfig, TransformConfig

TINY = ModelConfig(
    name="vit_tiny_patch16_224",
    architecture={
        "img_size": 24,
        "patch_size": 8,
        "embed_dim": 24,
        "depth": 4,
        "num_heads": 3,
        "num_classes": 5,
    },
    checkpoint=Path("tiny.safetensors"),
    transform=TransformConfig(size=24),
)
