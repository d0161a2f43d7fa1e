"""Where the tool's tests work, and what the tiny model sees."""

from dataclasses import dataclass
from pathlib import Path

import torch
from tiny import TINY

from vitedit.config import ModelConfig
from vitedit.data.images import fit, normalize, read_picture
from vitedit.tool.models import load_vit

ARCHITECTURE = [
    "vit_tiny_patch16_224",
    *(f"{key}={value}" for key, value in (TINY.architecture or {}).items()),
]
QUICK = ["--method", "ft", "--set", "learning_rate=0.003", "max_steps=60", "stop_loss=0.05"]


@dataclass(frozen=True)
class Place:
    """Where a test's files lie."""

    folder: Path
    image: Path
    label: int
    predicted: int

    @property
    def weights(self) -> Path:
        return self.folder / "tiny.safetensors"

    def world(self, label: int) -> Path:
        return self.folder / "world" / f"class{label}"

    def model(self) -> list[str]:
        return ["--model", str(self.weights), "--architecture", *ARCHITECTURE]

    def edit(self, *more: str, output: str = "fix.safetensors", quick: bool = True) -> list[str]:
        """Words of an edit of the image."""
        what = ["--image", str(self.image), "--label", str(self.label), *(QUICK if quick else [])]
        return ["edit", *self.model(), *what, "-o", str(self.folder / output), *more]


def pixels_of(image: Path) -> torch.Tensor:
    """A picture as the tiny model sees it, (1, 3, 24, 24)."""
    transform = ModelConfig(**{**TINY.model_dump(), "transform": "timm"}).transform
    return normalize(fit(read_picture(image), transform)[None].copy(), transform)


def several_failures(place: Place, count: int = 3) -> tuple[list[Path], list[int]]:
    """Pictures and for each a class that the tiny model does not take it for, of at least two classes in all."""
    vit = load_vit(TINY.name, checkpoint=place.weights, architecture=TINY.architecture)
    images = [place.world(1 + at) / "05.png" for at in range(count)]
    labels = [ranked(vit, image)[1 + at % 2] for at, image in enumerate(images)]
    assert len(set(labels)) > 1
    return images, labels


def ranked(model: torch.nn.Module, image: Path) -> list[int]:
    """Classes of a picture, most probable first."""
    with torch.no_grad():
        return model(pixels_of(image))[0].argsort(descending=True).tolist()
