"""Times the engine against the plain algorithm (`plain.py`) in the same process: ratios, share of the machine's peak, memory.

`make bench` runs all of it and writes tables and plots to docs/performance/. Nothing here is a test: times depend on the machine.
A cost that grows with a number of steps or images is measured on a few and given for one; both sides are measured in turn, so
that what else runs on the machine meets both, and the least time of some repeats counts.
"""

import argparse
import json
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import plain
import torch
from models import MODELS, random_split
from torch.utils.flop_counter import FlopCounterMode

from vitedit.config import DescentConfig, MaskSearchConfig
from vitedit.editors.rome import Rome
from vitedit.editors.t_patcher import TPatcher
from vitedit.learned.statistics import Covariance, Memory
from vitedit.memory import keep_freed_memory
from vitedit.model.edits import Edits, Samples
from vitedit.model.last_block import LastBlock
from vitedit.where.mask_search import random_logits, search_masks
from vitedit.where.masks import binarise, edit_under, expand, units

Work = Callable[[], Any]
SPARSITY = 0.95
COUNTS = (1, 4, 16, 64, 256, 512)
IMAGES = (16, 64, 256, 1024)


def seconds(work: Work, device: torch.device) -> float:
    """One run, to the end of what it left running on a GPU."""
    began = time.perf_counter()
    work()
    if device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - began


def peak(device: torch.device) -> float:
    """Operations a second of a large product of matrices in single precision."""
    size = 2048 if device.type == "cpu" else 8192
    a, b = torch.randn(size, size, device=device), torch.randn(size, size, device=device)
    return 2 * size**3 / min(seconds(lambda: a @ b, device) for _ in range(20))


def operations(work: Work) -> int:
    """Operations of the matrix products of a piece of work."""
    with FlopCounterMode(display=False) as counter:
        work()
    return counter.get_total_flops()


class Bench:
    """One model with images, and each comparison as (plain work, what it stands for, our work, what it stands for)."""

    def __init__(self, model: str, device: torch.device, edits: int, steps: int, images: int) -> None:
        torch.manual_seed(0)
        self.device, self.edits, self.steps = device, edits, steps
        self.split = random_split(model)
        self.split.vit.to(device)
        side = self.split.vit.patch_embed.img_size[0]
        self.images = torch.randn(edits, 3, side, side, device=device)
        self.near = torch.randn(images, 3, side, side, device=device)
        self.labels = torch.arange(edits, device=device) % self.split.vit.num_classes
        self.samples = Samples(self.images[:, None], self.labels, tuple(map(str, range(edits))))
        self.masks = binarise(torch.rand(edits, units(self.split)), SPARSITY).to(device)
        self.settings = DescentConfig(max_steps=steps, stop_loss=1e-12)

    def edit(self) -> Edits:
        """E sparse edits."""
        return edit_under(self.split, self.samples, self.masks, self.settings, 1e-4)

    def descent(self) -> tuple[Work, int, Work, int]:
        """A step of an edit."""
        vit, names = self.split.vit, list(self.split.weights)
        masks = {n: m[0] for n, m in expand(self.masks[:1], self.split.sites, vit).items()}
        theirs = lambda: plain.edit(vit, names, self.images[0], self.labels[0], masks, self.steps)  # noqa: E731
        done = self.edits * (self.steps + 1)  # ours judges once more at the end
        return theirs, self.steps, self.edit, done

    def locality(self) -> tuple[Work, int, Work, int]:
        """An edit on a locality image."""
        edits, tokens = self.edit(), self.split.prefix(self.near)
        one = {name: tensor[0] for name, tensor in edits.take(np.array([0])).changed.items()}
        theirs = lambda: plain.locality(self.split.vit, one, self.near)  # noqa: E731
        ours = lambda: self.split.predict_many(tokens, edits.changes)  # noqa: E731
        return theirs, len(self.near), ours, self.edits * len(self.near)

    def search(self) -> tuple[Work, int, Work, int]:
        """A pseudo-sample of a meta-training iteration: its mask search, which is nearly all of it."""
        split, count = self.split, min(8, self.edits)
        settings = MaskSearchConfig(inner_learning_rate=0.1, search_steps=4)  # of 10
        teacher = torch.randn(count, split.vit.num_classes, device=self.device)
        start = random_logits(split, [torch.Generator().manual_seed(0)], count, False)
        few = settings.model_copy(update={"search_steps": 1})
        theirs = lambda: plain.search(split.vit, split.sites, self.images[0], teacher[0], start[0], few)  # noqa: E731

        def ours() -> None:
            search_masks(split, split.prefix(self.images[:count]), teacher, start, settings)

        return theirs, 1, ours, count * settings.search_steps

    def t_patcher(self) -> tuple[Work, int, Work, int]:
        """An edit by T-Patcher with a memory of 2,000 queries, 100 steps."""
        memory = Memory(torch.randn(2000, self.split.vit.embed_dim, device=self.device))
        editor = TPatcher(DescentConfig(max_steps=100, stop_loss=1e-12), 1e-2, 5.0, memory)
        last = LastBlock.of(self.split)
        theirs = lambda: plain.t_patcher(last, self.images[0], self.labels[0], memory, 4)  # noqa: E731
        return theirs, 4, lambda: editor.edit(self.split, self.samples), self.edits * 100

    def rome(self) -> tuple[Work, int, Work, int]:
        """An edit by ROME, 100 steps."""
        last = LastBlock.of(self.split)
        keys = torch.randn(4000, last.hidden, dtype=torch.float64)
        covariance = Covariance(keys.T @ keys / len(keys), len(keys))
        editor = Rome(DescentConfig(max_steps=100, stop_loss=1e-12), 0.5, 4.0, covariance)
        editor.edit(self.split, self.samples)  # factorises once for all edits
        theirs = lambda: plain.rome(last, self.images[0], self.labels[0], covariance, 4)  # noqa: E731
        return theirs, 4, lambda: editor.edit(self.split, self.samples), self.edits * 100


COMPARED = ("search", "descent", "locality", "t_patcher", "rome")


def compare(bench: Bench, what: str, repeats: int, most: float) -> dict[str, Any]:
    """One row: seconds of one unit on both sides, their ratio, and the share of the machine's peak that ours reaches."""
    theirs, their_units, ours, our_units = getattr(bench, what)()
    both = [(seconds(theirs, bench.device), seconds(ours, bench.device)) for _ in range(repeats + 1)][1:]
    slow, quick = min(a for a, _ in both) / their_units, min(b for _, b in both) / our_units
    share = operations(ours) / our_units / quick / most
    return {"what": what, "plain": slow, "ours": quick, "ratio": slow / quick, "share_of_peak": share}


def ratios(options: argparse.Namespace) -> pd.DataFrame:
    """The table of comparisons for every model."""
    device, rows = torch.device(options.device), []
    most = peak(device)
    for model in options.models:
        bench = Bench(model, device, options.edits, options.steps, options.images)
        for what in options.what:
            row = {"model": model, **compare(bench, what, options.repeats, most), "peak_gflops": most / 1e9}
            print(
                "{model:9s} {what:10s} plain {plain:.4g} s  ours {ours:.4g} s  ratio {ratio:.1f}  "
                "{share_of_peak:.0%} of peak".format(**row),
                flush=True,
            )
            rows.append(row)
    return pd.DataFrame(rows)


def memory(device: torch.device) -> float:
    """MiB at the peak of this process."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated() / 2**20
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def scale(model: str, edits: int, images: int, options: argparse.Namespace) -> dict[str, Any]:
    """Cost of one point of the scaling plots; in a process of its own, since peak memory only ever grows."""
    device = torch.device(options.device)
    bench = Bench(model, device, edits, options.steps, images)
    before = memory(device)
    made = bench.edit()
    descent = min(seconds(bench.edit, device) for _ in range(options.repeats)) / (options.steps + 1)
    after = memory(device) - before
    tokens = bench.split.prefix(bench.near)
    work: Work = lambda: bench.split.predict_many(tokens, made.changes)  # noqa: E731
    measured = min(seconds(work, device) for _ in range(options.repeats))
    point = {"model": model, "edits": edits, "images": images}
    return {**point, "step": descent, "locality": measured, "mib": after}


def scaling(options: argparse.Namespace) -> pd.DataFrame:
    """Cost against E, against the number of locality images, and against the size of the model."""
    points = [("tiny", count, 16) for count in COUNTS] + [("tiny", 4, count) for count in IMAGES]
    points += [(model, 4, 16) for model in ("small", "base", "large")]
    rows = []
    for model, edits, images in points:
        words = [sys.executable, __file__, "--point", model, str(edits), str(images)]
        for name in ("device", "steps", "repeats", "threads"):
            words += [f"--{name}", str(getattr(options, name))]
        made = subprocess.run(words, capture_output=True, text=True, check=True).stdout
        rows.append(pd.Series(json.loads(made)))
        print(*(f"{key} {value}" for key, value in rows[-1].items()), flush=True)
    return pd.DataFrame(rows)


def main() -> None:
    """Writes ratios.csv, scaling.csv and their plots to the folder."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", nargs="+", choices=MODELS, default=["tiny", "base"])
    parser.add_argument("--what", nargs="+", choices=COMPARED, default=list(COMPARED))
    parser.add_argument("--edits", type=int, default=64, help="edits in a batch")
    parser.add_argument("--images", type=int, default=16, help="locality images that are measured on")
    parser.add_argument("--steps", type=int, default=10, help="steps of the descent that are measured")
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--device", default="cpu")
    parser.add_argument(
        "--output", type=Path, help="folder of tables and plots; without it only the ratios, printed"
    )
    parser.add_argument("--point", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    keep_freed_memory()
    if options.point:
        model, edits, images = options.point
        print(pd.Series(scale(model, int(edits), int(images), options)).to_json())
        return
    if not options.output:
        ratios(options)
        return
    from plots import draw

    options.output.mkdir(parents=True, exist_ok=True)
    points = scaling(
        options
    )  # first: a process has its peak of memory from the one that starts it, which is small yet
    points.to_csv(options.output / "scaling.csv", index=False, float_format="%.4g")
    table = ratios(options)
    table.to_csv(options.output / "ratios.csv", index=False, float_format="%.4g")
    draw(table, points, options.output)


if __name__ == "__main__":
    main()
