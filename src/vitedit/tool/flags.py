"""Flags that commands of the tool share. Nothing here imports torch, so that `--help` answers at once."""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any


class Named(argparse.Action):
    """Collects NAME=PATH pairs into a dictionary."""

    def __call__(self, parser: Any, namespace: Any, values: Any, option_string: str | None = None) -> None:
        """Adds one pair."""
        name, equals, path = str(values).partition("=")
        if not (name and equals and path):
            parser.error(f"{option_string} takes NAME=PATH, got '{values}'")
        setattr(namespace, self.dest, {**getattr(namespace, self.dest), name: Path(path)})


def gather(words: Sequence[str]) -> list[str]:
    """Words with `--architecture NAME KEY=VALUE ...` behind all others, so that it takes no patch for a part of it."""
    flag = "--architecture"
    if flag not in words:
        return list(words)
    start = words.index(flag)
    stop = start + 2
    while stop < len(words) and "=" in words[stop] and not words[stop].startswith("-"):
        stop += 1
    others = [*words[:start], *words[stop:]]
    end = others.index("--") if "--" in others else len(others)
    return [*others[:end], *words[start:stop], *others[end:]]


def add_path(parser: argparse.ArgumentParser, flag: str, metavar: str, what: str) -> None:
    """A file or folder that may be left out."""
    parser.add_argument(flag, type=Path, metavar=metavar, help=what)


def add_paths(parser: argparse.ArgumentParser, flag: str, what: str) -> None:
    """A file of which there may be several: the flag is repeated."""
    parser.add_argument(flag, type=Path, action="append", default=[], metavar="FILE", help=what)


def add_share(parser: argparse.ArgumentParser, flag: str, what: str, otherwise: float | None = None) -> None:
    """A share from 0 to 1."""
    parser.add_argument(flag, type=float, metavar="SHARE", default=otherwise, help=what)


def add_setting(parser: argparse.ArgumentParser, what: str) -> None:
    """`--set NAME=VALUE ...`."""
    parser.add_argument(
        "--set", dest="setting", action="extend", nargs="+", default=[], metavar="NAME=VALUE", help=what
    )


def add_place(parser: argparse.ArgumentParser, blocks: str, part: str) -> None:
    """Where a model may change."""
    parser.add_argument("--blocks", type=int, nargs="+", metavar="N", help=f"0-based blocks that {blocks}")
    parser.add_argument("--part", choices=["mlp", "attn"], help=f"half of these blocks ({part})")


def add_patch(parser: argparse.ArgumentParser) -> None:
    """One patch."""
    parser.add_argument("patch", type=Path, help="what `vitedit edit` wrote")


def add_patches(parser: argparse.ArgumentParser) -> None:
    """A patch, or several in the order in which they were made."""
    parser.add_argument(
        "patch", type=Path, nargs="+", help="what `vitedit edit` wrote; several in the order they were made"
    )


def add_after(parser: argparse.ArgumentParser, what: str) -> None:
    """Patches that are in the model already."""
    add_paths(parser, "--after", f"patch that is in the model {what}; repeat it, in the order they were made")


def add_model(parser: argparse.ArgumentParser) -> None:
    """The model, and what a file of weights does not say of itself."""
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


def add_classes(parser: argparse.ArgumentParser) -> None:
    """Names of classes."""
    what = "names of the classes, one a line (default: ImageNet's for a model of 1000 classes)"
    add_path(parser, "--classes", "FILE", what)


def add_folders(parser: argparse.ArgumentParser) -> None:
    """What an edit is measured on."""
    near = "more images of the same failure: does the edit mend them too? With --failures a CSV file like it"
    add_path(parser, "--neighbours", "DIR|FILE.csv", near)
    add_path(parser, "--locality", "DIR", "other images: does the edit leave them alone?")


def add_output(parser: argparse.ArgumentParser, what: str) -> None:
    """Where the result goes."""
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="FILE", help=what)
    parser.add_argument("--force", action="store_true", help="replace a file that exists")


def add_device(parser: argparse.ArgumentParser) -> None:
    """What computes."""
    parser.add_argument(
        "--device", choices=["auto", "cpu", "cuda"], default="auto", help="auto: a GPU if there is one"
    )
    parser.add_argument(
        "--threads", type=int, default=1, metavar="N", help="CPU threads of one operation (default: 1)"
    )
