"""`reference: true` against the published procedure, written once more in `published_net`: masks, weights, first steps."""

from pathlib import Path

import pytest
import torch
from lively import lively
from published_net import published_edit, published_mask, published_masks, random_state

from vitedit import editors
from vitedit.config import DescentConfig
from vitedit.config_files import load
from vitedit.model.edits import Samples
from vitedit.model.sites import find_sites
from vitedit.model.vit import Split
from vitedit.where.masks import binarise, kept_units
from vitedit.where.published import CLAMP, convert, mask_units

ROOT = Path(__file__).parents[2]
OURS = load(ROOT / "config" / "config.yaml").model_copy(update={"descent": DescentConfig()})
THEIRS = OURS.model_copy(update={"reference": True})
BLOCKS = [0, 1, 2]
RATES = {24: 1e-3, 48: 3e-4}
"""Step sizes with which some edits stop early and some do not."""


def setup(width, dtype=torch.float64, spread=1.0):
    """Model, samples of three edits, the published state dict and our network of it.

    In double precision by default: RMSprop divides by the gradient's own size, which magnifies rounding of tiny gradients.
    """
    split = Split(lively(embed_dim=width).to(dtype), find_sites(lively(embed_dim=width), "mlp", BLOCKS))
    images = torch.randn(4, 3, 24, 24, generator=torch.Generator().manual_seed(1)).to(dtype)[[0, 1, 3]]
    labels = split.vit(images).topk(2).indices[:, 1]
    state = random_state(width, 3, [4 * width] * 6, spread=spread)
    network = convert(state, split, 6).to(dtype)
    state = {name: tensor.to(dtype) for name, tensor in state.items()}
    return split, Samples(images[:, None], labels, ("a", "b", "c")), state, network


def edit(config, method, setting, split, samples, network=None):
    """Edits of a method as a run with this configuration makes them."""
    artifacts = {} if network is None else {"hypernet": network}
    return editors.build(method, setting, config, artifacts).edit(split, samples)


@pytest.mark.parametrize("width", [24, 48])
@pytest.mark.parametrize("sparsity", [0.25, 0.5, 0.9])
def test_masks_are_the_published_ones_and_ours_have_the_unit_at_the_threshold_too(width, sparsity):
    split, samples, state, network = setup(width, torch.float32)
    ours = mask_units(network, split, samples.images, samples.labels, sparsity)
    theirs = mask_units(network, split, samples.images, samples.labels, sparsity, reference=True)
    for i in range(3):
        assert torch.equal(theirs[i], published_mask(state, split.vit, samples.images[i], sparsity))
        (added,) = (ours[i] - theirs[i]).nonzero().flatten().tolist()
        assert ours[i, added] == 1 and ours[i].sum() == kept_units(sparsity, 24 * width)
        soft = published_masks(state, split.cls(samples.images[i])[0], CLAMP)
        assert soft[added] < soft[theirs[i] == 1].min() and soft[added] > soft[ours[i] == 0].max()
    assert not torch.equal(theirs[0], theirs[1])


@pytest.mark.parametrize(("width", "sparsity"), [(24, 0.9), (48, 0.9), (48, 0.5)])
def test_an_edit_has_the_weights_of_the_published_procedure(width, sparsity):
    split, samples, state, network = setup(width)
    setting = {"sparsity": sparsity, "learning_rate": RATES[width]}
    edits = edit(THEIRS, "hypernet", setting, split, samples, network)
    for i in range(3):
        mask = published_mask(state, split.vit, samples.images[i], sparsity)
        label = samples.labels[i]
        weights, updates = published_edit(split.vit, BLOCKS, samples.images[i], label, RATES[width], mask)
        assert edits.steps[i] == updates and edits.converged[i] == (updates < 100)
        for site, weight in zip(split.sites, weights, strict=True):
            assert (weight - split.vit.get_parameter(site.name)).abs().max() > 1e-3
            torch.testing.assert_close(edits.changed[site.name][i], weight, rtol=0, atol=1e-5)
    assert len(set(edits.steps.tolist())) > 1, (
        "edits must stop at different steps for this test to mean something"
    )


def test_so_it_is_in_single_precision_at_the_published_step_size():
    split, samples, state, network = setup(24, torch.float32)
    edits = edit(THEIRS, "hypernet", {"sparsity": 0.9, "learning_rate": 2e-5}, split, samples, network)
    mask = published_mask(state, split.vit, samples.images[0], 0.9)
    weights, updates = published_edit(split.vit, BLOCKS, samples.images[0], samples.labels[0], 2e-5, mask)
    assert edits.steps[0] == updates
    for site, weight in zip(split.sites, weights, strict=True):
        torch.testing.assert_close(edits.changed[site.name][0], weight, rtol=0, atol=1e-5)
        frozen = weight == split.vit.get_parameter(site.name)
        assert torch.equal(edits.changed[site.name][0][frozen], weight[frozen]) and not frozen.all()


PRECISE = [(24, 0.9, 2e-5), (24, 0.9, 1e-3), (48, 0.9, 2e-5), (48, 0.9, 3e-4)]
"""Width, sparsity and step size of edits whose weights single precision knows to 1e-6 ... 1e-4."""


@pytest.mark.parametrize(("width", "sparsity", "rate"), PRECISE)
def test_in_single_precision_it_is_as_exact_as_the_published_procedure_itself(width, sparsity, rate):
    split, samples, state, network = setup(width, torch.float32)
    exact = lively(embed_dim=width).double()
    edits = edit(THEIRS, "hypernet", {"sparsity": sparsity, "learning_rate": rate}, split, samples, network)
    ours, theirs = [], []
    for i, (image, label) in enumerate(zip(samples.images, samples.labels, strict=True)):
        mask = published_mask(state, split.vit, image, sparsity)
        single, _ = published_edit(split.vit, BLOCKS, image, label, rate, mask)
        double, updates = published_edit(exact, BLOCKS, image.double(), label, rate, mask.double())
        assert edits.steps[i] == updates
        for site, rounded, true in zip(split.sites, single, double, strict=True):
            theirs.append((rounded - true).abs().max())
            ours.append((edits.changed[site.name][i] - true).abs().max())
    assert max(ours) <= 2 * max(theirs), "what is left of a difference must be rounding"


PENALTIES = {
    "ft": ({}, None),
    "ft_l1": ({"penalty_weight": 0.001}, lambda changes: 0.001 * sum(c.abs().sum() for c in changes)),
    "ft_l2": ({"penalty_weight": 0.1}, lambda changes: 0.05 * sum(c.pow(2).sum() for c in changes)),
}


@pytest.mark.parametrize("method", PENALTIES)
def test_fine_tuning_begins_with_one_step_of_sgd(method):
    """D17."""
    split, samples, _, _ = setup(24)
    own, penalty = PENALTIES[method]
    both = {
        first: edit(config, method, {"learning_rate": 3e-4, **own}, split, samples)
        for first, config in ((True, THEIRS), (False, OURS))
    }
    for i in (0, 2):
        image, label = samples.images[i], samples.labels[i]
        for first, edits in both.items():
            weights, updates = published_edit(
                split.vit, BLOCKS, image, label, 3e-4, sgd_first=first, penalty=penalty
            )
            assert edits.steps[i] == updates and updates > 3
            for site, weight in zip(split.sites, weights, strict=True):
                torch.testing.assert_close(edits.changed[site.name][i], weight, rtol=0, atol=1e-5)
        moved = [edits.norm()[i].item() for edits in both.values()]
        assert abs(moved[0] - moved[1]) > 1e-4, "the two starts must differ for this test to mean something"


def test_without_reference_the_proposed_method_without_sparsity_is_fine_tuning_and_with_it_not():
    split, samples, _, network = setup(24)
    for config, same in ((OURS, True), (THEIRS, False)):
        free = edit(config, "hypernet", {"sparsity": 0.0, "learning_rate": 1e-3}, split, samples, network)
        plain = edit(config, "ft", {"learning_rate": 1e-3}, split, samples)
        assert all(torch.equal(free.changed[name], plain.changed[name]) for name in plain.changed) == same


def test_scores_at_the_clamp_are_ties_that_the_published_threshold_loses():
    """Nearly all scores saturate, some up and some down. At sparsity 0.9 the k highest are all at the upper end, so that the
    published code has nothing to edit; at 0.25 the k-th is at the lower end, which falls out as a whole."""
    split, samples, state, network = setup(24, torch.float32, spread=100.0)
    units = 24 * 24
    soft = torch.stack([published_masks(state, cls, CLAMP) for cls in split.cls(samples.images[:, 0])])
    up, down = (soft == soft.max()).sum(1), (soft == soft.min()).sum(1)
    assert (up > kept_units(0.9, units)).all() and (units - down < kept_units(0.25, units)).all()
    none = mask_units(network, split, samples.images, samples.labels, 0.9, reference=True)
    some = mask_units(network, split, samples.images, samples.labels, 0.25, reference=True)
    assert none.sum() == 0 and torch.equal(some.sum(1), (units - down).float())
    for i in range(3):
        for sparsity, mask in ((0.9, none), (0.25, some)):
            assert torch.equal(mask[i], published_mask(state, split.vit, samples.images[i], sparsity))
        assert mask_units(network, split, samples.images, samples.labels, 0.9)[i].sum() == kept_units(
            0.9, units
        )
    setting = {"sparsity": 0.9, "learning_rate": 1e-3}
    few = {"descent": DescentConfig(max_steps=3)}
    theirs, ours = (
        edit(config.model_copy(update=few), "hypernet", setting, split, samples, network)
        for config in (THEIRS, OURS)
    )
    assert (theirs.norm() == 0).all() and theirs.steps.tolist() == [3] * 3
    assert (ours.norm() > 0).all()


def test_several_samples_are_masked_by_the_mean_of_their_soft_masks():
    split, samples, state, network = setup(24, torch.float32)
    mean = torch.stack([published_masks(state, cls, CLAMP) for cls in split.cls(samples.images[:, 0])]).mean(
        0
    )
    mask = mask_units(network, split, samples.images[:, 0][None], samples.labels[:1], 0.75, reference=True)
    assert torch.equal(mask[0], (mean > mean.sort(descending=True).values[kept_units(0.75, 576) - 1]).float())


def test_random_masks_have_as_many_ones_as_the_learned():
    split, samples, _, _ = setup(24, torch.float32)
    for config, ones in ((OURS, kept_units(0.9, 576)), (THEIRS, kept_units(0.9, 576) - 1)):
        config = config.model_copy(update={"descent": DescentConfig(max_steps=2)})
        edits = edit(config, "random_mask", {"sparsity": 0.9, "learning_rate": 1e-3}, split, samples)
        moved = [
            (edits.changed[site.name][0] != split.vit.get_parameter(site.name)).any(1 - site.axis).sum()
            for site in split.sites
        ]
        assert sum(moved) == ones


def test_a_strict_threshold_loses_all_that_equal_it():
    scores = torch.tensor([[4.0, 3, 2, 2, 1], [2, 2, 2, 2, 2], [5, 1, 2, 3, 4]])
    assert binarise(scores, 0.4, strict=True).tolist() == [[1, 1, 0, 0, 0], [0] * 5, [1, 0, 0, 0, 1]]
    assert binarise(scores, 0.4).sum(1).tolist() == [3, 3, 3]
