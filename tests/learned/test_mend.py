import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch.func import functional_call

from vitedit.config import MendTrainConfig
from vitedit.errors import ArtifactError
from vitedit.learned.mend import MendNetwork, Normaliser, ResidualLayer
from vitedit.learned.network import shapes
from vitedit.model.factors import Factors, token_factors

FC1, FC2 = "blocks.1.mlp.fc1.weight", "blocks.1.mlp.fc2.weight"


@pytest.fixture
def network(last):
    torch.manual_seed(0)
    return MendNetwork.for_split(last, MendTrainConfig(rank=5, alpha=0.2))


LABELS = torch.tensor([3, 0, 1])


def test_running_statistics_are_those_of_all_rows():
    rng = np.random.default_rng(0)
    rows = (rng.normal(size=(50, 7)) * rng.uniform(0.01, 100, 7) + rng.normal(size=7)).astype(np.float32)
    normaliser = Normaliser(7)
    for part in np.split(rows, [1, 4, 4, 30]):
        normaliser.observe(torch.from_numpy(part))
    assert normaliser.count == 50
    np.testing.assert_allclose(normaliser.mean, rows.mean(0), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(normaliser.std, rows.std(0, ddof=1), rtol=1e-4)
    expected = (rows - rows.mean(0)) / rows.std(0, ddof=1)
    np.testing.assert_allclose(normaliser(torch.from_numpy(rows)), expected, rtol=1e-3, atol=1e-3)


def test_one_row_says_nothing_about_the_spread():
    normaliser = Normaliser(3)
    normaliser.observe(torch.tensor([[2.0, 0.0, 5.0]]))
    assert normaliser.std.tolist() == [1, 1, 1]


def test_the_first_update_is_a_gradient_step_if_nothing_is_normalised(vit, last, network, tokens, images):
    """Identity layers and identity statistics: alpha times the gradient of the mean loss of the samples."""
    network.eval()
    updates = network.update(last, tokens, LABELS)
    for edit in range(3):
        weights = {name: vit.get_parameter(name).clone().requires_grad_() for name in updates}
        logits = functional_call(vit, weights, (images[2 * edit : 2 * edit + 2],))
        loss = F.cross_entropy(logits, LABELS[edit].expand(2))
        for name, gradient in zip(updates, torch.autograd.grad(loss, list(weights.values())), strict=True):
            torch.testing.assert_close(updates[name][edit], 0.2 * gradient, rtol=1e-4, atol=1e-6)


def test_with_statistics_the_first_update_is_the_product_of_normalised_factors(last, network, tokens):
    factors = token_factors(last, tokens, LABELS)
    updates = network.train().update(last, tokens, LABELS)
    family = [name for name in factors if "fc1" in name]
    pairs = {n: torch.cat([f.inputs, f.deltas], dim=-1) for n, f in factors.items()}
    seen = torch.cat([pairs[n][(factors[n].deltas != 0).any(-1)] for n in family])
    assert len(seen) == 3 * 2 * (10 + 10 + 1)  # the last block has gradients at CLS only
    z = (pairs[FC1] - seen.mean(0)) / seen.std(0)
    inputs, deltas = z.split([24, 96], dim=-1)
    expected = 0.2 * torch.einsum("eto,eti->eoi", deltas, inputs) / 2
    torch.testing.assert_close(updates[FC1], expected, rtol=1e-3, atol=1e-3)


def test_statistics_grow_in_training_only(last, network, tokens):
    network.eval().update(last, tokens, LABELS)
    assert all(transform.normaliser.count == 0 for transform in network.transforms)
    network.train().update(last, tokens, LABELS)
    assert [transform.normaliser.count.item() for transform in network.transforms] == [126, 126]


def test_tokens_without_input_or_gradient_are_left_out(network):
    inputs, deltas = torch.randn(1, 4, 24), torch.randn(1, 4, 96)
    inputs[0, 1], deltas[0, 2] = 0, 0
    names = [FC1]
    network.train().pseudo_gradients({FC1: Factors(inputs, deltas)})
    assert network.transforms[0].normaliser.count == 2
    few = {n: Factors(inputs[:, [0, 3]], deltas[:, [0, 3]]) for n in names}
    network.eval()
    torch.testing.assert_close(
        network.pseudo_gradients({FC1: Factors(inputs, deltas)})[FC1], network.pseudo_gradients(few)[FC1]
    )


def test_a_layer_by_hand():
    torch.manual_seed(1)
    layer = ResidualLayer(6, 2, matrices=3)
    assert layer.down.std() > 0.5 and torch.equal(layer(torch.ones(2, 6), 1), torch.ones(2, 6))
    with torch.no_grad():
        for parameter in (layer.up, layer.bias, layer.scale, layer.shift):
            parameter.normal_()
    z = torch.randn(4, 6)
    for matrix in range(3):
        inner = torch.stack([layer.up @ (layer.down @ row) + layer.bias for row in z])
        expected = z + torch.relu(layer.scale[matrix] * inner + layer.shift[matrix])
        torch.testing.assert_close(layer(z, matrix), expected)


def test_the_identity_can_be_left(last, network, tokens):
    """At the first weights the argument of the rectifier is 0 everywhere; its gradient must not be."""
    updates = network.train().update(last, tokens, LABELS)
    sum(update.square().sum() for update in updates.values()).backward()
    for transform in network.transforms:
        assert all(layer.up.grad.abs().max() > 0 for layer in transform.layers)
    assert (network.alphas.grad != 0).all()


def test_matrices_of_one_shape_share_a_transform_but_not_scale_and_shift(last):
    network = MendNetwork.for_split(last, MendTrainConfig())
    assert [transform.normaliser.mean.shape[0] for transform in network.transforms] == [120, 120]
    assert [layer.down.shape for layer in network.transforms[0].layers] == [(60, 120)] * 2  # half the width
    assert network.transforms[0].layers[0].scale.shape == (3, 120) and network.alphas.shape == (6,)
    assert network.place[FC1] == (0, 0) and network.place["blocks.3.mlp.fc2.weight"] == (1, 2)


def test_many_edits_equal_single_edits(last, network, tokens):
    network.train().update(last, tokens, LABELS)
    network.eval()
    with torch.no_grad():
        for transform in network.transforms:
            for layer in transform.layers:
                layer.up.normal_(std=0.1)
        together = network.update(last, tokens, LABELS)
        for edit in range(3):
            single = network.update(last, tokens[edit : edit + 1], LABELS[edit : edit + 1])
            for name in single:
                torch.testing.assert_close(together[name][edit], single[name][0], rtol=1e-3, atol=1e-3)


def test_saved_and_loaded_it_edits_the_same(last, network, tokens, tmp_path):
    network.train().update(last, tokens, LABELS)
    network.save(tmp_path / "mend.safetensors", {"depends": {"a": 1}})
    again = MendNetwork.load(tmp_path / "mend.safetensors", last, {"a": 1})
    assert not again.training and not any(p.requires_grad for p in again.parameters())
    expected = network.eval().update(last, tokens, LABELS)
    for name, update in again.update(last, tokens, LABELS).items():
        assert torch.equal(update, expected[name])


def test_a_network_for_other_matrices_is_refused(split, last, network, tmp_path):
    """Also one for wider matrices of the same names. The sites of the run, here blocks 1 and 2, do not matter."""
    network.save(tmp_path / "mend.safetensors", {"depends": {}})
    assert MendNetwork.load(tmp_path / "mend.safetensors", split, {}).matrices == shapes(last)
    with pytest.raises(ArtifactError, match="made under another configuration"):
        MendNetwork.load(tmp_path / "mend.safetensors", split, {"a": 2})
    wider = {name: [shape[0] + 1, shape[1]] for name, shape in shapes(last).items()}
    for matrices in (shapes(split), wider):
        MendNetwork(matrices, rank=5).save(tmp_path / "other.safetensors", {})
        with pytest.raises(ArtifactError, match=r"a network for the matrices .*blocks\.3.* are to be edited"):
            MendNetwork.load(tmp_path / "other.safetensors", last)
