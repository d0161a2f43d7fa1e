import pytest
import torch
import torch.nn.functional as F
from torch.func import functional_call

from vitedit.config import KeTrainConfig
from vitedit.errors import ArtifactError
from vitedit.learned.conditioner import Conditioner, KeNetwork

LABELS = torch.tensor([3, 0, 1])
FC2 = "blocks.2.mlp.fc2.weight"


@pytest.fixture
def network(last):
    torch.manual_seed(0)
    return KeNetwork.for_split(last, KeTrainConfig(condition=16, hidden=8, max_scale=0.6))


def shake(network):
    """Random weights instead of the first ones."""
    torch.manual_seed(2)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.normal_(std=0.5)
    return network


def gradients(vit, images, edit, weights):
    """Of the mean cross-entropy of an edit's two samples, on the whole network with autograd."""
    weights = {name: weight.clone().requires_grad_() for name, weight in weights.items()}
    logits = functional_call(vit, weights, (images[2 * edit : 2 * edit + 2],))
    loss = F.cross_entropy(logits, LABELS[edit].expand(2))
    found = torch.autograd.grad(loss, list(weights.values()))
    return dict(zip(weights, found, strict=True)), logits.argmax(-1)


def test_the_edit_of_a_matrix_by_hand():
    module = shake(Conditioner((4, 3), condition=6, hidden=5, max_scale=0.7))
    condition, gradient = torch.randn(2, 6), torch.randn(2, 4, 3)
    update = module(condition, gradient)
    for edit in range(2):
        out = module.layers(condition[edit])
        col_a, row_a, col_b, row_b, eta = out[:3], out[3:7], out[7:10], out[10:14], out[14]
        for i in range(4):
            for j in range(3):
                a = 4 * row_a.exp()[i] / row_a.exp().sum() * col_a[j]
                b = row_b.exp()[i] / row_b.exp().sum() * col_b[j]
                expected = 0.7 / (1 + (-eta).exp()) * (gradient[edit, i, j] * a + b)
                torch.testing.assert_close(update[edit, i, j], expected)


def test_the_layers_are_weight_normed():
    module = shake(Conditioner((4, 3), condition=6, hidden=5, max_scale=1.0))
    for layer, shape in ((module.layers[0], (5, 6)), (module.layers[2], (15, 5))):
        norms, directions = layer.parametrizations.weight.original0, layer.parametrizations.weight.original1
        assert layer.weight.shape == directions.shape == shape and norms.shape == (shape[0], 1)
        expected = norms * directions / directions.norm(dim=1, keepdim=True)
        torch.testing.assert_close(layer.weight, expected)


def test_the_first_edit_is_a_gradient_step_that_goes_down(vit, last, network, tokens, images):
    updates = network.update(last, tokens, LABELS)
    for edit in range(3):
        base = {name: vit.get_parameter(name) for name in updates}
        found, _ = gradients(vit, images, edit, base)
        for name in updates:
            torch.testing.assert_close(updates[name][edit], 0.3 * found[name], rtol=1e-4, atol=1e-6)
        pair, target = images[2 * edit : 2 * edit + 2], LABELS[edit].expand(2)
        edited = {name: base[name] - updates[name][edit].detach() for name in updates}
        before, after = vit(pair), functional_call(vit, edited, (pair,))
        assert F.cross_entropy(after, target) < F.cross_entropy(before, target)


def test_it_can_turn_the_step_round():
    module = Conditioner((4, 3), condition=6, hidden=5, max_scale=1.0)
    with torch.no_grad():
        module.layers[2].bias[:3] = -1.0
    gradient = torch.randn(2, 4, 3)
    torch.testing.assert_close(module(torch.randn(2, 6), gradient), -0.5 * gradient)


def test_every_parameter_can_learn_after_one_step(last, network, tokens):
    """The norms of the last layer start at 0: the first step moves them and the biases, the second everything."""
    optimiser = torch.optim.SGD(network.parameters(), lr=0.1)
    for _ in range(3):
        optimiser.zero_grad()
        sum(update.square().sum() for update in network.update(last, tokens, LABELS).values()).backward()
        optimiser.step()
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None and parameter.grad.abs().max() > 0, name


def test_the_condition_holds_feature_prediction_and_label(vit, last, network, tokens, images):
    """The whole network by hand, on two samples an edit: features and gradients are averaged."""
    shake(network)
    updates = network.update(last, tokens, LABELS)
    for edit in range(3):
        found, predicted = gradients(vit, images, edit, {n: vit.get_parameter(n) for n in updates})
        cls = vit.forward_features(images[2 * edit : 2 * edit + 2])[:, 0].mean(0)
        head = vit.head.weight
        h = torch.tanh(network.encoder(torch.cat([cls, head[predicted].mean(0), head[LABELS[edit]]])))
        for name, conditioner in zip(updates, network.conditioners, strict=True):
            expected = conditioner(h[None], found[name][None])[0]
            torch.testing.assert_close(updates[name][edit], expected, rtol=1e-3, atol=1e-5)


def test_on_edited_models_gradient_and_prediction_are_theirs(vit, last, network, tokens, images):
    shake(network)
    torch.manual_seed(5)
    weights = {name: w + 0.2 * torch.randn(3, *w.shape) for name, w in last.weights.items()}
    updates = network.update(last, tokens, LABELS, weights)
    changes = 0
    for edit in range(3):
        found, predicted = gradients(vit, images, edit, {name: w[edit] for name, w in weights.items()})
        changes += int((predicted != vit(images[2 * edit : 2 * edit + 2]).argmax(-1)).sum())
        cls = vit.forward_features(images[2 * edit : 2 * edit + 2])[:, 0].mean(0)
        head = vit.head.weight
        h = torch.tanh(network.encoder(torch.cat([cls, head[predicted].mean(0), head[LABELS[edit]]])))
        expected = network.conditioners[3](h[None], found[FC2][None])[0]
        torch.testing.assert_close(updates[FC2][edit], expected, rtol=1e-3, atol=1e-5)
    assert changes > 0


def test_many_edits_equal_single_edits(last, network, tokens):
    shake(network)
    together = network.update(last, tokens, LABELS)
    for edit in range(3):
        single = network.update(last, tokens[edit : edit + 1], LABELS[edit : edit + 1])
        for name in single:
            torch.testing.assert_close(together[name][edit], single[name][0], rtol=1e-3, atol=1e-5)


def test_saved_and_loaded_it_edits_the_same(split, last, network, tokens, tmp_path):
    shake(network).save(tmp_path / "ke.safetensors", {"depends": {"a": 1}})
    again = KeNetwork.load(tmp_path / "ke.safetensors", last, {"a": 1})
    expected = network.update(last, tokens, LABELS)
    for name, update in again.update(last, tokens, LABELS).items():
        assert torch.equal(update, expected[name]) and not update.requires_grad
    KeNetwork.for_split(split, KeTrainConfig()).save(tmp_path / "other.safetensors", {})
    with pytest.raises(ArtifactError, match=r"a network for the matrices .*blocks\.3.* are to be edited"):
        KeNetwork.load(tmp_path / "other.safetensors", last)
