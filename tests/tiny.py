"""A ViT that is small enough for unit tests, and images for it."""

from pathlib import Path

import numpy as np
from PIL import Image
from safetensors.torch import save_file
from timm.models.vision_transformer import VisionTransformer

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


def write_images_and_weights(folder: Path, vit: VisionTransformer) -> None:
    """Sixty images of noise in five class folders below `world`, and the ViT's weights beside it."""
    rng = np.random.default_rng(0)
    for label in range(5):
        (folder / "world" / f"class{label}").mkdir(parents=True)
        for index in range(12):
            pixels = rng.integers(0, 256, (6, 6, 3), dtype=np.uint8)
            picture = Image.fromarray(pixels).resize((24, 24))
            picture.save(folder / "world" / f"class{label}" / f"{index:02d}.png")
    save_file(vit.state_dict(), folder / TINY.checkpoint)
