import pytest
import torch
import torch.nn.functional as F
from torch.func import functional_call

from vitedit.editors.spt import SensitiveWeights
from vitedit.errors import ConfigError
from vitedit.model.edits import Samples
from vitedit.model.sites import find_sites
from vitedit.model.vit import Split
from vitedit.where.sensitivity import mask_highest, measure_sensitivity

RATE = 3e-3


def flatten(tensors):
    return torch.cat([tensor.flatten(1) for tensor in tensors.values()], dim=1)


def moved_weights(split, edits):
    """(E, weights of all sites): which differ from the base model."""
    return flatten({name: edits.changed[name] != weight for name, weight in split.weights.items()})


def plain_gradient(split, images, label):
    """Gradient of the cross-entropy by autograd on the whole network."""
    weights = {name: weight.clone().requires_grad_() for name, weight in split.weights.items()}
    loss = F.cross_entropy(functional_call(split.vit, weights, (images,)), label.repeat(len(images)))
    return torch.cat([g.flatten() for g in torch.autograd.grad(loss, list(weights.values()))])


@pytest.mark.parametrize("part", ["mlp", "attn"])
def test_exactly_the_weights_of_largest_gradient_change(vit, samples, descent, part):
    split = Split(vit, find_sites(vit, part, [1, 2]))
    edits = SensitiveWeights(descent, RATE, 0.9).edit(split, samples)
    moved = moved_weights(split, edits)
    kept = {"mlp": 921, "attn": 460}[part]  # floor of a tenth of 9,216 and of 4,608
    assert moved.sum(1).tolist() == [kept] * 6 and (edits.steps > 0).all()
    for i in range(6):
        size = plain_gradient(split, samples.images[i], samples.labels[i]).abs()
        assert size[moved[i]].min() >= size[~moved[i]].max() * (1 - 1e-4)
    shares = moved[:, : split.weights[split.sites[0].name].numel()].sum(1)
    assert len(set(shares.tolist())) > 1, "the budget of a matrix follows the edit"


def test_sensitivity_is_the_squared_gradient_of_all_samples_of_an_edit(split, images):
    pairs = Samples(images[:4].unflatten(0, (2, 2)), torch.tensor([0, 3]), ("a", "b"))
    found = flatten(measure_sensitivity(split, pairs))
    for i in range(2):
        plain = plain_gradient(split, pairs.images[i], pairs.labels[i]).square()
        torch.testing.assert_close(found[i], plain, rtol=1e-3, atol=1e-9)


def test_masks_by_hand_over_matrices_of_several_shapes():
    scores = {
        "a": torch.tensor([[[5.0, 1.0]], [[0.0, 0.0]]]),
        "b": torch.tensor([[[4.0], [2.0], [3.0]], [[1.0], [2.0], [3.0]]]),
    }
    masks = mask_highest(scores, 0.6)
    assert masks["a"].tolist() == [[[True, False]], [[False, False]]]
    assert masks["b"].tolist() == [[[True], [False], [False]], [[False], [True], [True]]]


@pytest.mark.parametrize(("sparsity", "kept"), [(0.9, 100), (0.7, 300), (0.3, 700), (0.999, 1), (0.0, 1000)])
def test_counts_are_exact_in_spite_of_ties_and_rounding(sparsity, kept):
    scores = {"a": torch.zeros(2, 10, 30), "b": torch.ones(2, 7, 100)}
    masks = mask_highest(scores, sparsity)
    assert flatten(masks).sum(1).tolist() == [kept] * 2
    assert masks["b"].flatten(1).sum(1).tolist() == [min(kept, 700)] * 2


def test_an_impossible_sparsity_is_refused(split, samples, descent):
    with pytest.raises(ConfigError, match="none of 9216"):
        SensitiveWeights(descent, RATE, 0.9999).edit(split, samples)
