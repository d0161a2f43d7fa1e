"""A tiny ViT whose CLS tokens differ much from image to image, in any of timm's variants."""

import torch
from timm.models.vision_transformer import VisionTransformer
from torch import nn

SHAPE = {"img_size": 24, "patch_size": 8, "embed_dim": 24, "depth": 3, "num_heads": 3, "num_classes": 5}


def lively(**changes) -> VisionTransformer:
    """Random weights large enough for every part to matter."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = VisionTransformer(**{**SHAPE, **changes})
        for name, parameter in model.named_parameters():
            scale = "norm" in name and name.endswith("weight")
            nn.init.normal_(parameter, mean=float(scale), std=1.0 if name == "head.weight" else 0.3)
    return model.eval().requires_grad_(False)
