"""A meta-training that is killed outright goes on where it was, and ends with the same bits."""

import os
import signal
import subprocess
import sys
import time

import torch

from vitedit.artifacts import load_table
from vitedit.tensors import load_tensors


def test_kill_9_and_again(world, tmp_path):
    for stage in ("build-benchmark", "build-locality", "search-layers"):
        assert world.run(stage) == 0
    words = [sys.executable, "-m", "vitedit.cli", *world.arguments("meta-train")]
    training = subprocess.Popen(words, cwd=world.folder, stderr=subprocess.DEVNULL)
    state = world.folder / "state.pt"
    while not state.exists() and training.poll() is None:
        time.sleep(0.005)
    os.kill(training.pid, signal.SIGKILL)
    assert training.wait() == -signal.SIGKILL, (
        "it must be killed before it ends for this test to mean something"
    )
    assert not (world.folder / world.results / "hypernet.safetensors").exists()
    done = len(torch.load(state, weights_only=True)["state"]["rows"])
    assert 0 < done < 34

    subprocess.run(words, cwd=world.folder, check=True, stderr=subprocess.DEVNULL)
    resumed = read(world)
    undisturbed = [sys.executable, "-m", "vitedit.cli", *world.arguments("meta-train")]
    undisturbed[undisturbed.index("state.pt")] = "fresh.pt"
    subprocess.run(undisturbed, cwd=world.folder, check=True, stderr=subprocess.DEVNULL)
    fresh = read(world)
    assert all(torch.equal(resumed[0][name], fresh[0][name]) for name in fresh[0])
    assert resumed[1].equals(fresh[1])


def read(world):
    """Weights and log (without times) of the hypernetwork."""
    log = load_table(world.results / "hypernet_log.parquet").drop(columns="seconds")
    return load_tensors(world.results / "hypernet.safetensors")[0], log
