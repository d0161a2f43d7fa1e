import numpy as np
import pytest
import torch

from vitedit.errors import NumericalError, UnknownNameError
from vitedit.model.changes import Full
from vitedit.model.edits import Edits, Samples
from vitedit.model.sites import backbone_size


def edits_of(vit, change):
    name = "blocks.1.mlp.fc1.weight"
    base = vit.get_parameter(name)
    zeros = torch.zeros(2)
    changes = {name: Full(base, torch.stack([base, base + change]))}
    return Edits(changes, torch.tensor([0, 1]), torch.tensor([0, 3]), zeros, zeros.bool())


def test_fraction_and_norm_of_a_known_change(vit):
    change = torch.zeros(96, 24)
    change[0, :2] = torch.tensor([3.0, 4.0])
    edits = edits_of(vit, change)
    assert edits.fraction(vit).tolist() == pytest.approx([0, 2 / backbone_size(vit)])
    assert edits.norm().tolist() == pytest.approx([0, 5], rel=1e-4)


def test_some_of_the_edits(vit):
    some = edits_of(vit, torch.ones(96, 24)).take(np.array([1]))
    assert some.labels.tolist() == [1] and some.steps.tolist() == [3] and len(some) == 1
    assert some.norm()[0] > 1


def test_nan_weights_name_the_edit(vit):
    with pytest.raises(NumericalError, match=r"fc1\.weight became NaN or infinite in edits \[1\]"):
        edits_of(vit, torch.full((96, 24), torch.nan)).check(vit)


def test_unknown_parameters_are_refused(vit):
    zeros = torch.zeros(1)
    with pytest.raises(UnknownNameError, match="blocks.9"):
        Edits(
            {"blocks.9.mlp.fc1.weight": Full(zeros, zeros[None])},
            zeros.long(),
            zeros.long(),
            zeros,
            zeros.bool(),
        ).check(vit)


def test_samples_without_a_label_each_are_refused():
    with pytest.raises(ValueError, match="2 images, 1 labels"):
        Samples(torch.zeros(2, 1, 3, 24, 24), torch.tensor([1]), ("a", "b"))
