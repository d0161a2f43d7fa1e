import pytest
import torch

from vitedit.artifacts import load_table
from vitedit.cli import main
from vitedit.config import ImagesConfig, TransformConfig
from vitedit.data.images import open_images
from vitedit.learned.anchors import Anchors
from vitedit.learned.null_space import NullSpace, collect_null_space
from vitedit.learned.statistics import Covariance, Memory
from vitedit.model.last_block import LastBlock
from vitedit.tensors import load_tensors

FILES = {name: f"{name}.safetensors" for name in ("memory", "covariance", "null_space", "anchors")} | {
    name: f"{name}.parquet" for name in ("benchmark", "locality")
}


def collect(world):
    """Exit code of the stage."""
    words = ["collect-statistics", "--config", "config.yaml", "--backbone", "tiny", "--device", "cpu"]
    for name, file in FILES.items():
        words += [f"--{name.replace('_', '-')}", str(world.results / file)]
    return main(words)


@pytest.fixture
def manifests(world):
    """A world with its two manifests; at most five images for the statistics, four of them anchors, two traced, two kept."""
    world.configure(statistics={"images": "world", "max_images": 5, "anchors": 4, "traced": 2, "kept": 2})
    assert world.run("build-benchmark") == 0 and world.run("build-locality") == 0
    return world


def test_the_memory_holds_images_that_are_neither_edited_nor_measured_on(manifests, split):
    assert collect(manifests) == 0
    listed = {
        file
        for name in ("benchmark", "locality")
        for file in load_table(manifests.results / f"{name}.parquet")["file"]
    }
    images = open_images("world", ImagesConfig(path=manifests.folder / "world"))
    left = [place for place, file in enumerate(images.files) if file not in listed]
    assert 5 < len(left) < len(images)
    chosen = [left[i * len(left) // 5] for i in range(5)]
    last = LastBlock.of(split)
    query = last.query(last.cls(images.read(chosen, TransformConfig(size=24))))
    torch.testing.assert_close(
        Memory.load(manifests.results / FILES["memory"], split).queries, query, rtol=1e-4, atol=1e-5
    )
    covariance = Covariance.load(manifests.results / FILES["covariance"], split)
    key = last.key(query).double()
    torch.testing.assert_close(covariance.second_moment, key.T @ key / 5, rtol=1e-4, atol=1e-6)
    assert covariance.count == 5
    null_space = NullSpace.load(manifests.results / FILES["null_space"], split)
    traced, anchors = (images.read(some, TransformConfig(size=24)) for some in (chosen[:4:2], chosen[:4]))
    expected = collect_null_space(last, traced, [anchors], seed=0)
    torch.testing.assert_close(null_space.effects, expected.effects)
    torch.testing.assert_close(null_space.values, expected.values)
    assert null_space.count == 4 and null_space.blocks == expected.blocks
    kept = Anchors.load(manifests.results / FILES["anchors"], split)
    assert torch.equal(kept.images, images.read([chosen[0], chosen[2]], TransformConfig(size=24)))
    _, meta = load_tensors(manifests.results / FILES["memory"])
    assert meta["stage"] == "collect_statistics" and meta["depends"]["statistics"]["max_images"] == 5


def test_statistics_of_another_configuration_are_refused(manifests, capsys):
    manifests.configure(statistics={"images": "world"}, locality={"sources": ["world"], "gap": 0.5})
    assert collect(manifests) != 0
    assert "made under another configuration" in capsys.readouterr().err
    learned = ("memory", "covariance", "null_space", "anchors")
    assert not any((manifests.results / FILES[name]).exists() for name in learned)
