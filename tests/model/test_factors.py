import torch
import torch.nn.functional as F
from torch.func import functional_call

from vitedit.learned.network import last_ffns
from vitedit.model.factors import recorded, token_factors


def test_the_factors_multiply_to_the_gradient(vit, split, images):
    """sum_t delta_t x_t^T of every matrix against autograd on the whole network, for two edits of three samples."""
    last, labels = last_ffns(split), torch.tensor([3, 0])
    factors = token_factors(last, last.prefix_samples(images[:6].unflatten(0, (2, 3))), labels)
    assert list(factors) == [f"blocks.{b}.mlp.fc{i}.weight" for b in (1, 2, 3) for i in (1, 2)]
    for edit in range(2):
        weights = {name: vit.get_parameter(name).clone().requires_grad_() for name in factors}
        logits = functional_call(vit, weights, (images[3 * edit : 3 * edit + 3],))
        loss = F.cross_entropy(logits, labels[edit].expand(3), reduction="sum")
        gradients = torch.autograd.grad(loss, list(weights.values()))
        for (name, factor), gradient in zip(factors.items(), gradients, strict=True):
            product = factor.deltas[edit].T @ factor.inputs[edit]
            assert gradient.abs().max() > 1e-3, name
            torch.testing.assert_close(product, gradient, rtol=1e-4, atol=1e-6)


def test_only_the_cls_token_has_a_gradient_in_the_last_block(split, images):
    last = last_ffns(split)
    factors = token_factors(last, last.prefix_samples(images[:2, None]), torch.tensor([3, 0]))
    busy = {name: (factor.deltas != 0).any(-1).sum(-1).tolist() for name, factor in factors.items()}
    assert busy["blocks.3.mlp.fc1.weight"] == busy["blocks.3.mlp.fc2.weight"] == [1, 1]
    assert busy["blocks.2.mlp.fc1.weight"] == [10, 10]


def test_an_edit_does_not_depend_on_its_neighbours(split, images):
    last, labels = last_ffns(split), torch.tensor([3, 0])
    tokens = last.prefix_samples(images[:2, None])
    together, alone = token_factors(last, tokens, labels), token_factors(last, tokens[:1], labels[:1])
    for name in alone:
        torch.testing.assert_close(together[name].deltas[:1], alone[name].deltas)


def test_recording_leaves_no_hook_behind(vit, images):
    with recorded(vit, ["norm", "blocks.1.mlp.fc1"]) as seen:
        vit(images[:2])
    assert seen["norm"][1].shape == (2, 10, 24) and seen["blocks.1.mlp.fc1"][1].shape == (2, 10, 96)
    assert not vit.norm._forward_hooks and not vit.blocks[1].mlp.fc1._forward_hooks
