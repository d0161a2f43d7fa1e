"""Flags of the tool's commands. Nothing here imports torch, so that `--help` answers at once."""

import argparse
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

from vitedit.config import MetaTrainConfig
from vitedit.model.about import Way
from vitedit.tool.flags import (
    Named,
    add_after,
    add_classes,
    add_device,
    add_folders,
    add_model,
    add_output,
    add_patch,
    add_patches,
    add_path,
    add_paths,
    add_place,
    add_setting,
    add_share,
)

Run = Callable[[str, dict[str, Any]], None]


@dataclass(frozen=True)
class Command:
    """A command: what it does, an example, its flags."""

    purpose: str
    example: str
    add_flags: Callable[[argparse.ArgumentParser], None]
    notes: str = ""
    """What to know before it runs."""
    more: tuple[str, ...] = ()
    """Further examples."""


def _edit(parser: argparse.ArgumentParser) -> None:
    add_model(parser)
    add_paths(parser, "--image", "image that the model gets wrong; repeat it for several of the same failure")
    parser.add_argument("--label", help="its right class: index, WordNet id or name")
    table = "CSV file with the columns file,label: many failures, each with its right class; instead of --image and --label"
    add_path(parser, "--failures", "FILE.csv", table)
    parser.add_argument(
        "--way",
        choices=get_args(Way),
        help="how one patch comes of several failures: one descent over all (joint; union: with their masks united), single "
        "edits added up (merge), or one after another (sequence); default: joint where the method can, else merge",
    )
    add_after(parser, "before this edit")
    add_classes(parser)
    _how(parser)
    add_folders(parser)
    add_output(parser, "the patch")
    add_path(parser, "--edited", "FILE", "write the edited weights too, as `vitedit apply` does")
    parser.add_argument(
        "--anyway",
        action="store_true",
        help="write the patch although it does not succeed or keep the bounds",
    )
    add_device(parser)


def _how(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    method = "how to edit (docs/methods.md); default: hypernet with --hypernet, else spt"
    add("--method", metavar="NAME", help=method)
    add_setting(
        parser,
        "hyper-parameters of the method, and max_steps and stop_loss, that differ from the defaults",
    )
    add(
        "--sparsity",
        metavar="SHARE|auto",
        help="share of what the method could change that stays as it is; auto: try several, keep the best within --min-locality",
    )
    success = "write no patch that gets fewer of the failures right than this share (default: 1, all)"
    add_share(parser, "--min-success", success, 1.0)
    locality = "write no patch that keeps fewer of the other predictions than this share (with --sparsity auto: 0.98)"
    add_share(parser, "--min-locality", locality)
    add_place(
        parser,
        "may change (default: the hypernetwork's, else 7 8 9 of 12)",
        "default: the hypernetwork's, else mlp",
    )
    add_path(parser, "--hypernet", "FILE", "meta-trained hypernetwork of this very model")
    add(
        "--artifact",
        action=Named,
        default={},
        metavar="NAME=FILE",
        help="another trained artefact that the method needs; repeatable",
    )


def _apply(parser: argparse.ArgumentParser) -> None:
    add_patches(parser)
    add_model(parser)
    add_output(parser, "weights of the edited model, which timm loads")
    add_device(parser)


def _revert(parser: argparse.ArgumentParser) -> None:
    add_patches(parser)
    add_model(parser)
    add_output(parser, "weights of the base model")
    add_device(parser)


def _train_hypernet(parser: argparse.ArgumentParser) -> None:
    add_model(parser)
    add, published = parser.add_argument, MetaTrainConfig.model_fields
    add(
        "--images",
        type=Path,
        required=True,
        metavar="DIR",
        help="photographs like those that the model was trained on, without labels: a folder with all below it, or an archive",
    )
    add_place(parser, "edits may change (default: 7 8 9 of 12, as in the paper)", "default: mlp")
    for name in ("iterations", "batch_size"):
        flag, what = f"--{name.replace('_', '-')}", str(published[name].description).rstrip(".").lower()
        add(flag, type=int, metavar="N", help=f"{what} (default: the paper's {published[name].default})")
    add("--seed", type=int, default=0, metavar="N", help="of everything random (default: 0)")
    add_setting(
        parser,
        "other settings of meta_train in config/config.yaml, as inner_learning_rate=1e-2 pseudo.patches=1,4",
    )
    add_output(
        parser,
        "the hypernetwork; the state of an interrupted training lies beside it, and --force drops another's",
    )
    add_device(parser)


def _compare(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("first", type=Path, help="a patch")
    parser.add_argument("second", type=Path, help="another")


def _report(parser: argparse.ArgumentParser) -> None:
    add_patch(parser)
    add_model(parser)
    add_after(parser, "that this one was made on")
    add_classes(parser)
    add_paths(parser, "--image", "sample that the patch was made from, to be shown; repeatable")
    add_path(parser, "--failures", "FILE.csv", "table of the samples that the patch was made from")
    add_folders(parser)
    add_output(parser, "the page")
    add_device(parser)


TRAINING = """ When it is
interrupted, the same command goes on from its last state.

A batch needs twice as many images as its size (16). The paper's training sees 112,000 parts of images: give
thousands. On DeiT-Ti one of its 7,000 iterations takes 10 seconds on a CPU core, all of them 19 hours;
`--iterations 24 --set replay.steps=600` takes minutes, for masks that hardly depend on the image yet."""

COMMANDS: Mapping[str, Command] = {
    "edit": Command(
        "edits a ViT that is wrong about an image, and writes the edit as a small patch",
        "vitedit edit --model deit_tiny_patch16_224 --image court.jpg --label volleyball -o fix.safetensors",
        _edit,
        more=(
            "vitedit edit --model deit_tiny_patch16_224 --failures failures.csv --min-success 0.9 -o fix.safetensors",
            "vitedit edit --model deit_tiny_patch16_224 --after fix.safetensors --failures more.csv -o fix2.safetensors",
        ),
    ),
    "apply": Command(
        "applies patches to a checkpoint, which timm then loads",
        "vitedit apply fix.safetensors --model deit_tiny_patch16_224 -o edited.safetensors",
        _apply,
    ),
    "revert": Command(
        "takes patches out of a checkpoint again, bit for bit",
        "vitedit revert fix.safetensors --model edited.safetensors -o original.safetensors",
        _revert,
    ),
    "inspect": Command(
        "says what a patch changes, when and how it was made, and what it was measured to do",
        "vitedit inspect fix.safetensors",
        add_patch,
    ),
    "compare": Command(
        "compares two patches: their rates, and the weights that both change",
        "vitedit compare first.safetensors second.safetensors",
        _compare,
    ),
    "report": Command(
        "writes a page that shows what a patch does to single images",
        "vitedit report fix.safetensors --model deit_tiny_patch16_224 --image court.jpg --neighbours more/ -o fix.html",
        _report,
    ),
    "train-hypernet": Command(
        "meta-trains the hypernetwork of the paper's method for one's own model",
        "vitedit train-hypernet --model deit_tiny_patch16_224 --images photographs/ -o hypernet.safetensors",
        _train_hypernet,
        TRAINING,
    ),
}
"""Command -> what it is. Its function is `vitedit.tool.commands.<command>`, imported only when it runs."""


def add_commands(commands: Any, run: Run) -> None:
    """Adds the tool's commands to those of the command line; `run` gets a command's name and its arguments."""
    for name, command in COMMANDS.items():
        parser = commands.add_parser(
            name,
            description=f"{command.purpose[0].upper()}{command.purpose[1:]}.{command.notes}",
            epilog="\n  ".join((f"example{'s' * bool(command.more)}:", command.example, *command.more)),
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        command.add_flags(parser)
        parser.set_defaults(run=lambda arguments, name=name: run(name, arguments))
