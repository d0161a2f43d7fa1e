"""docs/tutorial.ipynb: clean, executed as a reader does, and its commands do what its cells did."""

import shlex
from pathlib import Path
from typing import Any

import nbformat
import pytest
import torch
from safetensors.torch import load_file

from vitedit import cli
from vitedit.model.patch import Patch
from vitedit.stages.notebook import _execute

ROOT = Path(__file__).parents[2]
TUTORIAL = ROOT / "docs" / "tutorial.ipynb"
BASE = ROOT / "data" / "embedded" / "checkpoints" / "base.safetensors"


def code_of(path: Path) -> list[Any]:
    return [cell for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the tutorial writes, and itself as executed."""
    if not BASE.exists():
        pytest.skip("data/ is missing: run `dvc pull`")
    place = tmp_path_factory.mktemp("tutorial")
    executed, failed = place / "executed.ipynb", place / "failed.ipynb"
    with pytest.MonkeyPatch.context() as patched:
        patched.chdir(ROOT / "docs")
        _execute(TUTORIAL, executed, {"folder": str(place)}, failed)
    return place


def printed(folder: Path) -> list[str]:
    """What each cell prints."""
    cells = code_of(folder / "executed.ipynb")
    return ["".join(one.text for one in cell.outputs if one.output_type == "stream") for cell in cells]


def test_the_source_is_clean() -> None:
    source: Any = nbformat.read(TUTORIAL, as_version=4)
    nbformat.validate(source)
    assert source.metadata.kernelspec.name == "python3"
    assert all(cell.outputs == [] and cell.execution_count is None for cell in code_of(TUTORIAL))


def test_it_shows_an_error_and_its_end(folder: Path) -> None:
    said = "\n".join(printed(folder))
    assert "square_spotted before sand, taken for disc_spotted" in said
    assert "Warning" not in said and "together" in said, "nothing but what a reader is to read"
    outputs = [output for cell in code_of(folder / "executed.ipynb") for output in cell.outputs]
    assert sum("image/png" in output.get("data", {}) for output in outputs) == 3
    for method in ("spt", "ft_l1"):
        measured = Patch.load(folder / f"{method}.safetensors").about.measured
        assert measured.success == 1 and measured.generalization_before == 0 and measured.neighbours == 6
        assert (measured.generalization or 0) >= 0.5 and (measured.locality or 0) >= 0.9


def test_its_commands_do_the_same(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    commands = [shlex.split(line)[1:] for line in printed(folder)[-1].splitlines()]
    assert [words[0] for words in commands] == ["edit", "inspect", "compare", "apply", "revert", "report"]
    for words in commands:
        assert cli.main(words) == 0
    ours, theirs = (Patch.load(folder / f"{name}.safetensors").about for name in ("fix", "spt"))
    assert (ours.method, ours.setting, ours.labels) == (theirs.method, theirs.setting, theirs.labels)
    assert ours.measured.generalization == theirs.measured.generalization
    assert ours.measured.norm == pytest.approx(theirs.measured.norm, rel=0.01), (
        "as many threads sum in other orders"
    )
    original = load_file(folder / "original.safetensors")
    assert all(torch.equal(original[name], weight) for name, weight in load_file(BASE).items())
    assert (folder / "fix.html").stat().st_size > 10_000
