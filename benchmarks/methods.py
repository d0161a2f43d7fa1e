"""Time and memory of one edit of every method, on models with random weights; prints a table.

Every measurement has a process of its own, since peak memory only ever grows. Memory an edit is the growth of the peak from one
edit to several made at once.
"""

import argparse
import resource
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import torch
from models import random_split

from vitedit.config import Config, DescentConfig
from vitedit.config_files import load
from vitedit.editors import build, editor_class
from vitedit.learned.anchors import Anchors
from vitedit.learned.conditioner import KeNetwork
from vitedit.learned.mend import MendNetwork
from vitedit.learned.null_space import NullSpace
from vitedit.learned.statistics import Covariance, Memory
from vitedit.model.edits import Samples
from vitedit.model.vit import Split
from vitedit.where.hypernet import Hypernet

CONFIG = Path("config/config.yaml")
OVERLAY = {"embedded": [], "tiny": [], "base": [Path("config/paper.yaml")]}
"""Whose sizes of networks and memories are measured."""
IMAGES = {"embedded": 2000, "tiny": 2000, "base": 40000}
"""Images that memory and covariance stand for."""
MEBI = 2**20


def artifact(name: str, split: Split, config: Config, images: int) -> Any:
    """An artefact of the right shape with random content: what it knows costs nothing, its size does."""
    width, side = split.vit.embed_dim, split.vit.patch_embed.img_size
    hidden = split.weights["blocks.7.mlp.fc1.weight"].shape[0]
    last = split.at("mlp", [-3, -2, -1])
    made = {
        "hypernet": lambda: Hypernet.for_sites(split.vit, split.sites, width, 3, 6 if width % 6 == 0 else 3),
        "memory": lambda: Memory(torch.randn(images, width)),
        "covariance": lambda: Covariance(_moment(hidden), images),
        "null_space": lambda: _null_space(last, hidden, config.statistics.anchors),
        "anchors": lambda: Anchors(torch.randn(config.statistics.kept, 3, *side)),
        "ke": lambda: KeNetwork.for_split(last, config.train_editor.ke),
        "mend": lambda: MendNetwork.for_split(last, config.train_editor.mend),
    }[name]()
    return made.eval().requires_grad_(False) if isinstance(made, torch.nn.Module) else made


def _moment(width: int) -> torch.Tensor:
    keys = torch.randn(4000, width, dtype=torch.float64)
    return keys.T @ keys / len(keys)


def _null_space(last: Split, hidden: int, anchors: int) -> NullSpace:
    """Of the last three blocks, half of whose directions are below the mean eigenvalue."""
    vectors = torch.randn(len(last.blocks), hidden, hidden, dtype=torch.float64).div_(hidden**0.5)
    values = torch.linspace(0, 2, hidden, dtype=torch.float64).expand(len(last.blocks), -1)
    return NullSpace(last.blocks, torch.zeros(len(last.vit.blocks)), values, vectors, anchors)


def measure(model: str, method: str, edits: int, steps: int, device: torch.device) -> tuple[float, float]:
    """Seconds an edit after one to warm up, and MiB at the peak."""
    config = load(CONFIG, *OVERLAY[model])
    config = config.model_copy(update={"descent": DescentConfig(max_steps=steps, stop_loss=1e-12)})
    split = random_split(model)
    trained = {name: artifact(name, split, config, IMAGES[model]) for name in editor_class(method).artifacts}
    editor = build(method, config.editors[method].middle(), config, trained)
    side = split.vit.patch_embed.img_size[0]
    split.vit.to(device)
    images = torch.randn(edits, 1, 3, side, side, device=device)
    labels = torch.arange(edits, device=device) % split.vit.num_classes
    samples = Samples(images, labels, tuple(map(str, range(edits))))
    editor.edit(split, Samples(images[:1], labels[:1], samples.keys[:1]))
    began = time.perf_counter()
    editor.edit(split, samples)
    if device.type == "cuda":
        torch.cuda.synchronize()
        return (time.perf_counter() - began) / edits, torch.cuda.max_memory_allocated() / MEBI
    return (time.perf_counter() - began) / edits, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def apart(options: argparse.Namespace, method: str, edits: int) -> tuple[float, float]:
    """`measure` in a process of its own."""
    words = [sys.executable, __file__, "--model", options.model, "--steps", str(options.steps)]
    words += ["--threads", str(options.threads), "--device", options.device]
    words += ["--only", method, "--edits", str(edits)]
    seconds, peak = subprocess.run(words, capture_output=True, text=True, check=True).stdout.split()
    return float(seconds), float(peak)


def main() -> None:
    """Prints a Markdown table, one line a method."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", choices=OVERLAY, default="embedded")
    parser.add_argument("--edits", type=int, default=16, help="edits made at once")
    parser.add_argument("--steps", type=int, default=20, help="updates of every edit")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--only", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.only:
        torch.set_num_threads(options.threads)
        print(
            *measure(options.model, options.only, options.edits, options.steps, torch.device(options.device))
        )
        return
    print("| method | seconds an edit | MiB an edit | MiB at the peak |\n|---|---|---|---|", flush=True)
    for method in load(CONFIG).editors:
        (_, one), (seconds, many) = apart(options, method, 1), apart(options, method, options.edits)
        print(
            f"| {method} | {seconds:.3f} | {(many - one) / (options.edits - 1):.1f} | {many:.0f} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
