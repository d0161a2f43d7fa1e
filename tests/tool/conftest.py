"""A tiny ViT as a file of weights, images that it is wrong about, and the command line in this process."""

import pytest
from tiny import TINY, write_images_and_weights
from tool_place import Place, ranked

from vitedit import cli
from vitedit.tool.models import load_vit


@pytest.fixture(autouse=True)
def _commands(process_as_before):
    """Every test here runs commands in this process."""


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
