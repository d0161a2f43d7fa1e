"""Times the engine against the plain sequential algorithm in the same process; prints ratios."""

import argparse
import time
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call

from vitedit.config import DescentConfig, ModelConfig, TransformConfig
from vitedit.model.descent import descend
from vitedit.model.sites import find_sites
from vitedit.model.vit import Split, build_vit

MODELS = {
    "embedded": (
        "vit_tiny_patch16_224",
        {"img_size": 48, "patch_size": 8, "embed_dim": 96, "num_heads": 3, "num_classes": 20},
    ),
    "tiny": ("deit_tiny_patch16_224", None),
    "base": ("vit_base_patch16_224", None),
}


def plain_edit(
    vit: nn.Module, names: list[str], image: Tensor, label: Tensor, steps: int, rate: float
) -> dict[str, Tensor]:
    """One edit by torch's optimiser through the whole network, all parameters differentiated as in the published code."""
    weights = {name: tensor.detach().clone().requires_grad_() for name, tensor in vit.named_parameters()}
    optimiser = torch.optim.RMSprop([weights[name] for name in names], lr=rate)
    for _ in range(steps):
        optimiser.zero_grad()
        F.cross_entropy(functional_call(vit, weights, (image[None],)), label[None]).backward()
        optimiser.step()
    return {name: weights[name].detach() for name in names}


@torch.no_grad()
def plain_locality(vit: nn.Module, edited: list[dict[str, Tensor]], images: Tensor) -> Tensor:
    """Predictions of each edited model on the raw images, through the whole network."""
    return torch.stack([functional_call(vit, weights, (images,)).argmax(-1) for weights in edited])


def seconds(work: Callable[[], object], repeats: int) -> float:
    """Least time of some runs after one to warm up."""
    work()
    times = []
    for _ in range(repeats):
        began = time.perf_counter()
        work()
        times.append(time.perf_counter() - began)
    return min(times)


def main() -> None:
    """Prints one line a comparison: plain seconds, ours, ratio."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", choices=MODELS, default="embedded")
    parser.add_argument("--edits", type=int, default=16)
    parser.add_argument("--near", type=int, default=64, help="locality images")
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    name, architecture = MODELS[options.model]
    size = (architecture or {}).get("img_size", 224)
    vit = build_vit(
        ModelConfig(
            name=name, architecture=architecture, checkpoint="-", transform=TransformConfig(size=size)
        )
    )
    vit = vit.eval().requires_grad_(False)
    for block in vit.blocks:
        block.attn.fused_attn = False
    split = Split(vit, find_sites(vit, "mlp", [7, 8, 9]))
    images, near = torch.randn(options.edits, 3, size, size), torch.randn(options.near, 3, size, size)
    labels = torch.arange(options.edits) % vit.num_classes
    names = list(split.weights)
    free = {n: torch.ones(options.edits, 1, 1) for n in names}
    settings = DescentConfig(learning_rate=1e-4, max_steps=options.steps, stop_loss=1e-9)
    edits = descend(split, split.prefix_samples(images[:, None]), labels, free, settings)
    each = [{n: edits.changed[n][i] for n in names} for i in range(options.edits)]
    tokens = split.prefix(near)
    comparisons = {
        "descent": (
            lambda: [
                plain_edit(vit, names, x, y, options.steps, 1e-4) for x, y in zip(images, labels, strict=True)
            ],
            lambda: descend(split, split.prefix_samples(images[:, None]), labels, free, settings),
        ),
        "locality": (
            lambda: plain_locality(vit, each, near),
            lambda: split.predict_many(tokens, edits.changed),
        ),
    }
    sizes = f"{options.edits} edits, {options.steps} steps, {options.near} locality images"
    print(f"{options.model}: {sizes}, {torch.get_num_threads()} threads")
    for what, (plain, ours) in comparisons.items():
        slow, fast = seconds(plain, options.repeats), seconds(ours, options.repeats)
        print(f"{what:10s} plain {slow:7.2f} s   ours {fast:7.2f} s   {slow / fast:5.1f} times as fast")


if __name__ == "__main__":
    main()
