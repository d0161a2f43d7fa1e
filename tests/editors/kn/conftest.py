"""The tiny model with weights large enough that activations depend on the image, as attribution needs."""

from copy import deepcopy

import pytest
import torch

from vitedit.model.edits import Samples
from vitedit.model.sites import find_sites
from vitedit.model.vit import Split


@pytest.fixture(scope="session")
def vit(vit):
    """A perturbed copy."""
    with torch.random.fork_rng():
        torch.manual_seed(4)
        model = deepcopy(vit)
        for parameter in model.parameters():
            parameter.data += torch.randn_like(parameter) * 0.2
    return model


@pytest.fixture(scope="session")
def split(vit):
    """Blocks 1 and 2 may be edited."""
    return Split(vit, find_sites(vit, "mlp", [1, 2]))


@pytest.fixture(scope="session")
def samples(vit, images):
    """Six edits of one image each, with several labels."""
    labels = vit(images[:6]).topk(2).indices[:, 1]
    assert len(set(labels.tolist())) > 1
    return Samples(images[:6, None], labels, tuple(f"{i}.png" for i in range(6)))
