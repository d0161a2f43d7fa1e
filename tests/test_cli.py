"""The command line: flags from signatures, messages instead of tracebacks, device and threads settled once."""

import ast
import math
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest
import torch
import yaml

from vitedit import cli, gpu, lineage
from vitedit.errors import ArtifactError
from vitedit.timings import as_text, read_timings
from vitedit.tool.arguments import COMMANDS

ROOT = Path(__file__).parents[1]
CONFIG = str(ROOT / "config/config.yaml")


@pytest.fixture(autouse=True)
def _commands(process_as_before):
    """Every test here runs commands in this process."""


@pytest.fixture
def stage(monkeypatch):
    """Replaces a stage by a function of every kind of argument that notes what it got."""
    got = {}

    def edit_groups(
        config: object,
        *,
        backbone: str,
        artifact: Mapping[str, Path],
        log_table: Path,
        start: Path | None = None,
        device: torch.device,
    ) -> None:
        got.update(
            config=config,
            backbone=backbone,
            artifact=artifact,
            log_table=log_table,
            start=start,
            device=device,
        )
        got["threads"] = torch.get_num_threads()

    monkeypatch.setattr(cli, "stage_function", lambda name: edit_groups)
    threads = torch.get_num_threads()
    yield got
    torch.set_num_threads(threads)


def test_flags_are_the_keyword_names_with_their_types(stage):
    words = [
        "edit-groups",
        "--config",
        CONFIG,
        str(ROOT / "config/tiny.yaml"),
        "--backbone",
        "base",
        "--log-table",
        "a/b.parquet",
    ]
    words += [
        "--artifact",
        "hypernet=x/h.safetensors",
        "--artifact",
        "other=y=z",
        "--device",
        "cpu",
        "--threads",
        "3",
    ]
    assert cli.main(words) == 0
    assert stage["config"].run == "tiny" and stage["config"].seed == 0, "files are laid over each other"
    assert stage["artifact"] == {"hypernet": Path("x/h.safetensors"), "other": Path("y=z")}
    assert (stage["backbone"], stage["log_table"], stage["start"]) == ("base", Path("a/b.parquet"), None)
    assert stage["device"] == torch.device("cpu") and stage["threads"] == 3


def test_help_shows_the_commands_for_one_s_own_model_first(capsys):
    with pytest.raises(SystemExit):
        cli.main(["--help"])
    own, stages = capsys.readouterr().out.split("stages of the replication:")
    assert "Edit a Vision Transformer from its failures." in own
    assert all(f"\n  {name} " in own for name in COMMANDS)
    assert all(f"\n  {name} " in stages for name in [*cli.STAGES, *cli.ABOUT_RUNS])


def test_reference_switches_the_published_procedure_on(stage):
    words = ["edit-groups", "--config", CONFIG, "--backbone", "base", "--log-table", "b", "--device", "cpu"]
    for more, expected in (["--reference"], True), ([], False):
        assert cli.main([*words, *more]) == 0 and stage["config"].reference is expected
    assert cli.main(["check", "--config", CONFIG, "--reference"]) == 0


def test_what_stands_before_the_star_is_an_argument(monkeypatch, capsys):
    got = []

    def page(config: object, file: Path, *, output: Path) -> None:
        got.append((file, output))

    monkeypatch.setattr(cli, "stage_function", lambda name: page)
    assert cli.main(["page", "a b.pth", "--config", CONFIG, "--output", "x"]) == 0
    assert got == [(Path("a b.pth"), Path("x"))]
    with pytest.raises(SystemExit):
        cli.main(["page", "--config", CONFIG, "--output", "x"])
    assert "FILE" in capsys.readouterr().err


def test_artifacts_of_one_call_do_not_reach_the_next(stage):
    words = ["edit-groups", "--config", CONFIG, "--backbone", "base", "--log-table", "b", "--device", "cpu"]
    cli.main([*words, "--artifact", "hypernet=h"])
    cli.main(words)
    assert stage["artifact"] == {}


def test_a_mistake_in_the_configuration_is_one_message_and_exit_code_2(stage, tmp_path, capsys):
    values = yaml.safe_load(Path(CONFIG).read_text())
    values["search"]["learning_rte"] = 0.1
    wrong = tmp_path / "wrong.yaml"
    wrong.write_text(yaml.safe_dump(values))
    assert cli.main(["edit-groups", "--config", str(wrong), "--backbone", "base", "--log-table", "b"]) == 2
    message = capsys.readouterr().err
    assert "search.learning_rte" in message and "learning_rate" in message and "Traceback" not in message
    assert not stage, "the stage did not run"


def test_wrong_hyper_parameters_stop_every_stage(stage, tmp_path, capsys):
    over = tmp_path / "over.yaml"
    over.write_text("editors: {ft: {sparsty: 0.5}}\n")
    assert (
        cli.main(["edit-groups", "--config", CONFIG, str(over), "--backbone", "base", "--log-table", "b"])
        == 2
    )
    assert "sparsty" in capsys.readouterr().err and not stage


def test_cuda_that_is_not_there_is_said(stage, monkeypatch, capsys):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    words = ["edit-groups", "--config", CONFIG, "--backbone", "base", "--log-table", "b", "--device", "cuda"]
    assert cli.main(words) == 2
    assert "no usable GPU" in capsys.readouterr().err and not stage


@pytest.mark.parametrize("pair", ["hypernet", "=x", "hypernet="])
def test_malformed_artifact(stage, pair, capsys):
    with pytest.raises(SystemExit) as stopped:
        cli.main(
            ["edit-groups", "--config", CONFIG, "--backbone", "b", "--log-table", "b", "--artifact", pair]
        )
    assert stopped.value.code == 2 and "NAME=PATH" in capsys.readouterr().err


def test_other_errors_keep_their_traceback(monkeypatch):
    def page(config: object, *, output: Path) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(cli, "stage_function", lambda name: page)
    with pytest.raises(ZeroDivisionError):
        cli.main(["page", "--config", CONFIG, "--output", "x"])


def test_every_stage_is_a_subcommand_and_a_module_with_its_function():
    by_hand = {"import_hypernet"}  # a command that no rule calls
    assert {name.replace("-", "_") for name in cli.STAGES} - by_hand == set(lineage.UPSTREAM)
    for name in lineage.UPSTREAM:
        tree = ast.parse((ROOT / f"src/vitedit/stages/{name}.py").read_text())
        assert name in [node.name for node in tree.body if isinstance(node, ast.FunctionDef)]


def test_light_commands_and_what_the_workflow_imports_leave_torch_alone():
    program = (
        "import sys, vitedit.lineage, vitedit.figures, vitedit.gpu; from vitedit.cli import main\n"
        "main(['schema']); assert 'torch' not in sys.modules, 'torch'; assert 'pandas' not in sys.modules, 'pandas'"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "meta_train" in done.stdout


def test_timings_are_summed_by_stage(tmp_path):
    head = "s\th:m:s\tmax_rss\n"
    for file, seconds, memory in (
        ("tabulate", 2.5, "-"),
        ("edit_groups/base/ft/natural", 10.0, "700.5"),
        ("edit_groups/base/ft/sketch", 30.25, "NA"),
    ):
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / f"{file}.tsv").write_text(f"{head}{seconds}\t0:00:01\t{memory}\n")
    first, second = read_timings(tmp_path)
    assert (first.stage, first.jobs, first.seconds, first.longest) == ("edit_groups", 2, 40.25, 30.25)
    assert first.memory == 700.5 and second.stage == "tabulate" and math.isnan(second.memory)
    assert as_text([first, second]).splitlines()[-1].split() == ["sum", "3", "42.8"]


def test_no_timings_is_a_message(tmp_path):
    with pytest.raises(ArtifactError, match="no timings"):
        read_timings(tmp_path)


def test_two_processes_get_two_gpus_and_a_third_waits(monkeypatch, tmp_path):
    monkeypatch.setenv(gpu.VISIBLE, "4,7")
    first = gpu.claim_gpu(tmp_path)
    taken = [gpu.os.environ[gpu.VISIBLE]]
    monkeypatch.setenv(gpu.VISIBLE, "4,7")
    second = gpu.claim_gpu(tmp_path)
    taken.append(gpu.os.environ[gpu.VISIBLE])
    assert taken == ["4", "7"]
    monkeypatch.setenv(gpu.VISIBLE, "4,7")
    monkeypatch.setattr(gpu.time, "sleep", lambda seconds: first.close())
    third = gpu.claim_gpu(tmp_path)
    assert gpu.os.environ[gpu.VISIBLE] == "4", "freed while waiting"
    second.close()
    third.close()


@pytest.mark.parametrize("visible", ["", "3", "MIG-1f"])
def test_without_a_choice_of_gpus_nothing_changes(monkeypatch, tmp_path, visible):
    monkeypatch.setenv(gpu.VISIBLE, visible)
    assert gpu.claim_gpu(tmp_path) is None
    assert gpu.os.environ[gpu.VISIBLE] == visible
    assert not list(tmp_path.iterdir())


def test_check_finds_what_only_a_method_knows(tmp_path, capsys):
    wrong = tmp_path / "wrong.yaml"
    wrong.write_text("editors: {ft: {sparsty: 0.5}}\n")
    base = Path(__file__).parents[1] / "config" / "config.yaml"
    assert cli.main(["check", "--config", str(base)]) == 0
    assert cli.main(["check", "--config", str(base), str(wrong)]) == 2
    assert "editors.ft: unknown ['sparsty']" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("over", "message"),
    [
        ("{editors: {kn: {sparsity: [0.999]}}}", "kn.sparsity: 0.999 leaves none of the 576 neurons"),
        (
            "{editors: {random_mask: {original: {sparsity: 0.999}}}}",
            "random_mask.sparsity: 0.999 leaves none of",
        ),
        ("{editors: {spt: {sparsity: [0.99999]}}}", "leaves none of the 55296 weights"),
        ("{specificity: {sparsity: 0.9999}}", "specificity.sparsity: 0.9999 leaves none of the"),
        (
            "{sites: {blocks: [7, 8, 12]}}",
            "sites.blocks: 12 given, but the model 'small' has the blocks 0 to 11",
        ),
        ("{search: {window: 13}}", "a window of 13 blocks does not fit into a model of 12"),
        ("{models: {small: {name: vit_tinny}}}", "models.small: timm cannot make the model 'vit_tinny'"),
        ("{models: {stronger: {name: vit_tinny}}}", "models.stronger: timm cannot make"),
    ],
)
def test_check_finds_what_only_a_model_knows(over, message, tmp_path, capsys):
    wrong = tmp_path / "wrong.yaml"
    wrong.write_text(f"backbones: [small]\n{over[1:-1]}\n")
    assert cli.main(["check", "--config", CONFIG, str(wrong)]) == 2
    assert message in capsys.readouterr().err


def test_check_asks_as_much_as_the_edits_do(tmp_path):
    fine = tmp_path / "fine.yaml"  # 576 neurons, at least 576 units and 27648 weights
    fine.write_text(
        "{backbones: [small], models: {base: {name: vit_tinny}}, specificity: {sparsity: 0.999},"
        " editors: {kn: {sparsity: [0.998]}, random_mask: {sparsity: [0.998]}, spt: {sparsity: [0.9999]}}}"
    )
    assert cli.main(["check", "--config", CONFIG, str(fine)]) == 2, "0.999 of 576 units of attention"
    fine.write_text(fine.read_text().replace("0.999}", "0.998}"))
    assert cli.main(["check", "--config", CONFIG, str(fine)]) == 0, "a model that the run does not use"


@pytest.mark.parametrize(
    ("stage_words", "message"),
    [
        (
            ["build-locality", "--backbone", "bse"],
            "--backbone: the configuration has no 'bse'. It has: base, small.",
        ),
        (["build-locality", "--backbone", "stronger"], "no 'stronger'. It has: base, small."),
        (
            ["pretrain", "--model", "bse", "--state", "s"],
            "--model: the configuration has no 'bse'. It has: base, small, ",
        ),
        (["edit-groups", "--backbone", "base", "--methods", "ft-fft"], "no 'fft'. It has: hypernet, ft, "),
        (["tune", "--backbone", "base", "--methods", "fft"], "--methods: the configuration has no 'fft'"),
        (["train-editor", "--backbone", "base", "--network", "mendd"], "no 'mendd'. It has: ke, mend."),
    ],
)
def test_an_unknown_name_is_one_message_with_the_names_that_exist(stage_words, message, capsys):
    flags = {
        "tune": "benchmark locality choice output",
        "edit-groups": "benchmark locality choice output",
        "train-editor": "benchmark locality output log-table state",
    }.get(stage_words[0], "output")
    files = [word for flag in flags.split() for word in (f"--{flag}", "x")]
    assert cli.main([*stage_words, "--config", CONFIG, *files]) == 2
    shown = capsys.readouterr().err
    assert message in shown and "Traceback" not in shown


def test_a_reader_that_goes_early_is_no_error():
    """As `vitedit schema | head`, whose end has gone before anything is written."""
    words = [sys.executable, "-m", "vitedit.cli", "schema"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as writer:
        assert writer.stdout and writer.stderr
        writer.stdout.close()
        assert writer.stderr.read() == "" and writer.wait() == 0
