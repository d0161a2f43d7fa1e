"""What tests of patches share."""

from vitedit.config import TransformConfig
from vitedit.model.about import About, ImageRecord, Measured, ModelRecord

ABOUT = About(
    model=ModelRecord(
        name="vit_tiny_patch16_224", architecture={"depth": 4}, transform=TransformConfig(size=24)
    ),
    method="ft",
    setting={"learning_rate": 0.003},
    way="joint",
    images=(ImageRecord(name="a.png", sha256="0" * 64, label=3, class_name="ring", before=1, after=3),),
    sites=(),
    measured=Measured(success=1.0, fraction=0.01, norm=0.5, steps=3, seconds=0.25),
    date="2026-01-01T00:00:00+00:00",
    versions={"vitedit": "0"},
)


def bits(weights):
    """Every tensor of a state dict as bytes: 0.0 and -0.0 differ."""
    return {name: tensor.numpy().tobytes() for name, tensor in weights.items()}
