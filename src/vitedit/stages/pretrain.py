"""Rule pretrain: one Vision Transformer of the embedded world."""

from pathlib import Path

import torch

from vitedit.config import Config
from vitedit.embedded import pretrain as training
from vitedit.errors import UnknownNameError


def pretrain(
    config: Config, *, model: str, output: Path, state: Path, start: Path | None = None, device: torch.device
) -> None:
    """Trains the model from random weights or from those of `start`; resumes from `state`.

    Raises:
        UnknownNameError: No such model.
    """
    if model not in config.models:
        raise UnknownNameError(f"no model '{model}'. Models: {', '.join(config.models)}.")
    training.pretrain(config.models[model], output, state, start=start, device=device)
