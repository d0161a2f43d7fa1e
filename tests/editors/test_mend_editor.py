import pytest
import torch

from vitedit.config import DescentConfig, MendTrainConfig
from vitedit.editors.mend import Mend
from vitedit.learned.mend import MendNetwork
from vitedit.learned.network import last_ffns
from vitedit.model.edits import Samples

DESCENT = DescentConfig(max_steps=25, stop_loss=0.05)


@pytest.fixture
def network(split, images):
    """Identity layers with the statistics of some images."""
    torch.manual_seed(0)
    last = last_ffns(split)
    network = MendNetwork.for_split(last, MendTrainConfig(rank=8, alpha=1e-3)).train()
    network.update(last, last.prefix_samples(images[:, None]), torch.arange(12) % 5)
    return network.eval().requires_grad_(False)


def test_the_weights_are_those_of_the_base_less_the_scaled_update(split, samples, network):
    last = last_ffns(split)
    edits = Mend(DESCENT, scale=2.0, mend=network).edit(split, samples)
    updates = network.update(last, last.prefix_samples(samples.images), samples.labels)
    assert list(edits.changed) == [site.name for site in last.sites] and edits.steps.tolist() == [1] * 6
    for name, update in updates.items():
        torch.testing.assert_close(edits.changed[name], last.weights[name] - 2 * update)


def test_the_edit_goes_down_and_further_with_more_scale(split, samples, network):
    logits = split.vit(samples.images[:, 0])
    before = -logits.log_softmax(-1)[range(6), samples.labels]
    small, large = (Mend(DESCENT, scale=scale, mend=network).edit(split, samples) for scale in (0.1, 1.0))
    assert (large.losses < small.losses).all() and (small.losses < before).all()


def test_the_stop_rule_says_whether_it_was_enough(split, samples, network):
    edits = Mend(DESCENT, scale=1.0, mend=network).edit(split, samples)
    last = last_ffns(split)
    predicted = last.predict_many(last.prefix_samples(samples.images), edits.changes)[:, 0]
    assert torch.equal(edits.converged, (edits.losses <= 0.05) & (predicted == samples.labels))


def test_several_samples_count_by_their_mean(split, images, network):
    """The same image twice is the image once."""
    editor, label = Mend(DESCENT, scale=1.0, mend=network), torch.tensor([3])
    once = editor.edit(split, Samples(images[:1, None], label, ("a",)))
    twice = editor.edit(split, Samples(images[[0, 0]][None], label, ("a",)))
    for name, weight in once.changed.items():
        torch.testing.assert_close(twice.changed[name], weight, rtol=1e-4, atol=1e-6)


def test_the_network_keeps_its_bits(split, samples, network):
    learned = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    Mend(DESCENT, scale=1.0, mend=network).edit(split, samples)
    assert all(torch.equal(learned[name], tensor) for name, tensor in network.state_dict().items())
