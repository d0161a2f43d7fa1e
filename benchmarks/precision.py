"""Counts predictions of the unedited model on a run's locality set that change by arithmetic alone.

The locality set lies near the decision boundary, where arithmetic is seen first: what flips here flips in every locality rate.
"""

import argparse
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

import torch
from torch import Tensor

from vitedit.config_files import load
from vitedit.model.vit import Split
from vitedit.stages.backbone import Backbone


def predict(split: Split, images: Tensor, batch: int, around: Callable[[], AbstractContextManager[object]]) -> Tensor:
    """Predictions of the unedited model, in batches, with some arithmetic."""
    with torch.no_grad(), around():
        parts = [split.suffix(split.prefix(part)).argmax(-1) for part in images.split(batch)]
    return torch.cat(parts).cpu()


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
        others = {
            "single precision, batches of 1": lambda: predict(base.split, images, 1, nullcontext),
            "bfloat16 products (autocast)": lambda: predict(
                base.split, images, 64, lambda: torch.autocast(device.type, torch.bfloat16)
            ),
        }
        if device.type == "cuda":
            others["TF32 products"] = lambda: predict(base.split, images, 64, tf32)
        for what, work in others.items():
            print(f"{name}: {what}: {int((work() != usual).sum())} of {len(images)} predictions differ")


class tf32:  # noqa: N801
    """Products of matrices in TF32."""

    def __enter__(self) -> None:
        torch.set_float32_matmul_precision("high")

    def __exit__(self, *error: object) -> None:
        torch.set_float32_matmul_precision("highest")


if __name__ == "__main__":
    main()
