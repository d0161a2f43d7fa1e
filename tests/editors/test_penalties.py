"""FT-l1 and FT-l2 against a plain loop with torch's optimiser, and what their penalties do."""

import pytest
import torch
import torch.nn.functional as F
from torch.func import functional_call

from vitedit.config import DescentConfig
from vitedit.editors.ft import FineTune
from vitedit.editors.ft_l1 import FineTuneL1
from vitedit.editors.ft_l2 import FineTuneL2
from vitedit.model.objectives import absolute_change, soft_threshold, squared_change

RATE = 3e-3
FEW = DescentConfig(max_steps=4, stop_loss=1e-9)


def plain_edit(vit, names, image, label, penalty):
    """Four steps of torch's RMSprop on cross-entropy plus penalty, on the whole network."""
    weights = {name: vit.get_parameter(name).clone().requires_grad_() for name in names}
    optimiser = torch.optim.RMSprop(weights.values(), lr=RATE)
    for _ in range(FEW.max_steps):
        loss = F.cross_entropy(functional_call(vit, weights, (image,)), label[None])
        loss = loss + penalty({name: weights[name] - vit.get_parameter(name) for name in names})
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    return {name: weight.detach() for name, weight in weights.items()}


@pytest.mark.parametrize(
    ("editor", "penalty"),
    [
        (
            FineTuneL1(FEW, RATE, penalty_weight=0.01),
            lambda change: 0.01 * sum(delta.abs().sum() for delta in change.values()),
        ),
        (
            FineTuneL2(FEW, RATE, penalty_weight=3.0),
            lambda change: 1.5 * sum(delta.pow(2).sum() for delta in change.values()),
        ),
    ],
    ids=["l1", "l2"],
)
def test_a_penalised_edit_equals_the_plain_loop(vit, split, samples, editor, penalty):
    edits, free = editor.edit(split, samples), FineTune(FEW, RATE).edit(split, samples)
    plain = plain_edit(vit, split.weights, samples.images[2], samples.labels[2], penalty)
    for name, weight in plain.items():
        # a tie in the sign of a subgradient may send single weights the other way
        assert (edits.changed[name][2] - weight).abs().gt(2e-4).float().mean() < 0.01
        assert (edits.changed[name][2] - free.changed[name][2]).abs().max() > 1e-3, (
            "the penalty does something"
        )


@pytest.mark.parametrize("cls", [FineTuneL1, FineTuneL2])
def test_weight_zero_is_fine_tuning_and_more_weight_changes_less(split, samples, descent, cls):
    plain = FineTune(descent, RATE).edit(split, samples)
    same = cls(descent, RATE, penalty_weight=0.0).edit(split, samples)
    assert torch.equal(same.steps, plain.steps)
    for name in plain.changed:
        torch.testing.assert_close(same.changed[name], plain.changed[name], rtol=0, atol=1e-6)
    norms = [cls(FEW, RATE, penalty_weight=weight).edit(split, samples).norm() for weight in (0.0, 0.1, 10.0)]
    assert (norms[0] > norms[1]).all() and (norms[1] > norms[2]).all()


def test_the_proximal_step_gives_true_zeros_and_the_subgradient_does_not(split, samples, descent):
    share = {
        proximal: FineTuneL1(descent, RATE, penalty_weight=0.02, proximal=proximal).edit(split, samples)
        for proximal in (False, True)
    }
    fractions = {proximal: edits.fraction(split.vit) for proximal, edits in share.items()}
    assert (fractions[True] < 0.7 * fractions[False]).all()
    assert share[True].converged.float().mean() > 0.5


def test_soft_thresholding_is_the_proximal_operator_of_the_absolute_value():
    """argmin_z 1/2 (z - x)^2 + t |z| by search over a fine grid."""
    grid = torch.linspace(-3, 3, 60001, dtype=torch.float64)
    for x, t in [(1.7, 0.5), (-1.7, 0.5), (0.3, 0.5), (-0.2, 0.0), (2.0, 2.5)]:
        best = grid[((grid - x).square() / 2 + t * grid.abs()).argmin()]
        found = soft_threshold(torch.tensor([x]), torch.tensor([t]))
        assert found.item() == pytest.approx(best.item(), abs=1e-4)
    assert soft_threshold(torch.tensor([0.3]), torch.tensor([0.5])).item() == 0


def test_penalties_by_hand():
    base = {"a": torch.tensor([[1.0, 2.0]]), "b": torch.tensor([[0.0]])}
    values = {"a": torch.tensor([[[1.0, 5.0]], [[1.0, 2.0]]]), "b": torch.tensor([[[-4.0]], [[1.0]]])}
    assert squared_change(values, base).tolist() == [12.5, 0.5]
    assert absolute_change(values, base).tolist() == [7.0, 1.0]
