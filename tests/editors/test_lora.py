"""LoRA: where it acts, its zero start, its scale, and its descent against a plain loop on the factors."""

import pytest
import torch
import torch.nn.functional as F
from torch.func import functional_call

from vitedit.config import DescentConfig
from vitedit.editors.lora import LoRA
from vitedit.tensors import torch_rng

QKV = [f"blocks.{block}.attn.qkv.weight" for block in range(4)]
FEW = DescentConfig(max_steps=3, stop_loss=1e-9)


def test_only_queries_and_values_of_every_block_change_and_by_the_rank(split, samples):
    edits = LoRA(FEW, 3e-3, rank=2).edit(split, samples)
    assert sorted(edits.changed) == QKV
    for name, tensor in edits.changed.items():
        query, key, value = (tensor - split.vit.get_parameter(name)).chunk(3, dim=1)
        assert torch.equal(key, torch.zeros_like(key))
        for change in (query, value):
            ranks = torch.linalg.matrix_rank(change, rtol=1e-3)
            assert ranks.min() >= 1 and ranks.max() == 2


def test_it_starts_at_the_base_model(split, samples):
    at_once = DescentConfig(max_steps=1, stop_loss=100.0)
    labels = split.vit(samples.images[:, 0]).argmax(-1)
    edits = LoRA(at_once, 3e-3).edit(split, type(samples)(samples.images, labels, samples.keys))
    assert edits.steps.tolist() == [0] * 6
    assert all(torch.equal(t[0], split.vit.get_parameter(n)) for n, t in edits.changed.items())


@pytest.mark.parametrize(("rank", "alpha"), [(2, 4.0), (4, 1.0)])
def test_the_descent_equals_a_plain_loop_on_the_factors(vit, split, samples, rank, alpha):
    edits = LoRA(FEW, 3e-3, rank=rank, alpha=alpha, seed=5).edit(split, samples)
    down, up = {}, {}
    for name in QKV:
        for part in ("query", "value"):
            rng = torch_rng(5, "lora", samples.keys[1], name, part)
            down[name, part] = ((2 * torch.rand(rank, 24, generator=rng) - 1) / 24**0.5).requires_grad_()
            up[name, part] = torch.zeros(24, rank, requires_grad=True)

    def weights():
        def change(name, part):
            return alpha / rank * up[name, part] @ down[name, part]

        return {
            name: vit.get_parameter(name)
            + torch.cat([change(name, "query"), torch.zeros(24, 24), change(name, "value")])
            for name in QKV
        }

    optimiser = torch.optim.RMSprop([*down.values(), *up.values()], lr=3e-3)
    for _ in range(FEW.max_steps):
        optimiser.zero_grad()
        F.cross_entropy(functional_call(vit, weights(), (samples.images[1],)), samples.labels[1:2]).backward()
        optimiser.step()
    for name, weight in weights().items():
        assert (weight - vit.get_parameter(name)).abs().max() > 1e-4
        torch.testing.assert_close(edits.changed[name][1], weight.detach(), rtol=1e-3, atol=1e-4)


def test_a_rank_above_alpha_still_edits(split, samples):
    """The published class divides integers and would scale by zero here."""
    edits = LoRA(FEW, 3e-3, rank=8, alpha=4.0).edit(split, samples)
    assert (edits.norm() > 0).all()
