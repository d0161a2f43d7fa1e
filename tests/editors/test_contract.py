"""Every editor against every rule. A new method is covered by its line in EDITORS and one in SETTINGS."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from lively import lively

from vitedit.config import DescentConfig, KeTrainConfig, MendTrainConfig
from vitedit.editors import EDITORS, editor_class
from vitedit.editors.ft import FineTune
from vitedit.editors.random_mask import RandomMask
from vitedit.errors import ConfigError
from vitedit.learned.anchors import Anchors
from vitedit.learned.conditioner import KeNetwork
from vitedit.learned.mend import MendNetwork
from vitedit.learned.network import last_ffns
from vitedit.learned.null_space import collect_null_space
from vitedit.learned.statistics import collect
from vitedit.model.edits import Samples
from vitedit.model.last_block import LastBlock
from vitedit.model.objectives import cross_entropy
from vitedit.model.sites import find_sites
from vitedit.model.vit import Split
from vitedit.where.hypernet import Hypernet, score_units
from vitedit.where.masks import binarise, expand

RATE = {"learning_rate": 3e-3}
SETTINGS: dict[str, dict] = {
    "hypernet": {"sparsity": 0.5, **RATE},
    "ft": RATE,
    "ft_l1": {"penalty_weight": 0.01, **RATE},
    "ft_l2": {"penalty_weight": 1.0, **RATE},
    "t_patcher": {"learning_rate": 0.05, "memory_weight": 0.0},
    "kn": {"sparsity": 0.5, **RATE},
    "kn_slots": {"neurons": 192, "insert": 16.0},
    "spt": {"sparsity": 0.5, **RATE},
    "rome": {"learning_rate": 0.5, "clamp": 1e3, "weight_decay": 0.0, "ridge": 1.0},
    "x_edit": {"learning_rate": 0.3, "clamp": 1e3, "threshold": 1.0, "weight_decay": 0.0},
    "lora": {"learning_rate": 1e-2},
    "ke": {"scale": 1.0},
    "mend": {"scale": 1.0},
    "random_mask": {"sparsity": 0.5, "seed": 0, **RATE},
    "searched_mask": {"sparsity": 0.5, "seed": 0, "inner_learning_rate": 0.1, "search_steps": 3, **RATE},
    "refine_heads": {"learning_rate": 0.1, "protection": 0.0, "blocks": 2},
}
LAST_FFNS = {f"blocks.{block}.mlp.fc{half}.weight" for block in (1, 2, 3) for half in (1, 2)}
CHANGED = {
    "t_patcher": {"blocks.3.mlp.fc1.weight", "blocks.3.mlp.fc1.bias", "blocks.3.mlp.fc2.weight"},
    "kn_slots": {"blocks.1.mlp.fc2.weight", "blocks.2.mlp.fc2.weight"},
    "rome": {"blocks.3.mlp.fc2.weight"},
    "x_edit": {f"blocks.{block}.mlp.fc2.weight" for block in (1, 2, 3)},
    "lora": {f"blocks.{block}.attn.qkv.weight" for block in range(4)},
    "ke": LAST_FFNS,
    "mend": LAST_FFNS,
    "refine_heads": {"blocks.2.attn.proj.weight", "blocks.3.attn.proj.weight", "head.weight"},
}
"""Parameters that a method changes, where they are not the run's sites."""
DESCENT = DescentConfig(max_steps=25, stop_loss=0.05)


def train(split, images):
    """Every artefact that a method may need, for one model."""
    torch.manual_seed(3)
    hypernet = Hypernet.for_sites(split.vit, split.sites, 24, blocks=1, heads=6).eval().requires_grad_(False)
    memory, covariance = collect(LastBlock.of(split), [images])
    others = torch.randn(60, 3, 24, 24, generator=torch.Generator().manual_seed(8))
    null_space = collect_null_space(LastBlock.of(split), others[:8], [others], seed=0)
    last = last_ffns(split)
    ke = KeNetwork.for_split(last, KeTrainConfig(max_scale=0.1)).eval().requires_grad_(False)
    mend = MendNetwork.for_split(last, MendTrainConfig(alpha=0.1)).eval().requires_grad_(False)
    learned = {"hypernet": hypernet, "memory": memory, "covariance": covariance, "null_space": null_space}
    return learned | {"ke": ke, "mend": mend, "anchors": Anchors(images[6:])}


@pytest.fixture(scope="module")
def trained(split, images):
    return train(split, images)


@pytest.fixture(scope="module")
def lively_split():
    """A model whose activations and gradients differ much from image to image."""
    vit = lively(depth=4)
    return Split(vit, find_sites(vit, "mlp", [1, 2]))


@pytest.fixture(scope="module")
def lively_trained(lively_split, images):
    return train(lively_split, images)


def make(method, trained):
    cls = editor_class(method)
    return cls(descent=DESCENT, **SETTINGS[method], **{name: trained[name] for name in cls.artifacts})


@pytest.fixture(params=EDITORS)
def editor(request, trained):
    return make(request.param, trained)


def test_the_base_model_keeps_its_bits(editor, split, samples):
    before = {name: tensor.clone() for name, tensor in split.vit.state_dict().items()}
    editor.edit(split, samples)
    assert all(torch.equal(before[name], tensor) for name, tensor in split.vit.state_dict().items())


@pytest.mark.parametrize("method", EDITORS)
def test_only_declared_parameters_change(method, split, samples, trained):
    edits = make(method, trained).edit(split, samples)
    assert set(edits.changed) == CHANGED.get(method, {site.name for site in split.sites})


def test_the_edit_works(editor, split, samples):
    edits = editor.edit(split, samples)
    own = editor.cut(split)
    assert (edits.norm() > 0).all()
    after = own.predict_many(own.prefix_samples(samples.images), edits.changes)[:, 0]
    assert (after == samples.labels)[edits.converged].all() and edits.converged.float().mean() > 0.5


def test_the_same_input_gives_the_same_edit(editor, split, samples):
    first, second = editor.edit(split, samples), editor.edit(split, samples)
    assert all(torch.equal(first.changed[name], second.changed[name]) for name in first.changed)


def each_alone(editor, split, samples):
    """The edits of a batch, each beside the same edit made alone."""
    together = editor.edit(split, samples)
    for i in range(len(samples)):
        one = Samples(samples.images[i : i + 1], samples.labels[i : i + 1], samples.keys[i : i + 1])
        yield together.take(np.array([i])), editor.edit(split, one)


def test_many_edits_equal_single_edits(editor, split, samples):
    for among, alone in each_alone(editor, split, samples):
        assert among.steps == alone.steps
        torch.testing.assert_close(among.changed, alone.changed, rtol=1e-3, atol=2e-4)


@pytest.mark.parametrize("method", EDITORS)
def test_many_edits_of_several_samples_equal_single_edits(method, lively_split, images, lively_trained):
    """Few steps: more would magnify rounding on this model."""
    editor = replace(make(method, lively_trained), descent=DescentConfig(max_steps=4, stop_loss=0.05))
    pairs = images[:6].unflatten(0, (3, 2))
    labels = lively_split.vit(images[:6:2]).topk(2).indices[:, 1]
    assert len(set(labels.tolist())) > 1
    for among, alone in each_alone(editor, lively_split, Samples(pairs, labels, ("a", "b", "c"))):
        assert among.steps == alone.steps
        torch.testing.assert_close(among.changed, alone.changed, rtol=1e-3, atol=1e-3)


def test_edits_are_detached(editor, split, samples):
    assert not any(tensor.requires_grad for tensor in editor.edit(split, samples).changed.values())


def test_a_label_already_predicted_is_left_to_the_stop_rule(editor, split, images):
    labels = split.vit(images[:2]).argmax(-1)
    edits = editor.edit(split, Samples(images[:2, None], labels, ("a", "b")))
    assert edits.converged.all() and (edits.steps < DESCENT.max_steps).all()


def test_what_meets_the_stop_rule_before_it_begins_is_no_change(editor, split, samples):
    """One sample predicted right and one not: a lenient rule stops the first at once, whatever the method."""
    right = split.vit(samples.images[:1, 0]).argmax(-1)
    labels = torch.cat([right, samples.labels[1:2]])
    lenient = replace(editor, descent=DescentConfig(max_steps=25, stop_loss=1.0))
    edits = lenient.edit(split, Samples(samples.images[:2], labels, samples.keys[:2]))
    assert edits.steps[0] == 0 and edits.converged[0]
    assert edits.norm()[0] == 0 and edits.norm()[1] > 0
    assert edits.fraction(split.vit)[0] == 0


def test_several_samples_of_one_failure_make_one_edit(editor, split, samples, images):
    one_way, other_way = (
        editor.edit(split, Samples(images[None, order], samples.labels[:1], ("a",)))
        for order in ([0, 1, 2], [2, 0, 1])
    )
    assert len(one_way) == 1 and (one_way.norm() > 0).all()
    for name, tensor in one_way.changed.items():
        torch.testing.assert_close(tensor, other_way.changed[name], rtol=1e-3, atol=5e-4)


def test_a_label_that_the_model_does_not_have_is_refused(editor, split, images):
    with pytest.raises(ValueError, match="5 classes 0 to 4"):
        editor.edit(split, Samples(images[:1, None], torch.tensor([5]), ("a",)))


def test_the_proposed_method_leaves_the_units_it_did_not_pick(split, samples, trained):
    hypernet = trained["hypernet"]
    edits = editor_class("hypernet")(descent=DESCENT, sparsity=0.9, hypernet=hypernet, **RATE).edit(
        split, samples
    )
    allowed = expand(
        binarise(score_units(hypernet, split, samples.images, samples.labels), 0.9), split.sites, split.vit
    )
    for name, tensor in edits.changed.items():
        same = tensor == split.vit.get_parameter(name)
        assert same[(allowed[name] == 0).expand_as(same)].all() and not same.all()


def test_random_masks_leave_the_units_they_did_not_draw(split, samples, trained):
    edits = replace(make("random_mask", trained), sparsity=0.75).edit(split, samples)
    for edit in range(len(samples)):
        free = 0
        for site in split.sites:
            change = edits.changed[site.name][edit] != split.vit.get_parameter(site.name)
            free += int(change.any(1 - site.axis).sum())
        assert free == 96  # a quarter of 4 matrices' 96 hidden units


def test_sparsity_zero_is_fine_tuning(split, samples):
    free = RandomMask(DESCENT, 3e-3, sparsity=0.0, seed=0).edit(split, samples)
    plain = FineTune(DESCENT, 3e-3).edit(split, samples)
    assert all(torch.equal(free.changed[name], plain.changed[name]) for name in plain.changed)


def test_random_masks_differ_between_samples_and_nest_over_sparsities(split, samples):
    moved = {}
    for sparsity in (0.5, 0.9):
        edits = RandomMask(DESCENT, 3e-3, sparsity=sparsity, seed=0).edit(split, samples)
        moved[sparsity] = (
            edits.changed["blocks.1.mlp.fc1.weight"] != split.vit.get_parameter("blocks.1.mlp.fc1.weight")
        ).any(-1)
    assert (moved[0.5] >= moved[0.9]).all() and not torch.equal(moved[0.9][0], moved[0.9][1])


JOINT = [method for method in EDITORS if editor_class(method).joint]


@pytest.mark.parametrize("method", JOINT)
def test_a_label_for_each_sample_is_the_same_as_one_for_all(method, split, images, trained):
    editor, labels = make(method, trained), torch.tensor([1, 4])
    pairs = images[:4].unflatten(0, (2, 2))
    shared = editor.edit(split, Samples(pairs, labels, ("a", "b")))
    each = editor.edit(split, Samples(pairs, labels[:, None].expand(2, 2), ("a", "b")))
    assert all(torch.equal(shared.changed[name], each.changed[name]) for name in shared.changed)


@pytest.mark.parametrize("method", JOINT)
def test_one_edit_from_several_failures_follows_each_of_their_labels(
    method, lively_split, images, lively_trained
):
    editor = replace(make(method, lively_trained), descent=DescentConfig(max_steps=40, stop_loss=0.05))
    own = editor.cut(lively_split)
    labels = lively_split.vit(images[:3]).topk(2).indices[:, 1][None]
    assert len(set(labels[0].tolist())) > 1
    made = Samples(images[None, :3], labels, ("a",))
    edits = editor.edit(lively_split, made)
    before = cross_entropy(lively_split.vit(images[:3])[None], labels)
    assert bool((edits.losses < before).all())
    after = own.predict_many(own.prefix_samples(made.images), edits.changes)
    assert bool((after == labels).all()) or not bool(edits.converged)


@pytest.mark.parametrize("method", [method for method in EDITORS if method not in JOINT])
def test_other_methods_refuse_several_classes(method, split, images, trained):
    with pytest.raises(ConfigError, match="one class"):
        make(method, trained).edit(split, Samples(images[None, :2], torch.tensor([[1, 4]]), ("a",)))


def test_united_masks_are_those_of_any_sample(lively_split, images, lively_trained):
    labels = torch.tensor([[1, 4, 2]])
    editor = replace(make("hypernet", lively_trained), sparsity=0.9, union=True)
    edits = editor.edit(lively_split, Samples(images[None, :3], labels, ("a",)))
    singles = score_units(lively_trained["hypernet"], lively_split, images[:3, None], labels[0])
    union = expand(binarise(singles, 0.9).amax(0)[None], lively_split.sites, lively_split.vit)
    assert 0.1 < torch.cat([mask.flatten() for mask in union.values()]).mean() <= 0.3
    for site in lively_split.sites:
        differs = (edits.changed[site.name][0] != lively_split.weights[site.name]).any(1 - site.axis)
        assert not bool((differs & (union[site.name].flatten() == 0)).any()) and bool(differs.any())


def test_edits_in_parts_are_those_of_one_batch(editor, split, samples, images, monkeypatch):
    whole = editor.edit(split, samples)
    monkeypatch.setattr("vitedit.editors.base.fitting", lambda cut, images: 2)
    parts = editor.edit(split, samples)
    assert len(samples) > 2 and len(parts) == len(samples)
    assert torch.equal(parts.steps, whole.steps) and torch.equal(parts.converged, whole.converged)
    assert parts.changes.keys() == whole.changes.keys()
    for name, new in whole.changed.items():
        torch.testing.assert_close(parts.changed[name], new, rtol=1e-4, atol=1e-5)
