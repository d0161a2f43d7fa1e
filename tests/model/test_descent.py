import pytest
import torch
import torch.nn.functional as F
from torch.func import functional_call

from vitedit.config import DescentConfig
from vitedit.errors import NumericalError
from vitedit.model.descent import Objective, closed_form, descend

RATE = 3e-3


def masked(split, tokens, labels, allowed, settings, rate=RATE):
    """Masked fine-tuning through the general loop."""
    start = {name: w.expand(len(labels), *w.shape) for name, w in split.weights.items()}
    ends = descend(Objective(split.call), start, tokens, labels, settings, rate, allowed=allowed)
    return ends.edits(labels, split.full(ends.values))


def plain_edit(vit, names, image, label, masks, settings):
    """The published loop for one edit with torch's own optimiser on the whole network."""
    weights = {name: vit.get_parameter(name).clone().requires_grad_() for name in names}
    optimiser = torch.optim.RMSprop(weights.values(), lr=RATE)
    for step in range(settings.max_steps + 1):
        logits = functional_call(vit, weights, (image,))
        loss = F.cross_entropy(logits, label[None])
        done = bool(logits.argmax() == label) and loss.item() <= settings.stop_loss
        if done or step == settings.max_steps:
            break
        optimiser.zero_grad()
        loss.backward()
        for name, weight in weights.items():
            weight.grad *= masks[name]
        optimiser.step()
    return {n: w.detach() for n, w in weights.items()}, step, loss.item(), done


def masks_for(split, edits, seed=0):
    generator = torch.Generator().manual_seed(seed)
    drawn = {
        s.name: (torch.rand(edits, s.size(split.vit), generator=generator) < 0.5).float() for s in split.sites
    }
    return {site.name: site.expand(drawn[site.name]) for site in split.sites}


def test_many_edits_at_once_equal_the_plain_sequential_loop(vit, split, samples, descent):
    allowed = masks_for(split, 6)
    edits = masked(split, split.prefix_samples(samples.images), samples.labels, allowed, descent)
    assert len(set(edits.steps.tolist())) > 1, (
        "edits must stop at different steps for this test to mean something"
    )
    for i in range(6):
        masks = {name: mask[i] for name, mask in allowed.items()}
        weights, steps, loss, done = plain_edit(
            vit, split.weights, samples.images[i], samples.labels[i], masks, descent
        )
        assert edits.steps[i] == steps and edits.converged[i] == done
        assert edits.losses[i] == pytest.approx(loss, rel=1e-3, abs=1e-5)
        for name, weight in weights.items():
            change = weight - vit.get_parameter(name)
            assert change.abs().max() > 1e-3
            torch.testing.assert_close(
                edits.changed[name][i] - vit.get_parameter(name), change, rtol=1e-2, atol=2e-4
            )


def test_frozen_weights_keep_their_bits_and_free_ones_move(vit, split, samples, descent):
    allowed = masks_for(split, 6)
    edits = masked(split, split.prefix_samples(samples.images), samples.labels, allowed, descent)
    for name, tensor in edits.changed.items():
        same = tensor == vit.get_parameter(name)
        free = allowed[name].expand_as(tensor) == 1
        assert same[~free].all() and (~same[free]).float().mean() > 0.9


def test_an_edit_that_is_done_at_the_start_takes_no_step(vit, split, images):
    labels = vit(images[:2]).argmax(-1)
    easy = DescentConfig(max_steps=5, stop_loss=10.0)
    edits = masked(split, split.prefix_samples(images[:2, None]), labels, masks_for(split, 2), easy)
    assert edits.steps.tolist() == [0, 0] and edits.converged.all()
    assert all(torch.equal(t[0], vit.get_parameter(n)) for n, t in edits.changed.items())


def test_an_edit_that_cannot_move_runs_to_the_end_unconverged(split, samples):
    frozen = {name: torch.zeros(6, 1, 1) for name in split.weights}
    edits = masked(
        split,
        split.prefix_samples(samples.images),
        samples.labels,
        frozen,
        DescentConfig(max_steps=3),
    )
    assert edits.steps.tolist() == [3] * 6 and not edits.converged.any()


def test_several_samples_of_one_edit_must_all_be_right(vit, split, images, descent):
    label = vit(images[:3]).topk(2).indices[:, 1][:1]
    edits = masked(
        split,
        split.prefix_samples(images[None, :3]),
        label,
        {n: torch.ones(1, 1, 1) for n in split.weights},
        descent,
    )
    assert edits.converged.all()
    after = split.suffix(split.prefix(images[:3]), {n: t[0] for n, t in edits.changed.items()})
    assert (after.argmax(-1) == label).all()


@pytest.mark.parametrize("name", ["rmsprop", "adam"])
def test_optimisers_are_those_of_torch(name):
    """One free vector under a loss whose gradient changes every step."""
    target = torch.tensor([[0.3, -2.0, 0.0]])
    labels, tokens = torch.zeros(1, dtype=torch.long), torch.zeros(1, 1, 1, 1)
    objective = Objective(
        lambda v, _: 0 * v["w"].sum() * torch.ones(1, 1, 2),
        penalty=lambda v, _: ((v["w"] - target) ** 4).sum(1),
    )
    ends = descend(
        objective, {"w": torch.ones(1, 3)}, tokens, labels, DescentConfig(max_steps=7), 0.05, optimiser=name
    )
    weight = torch.ones(1, 3, requires_grad=True)
    optimiser = {"rmsprop": torch.optim.RMSprop, "adam": torch.optim.Adam}[name]([weight], lr=0.05)
    for _ in range(7):
        optimiser.zero_grad()
        ((weight - target) ** 4).sum().backward()
        optimiser.step()
    torch.testing.assert_close(ends.values["w"], weight.detach(), rtol=1e-5, atol=1e-6)
    assert ends.steps.item() == 7 and not ends.converged.item()


def test_an_edit_that_is_not_settled_goes_on(split, samples):
    never = Objective(split.call, settled=lambda values, tokens: torch.zeros(len(tokens), dtype=torch.bool))
    start = {name: w.expand(6, *w.shape) for name, w in split.weights.items()}
    tokens = split.prefix_samples(samples.images)
    ends = descend(never, start, tokens, samples.labels, DescentConfig(max_steps=4, stop_loss=100.0), RATE)
    assert ends.steps.tolist() == [4] * 6 and not ends.converged.any()


def test_a_projection_sees_the_values_and_the_step_sizes_after_every_update(split, samples):
    seen = []

    def project(values, rates, tokens):
        seen.append(set(values) == set(rates) and all((rate > 0).all() for rate in rates.values()))
        return {name: value.clamp(-0.01, 0.01) for name, value in values.items()}

    start = {name: w.expand(6, *w.shape) for name, w in split.weights.items()}
    tokens = split.prefix_samples(samples.images)
    objective = Objective(split.call, project=project)
    ends = descend(objective, start, tokens, samples.labels, DescentConfig(max_steps=2, stop_loss=1e-9), RATE)
    assert seen == [True, True]
    assert all(value.abs().max() <= 0.01 for value in ends.values.values())


def test_a_closed_form_is_judged_by_the_stop_rule_on_the_edited_model(split, samples, descent):
    tokens = split.prefix_samples(samples.images)
    made = masked(split, tokens, samples.labels, {}, descent)
    again = closed_form(split, made.changes, tokens, samples.labels, descent)
    torch.testing.assert_close(again.losses, made.losses, rtol=1e-4, atol=1e-6)
    assert torch.equal(again.converged, made.converged) and made.converged.any()
    untouched = closed_form(
        split,
        split.full({name: w.expand(6, *w.shape) for name, w in split.weights.items()}),
        tokens,
        samples.labels,
        descent,
    )
    assert not untouched.converged.any() and untouched.steps.tolist() == [0] * 6


def test_a_loss_that_becomes_nan_is_an_error_that_names_the_step(split, samples):
    wild = DescentConfig(max_steps=5)
    with pytest.raises(NumericalError, match=r"step \d+ in edits .*lower the learning rate"):
        masked(
            split,
            split.prefix_samples(samples.images),
            samples.labels,
            {n: torch.ones(6, 1, 1) for n in split.weights},
            wild,
            rate=1e38,
        )
