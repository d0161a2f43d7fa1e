import numpy as np
import pytest
import torch
import torch.nn.functional as F
from lively import lively
from torch.func import functional_call

from vitedit.config import DescentConfig
from vitedit.editors.rome import Rome, insert, light_views
from vitedit.errors import ConfigError
from vitedit.learned.statistics import Covariance, collect
from vitedit.model.edits import Samples
from vitedit.model.last_block import LastBlock
from vitedit.model.sites import find_sites
from vitedit.model.vit import Split

FC2 = "blocks.2.mlp.fc2.weight"
SHORT = DescentConfig(max_steps=15, stop_loss=0.05)


@pytest.fixture(scope="module", params=[{}, {"init_values": 0.7}, {"scale_mlp_norm": True}], ids=str)
def base(request):
    vit = lively(**request.param)
    return Split(vit, find_sites(vit, "mlp", [0]))


@pytest.fixture(scope="module")
def covariance(base):
    images = torch.randn(300, 3, 24, 24, generator=torch.Generator().manual_seed(7))
    return collect(LastBlock.of(base), [images])[1]


@pytest.fixture(scope="module")
def failing(base, images):
    labels = base.vit(images[:4]).topk(2).indices[:, 1]
    return Samples(images[:4, None], labels, tuple("abcd"))


def rome(covariance, **changes):
    settings = {"descent": SHORT, "learning_rate": 0.3, "clamp": 4.0, "covariance": covariance}
    return Rome(**{**settings, **changes})


def keys_and_outputs(vit, images):
    """Input and output of the last fc2 and u at the CLS token, from hooks on the whole model."""
    inside, block = {}, vit.blocks[-1]
    hooks = [
        block.norm2.register_forward_hook(lambda _, given, made: inside.update(u=given[0][:, 0])),
        block.mlp.fc2.register_forward_hook(
            lambda _, given, made: inside.update(k=given[0][:, 0], v=made[:, 0])
        ),
    ]
    vit(images)
    for hook in hooks:
        hook.remove()
    return inside["k"], inside["v"], inside["u"]


@pytest.fixture(scope="module")
def problem():
    """W (5, 8), C of keys of unequal size, k* and delta of 3 edits."""
    rng = np.random.default_rng(0)
    samples = rng.normal(size=(40, 8)) * np.linspace(0.2, 2, 8)
    return rng.normal(size=(5, 8)), samples.T @ samples / 40, rng.normal(size=(3, 8)), rng.normal(size=(3, 5))


def solved(problem, ridge):
    weight, moment, keys, deltas = problem
    single = [torch.tensor(array, dtype=torch.float32) for array in (weight, keys, deltas)]
    direction = Covariance(torch.tensor(moment), 40).solve(single[1], ridge)
    return insert(single[0], single[1], single[2], direction).dense().double().numpy()


def test_the_new_matrix_maps_the_key_to_the_new_value(problem):
    weight, _, keys, deltas = problem
    for new, key, delta in zip(solved(problem, 1e-4), keys, deltas, strict=True):
        np.testing.assert_allclose(new @ key, weight @ key + delta, rtol=1e-5, atol=1e-5)
        assert np.linalg.matrix_rank(new - weight, tol=1e-4) == 1


@pytest.mark.parametrize("ridge", [1e-6, 0.3])
def test_the_update_is_the_constrained_least_squares_solution(problem, ridge):
    weight, moment, keys, deltas = problem
    ridged = moment + ridge * np.trace(moment) / 8 * np.eye(8)
    rng = np.random.default_rng(1)
    for new, key, delta in zip(solved(problem, ridge), keys, deltas, strict=True):
        system = np.block([[2 * ridged, key[:, None]], [key[None], np.zeros((1, 1))]])
        right = np.concatenate([np.zeros((8, 5)), delta[None]])
        update = np.linalg.solve(system, right)[:8].T
        np.testing.assert_allclose(new - weight, update, rtol=1e-3, atol=1e-4)

        def cost(change):
            return np.trace(change @ ridged @ change.T)

        for _ in range(20):
            other = rng.normal(size=(5, 8))
            other -= np.outer(other @ key, key) / (key @ key)  # leaves the constraint as it is
            assert cost(update + 0.1 * other) > cost(new - weight)


@pytest.mark.parametrize("views", [0, 2])
def test_an_edit_is_the_plain_descent_and_its_insertion(base, covariance, failing, views):
    editor = rome(covariance, views=views, clamp=2.0, ridge=0.01, weight_decay=0.4)
    edits = editor.edit(base, failing)
    vit, i = base.vit, 2
    seen = failing.images[i]
    if views:
        seen = editor._seen(failing)[i]
        assert len(seen) == 3 and torch.equal(seen[:1], failing.images[i])
    keys, outputs, u = keys_and_outputs(vit, seen)
    v0, label = outputs.mean(0), failing.labels[i].expand(len(seen))
    delta = torch.zeros(24, requires_grad=True)
    optimiser = torch.optim.Adam([delta], lr=0.3)
    step = 0
    for step in range(16):
        logits = vit.head(vit.norm(u + vit.blocks[-1].ls2(outputs + delta)))
        loss = F.cross_entropy(logits, label)
        if step == 15 or (loss <= 0.05 and (logits.argmax(-1) == label).all()):
            break
        optimiser.zero_grad()
        (loss + 0.4 * delta.norm() / v0.norm() ** 2).backward()
        optimiser.step()
        with torch.no_grad():
            delta *= min(1, 2 * v0.norm() / delta.norm())
    assert edits.steps[i] == step > 1
    change = edits.changed[FC2][i] - vit.get_parameter(FC2)
    torch.testing.assert_close(change @ keys.mean(0), delta.detach(), rtol=2e-3, atol=2e-3)
    ridged = covariance.second_moment + 0.01 * covariance.second_moment.trace() / 96 * torch.eye(96).double()
    direction = torch.linalg.solve(ridged, keys.mean(0).double())
    row = (direction / (direction @ keys.mean(0).double())).float()
    torch.testing.assert_close(change, delta.detach()[:, None] * row, rtol=5e-3, atol=2e-3)


def test_loss_and_success_are_those_of_the_edited_model(base, covariance, failing):
    edits = rome(covariance, clamp=50.0, learning_rate=1.0).edit(base, failing)
    assert set(edits.changed) == {FC2} and edits.converged.float().mean() > 0.5
    for i, image in enumerate(failing.images):
        logits = functional_call(base.vit, {FC2: edits.changed[FC2][i]}, (image,))
        loss = F.cross_entropy(logits, failing.labels[i : i + 1]).item()
        assert edits.losses[i] == pytest.approx(loss, rel=1e-2, abs=1e-3)
        assert edits.converged[i] == (loss <= 0.05)


def test_the_new_value_stays_within_the_clamp(base, covariance, failing):
    keys, outputs, _ = keys_and_outputs(base.vit, failing.images[:, 0])
    lengths = {}
    for clamp in (0.1, 50.0):
        edits = rome(covariance, clamp=clamp).edit(base, failing)
        moved = torch.einsum("eoh,eh->eo", edits.changed[FC2] - base.vit.get_parameter(FC2), keys)
        lengths[clamp] = moved.norm(dim=-1) / outputs.norm(dim=-1)
    torch.testing.assert_close(lengths[0.1], torch.full((4,), 0.1), rtol=1e-2, atol=0)
    assert (lengths[50.0] > 0.11).all(), "without the clamp they would be longer"


def test_an_edit_without_a_step_changes_nothing(base, covariance, images):
    labels = base.vit(images[:2]).argmax(-1)
    easy = DescentConfig(max_steps=5, stop_loss=100.0)
    edits = rome(covariance, descent=easy).edit(base, Samples(images[:2, None], labels, ("a", "b")))
    assert edits.steps.tolist() == [0, 0] and edits.converged.all()
    assert torch.equal(edits.changed[FC2], base.vit.get_parameter(FC2).expand(2, 24, 96))


def test_views_depend_on_the_seed_and_the_sample_only(base, covariance, failing):
    def edit(samples=failing, **settings):
        return rome(covariance, **{"views": 2, **settings}).edit(base, samples).changed[FC2]

    first, renamed = edit(), edit(Samples(failing.images, failing.labels, tuple("abcz")))
    assert torch.equal(first, edit()) and not torch.allclose(first, edit(seed=1), atol=1e-3)
    assert torch.equal(first[:3], renamed[:3]) and not torch.allclose(first[3], renamed[3], atol=1e-3)
    assert torch.equal(edit(views=0), edit(views=0, seed=1))


def test_views_are_large_crops_some_of_them_flipped():
    across = torch.arange(20.0).expand(3, 20, 20)
    ramp = torch.stack([across, across.mT])
    views = light_views(ramp, 12, torch.Generator().manual_seed(0))
    assert views.shape == (24, 3, 20, 20) and len({tuple(view.flatten().tolist()) for view in views}) > 12
    across, down = views[:12, 0, 0], views[12:, 0, :, 0]
    lengths = across.amax(-1) - across.amin(-1)
    assert (lengths >= 17 - 1e-4).all() and (lengths < 19).any()  # 18 of 20 pixels at least
    rising = across[:, -1] > across[:, 0]
    assert rising.any() and not rising.all() and (across.diff() * (rising * 2 - 1)[:, None] >= 0).all()
    assert (down[:, -1] > down[:, 0]).all(), "never upside down"


def test_a_head_that_reads_all_tokens_is_refused():
    vit = lively(global_pool="avg")
    with pytest.raises(ConfigError, match="pools tokens by 'avg'"):
        rome(Covariance(torch.eye(96).double(), 9)).cut(Split(vit, find_sites(vit, "mlp", [0])))
