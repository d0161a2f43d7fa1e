"""Models with random weights that the benchmarks run on."""

from pathlib import Path

from vitedit.config import ModelConfig, TransformConfig
from vitedit.model.sites import find_sites
from vitedit.model.vit import Split, build_vit

MODELS = {
    "embedded": (
        "vit_tiny_patch16_224",
        {"img_size": 48, "patch_size": 8, "embed_dim": 96, "num_heads": 3, "num_classes": 20},
    ),
    "tiny": ("deit_tiny_patch16_224", None),
    "small": ("deit_small_patch16_224", None),
    "base": ("vit_base_patch16_224", None),
    "large": ("vit_large_patch16_224", None),
}
"""Name -> timm model and where it differs."""


def random_split(name: str) -> Split:
    """A model cut before the first of three edited FFNs: the 8th to 10th of 12, and as far from the end where there are more."""
    timm_name, architecture = MODELS[name]
    size = (architecture or {}).get("img_size", 224)
    config = ModelConfig(
        name=timm_name,
        architecture=architecture,
        checkpoint=Path("none"),
        transform=TransformConfig(size=size),
    )
    vit = build_vit(config).eval().requires_grad_(False)

    return Split(vit, find_sites(vit, "mlp", [len(vit.blocks) - back for back in (5, 4, 3)]))
