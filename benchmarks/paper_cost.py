"""What a run costs before it has run: floating-point operations counted from the architecture, GPU hours at a given rate, memory.

Only matrix products are counted, two operations for each multiplication with its addition; decoding of images, norms, optimisers
and figures are not. What nobody knows before the run (images in error, size of the locality set) is an option and is printed.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

import torch
from network_cost import Network
from run_cost import Known, Run, batch, descent_bytes, stages

from vitedit.config import Config
from vitedit.config_files import load
from vitedit.model.vit import build_vit

GIB = 2**30


def count_images(config: Config, pairs: Sequence[str]) -> dict[str, int]:
    """Images of every set, as `SET=N` or the configuration's `min_images` say."""
    given = dict(pair.split("=") for pair in pairs)
    if unknown := sorted(given.keys() - config.images.keys()):
        raise SystemExit(f"--images {unknown[0]}: no such set. Sets: {', '.join(config.images)}.")
    counts = {name: int(given.get(name, section.min_images or 0)) for name, section in config.images.items()}
    read = [
        config.benchmark.images,
        *config.benchmark.styles,
        *config.locality_images,
        config.statistics_images,
    ]
    if unclear := [name for name in read if not counts[name]]:
        raise SystemExit(f"Nobody says how many images {unclear[0]} has: --images {unclear[0]}=N.")
    return counts


def prepare(config: Config, backbone: str, options: argparse.Namespace) -> Run:
    """A backbone with the assumptions of the command line."""
    with torch.device("meta"):
        net = Network.of(build_vit(config.models[backbone]))
    counts = count_images(config, options.images)
    styles = {name: round(options.wrong * counts[name]) for name in config.benchmark.styles}
    near = min(options.near, config.locality.max_images or options.near)
    known = Known(options.natural, styles, near, counts, options.updates or config.descent.max_steps)
    blocks = config.sites.blocks or list(range(net.depth - 5, net.depth - 2))
    return Run(config, net, blocks, known)


def _short(number: float) -> str:
    """Two significant digits or the whole part, whichever says more."""
    return f"{number:,.0f}" if number >= 10 else f"{number:.2g}"


def table(run: Run, tflops: float) -> str:
    """The stages as a Markdown table."""
    lines = ["| stage | PFLOP | hours |", "|---|---|---|"]
    costs = stages(run)
    for stage, cost in [*costs.items(), ("sum", sum(costs.values()))]:
        lines.append(f"| {stage} | {_short(cost / 1e15)} | {_short(cost / tflops / 3.6e15)} |")
    return "\n".join(lines)


def main() -> None:
    """Prints assumptions, a table and the memory of a descent for every backbone."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--config", type=Path, nargs="+", default=[Path("config/config.yaml"), Path("config/paper.yaml")]
    )
    parser.add_argument(
        "--tflops",
        type=float,
        default=8.0,
        help="10^12 operations a second; 8: 40 %% of an A100's 19.5 in fp32",
    )
    parser.add_argument("--updates", type=int, help="of an edit; without it the most that are allowed")
    parser.add_argument("--natural", type=int, default=500, help="images of the natural groups in error")
    parser.add_argument(
        "--wrong", type=float, default=0.5, help="share of a style's images that are in error"
    )
    parser.add_argument(
        "--near", type=int, default=3000, help="images of the locality set, before `locality.max_images`"
    )
    parser.add_argument(
        "--images",
        nargs="*",
        default=[],
        metavar="SET=N",
        help="images of a set; without it its `min_images`",
    )
    parser.add_argument(
        "--copies", type=float, default=5.0, help="copies of an edit's matrices at the peak of a descent"
    )
    options = parser.parse_args()
    config = load(*options.config)
    for backbone in config.backbones:
        run = prepare(config, backbone, options)
        print(
            f"\n{backbone} ({config.models[backbone].name}), at {options.tflops:g} TFLOP/s\n\n{table(run, options.tflops)}\n"
        )
        settings = sum(len(section.settings()) for section in config.editors.values())
        print(f"{run.total:,} edits in each of {settings} settings, {run.known.updates} updates an edit.")
        print(f"Assumed: {run.known}.")
        peak = descent_bytes(run, batch(run), options.copies) / GIB
        print(
            f"A descent of {batch(run)} edits: {peak:.0f} GiB with {options.copies:g} copies of each edit's matrices."
        )


if __name__ == "__main__":
    main()
