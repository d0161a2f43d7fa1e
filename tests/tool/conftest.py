"""A tiny ViT as a file of weights, images that it is wrong about, and the command line in this process."""

import logging

import pytest
from tiny import TINY, write_images_and_weights
from tool_place import Place, ranked

from vitedit import cli, gpu
from vitedit.tool.models import load_vit


@pytest.fixture(autouse=True)
def _process_as_before(monkeypatch):
    """Undoes what a command sets for its whole process."""
    monkeypatch.setenv(gpu.VISIBLE, "")
    monkeypatch.setenv("OMP_WAIT_POLICY", "passive")
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    root.handlers[:], root.level = handlers, level


@pytest.fixture
def place(tmp_path, vit):
    write_images_and_weights(tmp_path, vit)
    model = load_vit(TINY.name, checkpoint=tmp_path / "tiny.safetensors", architecture=TINY.architecture)
    image = tmp_path / "world" / "class0" / "00.png"
    first, second = ranked(model, image)[:2]
    return Place(tmp_path, image, second, first)


@pytest.fixture
def run(capsys):
    """Runs a command; returns its exit code, what it says and what it complains about."""

    def command(*words: str) -> tuple[int, str, str]:
        code = cli.main(list(words))
        shown = capsys.readouterr()
        return code, shown.out, shown.err

    return command
