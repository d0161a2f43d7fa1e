"""A tiny ViT as a file of weights, images that it is wrong about, and the command line in this process."""

import logging
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from tiny import TINY, write_images_and_weights

from vitedit import cli, gpu
from vitedit.data.images import fit, normalize, read_picture
from vitedit.tool.models import load_vit

ARCHITECTURE = [
    "vit_tiny_patch16_224",
    *(f"{key}={value}" for key, value in (TINY.architecture or {}).items()),
]
QUICK = ["--method", "ft", "--set", "learning_rate=0.003", "max_steps=60", "stop_loss=0.05"]


@pytest.fixture(autouse=True)
def _process_as_before(monkeypatch):
    """Undoes what a command sets for its whole process."""
    monkeypatch.setenv(gpu.VISIBLE, "")
    monkeypatch.setenv("OMP_WAIT_POLICY", "passive")
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    root.handlers[:], root.level = handlers, level


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


@pytest.fixture
def place(tmp_path, vit):
    write_images_and_weights(tmp_path, vit)
    model = load_vit(TINY.name, checkpoint=tmp_path / "tiny.safetensors", architecture=TINY.architecture)
    image = tmp_path / "world" / "class0" / "00.png"
    first, second = ranked(model, image)[:2]
    return Place(tmp_path, image, second, first)


@pytest.fixture
def run(capsys):
    """Runs a command; returns its exit code, what it says and what it complains about."""

    def command(*words: str) -> tuple[int, str, str]:
        code = cli.main(list(words))
        shown = capsys.readouterr()
        return code, shown.out, shown.err

    return command


def pixels_of(image: Path) -> torch.Tensor:
    """A picture as the tiny model sees it, (1, 3, 24, 24)."""
    from vitedit.config import ModelConfig

    transform = ModelConfig(**{**TINY.model_dump(), "transform": "timm"}).transform
    return normalize(fit(read_picture(image), transform)[None].copy(), transform)


def ranked(model: torch.nn.Module, image: Path) -> list[int]:
    """Classes of a picture, most probable first."""
    with torch.no_grad():
        return model(pixels_of(image))[0].argsort(descending=True).tolist()
