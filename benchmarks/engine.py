"""Times the engine against the plain sequential algorithm in the same process; prints ratios."""

import argparse
import time
from collections.abc import Callable

import torch
import torch.nn.functional as F
from models import MODELS, random_split
from torch import Tensor, nn
from torch.func import functional_call

from vitedit.config import DescentConfig
from vitedit.model.edits import Edits, Samples
from vitedit.where.masks import fine_tune


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
    split = random_split(options.model)
    vit, side = split.vit, split.vit.patch_embed.img_size[0]
    images, near = torch.randn(options.edits, 3, side, side), torch.randn(options.near, 3, side, side)
    labels = torch.arange(options.edits) % vit.num_classes
    names = list(split.weights)
    samples = Samples(images[:, None], labels, tuple(map(str, range(options.edits))))
    settings = DescentConfig(max_steps=options.steps, stop_loss=1e-9)

    def ours() -> Edits:
        return fine_tune(split, samples, settings, 1e-4)

    edits = ours()
    each = [{n: edits.changed[n][i] for n in names} for i in range(options.edits)]
    tokens = split.prefix(near)
    comparisons = {
        "descent": (
            lambda: [
                plain_edit(vit, names, x, y, options.steps, 1e-4) for x, y in zip(images, labels, strict=True)
            ],
            ours,
        ),
        "locality": (
            lambda: plain_locality(vit, each, near),
            lambda: split.predict_many(tokens, edits.changed),
        ),
    }
    sizes = f"{options.edits} edits, {options.steps} steps, {options.near} locality images"
    print(f"{options.model}: {sizes}, {torch.get_num_threads()} threads")
    for what, (plain, quick) in comparisons.items():
        slow, fast = seconds(plain, options.repeats), seconds(quick, options.repeats)
        print(f"{what:10s} plain {slow:7.2f} s   ours {fast:7.2f} s   {slow / fast:5.1f} times as fast")


if __name__ == "__main__":
    main()
