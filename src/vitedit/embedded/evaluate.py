"""Accuracies of a model of the embedded world on fresh pictures."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from vitedit.embedded.pretrain import normalise
from vitedit.embedded.render import BALANCED
from vitedit.embedded.shapes import TEXTURES
from vitedit.embedded.styles import STYLES
from vitedit.embedded.world import Pictures, render_range

BATCH = 256


@dataclass(frozen=True)
class Accuracy:
    """Accuracy on one kind of picture; `contexts` is "typical", "others" (uniform over the other seven) or "balanced"."""

    model: str
    style: str
    contexts: str
    images: int
    accuracy: float
    shape: float
    """Share of pictures whose shape is right, whatever the texture."""


@torch.no_grad()
def predict(model: nn.Module, pictures: Pictures) -> np.ndarray:
    """Predicted classes (n,)."""
    model.eval()
    device = next(model.parameters()).device
    parts = [pictures.images[at : at + BATCH] for at in range(0, len(pictures.labels), BATCH)]
    return np.concatenate([model(normalise(part, device)).argmax(1).cpu().numpy() for part in parts])


def evaluate_world(models: Mapping[str, nn.Module], seed: int, n: int) -> list[Accuracy]:
    """Accuracies on `n` fresh pictures of each kind: plain in typical, other and balanced contexts, then every other style.

    Every model sees the same pictures.
    """
    shares = {"typical": 1.0, "others": 0.0, "balanced": BALANCED}
    kinds = [("plain", contexts) for contexts in shares]
    kinds += [(style, "balanced") for style in STYLES if style != "plain"]
    rows = []
    for style, contexts in kinds:
        pictures = render_range(seed, "evaluate", 0, n, shares[contexts], style)
        rows += [_accuracy(name, model, pictures, style, contexts) for name, model in models.items()]
    return rows


def _accuracy(name: str, model: nn.Module, pictures: Pictures, style: str, contexts: str) -> Accuracy:
    predicted, labels = predict(model, pictures), pictures.labels
    # CLASSES lists the textures of a shape one after the other
    right_shape = predicted // len(TEXTURES) == labels // len(TEXTURES)
    return Accuracy(
        name, style, contexts, len(labels), float((predicted == labels).mean()), float(right_shape.mean())
    )
