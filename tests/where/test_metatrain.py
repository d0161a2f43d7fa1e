import numpy as np
import pytest
import torch
from torch.func import functional_call

from vitedit.config import MetaTrainConfig, PseudoConfig, ReplayConfig
from vitedit.errors import NumericalError
from vitedit.model.objectives import kl_divergence
from vitedit.tensors import save_state
from vitedit.where.hypernet import Hypernet
from vitedit.where.mask_search import random_logits, search_masks
from vitedit.where.masks import join, units
from vitedit.where.metatrain import MetaTraining, Seen, meta_train, new_hypernet

SETTINGS = MetaTrainConfig(
    pseudo=PseudoConfig(images="train"), iterations=4, batch_size=3, inner_learning_rate=0.3, inner_steps=2,
    search_steps=3, blocks=1, heads=6, replay=ReplayConfig(steps=5, batch_size=4), checkpoint_every=2,
)  # fmt: skip


def batches(iteration, size):
    generator = torch.Generator().manual_seed(iteration)
    return torch.randn(size, 3, 24, 24, generator=generator), torch.randn(
        size, 3, 24, 24, generator=generator
    )


def training(split, settings=SETTINGS):
    torch.manual_seed(0)
    network = Hypernet.for_sites(split.vit, split.sites, 24, settings.blocks, settings.heads)
    return MetaTraining(split, network, settings, seed=0)


def plain_search(vit, split, original, mixed, settings, logits):
    """The decoupled search for one sample on the whole network with autograd, following the published code step by step."""
    teacher = vit(original[None])
    base = {site.name: vit.get_parameter(site.name) for site in split.sites}
    square = torch.zeros_like(logits)
    for _ in range(settings.search_steps):
        m = logits.clone().requires_grad_()
        parts = (10 * m).sigmoid().split([site.size(vit) for site in split.sites])
        masks = {
            s.name: part[:, None] if s.axis == 0 else part[None, :]
            for s, part in zip(split.sites, parts, strict=True)
        }
        delta = {name: torch.zeros_like(weight) for name, weight in base.items()}
        for _ in range(settings.inner_steps):
            weights = {n: (base[n] + masks[n].detach() * delta[n]).requires_grad_() for n in base}
            kl = kl_divergence(teacher, functional_call(vit, weights, (mixed[None],)), settings.temperature)
            gradients = torch.autograd.grad(kl, list(weights.values()))
            delta = {
                n: delta[n] - settings.inner_learning_rate * g
                for n, g in zip(weights, gradients, strict=True)
            }
        weights = {n: base[n] + masks[n] * delta[n] for n in base}
        kl = kl_divergence(teacher, functional_call(vit, weights, (mixed[None],)), settings.temperature)
        (kl + settings.sparsity_weight * torch.cat(parts).mean()).backward()
        square = 0.99 * square + 0.01 * m.grad**2
        logits = logits - settings.search_learning_rate * m.grad / (square.sqrt() + 1e-8)
    return logits, kl.item()


def test_a_batched_search_equals_the_plain_search_of_each_sample(vit, split):
    originals, mixed = batches(0, 3)
    teacher = split.suffix(split.prefix(originals))
    starts = 2 * torch.rand(3, units(split), generator=torch.Generator().manual_seed(5)) - 1
    assert torch.equal(random_logits(split, [torch.Generator().manual_seed(5)], 3, tied=False), starts)
    found, kl = search_masks(split, split.prefix(mixed), teacher, starts, SETTINGS)
    plain = [plain_search(vit, split, originals[i], mixed[i], SETTINGS, starts[i]) for i in range(3)]
    expected = torch.stack([logits for logits, _ in plain])
    assert (expected - starts).abs().min() > 0.5  # the first RMSprop step moves every logit by one (D7)
    close = torch.isclose(found, expected, atol=1e-3)
    assert close.float().mean() > 0.999  # a gradient next to zero may change its sign with the order of a sum
    assert kl == pytest.approx(np.mean([value for _, value in plain]), rel=1e-2)


def test_more_weight_on_sparsity_gives_sparser_masks(split):
    originals, mixed = batches(0, 3)
    teacher, tokens = split.suffix(split.prefix(originals)), split.prefix(mixed)
    dense, sparse = (
        search_masks(
            split,
            tokens,
            teacher,
            random_logits(split, [torch.Generator().manual_seed(5)], 3, tied=False),
            SETTINGS.model_copy(update={"sparsity_weight": w}),
        )[0]
        for w in (0.0, 100.0)
    )
    assert (10 * sparse).sigmoid().mean() < 0.1 < (10 * dense).sigmoid().mean()


def test_training_logs_every_iteration(split, tmp_path):
    log = meta_train(training(split), batches, tmp_path / "state.pt", {})
    assert (
        log["iteration"].tolist() == list(range(9))
        and log["phase"].tolist() == ["search"] * 4 + ["replay"] * 5
    )
    assert (
        log["kl"][:4].gt(0).all() and log["sparsity_searched"][:4].between(0.01, 1, inclusive="neither").all()
    )
    assert log["sparsity_predicted"].between(0.01, 0.99).all() and log["regression_loss"].gt(0).all()


def test_replay_learns_masks_that_depend_on_the_image(split):
    fast = training(
        split,
        SETTINGS.model_copy(update={"learning_rate": 1e-3, "replay": ReplayConfig(steps=80, batch_size=16)}),
    )
    cls = torch.randn(16, 24, generator=torch.Generator().manual_seed(0))
    labels = torch.zeros(16, dtype=torch.int64)
    fast.seen = [Seen(cls, labels, torch.where(cls[:, :1] > 0, 1.0, -1.0).repeat(1, 384))]
    for step in range(80):
        fast.replay_iteration(step, step)
    with torch.no_grad():
        scores = join(fast.network(cls, labels)).mean(1)
    assert scores[cls[:, 0] > 0].min() > 0 > scores[cls[:, 0] < 0].max()


@pytest.mark.parametrize("stop", [1, 2, 3, 5, 7])
def test_a_killed_and_resumed_training_ends_with_the_same_bits(split, tmp_path, stop):
    whole = training(split)
    log = meta_train(whole, batches, tmp_path / "whole.pt", {"a": 1})

    def killed(iteration, size):
        if iteration == stop:
            raise KeyboardInterrupt
        return batches(iteration, size)

    interrupted = training(split)
    if stop < SETTINGS.iterations:
        with pytest.raises(KeyboardInterrupt):
            meta_train(interrupted, killed, tmp_path / "state.pt", {"a": 1})
    else:  # killed in the replay phase: keep the state as it was after `stop` iterations
        for i in range(stop):
            interrupted.search_iteration(i, *batches(i, 3)) if i < 4 else interrupted.replay_iteration(
                i, i - 4
            )
        save_state(tmp_path / "state.pt", interrupted.state(), {"a": 1})
    resumed = training(split)
    again = meta_train(resumed, batches, tmp_path / "state.pt", {"a": 1})
    for (name, a), b in zip(
        whole.network.state_dict().items(), resumed.network.state_dict().values(), strict=True
    ):
        assert torch.equal(a, b), name
    assert again.drop(columns="seconds").equals(log.drop(columns="seconds"))


def test_a_state_of_another_configuration_is_not_resumed(split, tmp_path, caplog):
    meta_train(training(split), batches, tmp_path / "state.pt", {"a": 1})
    other = training(split)
    meta_train(other, batches, tmp_path / "state.pt", {"a": 2})
    assert "belongs to another configuration" in caplog.text and len(other.rows) == 9


def test_without_replay_no_pairs_are_kept(split, tmp_path):
    published = training(split, SETTINGS.model_copy(update={"replay": None}))
    log = meta_train(published, batches, tmp_path / "state.pt", {})
    assert len(log) == 4 and not published.seen
    assert torch.isfinite(join(published.network(torch.randn(2, 24), torch.tensor([0, 1])))).all()


def test_a_search_that_diverges_is_an_error(split):
    originals, mixed = batches(0, 2)
    wild = SETTINGS.model_copy(update={"inner_learning_rate": 1e30})
    with pytest.raises(NumericalError, match="lower inner_learning_rate"):
        search_masks(
            split,
            split.prefix(mixed),
            split.suffix(split.prefix(originals)),
            random_logits(split, [torch.Generator()], 2, tied=False),
            wild,
        )


def test_masks_that_became_nan_are_an_error_in_words(split):
    trained = training(split)
    torch.nn.init.constant_(trained.network.tokens, torch.nan)
    with pytest.raises(
        NumericalError, match="masks became NaN after 0 iterations; lower meta_train.learning"
    ):
        trained.search_iteration(0, *batches(0, 3))


def test_a_seed_gives_the_same_network_whatever_was_drawn_before(split):
    first, second, other = (new_hypernet(split, SETTINGS, seed) for seed in (3, 3, 4))
    assert torch.equal(first.heads[0].weight, second.heads[0].weight)
    assert not torch.equal(first.heads[0].weight, other.heads[0].weight)
