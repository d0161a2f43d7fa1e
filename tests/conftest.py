"""Shared fixtures: a tiny ViT with random weights, its sites and samples."""

import logging

import pytest
import torch
from tiny import TINY

from vitedit import gpu
from vitedit.config import DescentConfig
from vitedit.model.edits import Samples
from vitedit.model.sites import find_sites
from vitedit.model.vit import Split, build_vit

torch.set_num_threads(1)


@pytest.fixture(scope="session")
def vit():
    """Four blocks, width 24, 5 classes; a lively head so that predictions differ."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = build_vit(TINY)
        torch.nn.init.normal_(model.head.weight, std=0.5)
        torch.nn.init.normal_(model.pos_embed, std=0.5)
    return model.eval().requires_grad_(False)


@pytest.fixture(scope="session")
def split(vit):
    """Cut before the FFN of block 1; blocks 1 and 2 may be edited."""
    return Split(vit, find_sites(vit, "mlp", [1, 2]))


@pytest.fixture(scope="session")
def images():
    """Twelve random images."""
    return torch.randn(12, 3, 24, 24, generator=torch.Generator().manual_seed(1))


@pytest.fixture(scope="session")
def samples(vit, images):
    """Six edits of one image each; the label is the second most probable class, so that every edit has work to do."""
    labels = vit(images[:6]).topk(2).indices[:, 1]
    return Samples(images[:6, None], labels, tuple(f"{i}.png" for i in range(6)))


@pytest.fixture(scope="session")
def descent():
    """Steps that fit a tiny model."""
    return DescentConfig(max_steps=25, stop_loss=0.05)


@pytest.fixture
def process_as_before(monkeypatch):
    """Undoes what a command sets for its whole process."""
    monkeypatch.setenv(gpu.VISIBLE, "")
    monkeypatch.setenv("OMP_WAIT_POLICY", "passive")
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    root.handlers[:], root.level = handlers, level
