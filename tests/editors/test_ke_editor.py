import pytest
import torch

from vitedit.config import DescentConfig, KeTrainConfig
from vitedit.editors.ke import KnowledgeEditor
from vitedit.learned.conditioner import KeNetwork
from vitedit.learned.network import last_ffns
from vitedit.model.edits import Samples

DESCENT = DescentConfig(max_steps=25, stop_loss=0.05)


@pytest.fixture
def network(split):
    """The first weights with a small last layer on top: gradient steps, a little different for every sample."""
    torch.manual_seed(0)
    network = KeNetwork.for_split(last_ffns(split), KeTrainConfig(condition=16, hidden=8, max_scale=0.05))
    for conditioner in network.conditioners:
        torch.nn.init.normal_(conditioner.layers[2].parametrizations.weight.original0, std=0.1)
    return network.eval().requires_grad_(False)


def loss(split, changed, samples):
    logits = torch.stack(
        [
            last_ffns(split).suffix(
                last_ffns(split).prefix(samples.images[i]), {n: w[i] for n, w in changed.items()}
            )
            for i in range(len(samples))
        ]
    )
    return -logits.log_softmax(-1)[range(len(samples)), 0, samples.labels]


def test_one_application_is_the_networks_update(split, samples, network):
    last = last_ffns(split)
    edits = KnowledgeEditor(DESCENT, scale=1.5, ke=network, iterations=1).edit(split, samples)
    updates = network.update(last, last.prefix_samples(samples.images), samples.labels)
    assert list(edits.changed) == [site.name for site in last.sites] and edits.steps.tolist() == [1] * 6
    for name, update in updates.items():
        torch.testing.assert_close(edits.changed[name], last.weights[name] - 1.5 * update)
    torch.testing.assert_close(edits.losses, loss(split, edits.changed, samples), rtol=1e-3, atol=1e-4)


def test_it_is_applied_again_on_the_edited_model_until_the_stop_rule_is_met(split, images, network):
    last = last_ffns(split)
    samples = Samples(images[:6, None], torch.tensor([0, 1, 2, 3, 4, 3]), tuple("abcdef"))
    tokens = last.prefix_samples(samples.images)
    edits = KnowledgeEditor(DESCENT, scale=1.0, ke=network, iterations=5).edit(split, samples)
    assert len(edits.steps.unique()) > 1 and edits.converged.any()
    for i in range(len(samples)):
        weights = {name: weight[None].clone() for name, weight in last.weights.items()}
        steps = 0
        while steps < 5:
            logits = last.suffix(tokens[i], {name: weight[0] for name, weight in weights.items()})[0]
            if logits.argmax() == samples.labels[i] and -logits.log_softmax(-1)[samples.labels[i]] <= 0.05:
                break
            updates = network.update(last, tokens[i : i + 1], samples.labels[i : i + 1], weights)
            weights = {name: weight - updates[name] for name, weight in weights.items()}
            steps += 1
        assert edits.steps[i] == steps and edits.converged[i] == (edits.losses[i] <= 0.05)
        for name, weight in weights.items():
            torch.testing.assert_close(edits.changed[name][i], weight[0], rtol=1e-3, atol=1e-4)


def test_a_label_with_a_low_loss_is_left_alone(split, images, network):
    labels = split.vit(images[:2]).argmax(-1)
    lenient = DescentConfig(max_steps=25, stop_loss=10.0)
    edits = KnowledgeEditor(lenient, scale=1.0, ke=network).edit(
        split, Samples(images[:2, None], labels, ("a", "b"))
    )
    assert edits.steps.tolist() == [0, 0] and edits.converged.all()
    assert (edits.norm() == 0).all()
