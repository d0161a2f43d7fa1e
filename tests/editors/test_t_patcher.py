import numpy as np
import pytest
import torch
import torch.nn.functional as F
from lively import lively
from torch.func import functional_call

from vitedit.config import DescentConfig
from vitedit.editors.t_patcher import TPatcher, silence_terms
from vitedit.errors import ConfigError
from vitedit.learned.statistics import Memory, collect
from vitedit.model.edits import Samples
from vitedit.model.last_block import LastBlock
from vitedit.model.sites import find_sites
from vitedit.model.vit import Split

FC1, BIAS, FC2 = (f"blocks.2.mlp.{name}" for name in ("fc1.weight", "fc1.bias", "fc2.weight"))
SHORT = DescentConfig(max_steps=12, stop_loss=0.05)
PATIENT = {
    "descent": DescentConfig(max_steps=70, stop_loss=0.05),
    "learning_rate": 0.2,
    "memory_weight": 1.0,
    "value_scale": 3.0,
    "weight_decay": 0.0,
}
"""Settings under which edits of this model meet every margin."""


@pytest.fixture(scope="module", params=[{}, {"init_values": 0.7}], ids=["plain", "layer scale"])
def base(request):
    vit = lively(**request.param)
    return Split(vit, find_sites(vit, "mlp", [0]))


@pytest.fixture(scope="module")
def memory(base):
    images = torch.randn(200, 3, 24, 24, generator=torch.Generator().manual_seed(7))
    return collect(LastBlock.of(base), [images])[0]


@pytest.fixture(scope="module")
def failing(base, images):
    labels = base.vit(images[:4]).topk(2).indices[:, 1]
    return Samples(images[:4, None], labels, tuple("abcd"))


def patcher(memory, **changes):
    settings = {"descent": SHORT, "learning_rate": 0.03, "memory_weight": 5.0, "memory": memory}
    return TPatcher(**{**settings, **changes})


def seen(vit, image):
    """u, q and the output of fc2 at the CLS token, from hooks on the whole model."""
    inside, block = {}, vit.blocks[-1]
    hooks = [
        block.norm2.register_forward_hook(
            lambda _, given, made: inside.update(u=given[0][:, 0], q=made[:, 0])
        ),
        block.mlp.fc2.register_forward_hook(lambda _, given, made: inside.update(f=made[:, 0])),
    ]
    vit(image)
    for hook in hooks:
        hook.remove()
    return inside["u"], inside["q"], inside["f"]


def head(vit, u, ffn):
    return vit.head(vit.norm(u + vit.blocks[-1].ls2(ffn)))


def pre_activations(edits, queries):
    """(E, images, neurons) of the new neurons."""
    new = edits.changed[FC1].shape[1] - 96
    return queries @ edits.changed[FC1][:, -new:].mT + edits.changed[BIAS][:, None, -new:]


@pytest.mark.parametrize("neurons", [1, 3])
def test_the_grown_model_is_the_base_model_with_neurons(base, memory, failing, neurons):
    edits = patcher(memory, neurons=neurons).edit(base, failing)
    assert {name: tuple(t.shape[1:]) for name, t in edits.changed.items()} == {
        FC1: (96 + neurons, 24),
        BIAS: (96 + neurons,),
        FC2: (24, 96 + neurons),
    }
    for i, image in enumerate(failing.images):
        changed = {name: tensor[i] for name, tensor in edits.changed.items()}
        u, q, f = seen(base.vit, image)
        act = F.gelu(q @ changed[FC1][96:].T + changed[BIAS][96:])
        logits = functional_call(base.vit, changed, (image,))
        by_hand = head(base.vit, u, f + act @ changed[FC2][:, 96:].T)
        torch.testing.assert_close(logits, by_hand, rtol=1e-4, atol=1e-4)
        assert edits.losses[i] == pytest.approx(
            F.cross_entropy(logits, failing.labels[i : i + 1]).item(), rel=1e-3, abs=1e-4
        )
        for name, rows in ((FC1, slice(96)), (BIAS, slice(96)), (FC2, (slice(None), slice(96)))):
            assert torch.equal(changed[name][rows], base.vit.get_parameter(name)), (
                "old neurons keep their bits"
            )


def test_the_descent_is_the_plain_one_with_torchs_adam_and_its_weight_decay(base, memory, failing):
    settings = {"value_scale": 2.0, "top_share": 0.1, "activation_weight": 0.7, "gamma_a": 0.5}
    steps = DescentConfig(max_steps=8, stop_loss=1e-9)
    edits = patcher(memory, descent=steps, seed=3, **settings).edit(base, failing)
    u, q, f = seen(base.vit, failing.images[1])
    start = patcher(memory, seed=3, **settings)._start(torch.stack([u, q, f], dim=1)[None], ["b"])
    new = {name: value[0].clone().requires_grad_() for name, value in start.items()}
    optimiser = torch.optim.Adam(new.values(), lr=0.03, weight_decay=0.01)
    for _ in range(8):
        a = (q @ new["key"].T + new["bias"]).squeeze()
        loud = (memory.queries @ new["key"].T + new["bias"]).flatten().sort(descending=True).values[:20]
        logits = head(base.vit, u, f + F.gelu(a) * (new["noise"] * new["scale"]).squeeze())
        loss = F.cross_entropy(logits, failing.labels[1:2]) + 0.7 * (0.5 - a).exp()
        loss = loss + 5 * ((loud - a + 3).exp().mean() + (loud + 3).exp().mean())
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    expected = {FC1: new["key"], BIAS: new["bias"], FC2: (new["noise"] * new["scale"]).T}
    for name, tensor in expected.items():
        made = edits.changed[name][1]
        made = made[:, 96:].T if name == FC2 else made[96:]
        torch.testing.assert_close(made, tensor.detach(), rtol=1e-3, atol=1e-4)
    assert (new["key"] - start["key"][0]).abs().max() > 0.05, "eight steps must move the key"


def test_silence_terms_equal_numpy():
    rng = np.random.default_rng(0)
    inside, outside = rng.normal(size=(2, 3)), rng.normal(size=(3, 7))
    first, second = silence_terms(
        torch.tensor(inside[None], dtype=torch.float32),
        torch.tensor(outside[None], dtype=torch.float32),
        3.0,
        -2.0,
    )
    gaps = [np.exp(outside[j, i] - inside[k, j] + 3) for i in range(7) for j in range(3) for k in range(2)]
    assert first.item() == pytest.approx(np.mean(gaps), rel=1e-5)
    assert second.item() == pytest.approx(np.exp(outside + 2).mean(), rel=1e-5)


def test_the_neuron_fires_on_the_sample_and_not_on_the_memory(base, memory, failing):
    quiet = patcher(memory, **PATIENT).edit(base, failing)
    free = patcher(memory, **{**PATIENT, "memory_weight": 0.0}).edit(base, failing)
    assert quiet.converged.all() and free.converged.all()
    query = LastBlock.of(base).cache(LastBlock.of(base).cls_samples(failing.images))[:, :, 1]
    inside, outside = pre_activations(quiet, query), pre_activations(quiet, memory.queries)
    assert (inside.flatten() > outside.amax((1, 2))).all()
    loud = F.gelu(pre_activations(free, memory.queries)).abs().mean((1, 2))
    assert (F.gelu(outside).abs().mean((1, 2)) < 0.2 * loud).all()


def test_an_edit_goes_on_until_it_is_silent_on_the_memory(base, memory, failing):
    easy = {**PATIENT, "silent": True, "descent": DescentConfig(max_steps=70, stop_loss=100.0)}
    edits = patcher(memory, **easy).edit(base, failing)
    free = patcher(memory, **{**easy, "silent": False}).edit(base, failing)
    assert (edits.steps > free.steps).all() and (edits.steps < 70).all()
    loud = pre_activations(edits, memory.queries)[..., 0].topk(5).values.numpy()
    assert (np.exp(loud + 3).mean(1) <= 1 + 1e-3).all()


def test_an_edit_starts_with_pre_activation_one_and_values_of_the_given_scale(base, memory, failing):
    one = DescentConfig(max_steps=1, stop_loss=1e-9)
    edits = patcher(memory, learning_rate=1e-9, descent=one).edit(base, failing)
    query = LastBlock.of(base).cache(LastBlock.of(base).cls_samples(failing.images))[:, :, 1]
    torch.testing.assert_close(pre_activations(edits, query), torch.ones(4, 1, 1), rtol=0, atol=1e-5)
    assert (edits.changed[FC2][:, :, -1].std(1) / 10 - 1).abs().max() < 0.5


def test_values_depend_on_the_seed_and_the_sample_only(base, memory, failing):
    first, again = patcher(memory).edit(base, failing), patcher(memory).edit(base, failing)
    assert all(torch.equal(first.changed[name], again.changed[name]) for name in first.changed)
    other = patcher(memory, seed=1).edit(base, failing)
    renamed = patcher(memory).edit(base, Samples(failing.images, failing.labels, tuple("abcz")))
    assert not torch.allclose(first.changed[FC2], other.changed[FC2], atol=1)
    assert torch.equal(first.changed[FC2][:3], renamed.changed[FC2][:3])
    assert not torch.allclose(first.changed[FC2][3], renamed.changed[FC2][3], atol=1)


def test_several_samples_of_an_edit_all_fire(base, memory, failing):
    pair = Samples(failing.images[:2, 0][None], failing.labels[:1], ("pair",))
    edits = patcher(memory, **PATIENT).edit(base, pair)
    last = LastBlock.of(base)
    inside = pre_activations(edits, last.query(last.cls(pair.images[0])))
    outside = pre_activations(edits, memory.queries)
    assert inside.shape == (1, 2, 1) and inside.min() > outside.max()


@pytest.mark.parametrize(
    ("change", "message"),
    [({"global_pool": "avg"}, "pools tokens by 'avg'"), ({"scale_mlp_norm": True}, "normalises its hidden")],
)
def test_models_that_it_cannot_edit_are_refused(change, message):
    vit = lively(**change)
    with pytest.raises(ConfigError, match=message):
        patcher(Memory(torch.zeros(3, 24))).cut(Split(vit, find_sites(vit, "mlp", [0])))
