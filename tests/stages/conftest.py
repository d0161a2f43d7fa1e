"""A tiny world on disk: 60 images of 5 classes, a random ViT that errs on many of them, and a configuration."""

import shutil
from pathlib import Path

import pytest
import yaml
from tiny import write_images_and_weights
from tiny_run import CONFIG

from vitedit.cli import main
from vitedit.measure.verdicts import PAPER_VALUES


class World:
    """The folder of a tiny world, and the stages on it by the command line."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.results = Path("results/tiny_world/tiny")

    def configure(self, **changes) -> None:
        """Writes the configuration with some top-level sections replaced."""
        (self.folder / "config.yaml").write_text(yaml.safe_dump({**CONFIG, **changes}))

    def arguments(self, stage: str, *more: str) -> list[str]:
        """Words of a subcommand, with the files of the stages before it."""
        files = {
            "benchmark": self.results / "benchmark.parquet",
            "locality": self.results / "locality.parquet",
            "choice": self.results / "layers.json",
            "hypernet": self.results / "hypernet.safetensors",
        }
        own = {
            "build-benchmark": {"output": files["benchmark"]},
            "build-locality": {"output": files["locality"]},
            "search-layers": {
                "benchmark": 0,
                "locality": 0,
                "rows": self.results / "layers.parquet",
                "choice": 0,
            },
            "meta-train": {
                "benchmark": 0,
                "locality": 0,
                "choice": 0,
                "output": files["hypernet"],
                "log-table": self.results / "hypernet_log.parquet",
                "state": Path("state.pt"),
            },
            "store-tokens": {
                "benchmark": 0,
                "locality": 0,
                "choice": 0,
                "output": self.results / "tokens/images.parquet",
            },
            "edit-groups": {"benchmark": 0, "locality": 0, "choice": 0},
            "show-edits": {
                "benchmark": 0,
                "locality": 0,
                "choice": 0,
                "output": self.results / "shown_edits.parquet",
            },
            "tune": {"benchmark": 0, "locality": 0, "choice": 0},
            "specificity": {
                "benchmark": 0,
                "choice": 0,
                "hypernet": 0,
                "output": self.results / "specificity.parquet",
                "sites": self.results / "sites.parquet",
            },
        }[stage]
        words = [stage, "--config", "config.yaml", "--backbone", "tiny", "--device", "cpu"]
        for flag, path in own.items():
            words += [f"--{flag}", str(path or files[flag])]
        return [*words, *more]

    def run(self, stage: str, *more: str) -> int:
        """Exit code of a stage."""
        return main(self.arguments(stage, *more))

    def edit(self, method: str, output: Path | str, *more: str) -> int:
        """Exit code of the edits of a method."""
        artifacts = CONFIG["editors"].get(method, {}).get("artifacts", [])
        needed = [
            w for name in artifacts for w in ("--artifact", f"{name}={self.results / name}.safetensors")
        ]
        return self.run("edit-groups", "--methods", method, "--output", str(output), *needed, *more)

    def show(self, *more: str) -> int:
        """Exit code of the edits that are shown; `--output` among the further words names another file."""
        given = f"hypernet={self.results / 'hypernet.safetensors'}"
        return self.run("show-edits", "--artifact", given, *more)


def write_world(folder: Path, vit) -> None:
    """Images, checkpoint and configuration."""
    write_images_and_weights(folder, vit)
    (folder / PAPER_VALUES).parent.mkdir()
    shutil.copy(Path(__file__).parents[2] / PAPER_VALUES, folder / PAPER_VALUES)
    World(folder).configure()


@pytest.fixture
def world(tmp_path, vit, monkeypatch):
    """A fresh world, the current folder."""
    write_world(tmp_path, vit)
    monkeypatch.chdir(tmp_path)
    return World(tmp_path)


@pytest.fixture(scope="module")
def shared_world(tmp_path_factory, vit):
    """A fresh world, the current folder of the module."""
    folder = tmp_path_factory.mktemp("world")
    write_world(folder, vit)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        yield World(folder)


@pytest.fixture(scope="module")
def chain(shared_world):
    """A world on which all stages have run once, the current folder of the module."""
    for stage in ("build-benchmark", "build-locality", "search-layers", "meta-train", "specificity"):
        assert shared_world.run(stage) == 0
    for method in CONFIG["editors"]:
        output = shared_world.results / "edits" / f"{method}.parquet"
        assert shared_world.edit(method, output) == 0
    assert shared_world.show() == 0
    return shared_world
