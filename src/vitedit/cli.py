"""Command line: the tool's commands (`edit`, `apply`, ...), one subcommand a stage, `check`, `schema` and `timings`.

A stage's flags are the keyword-only names of its function, its arguments those before the `*`. They carry paths and names
only; choices live in the configuration, but for `--reference`; `--ablation` names one of its ablations.
Exit codes: 0 done, 2 a mistake that the message explains, 130 interrupted (Ctrl-C), 1 anything else (with a traceback).
"""

import argparse
import importlib
import inspect
import logging
import os
import sys
import types
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Union, get_args, get_origin

import yaml

from vitedit.config import Config
from vitedit.config_files import load
from vitedit.errors import UnknownNameError, ViteditError
from vitedit.gpu import VISIBLE, claim_gpu
from vitedit.memory import keep_freed_memory
from vitedit.timings import as_text, read_timings
from vitedit.tool.arguments import COMMANDS, add_commands
from vitedit.tool.flags import Named, gather

log = logging.getLogger(__name__)

STAGES = {
    "fetch": "downloads the data sets that a run needs, and says what to bring by hand",
    "render-images": "renders every image set of the embedded world",
    "pretrain": "trains one model of the embedded world",
    "measure-world": "measures the embedded world's models on fresh images",
    "build-benchmark": "finds groups of images on which a backbone fails in the same way",
    "build-locality": "finds images that a backbone only just gets right",
    "search-layers": "searches the window of blocks where edits generalize and stay local",
    "store-tokens": "stores what enters the edited blocks, once for all jobs that edit a backbone",
    "meta-train": "meta-trains the hypernetwork that says where to edit",
    "import-hypernet": "turns a hypernetwork of the published code into one of ours",
    "collect-statistics": "collects from pre-training images what T-Patcher, ROME, X-Edit and refine_heads know of them",
    "train-editor": "meta-trains a network that predicts the edit itself (KE, MEND)",
    "tune": "tries a method's hyper-parameters on held-out groups",
    "tuning": "collects the trials of all methods and writes the best as a configuration",
    "edit-groups": "edits with some methods on every group and measures each edit",
    "join-edits": "joins the edits of several shards",
    "find-failures": "collects what a backbone gets wrong, for sequences of edits",
    "edit-many": "edits one model again and again, and makes one edit from many failures",
    "many-edits": "collects the rows of many edits of all methods",
    "show-edits": "edits one image of each group and keeps what single images were taken for before and after",
    "specificity": "compares the hypernetwork's masks within and between groups",
    "ablations": "collects the edits of the ablations that have a training of their own",
    "tabulate": "collects a run's results into tables",
    "notebook": "executes one notebook on a run's tables",
    "page": "writes a run's page",
}
"""Subcommand -> what it does. Its function is `vitedit.stages.<stage>.<stage>`, imported only when asked for."""

ABOUT_RUNS = {
    "schema": "prints the JSON schema of the configuration, as YAML",
    "check": "checks a configuration: every method's settings, models and blocks",
    "timings": "prints how long each stage of a run took",
}
"""Further subcommand -> what it does."""

Stage = Callable[..., None]


def main(words: Sequence[str] | None = None) -> int:
    """Runs one subcommand and returns the exit code."""
    # before torch is imported: threads that spin while they wait starve other jobs
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    words = gather(sys.argv[1:] if words is None else words)
    logging.basicConfig(
        level=logging.INFO,
        stream=sys.stderr,
        force=True,
        format="%(asctime)s %(levelname)s %(name)s: %(message)s",
    )
    try:
        arguments = vars(_parser(words).parse_args(words))
        arguments.pop("run")(arguments)
        sys.stdout.flush()
    except ViteditError as error:
        print(f"vitedit: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(
            "vitedit: interrupted; the same command goes on from what is kept, or starts anew",
            file=sys.stderr,
        )
        return 130
    except BrokenPipeError:  # who read our output, such as `head`, has gone; Python would complain at its end
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0


def _parser(words: Sequence[str]) -> argparse.ArgumentParser:
    """The parser; only the subcommand that is asked for imports its stage and gets its flags."""
    parser = argparse.ArgumentParser(
        prog="vitedit",
        description="Edit a Vision Transformer from its failures.",
        epilog=_listing(),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(
        required=True, metavar="COMMAND", help="one of these; `vitedit COMMAND --help` says more"
    )
    add_commands(commands, _run_command)
    asked = next((word for word in words if not word.startswith("-")), "")
    for name, purpose in STAGES.items():
        command = commands.add_parser(name, description=_sentence(purpose))
        if name == asked:
            _add_stage(command, stage_function(name))
    schema = commands.add_parser("schema", description=_sentence(ABOUT_RUNS["schema"]))
    schema.set_defaults(run=lambda arguments: sys.stdout.write(schema_text()))
    check = commands.add_parser("check", description=_sentence(ABOUT_RUNS["check"]))
    _add_config(check)
    check.set_defaults(run=lambda arguments: _check_all(_config(arguments)))
    timings = commands.add_parser("timings", description=_sentence(ABOUT_RUNS["timings"]))
    timings.add_argument("folder", type=Path, help="results/<run>/timings")
    timings.set_defaults(run=lambda arguments: print(as_text(read_timings(arguments["folder"]))))
    return parser


def _sentence(purpose: str) -> str:
    return f"{purpose[0].upper()}{purpose[1:]}."


def _listing() -> str:
    """All subcommands: first those for a model of one's own."""
    own = {name: command.purpose for name, command in COMMANDS.items()}
    groups = {
        "your own model (docs/edit-your-model.md)": own,
        "stages of the replication": STAGES | ABOUT_RUNS,
    }
    width = max(map(len, own | STAGES))
    return "\n\n".join(
        "\n".join([f"{title}:", *(f"  {name:{width}}  {purpose}" for name, purpose in listed.items())])
        for title, listed in groups.items()
    )


def stage_function(name: str) -> Stage:
    """The function behind a subcommand."""
    stage = name.replace("-", "_")
    return getattr(importlib.import_module(f"vitedit.stages.{stage}"), stage)


def schema_text() -> str:
    """JSON schema of the configuration as YAML."""
    schema = {"$schema": "https://json-schema.org/draft/2020-12/schema", **Config.model_json_schema()}
    head = "# Made by `vitedit schema` from src/vitedit/config/; a test keeps the two in step.\n"
    return head + yaml.safe_dump(schema, sort_keys=False, allow_unicode=True, width=120)


def _add_stage(command: argparse.ArgumentParser, stage: Stage) -> None:
    """Flags of a stage from the keyword names of its function, and those that all stages share."""
    _add_config(command)
    command.add_argument(
        "--device", choices=["auto", "cpu", "cuda"], default="auto", help="auto: a GPU if there is one"
    )
    command.add_argument(
        "--threads", type=int, default=1, metavar="N", help="CPU threads of one operation (default: 1)"
    )
    for parameter in inspect.signature(stage, eval_str=True).parameters.values():
        if parameter.name in ("config", "device"):
            continue
        if parameter.kind is inspect.Parameter.KEYWORD_ONLY:
            _add_flag(command, parameter)
        else:
            command.add_argument(
                parameter.name, type=_single(parameter.annotation), metavar=parameter.name.upper()
            )
    command.set_defaults(run=lambda arguments: _run(stage, arguments))


def _add_config(command: argparse.ArgumentParser) -> None:
    """The flags that say which configuration counts."""
    command.add_argument(
        "--config",
        type=Path,
        nargs="+",
        required=True,
        metavar="FILE",
        help="laid over each other, left to right",
    )
    command.add_argument(
        "--reference",
        action="store_true",
        help="as `reference: true`: edit and measure as the published code does",
    )
    command.add_argument(
        "--ablation",
        metavar="FAMILY/VARIANT",
        help="the configuration under one of its ablations (default: the run's own)",
    )


def _config(arguments: dict[str, Any]) -> Config:
    """The configuration that the flags of `_add_config` name; takes them out of the arguments."""
    config, reference = load(*arguments.pop("config")), arguments.pop("reference")
    config = config.model_copy(update={"reference": True}) if reference else config
    ablation = arguments.pop("ablation")
    return config.under(ablation) if ablation else config


def _add_flag(command: argparse.ArgumentParser, parameter: inspect.Parameter) -> None:
    """One flag: text, a path, several names, or NAME=PATH as often as needed."""
    flag, kind = f"--{parameter.name.replace('_', '-')}", parameter.annotation
    required = parameter.default is inspect.Parameter.empty
    default = None if required else parameter.default
    if get_origin(kind) in (dict, Mapping):
        command.add_argument(flag, action=Named, default={}, metavar="NAME=PATH", help="repeatable")
    elif get_origin(kind) is Sequence:
        command.add_argument(flag, nargs="+", default=default, required=required, metavar="NAME")
    else:
        command.add_argument(
            flag,
            type=_single(kind),
            required=required,
            default=default,
            metavar=_single(kind).__name__.upper(),
        )


def _single(kind: Any) -> type:
    """`Path` of `Path | None`; any other type is itself."""
    if get_origin(kind) in (Union, types.UnionType):
        return next(part for part in get_args(kind) if part is not type(None))
    return kind


def _run(stage: Stage, arguments: dict[str, Any]) -> None:
    """Checks the configuration, settles device and threads, and runs the stage."""
    config = _config(arguments)
    _check_names(config, arguments)
    asked, threads = arguments.pop("device"), arguments.pop("threads")
    with ExitStack() as held:
        if "device" in inspect.signature(stage).parameters:
            _check(config)
            arguments["device"] = _settle_device(asked, threads, held)
        stage(config, **arguments)


def _run_command(name: str, arguments: dict[str, Any]) -> None:
    """Runs one of the tool's commands and prints what it says."""
    with ExitStack() as held:
        if "device" in arguments:
            arguments["device"] = _settle_device(arguments["device"], arguments.pop("threads"), held)
        command = name.replace("-", "_")
        print(getattr(importlib.import_module("vitedit.tool.commands"), command)(**arguments))


def _check(config: Config) -> None:
    """Checks what only the methods themselves know: their settings and artefacts."""
    from vitedit import editors

    editors.check(config)


def _check_all(config: Config) -> None:
    """Checks the methods' settings, then what only the models themselves know."""
    _check(config)
    from vitedit.stages.feasible import check_models

    check_models(config)


def _check_names(config: Config, arguments: Mapping[str, Any]) -> None:
    """Refuses backbones, models, networks and methods that the configuration does not have.

    Raises:
        UnknownNameError: With the names that exist.
    """
    networks = type(config.train_editor).model_fields
    exist = {
        "backbone": config.backbones,
        "methods": config.editors,
        "model": config.models,
        "network": networks,
    }
    for flag, names in exist.items():
        if isinstance(given := arguments.get(flag), str):
            for name in given.split("-") if flag == "methods" else [given]:
                if name not in names:
                    known = ", ".join(names)
                    raise UnknownNameError(f"--{flag}: the configuration has no '{name}'. It has: {known}.")


def _settle_device(asked: str, threads: int, held: ExitStack) -> Any:
    """The torch device to run a model on.

    A GPU is ours alone as long as `held` is open. Stages without a model are spared the seconds that torch and timm take.

    Raises:
        ViteditError: `cuda` is asked for and there is none.
    """
    import torch

    torch.set_num_threads(threads)
    keep_freed_memory()
    if asked == "cpu":
        os.environ[VISIBLE] = ""
    elif (lock := claim_gpu()) is not None:
        held.enter_context(lock)
    found = torch.cuda.is_available()
    if asked == "cuda" and not found:
        raise ViteditError(
            "--device cuda: no usable GPU. `--device cpu` runs without one; `nvidia-smi` shows what there is."
        )
    log.info("device %s, %d threads", torch.cuda.get_device_name() if found else "cpu", threads)
    return torch.device("cuda" if found else "cpu")


if __name__ == "__main__":
    sys.exit(main())
