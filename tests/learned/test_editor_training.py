import math
from copy import deepcopy

import pytest
import torch
import torch.nn.functional as F
from torch.func import functional_call

from vitedit.config import KeTrainConfig, MendTrainConfig
from vitedit.data.pseudo import Views
from vitedit.errors import NumericalError
from vitedit.learned.editor_training import Batch, Constraint, KeTraining, MendTraining, Outcome, outcome
from vitedit.learned.network import last_ffns
from vitedit.model.sites import find_sites
from vitedit.model.vit import Split
from vitedit.training import run

KE = KeTrainConfig(
    iterations=40, batch_size=6, others=4, condition=16, hidden=8, max_scale=0.02, learning_rate=1e-2,
    warmup=5, margin_every=5, checkpoint_every=2,
)  # fmt: skip
MEND = MendTrainConfig(
    iterations=40, batch_size=6, others=4, rank=8, alpha=1e-4, learning_rate=1e-5, alpha_learning_rate=1e-4,
    edit_weight=1.0, checkpoint_every=2,
)  # fmt: skip
KINDS = [(KeTraining, KE), (MendTraining, MEND)]
IDS = ["ke", "mend"]


def batches(iteration, size, others):
    """Random images; mixed ones keep the left half of the original."""
    drawn = torch.randn(3 * size + others, 3, 24, 24, generator=torch.Generator().manual_seed(iteration))
    originals, first, second, rest = drawn.split([size, size, size, others])
    mixed, views = (torch.cat([originals[..., :12], other[..., 12:]], dim=-1) for other in (first, second))
    return Views(originals, mixed, views, rest)


@pytest.fixture(scope="module")
def split(vit):
    """A model that tells random images apart: logits centred and spread."""
    lively = deepcopy(vit)
    logits = vit(torch.randn(256, 3, 24, 24, generator=torch.Generator().manual_seed(5)))
    lively.head.weight.mul_(3)
    lively.head.bias.copy_(-3 * (logits.mean(0) - vit.head.bias))
    return Split(lively, find_sites(lively, "mlp", [1, 2]))


def training(kind, settings, split, source=batches):
    torch.manual_seed(0)
    return kind(last_ffns(split), settings, source)


def after(own=0.0, view=0.0, kl=0.0):
    return Outcome(torch.tensor(own), torch.tensor(view), torch.tensor(kl), torch.tensor([1.0, 0.5]))


def test_a_batch_holds_what_the_base_model_says(split):
    vit, last, images = split.vit, last_ffns(split), batches(3, 4, 2)
    batch = Batch.of(last, images)
    assert torch.equal(batch.labels, vit(images.originals).argmax(-1))
    torch.testing.assert_close(batch.before, vit(images.views))
    torch.testing.assert_close(batch.teacher, vit(images.others))
    torch.testing.assert_close(last.suffix(batch.tokens[:, 0]), vit(images.mixed))
    torch.testing.assert_close(last.suffix(batch.tokens[:, 1]), vit(images.views))


def test_outcome_of_edited_models_one_by_one(split):
    vit, last, images = split.vit, last_ffns(split), batches(3, 4, 3)
    batch = Batch.of(last, images)
    torch.manual_seed(1)
    changed = {name: w + 0.1 * torch.randn(4, *w.shape) for name, w in last.weights.items()}
    found = outcome(last, changed, batch)
    own, view, kl, right = [], [], [], []
    for i in range(4):
        weights = {name: w[i] for name, w in changed.items()}
        pair = functional_call(vit, weights, (torch.stack([images.mixed[i], images.views[i]]),))
        losses = F.cross_entropy(pair, batch.labels[i].expand(2), reduction="none")
        own.append(losses[0]), view.append(losses[1]), right.append(pair.argmax(-1) == batch.labels[i])
        log_q = functional_call(vit, weights, (images.others,)).log_softmax(-1)
        kl.append(F.kl_div(log_q, vit(images.others).log_softmax(-1), log_target=True, reduction="batchmean"))
    torch.testing.assert_close(found.own, torch.stack(own).mean(), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(found.view, torch.stack(view).mean(), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(found.kl, torch.stack(kl).mean(), rtol=1e-4, atol=1e-5)
    assert torch.equal(found.right, torch.stack(right).float().mean(0)) and 0 < found.right[1] < 1


def test_the_losses(split):
    ke, mend = training(KeTraining, KE, split), training(MendTraining, MEND, split)
    assert mend.loss(after(own=5.0, view=2.0, kl=0.3)).item() == pytest.approx(1.0 * 2.0 + 0.3)
    ke.constraint = Constraint(KE, margin=0.1, multiplier=3.0)
    assert ke.loss(after(own=5.0, view=2.0, kl=0.3)).item() == pytest.approx(3.5 + 3.0 * 0.2)


def test_the_multiplier_rises_while_the_divergence_is_too_large_and_falls_to_zero():
    constraint = Constraint(KE, margin=0.1, multiplier=0.05)
    constraint.ascend(0.4)
    assert constraint.multiplier == pytest.approx(0.05 + 0.1 * 0.3)
    for _ in range(20):
        constraint.ascend(0.0)
    assert constraint.multiplier == 0 and constraint.margin == 0.1


def test_the_margin_shrinks_with_success_down_to_its_floor():
    constraint = Constraint(KE, margin=0.1)
    constraint.tighten(0.9)
    assert constraint.margin == 0.1
    constraint.tighten(0.91)
    assert constraint.margin == pytest.approx(0.08)
    for _ in range(40):
        constraint.tighten(1.0)
    assert constraint.margin == 1e-3


def test_the_margin_looks_at_the_success_since_its_last_look(split):
    ke = training(KeTraining, KE.model_copy(update={"margin_every": 2}), split)
    margins = []
    for success in (0.0, 1.0, 1.0, 0.9, 1.0, 1.0):
        ke.rows.append({"success_own": success})
        ke.adapt(after(kl=0.1))
        margins.append(round(ke.constraint.margin, 4))
    assert margins == [0.1, 0.1, 0.1, 0.08, 0.08, 0.064]


def test_the_step_size_of_ke_rises_and_falls(split):
    ke = training(KeTraining, KE.model_copy(update={"iterations": 20, "warmup": 4}), split)
    rates = [ke.rates(i)[0] / KE.learning_rate for i in range(20)]
    assert rates[:4] == pytest.approx([0.2, 0.4, 0.6, 0.8]) and max(rates) == rates[4] == 1
    assert rates[-1] == pytest.approx(1 / 16) and rates[4:] == sorted(rates[4:], reverse=True)


def test_mend_has_a_step_size_of_its_own_for_alpha(split):
    """The first step of Adam moves every entry by its step size."""
    mend = training(MendTraining, MEND, split)
    before = mend.network.alphas.detach().clone()
    mend.step(0)
    torch.testing.assert_close(
        (mend.network.alphas - before).abs(), torch.full((6,), 1e-4), rtol=1e-2, atol=0
    )
    ups = torch.cat([layer.up.detach().flatten() for t in mend.network.transforms for layer in t.layers])
    assert ups.abs().max().item() == pytest.approx(1e-5, rel=1e-2)


@pytest.mark.parametrize(("kind", "settings"), KINDS, ids=IDS)
def test_training_makes_edits_that_work_better(split, tmp_path, kind, settings):
    """On fixed held-out images: after training the same loss is lower than before it, and views are right more often."""
    began, held = training(kind, settings, split), Batch.of(last_ffns(split), batches(10**6, 48, 8))

    def measured(of):
        with torch.no_grad():
            updates = of.network.update(of.base, held.tokens[:, :1], held.labels)
            changed = {name: of.base.weights[name] - update for name, update in updates.items()}
            return outcome(of.base, changed, held)

    if kind is MendTraining:
        began.network.update(began.base, held.tokens[:, :1], held.labels)  # first statistics
    first = measured(began)
    trained = training(kind, settings, split)
    log = run(trained, settings.iterations, 50, tmp_path / "state.pt", {})
    last = measured(trained)
    assert began.loss(last) < began.loss(first) - 0.1  # under the first constraint in both
    unedited = (held.before.argmax(-1) == held.labels).float().mean()
    assert last.right[1] > unedited + 0.3 and last.kl < 1
    assert log["success"][20:].mean() > log["success_before"][20:].mean()


@pytest.mark.parametrize(("kind", "settings"), KINDS, ids=IDS)
def test_every_iteration_is_logged_and_the_base_model_keeps_its_bits(split, tmp_path, kind, settings):
    before = {name: tensor.clone() for name, tensor in split.vit.state_dict().items()}
    log = run(training(kind, settings, split), 6, 50, tmp_path / "state.pt", {})
    assert all(torch.equal(before[name], tensor) for name, tensor in split.vit.state_dict().items())
    assert not any(p.requires_grad or p.grad is not None for p in split.vit.parameters())
    assert list(log) == [
        "iteration", "loss_edit", "kl", "success", "success_before", "success_own", "multiplier", "margin", "seconds",
    ]  # fmt: skip
    assert log["iteration"].tolist() == list(range(6)) and log["loss_edit"].gt(0).all()
    assert log["kl"].gt(0).all() and log["seconds"].gt(0).all()
    constrained = log[["multiplier", "margin"]]
    assert constrained.isna().all(axis=None) if kind is MendTraining else constrained.gt(0).all(axis=None)


@pytest.mark.parametrize(("kind", "settings"), KINDS, ids=IDS)
@pytest.mark.parametrize("stop", [2, 3, 6])
def test_a_killed_and_resumed_training_ends_with_the_same_bits(split, tmp_path, kind, settings, stop):
    whole = training(kind, settings, split)
    log = run(whole, 7, 2, tmp_path / "whole.pt", {"a": 1})

    def killed(iteration, size, others):
        if iteration == stop:
            raise KeyboardInterrupt
        return batches(iteration, size, others)

    with pytest.raises(KeyboardInterrupt):
        run(training(kind, settings, split, killed), 7, 2, tmp_path / "state.pt", {"a": 1})
    torch.manual_seed(99)  # other first weights: all must come from the state
    resumed = kind(last_ffns(split), settings, batches)
    again = run(resumed, 7, 2, tmp_path / "state.pt", {"a": 1})
    for (name, a), b in zip(
        whole.network.state_dict().items(), resumed.network.state_dict().values(), strict=True
    ):
        assert torch.equal(a, b), name
    assert again.drop(columns="seconds").equals(log.drop(columns="seconds"))


@pytest.mark.parametrize(("kind", "settings"), KINDS, ids=IDS)
def test_a_training_that_diverges_is_an_error_that_names_the_setting(split, kind, settings):
    wild = training(kind, settings, split)
    with torch.no_grad():
        next(iter(wild.network.parameters())).fill_(math.nan)
    with pytest.raises(NumericalError, match=rf"train_editor\.{wild.name}\.learning_rate \(now"):
        wild.step(0)
