from contextlib import contextmanager

import pytest
import torch
from tiny import TINY

from vitedit.errors import ConfigError
from vitedit.model.edits import Samples
from vitedit.model.sites import find_sites
from vitedit.model.vit import Split, build_vit
from vitedit.where.attribution import attribute_neurons

BLOCKS = [1, 3]


def lively(**architecture):
    """A tiny model with other arguments, all of whose weights matter."""
    with torch.random.fork_rng():
        torch.manual_seed(4)
        model = build_vit(TINY.model_copy(update={"architecture": TINY.architecture | architecture}))
        for parameter in model.parameters():
            parameter.data += torch.randn_like(parameter) * 0.2
    return model.eval().requires_grad_(False)


@pytest.fixture(
    scope="module", params=[{}, {"init_values": 0.5, "scale_mlp_norm": True}], ids=["plain", "scaled"]
)
def model(request):
    return lively(**request.param)


@pytest.fixture(scope="module")
def ffns(model):
    """Neither neighbours nor without the last block."""
    return Split(model, find_sites(model, "mlp", BLOCKS))


@pytest.fixture(scope="module")
def samples(model, images):
    labels = model(images[:6]).topk(2).indices[:, 1]
    assert len(set(labels.tolist())) > 1
    return Samples(images[:6, None], labels, tuple("abcdef"))


@contextmanager
def activations(model, block, change):
    """Replaces what enters fc2 of one FFN in the whole network by `change` of it; the norm is an identity in most models."""
    handle = model.blocks[block].mlp.norm.register_forward_hook(lambda module, inputs, output: change(output))
    yield
    handle.remove()


def plain_attribution(model, block, image, label, steps, log, moved):
    """One neuron layer, one image, one step at a time, on the whole network; `moved` = which tokens are scaled."""
    seen = []
    with activations(model, block, lambda output: seen.append(output.clone())):
        model(image)
    full, total = seen[0], 0
    for step in range(steps):
        point = full.clone()
        point[:, moved] *= step / steps
        point.requires_grad_()
        with activations(model, block, lambda output, point=point: point):
            probability = model(image).softmax(-1)[0, label]
        (gradient,) = torch.autograd.grad(probability.log() if log else probability, point)
        total = total + gradient
    return (full * total / steps)[0, moved].sum(0)


@pytest.mark.parametrize(
    ("target", "tokens"), [("probability", "all"), ("log_probability", "all"), ("probability", "cls")]
)
def test_it_equals_a_plain_loop_over_the_whole_network(model, ffns, samples, target, tokens):
    found = attribute_neurons(ffns, samples, 3, target, tokens)
    assert found.shape == (6, 2 * 96) and not found.requires_grad
    moved = slice(0, 1) if tokens == "cls" else slice(None)
    for i in (0, 4):
        plain = [
            plain_attribution(
                model, block, samples.images[i], samples.labels[i], 3, target == "log_probability", moved
            )
            for block in BLOCKS
        ]
        torch.testing.assert_close(found[i], torch.cat(plain), rtol=1e-3, atol=1e-6)


def gain(model, block, samples, tokens):
    """P(label) minus the one without the activations of an FFN, by silencing them in the whole network."""
    images, rows = samples.images[:, 0], torch.arange(len(samples))

    def silence(output):
        output = output.clone()
        output[:, : 1 if tokens == "cls" else None] = 0
        return output

    full = model(images).softmax(-1)[rows, samples.labels]
    with activations(model, block, silence):
        return full - model(images).softmax(-1)[rows, samples.labels]


@pytest.mark.parametrize("tokens", ["all", "cls"])
def test_attributions_of_an_ffn_sum_to_what_it_adds_to_the_probability(model, ffns, samples, tokens):
    expected = torch.stack([gain(model, block, samples, tokens) for block in BLOCKS], dim=1)
    assert expected.abs().max() > 0.05

    def sums(steps):
        return attribute_neurons(ffns, samples, steps, tokens=tokens).unflatten(1, (2, 96)).sum(-1)

    coarse, fine = sums(40), sums(80)
    torch.testing.assert_close(fine, expected, rtol=0, atol=0.02)
    # the left rule's error halves with twice the points, so that this extrapolation removes it
    torch.testing.assert_close(2 * fine - coarse, expected, rtol=0, atol=2e-4)
    assert (coarse - expected).norm() > 1.8 * (fine - expected).norm()


def test_many_edits_equal_single_ones_and_samples_are_averaged(ffns, images):
    labels = torch.tensor([0, 3])
    pairs = Samples(images[:4].unflatten(0, (2, 2)), labels, ("a", "b"))
    together = attribute_neurons(ffns, pairs, 4)
    for i, label in enumerate(labels):
        ones = Samples(pairs.images[i][:, None], label.repeat(2), ("a", "b"))
        apart = attribute_neurons(ffns, ones, 4)
        torch.testing.assert_close(together[i], apart.mean(0), rtol=1e-4, atol=1e-8)
        assert not torch.allclose(apart[0], apart[1], rtol=0.1)


def test_the_label_is_the_given_one(ffns, samples):
    other = Samples(samples.images, (samples.labels + 1) % 5, samples.keys)
    assert not torch.allclose(attribute_neurons(ffns, samples, 2), attribute_neurons(ffns, other, 2))


def test_it_needs_no_gradient_mode_and_leaves_no_trace(ffns, samples):
    before = {name: tensor.clone() for name, tensor in ffns.vit.state_dict().items()}
    free = attribute_neurons(ffns, samples, 2)
    with torch.no_grad():
        assert torch.equal(attribute_neurons(ffns, samples, 2), free)
    assert all(torch.equal(before[name], tensor) for name, tensor in ffns.vit.state_dict().items())
    assert all(parameter.grad is None for parameter in ffns.vit.parameters())


def test_gated_ffns_are_refused(samples):
    from timm.layers.mlp import GluMlp

    model = lively()
    model.blocks[1].mlp = GluMlp(24, 96)
    with pytest.raises(ConfigError, match="block 1 has a GluMlp"):
        attribute_neurons(Split(model, find_sites(model, "mlp", [1])), samples)


def test_a_model_without_cls_has_no_cls_attribution(samples):
    model = lively(class_token=False, global_pool="avg")
    ffns = Split(model, find_sites(model, "mlp", [1]))
    assert attribute_neurons(ffns, samples, 1).any()
    with pytest.raises(ConfigError, match="no CLS"):
        attribute_neurons(ffns, samples, tokens="cls")
