"""Flags of the tool's commands. Nothing here imports torch, so that `--help` answers at once."""

import argparse
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vitedit.config import MetaTrainConfig

Run = Callable[[str, dict[str, Any]], None]


@dataclass(frozen=True)
class Command:
    """A command: what it does, an example, its flags."""

    purpose: str
    example: str
    add_flags: Callable[[argparse.ArgumentParser], None]
    notes: str = ""
    """What to know before it runs."""


def _edit(parser: argparse.ArgumentParser) -> None:
    _model(parser)
    add = parser.add_argument
    add(
        "--image",
        type=Path,
        action="append",
        required=True,
        metavar="FILE",
        help="image that the model gets wrong; repeat it for several of the same failure",
    )
    add("--label", required=True, help="its right class: index, WordNet id or name")
    _classes(parser)
    _how(parser)
    _folders(parser)
    _output(parser, "the patch")
    add("--edited", type=Path, metavar="FILE", help="write the edited weights too, as `vitedit apply` does")
    add(
        "--anyway", action="store_true", help="write the patch although it does not succeed or keep the bound"
    )
    _device(parser)


def _how(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add(
        "--method",
        metavar="NAME",
        help="how to edit (docs/methods.md); default: hypernet with --hypernet, else spt",
    )
    add(
        "--set",
        dest="setting",
        action="extend",
        nargs="+",
        default=[],
        metavar="NAME=VALUE",
        help="hyper-parameters of the method, and max_steps and stop_loss, that differ from the defaults",
    )
    add(
        "--sparsity",
        metavar="SHARE|auto",
        help="share of what the method could change that stays as it is; auto: try several, keep the best within --min-locality",
    )
    add(
        "--min-locality",
        type=float,
        metavar="RATE",
        help="write no patch that keeps fewer of the other predictions than this share (with --sparsity auto: 0.98)",
    )
    add(
        "--blocks",
        type=int,
        nargs="+",
        metavar="N",
        help="0-based blocks that may change (default: the hypernetwork's, else 7 8 9 of 12)",
    )
    add(
        "--part", choices=["mlp", "attn"], help="half of these blocks (default: the hypernetwork's, else mlp)"
    )
    add("--hypernet", type=Path, metavar="FILE", help="meta-trained hypernetwork of this very model")
    add(
        "--artifact",
        action=Named,
        default={},
        metavar="NAME=FILE",
        help="another trained artefact that the method needs; repeatable",
    )


def _apply(parser: argparse.ArgumentParser) -> None:
    _patch(parser)
    _model(parser)
    _output(parser, "weights of the edited model, which timm loads")
    _device(parser)


def _revert(parser: argparse.ArgumentParser) -> None:
    _patch(parser)
    _model(parser)
    _output(parser, "weights of the base model")
    _device(parser)


def _train_hypernet(parser: argparse.ArgumentParser) -> None:
    _model(parser)
    add, published = parser.add_argument, MetaTrainConfig.model_fields
    add(
        "--images",
        type=Path,
        required=True,
        metavar="DIR",
        help="photographs like those that the model was trained on, without labels: a folder with all below it, or an archive",
    )
    add(
        "--blocks",
        type=int,
        nargs="+",
        metavar="N",
        help="0-based blocks that edits may change (default: 7 8 9 of 12, as in the paper)",
    )
    add("--part", choices=["mlp", "attn"], help="half of these blocks (default: mlp)")
    for name in ("iterations", "batch_size"):
        flag, what = f"--{name.replace('_', '-')}", str(published[name].description).rstrip(".").lower()
        add(flag, type=int, metavar="N", help=f"{what} (default: the paper's {published[name].default})")
    add("--seed", type=int, default=0, metavar="N", help="of everything random (default: 0)")
    add(
        "--set",
        dest="setting",
        action="extend",
        nargs="+",
        default=[],
        metavar="NAME=VALUE",
        help="other settings of meta_train in config/config.yaml, as inner_learning_rate=1e-2 pseudo.patches=1,4",
    )
    _output(
        parser,
        "the hypernetwork; the state of an interrupted training lies beside it, and --force drops another's",
    )
    _device(parser)


def _compare(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("first", type=Path, help="a patch")
    parser.add_argument("second", type=Path, help="another")


def _report(parser: argparse.ArgumentParser) -> None:
    _patch(parser)
    _model(parser)
    _classes(parser)
    parser.add_argument(
        "--image",
        type=Path,
        action="append",
        default=[],
        metavar="FILE",
        help="sample that the patch was made from, to be shown; repeatable",
    )
    _folders(parser)
    _output(parser, "the page")
    _device(parser)


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
    ),
    "apply": Command(
        "applies a patch to a checkpoint, which timm then loads",
        "vitedit apply fix.safetensors --model deit_tiny_patch16_224 -o edited.safetensors",
        _apply,
    ),
    "revert": Command(
        "takes a patch out of a checkpoint again, bit for bit",
        "vitedit revert fix.safetensors --model edited.safetensors -o original.safetensors",
        _revert,
    ),
    "inspect": Command(
        "says what a patch changes, when and how it was made, and what it was measured to do",
        "vitedit inspect fix.safetensors",
        lambda parser: _patch(parser),
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
            help=command.purpose,
            description=f"{command.purpose[0].upper()}{command.purpose[1:]}.{command.notes}",
            epilog=f"example:\n  {command.example}",
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        command.add_flags(parser)
        parser.set_defaults(run=lambda arguments, name=name: run(name, arguments))


class Named(argparse.Action):
    """Collects NAME=PATH pairs into a dictionary."""

    def __call__(self, parser: Any, namespace: Any, values: Any, option_string: str | None = None) -> None:
        """Adds one pair."""
        name, equals, path = str(values).partition("=")
        if not (name and equals and path):
            parser.error(f"{option_string} takes NAME=PATH, got '{values}'")
        setattr(namespace, self.dest, {**getattr(namespace, self.dest), name: Path(path)})


def _patch(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("patch", type=Path, help="what `vitedit edit` wrote")


def _model(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--model",
        required=True,
        metavar="NAME|FILE",
        help="a name of timm, whose weights come from the hub, or a file of weights",
    )
    parser.add_argument(
        "--architecture",
        nargs="+",
        metavar=("NAME", "KEY=VALUE"),
        help="of a file of weights that does not say it: timm's name, and what differs from it, as num_classes=12",
    )


def _classes(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--classes",
        type=Path,
        metavar="FILE",
        help="names of the classes, one a line (default: ImageNet's for a model of 1000 classes)",
    )


def _folders(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--neighbours",
        type=Path,
        metavar="DIR",
        help="more images of the same failure: does the edit mend them too?",
    )
    parser.add_argument(
        "--locality", type=Path, metavar="DIR", help="other images: does the edit leave them alone?"
    )


def _output(parser: argparse.ArgumentParser, what: str) -> None:
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="FILE", help=what)
    parser.add_argument("--force", action="store_true", help="replace a file that exists")


def _device(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--device", choices=["auto", "cpu", "cuda"], default="auto", help="auto: a GPU if there is one"
    )
    parser.add_argument(
        "--threads", type=int, default=1, metavar="N", help="CPU threads of one operation (default: 1)"
    )
