import pytest
import torch

from vitedit.artifacts import load_table
from vitedit.cli import main
from vitedit.learned.conditioner import KeNetwork
from vitedit.learned.mend import MendNetwork
from vitedit.stages.train_editor import NETWORKS
from vitedit.tensors import load_tensors

SMALL = {"iterations": 3, "batch_size": 2, "others": 2, "checkpoint_every": 1}
LOADERS = {"ke": KeNetwork.load, "mend": MendNetwork.load}


@pytest.fixture
def manifests(world):
    """A world with its two manifests, and short trainings."""
    world.configure(train_editor={"ke": {**SMALL, "condition": 8, "hidden": 4}, "mend": {**SMALL, "rank": 4}})
    assert world.run("build-benchmark") == 0 and world.run("build-locality") == 0
    return world


def train(world, network):
    """Exit code of the stage."""
    words = [
        "train-editor",
        "--config",
        "config.yaml",
        "--backbone",
        "tiny",
        "--device",
        "cpu",
        "--network",
        network,
    ]
    words += [
        "--output",
        f"{network}.safetensors",
        "--log-table",
        f"{network}.parquet",
        "--state",
        "state.pt",
    ]
    for name in ("benchmark", "locality"):
        words += [f"--{name}", str(world.results / f"{name}.parquet")]
    return main(words)


def test_every_network_is_tried_here():
    assert set(LOADERS) == set(NETWORKS)


@pytest.mark.parametrize("network", LOADERS)
def test_a_trained_network_can_be_loaded_and_says_what_it_was_made_from(manifests, split, network):
    assert train(manifests, network) == 0
    _, meta = load_tensors(manifests.folder / f"{network}.safetensors")
    assert meta["stage"] == "train_editor" and meta["depends"][f"train_editor.{network}"]["iterations"] == 3
    loaded = LOADERS[network](manifests.folder / f"{network}.safetensors", split, meta["depends"])
    assert all(tensor.isfinite().all() for tensor in loaded.state_dict().values())
    assert load_table(manifests.folder / f"{network}.parquet", meta["depends"])["iteration"].tolist() == [
        0,
        1,
        2,
    ]
    assert not (manifests.folder / "state.pt").exists()


def test_the_first_weights_do_not_depend_on_what_ran_before(manifests):
    files = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        assert train(manifests, "mend") == 0
        files.append((manifests.folder / "mend.safetensors").read_bytes())
    assert files[0] == files[1]


def test_an_unknown_network_is_refused(manifests, capsys):
    assert train(manifests, "serac") == 2
    assert "--network: the configuration has no 'serac'. It has: ke, mend." in capsys.readouterr().err
