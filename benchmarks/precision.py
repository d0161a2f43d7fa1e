"""Counts predictions of the unedited model on a run's locality set that change by arithmetic alone.

The locality set lies near the decision boundary, where arithmetic is seen first: what flips here flips in every locality rate.
"""

import argparse
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path

import torch
from torch import Tensor

from vitedit.config_files import load
from vitedit.model.vit import Split
from vitedit.stages.backbone import Backbone

Context = Callable[[], AbstractContextManager[object]]


@contextmanager
def tf32() -> Iterator[None]:
    """Products of matrices in TF32."""
    torch.set_float32_matmul_precision("high")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision("highest")


def others(device: torch.device) -> dict[str, tuple[int, Context]]:
    """Name of an arithmetic -> images in a batch, and the context that it needs."""
    known: dict[str, tuple[int, Context]] = {
        "single precision, batches of 1": (1, nullcontext),
        "bfloat16 products (autocast)": (64, lambda: torch.autocast(device.type, torch.bfloat16)),
    }
    return known | ({"TF32 products": (64, tf32)} if device.type == "cuda" else {})


def predict(split: Split, images: Tensor, batch: int, context: Context) -> Tensor:
    """Predictions of the unedited model."""
    with torch.no_grad(), context():
        return torch.cat([split.suffix(split.prefix(part)).argmax(-1) for part in images.split(batch)])


def main() -> None:
    """Prints how many predictions differ from single precision in batches of 64."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--config", type=Path, nargs="+", default=[Path("config/config.yaml")])
    parser.add_argument("--results", type=Path, default=Path("results/embedded"))
    parser.add_argument("--device", default="cpu")
    options = parser.parse_args()
    config, device = load(*options.config), torch.device(options.device)
    for name in config.backbones:
        folder = options.results / name
        base = Backbone.chosen(config, name, folder / "layers.json", device)
        images = base.read(base.locality(folder / "locality.parquet")).to(device)
        usual = predict(base.split, images, 64, nullcontext)
        for what, (batch, context) in others(device).items():
            differ = int((predict(base.split, images, batch, context) != usual).sum())
            print(f"{name}: {what}: {differ} of {len(images)} predictions differ")


if __name__ == "__main__":
    main()
