"""What the workflow is made of: code hashes, data versions, schema, configurations, the rules' commands, profiles."""

import ast
import re
import shutil
import sys
import tomllib
from pathlib import Path

import pytest
import yaml
import yte
from packaging.requirements import Requirement

from vitedit import cli, lineage
from vitedit.config_files import load

ROOT = Path(__file__).parents[1]
EMBEDDED = ROOT / "config/config.yaml"


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A copy of the package that may be edited; returns a function that replaces text in one of its modules."""
    copy = shutil.copytree(ROOT / "src/vitedit", tmp_path / "vitedit")
    monkeypatch.setattr(lineage, "PACKAGE", copy)

    def replace(module, old, new):
        path = copy / module
        assert old in path.read_text(), f"{old!r} not in {module}"
        path.write_text(path.read_text().replace(old, new, 1))
        forget()

    def forget():
        lineage.code.cache_clear()
        lineage._read.cache_clear()

    forget()
    yield replace
    forget()


def test_code_counts_but_comments_and_docstrings_do_not(package):
    def codes():
        return lineage.code("edit_groups", "ft"), lineage.code("build_locality")

    before = codes()
    package("model/descent.py", '"""', '"""Reworded. ')
    package("model/descent.py", "import torch\n", "import torch  # a comment\n\n\n")
    assert codes() == before
    package("model/descent.py", "import torch  # a comment\n", "import torch\n\nCONSTANT = 2\n")
    edit, locality = codes()
    assert edit != before[0]
    assert locality == before[1], "a stage that does not import it"


def test_editing_a_method_leaves_the_others_alone(package):
    before = {method: lineage.code("edit_groups", method) for method in ("ft", "random_mask", "hypernet")}
    package("editors/random_mask.py", '"""\n', '"""\n\nSHIFT = 1\n')
    after = {method: lineage.code("edit_groups", method) for method in before}
    assert [method for method in before if before[method] != after[method]] == ["random_mask"]
    package("editors/__init__.py", "EDITORS = {", 'EDITORS = {\n    "own": "Own",')
    assert {method: lineage.code("edit_groups", method) for method in before} == after, (
        "a new line in the table"
    )
    package("learned/mend.py", '"""\n', '"""\n\nSHIFT = 1\n')
    assert {method: lineage.code("edit_groups", method) for method in before} == after, "another's artefact"


def test_schema_is_in_step_with_the_code():
    assert (ROOT / "workflow/schemas/config.schema.yaml").read_text() == cli.schema_text(), (
        "vitedit schema > workflow/schemas/config.schema.yaml"
    )
    schema = yaml.safe_load(cli.schema_text())
    sections = [schema, *(part for name, part in schema["$defs"].items() if name != "EditorConfig")]
    assert all(section["additionalProperties"] is False for section in sections)
    undescribed = [
        key
        for section in sections
        for key, value in section["properties"].items()
        if "description" not in value
    ]
    assert not undescribed


@pytest.mark.parametrize("name", ["config", "photos", "paper", "paper_rebuilt", "paper_miniature", "tiny"])
def test_configurations_are_valid_and_complete_comments(name):
    below = ["paper"] if name.startswith("paper_") else []
    config = load(EMBEDDED, *(ROOT / f"config/{one}.yaml" for one in [*below, name] if one != "config"))
    assert config.run == {"config": "embedded"}.get(name, name)
    if name == "config":
        written, known = yaml.safe_load(EMBEDDED.read_text()), config.model_dump(mode="json")
        assert written.keys() == known.keys(), "config.yaml shows every key"
        for section in ("benchmark", "locality", "sites", "descent", "search", "meta_train", "specificity"):
            assert written[section].keys() == known[section].keys(), section


def _commands():
    """Stage -> its shell command, from the rule of the same name."""
    files = [path.read_text() for path in (ROOT / "workflow/rules").glob("*.smk")]
    rules = [rule for text in files for rule in re.split(r"^ *rule ?", text, flags=re.MULTILINE)[1:]]
    shells = {
        rule.partition(":")[0]: " ".join(re.findall('"(.*)"', rule.partition("shell:")[2])) for rule in rules
    }
    return {name or "notebook": shell for name, shell in shells.items() if shell}


def test_every_rule_calls_the_subcommand_of_its_name():
    called = {rule: shell.split()[1] for rule, shell in _commands().items()}
    by_hand = {"import-hypernet"}
    assert called == {command.replace("-", "_"): command for command in cli.STAGES if command not in by_hand}


@pytest.mark.parametrize("stage", lineage.UPSTREAM)
def test_a_rule_gives_the_flags_that_its_stage_takes(stage):
    tree = ast.parse((ROOT / f"src/vitedit/stages/{stage}.py").read_text())
    function = next(node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == stage)
    defaults = zip(function.args.kwonlyargs, function.args.kw_defaults, strict=True)
    takes = {
        argument.arg.replace("_", "-"): default is None
        for argument, default in defaults
        if argument.arg != "device"
    }
    given = set(re.findall("--([a-z-]+)", _commands()[stage])) - {"config", "threads"}
    optional = {name for name, required in takes.items() if not required} | {"artifact"}
    assert given <= takes.keys()
    assert takes.keys() - given <= optional


def test_conda_users_get_the_versions_of_the_lock():
    python, _, pip = yaml.safe_load((ROOT / "environment.yml").read_text())["dependencies"]
    pinned = re.findall(r"^[a-z0-9-]+==[^\\]+", (ROOT / "requirements.lock").read_text(), re.MULTILINE)
    there = {"python_full_version": python.removeprefix("python=") + ".0"}
    pins = [pin for pin in map(Requirement, pinned) if pin.marker is None or pin.marker.evaluate(there)]
    lock = {pin.name: f"{pin.name}{pin.specifier}" for pin in pins}
    needed = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    assert sorted(pip["pip"]) == sorted(lock[Requirement(line).name] for line in needed)


CLUSTER = ["sbatch", "squeue", "sacct"]


@pytest.mark.parametrize(
    ("tools", "words", "executor", "gpus"),
    [
        ([], [], None, 2),
        (CLUSTER, [], "slurm", None),
        (CLUSTER, ["--configfile", "config/paper.yaml"], "slurm", None),
        (CLUSTER[:1], [], None, 2),
        (CLUSTER, ["--cores", "4"], None, 2),
        (CLUSTER, ["-c4"], None, 2),
        (CLUSTER, ["--profile", "site"], None, None),
        ([], ["--executor", "slurm"], None, None),
    ],
)
def test_the_default_profile_finds_slurm_and_counts_gpus_only_here(
    tools, words, executor, gpus, tmp_path, monkeypatch
):
    for tool in tools:
        (tmp_path / tool).write_text("#!/bin/sh\n")
        (tmp_path / tool).chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1,3")
    monkeypatch.delenv("SNAKEMAKE_PROFILE", raising=False)
    monkeypatch.setattr(sys, "argv", ["snakemake", *words])
    profile = yte.process_yaml((ROOT / "profiles/default/config.yaml").read_text())
    assert profile.get("executor") == executor
    assert profile.get("resources", {}).get("gpu") == gpus
    assert ("cores" in profile) == (gpus is not None)
    assert "default-resources" not in profile, "would replace those of the user's own profile"


def test_profiles_name_no_site():
    for path in (ROOT / "profiles").rglob("config.yaml"):
        assert not re.search("partition|account|qos|constraint", str(yaml.safe_load(path.read_text()))), path
