import numpy as np
import pytest
import torch
import torch.nn.functional as F
from lively import lively
from torch.func import functional_call

from vitedit.config import DescentConfig
from vitedit.editors.x_edit import XEdit, insert
from vitedit.errors import ConfigError, NumericalError
from vitedit.learned.null_space import NullSpace, collect_null_space
from vitedit.model.edits import Samples
from vitedit.model.last_block import LastBlock
from vitedit.model.sites import find_sites
from vitedit.model.vit import Split

SHORT = DescentConfig(max_steps=30, stop_loss=0.05)


@pytest.fixture(scope="module", params=[{}, {"init_values": 0.7}, {"scale_mlp_norm": True}], ids=str)
def base(request):
    vit = lively(depth=4, **request.param)
    return Split(vit, find_sites(vit, "mlp", [0]))


@pytest.fixture(scope="module")
def anchors():
    return torch.randn(40, 3, 24, 24, generator=torch.Generator().manual_seed(7))


@pytest.fixture(scope="module")
def null_space(base, anchors):
    return collect_null_space(LastBlock.of(base), anchors[:6], [anchors], seed=0)


@pytest.fixture(scope="module")
def failing(base, images):
    labels = base.vit(images[:8:2]).topk(2).indices[:, 1]
    return Samples(images[:8].unflatten(0, (4, 2)), labels, tuple("abcd"))


def x_edit(null_space, **changes):
    settings = {"descent": SHORT, "learning_rate": 1.0, "clamp": 5.0, "null_space": null_space}
    return XEdit(**{**settings, "threshold": 1e-6, "weight_decay": 0.0, **changes})


def at(null_space, blocks):
    """The same, but that other blocks were chosen."""
    return NullSpace(
        list(blocks), null_space.effects, null_space.values, null_space.vectors, null_space.count
    )


def cls_states(vit, images, changed=None):
    """Keys of every fc2 and outputs of every block at the CLS token, from hooks on the whole model."""
    keys, outputs, hooks = {}, {}, []
    for i, block in enumerate(vit.blocks):
        hooks += [
            block.mlp.fc2.register_forward_hook(lambda _, given, made, i=i: keys.update({i: given[0][:, 0]})),
            block.register_forward_hook(lambda _, given, made, i=i: outputs.update({i: made[:, 0]})),
        ]
    logits = functional_call(vit, changed or {}, (images,))
    for hook in hooks:
        hook.remove()
    return keys, outputs, logits


def one(edits, i):
    return {name: tensor[i] for name, tensor in edits.changed.items()}


@pytest.mark.parametrize("samples", [1, 3])
def test_the_low_rank_change_solves_the_dense_system(samples):
    rng = np.random.default_rng(0)
    weight, keys, moved = (
        rng.normal(size=(5, 8)),
        rng.normal(size=(4, samples, 8)),
        rng.normal(size=(4, samples, 5)),
    )
    taken = np.linalg.qr(rng.normal(size=(8, 3)))[0]
    projector = np.eye(8) - taken @ taken.T
    free = torch.tensor(keys @ projector)
    change = insert(torch.tensor(weight), free, torch.tensor(moved), ridge=0.05)
    assert change.down.shape == (4, samples, 8)
    for made, k, r in zip(change.dense().numpy() - weight, keys, moved, strict=True):
        system = projector @ k.T @ k + 0.05 * np.eye(8)
        dense = np.linalg.solve(system, projector @ k.T @ r).T
        np.testing.assert_allclose(made, dense, rtol=1e-9, atol=1e-12)
        np.testing.assert_allclose(made @ taken, 0, atol=1e-12)


def test_without_a_ridge_the_outputs_of_the_keys_move_as_asked():
    rng = np.random.default_rng(1)
    free = torch.tensor(rng.normal(size=(2, 3, 9)))
    moved = torch.tensor(rng.normal(size=(2, 3, 4)))
    change = insert(torch.zeros(4, 9).double(), free, moved, ridge=1e-12)
    torch.testing.assert_close(free @ change.dense().mT, moved, rtol=1e-6, atol=1e-6)


def test_an_edit_is_the_plain_descent_and_its_shares(base, null_space, failing):
    """Edit 1 by hand: Adam on the CLS token, then block by block the dense solution on the whole model."""
    editor = x_edit(null_space, learning_rate=0.2, clamp=0.4, threshold=0.3, ridge=1e-3, weight_decay=0.02)
    edits, vit, i = editor.edit(base, failing), base.vit, 1
    images, label, blocks = failing.images[i], failing.labels[i].expand(2), null_space.blocks
    start = cls_states(vit, images)[1][blocks[-1]]
    delta = torch.zeros_like(start, requires_grad=True)

    def moved(_, given, made):
        return torch.cat([made[:, :1] + delta[:, None], made[:, 1:]], dim=1)

    optimiser, step = torch.optim.Adam([delta], lr=0.2), 0
    for step in range(SHORT.max_steps + 1):
        hook = vit.blocks[blocks[-1]].register_forward_hook(moved)
        logits = vit(images)
        hook.remove()
        loss = F.cross_entropy(logits, label)
        if step == SHORT.max_steps or (loss <= SHORT.stop_loss and (logits.argmax(-1) == label).all()):
            break
        optimiser.zero_grad()
        (loss + 0.02 * delta.square().sum(-1).mean()).backward()
        optimiser.step()
        with torch.no_grad():
            delta *= (0.4 * start.norm(dim=-1) / delta.norm(dim=-1)).clamp(max=1)[:, None]
    assert edits.steps[i] == step > 1
    changed = {}
    for place, block in enumerate(blocks):
        keys, outputs, _ = cls_states(vit, images, changed)
        gamma = getattr(vit.blocks[block].ls2, "gamma", 1.0)
        share = (start + delta.detach() - outputs[blocks[-1]]) / (3 - place) / gamma
        values, vectors = null_space.values[place], null_space.vectors[place]
        free = vectors[:, values < 0.3 * values.mean()]
        projector, k = free @ free.T, keys[block].double()
        system = projector @ k.T @ k + 1e-3 * values.mean() * torch.eye(96).double()
        change = torch.linalg.solve(system, projector @ k.T @ share.double()).T
        name = f"blocks.{block}.mlp.fc2.weight"
        changed[name] = vit.get_parameter(name) + change.float()
    assert set(edits.changed) == set(changed)
    for name, values in changed.items():
        torch.testing.assert_close(edits.changed[name][i], values, rtol=5e-3, atol=5e-3)


def test_every_block_takes_an_equal_part_of_what_is_left(base, null_space, failing):
    """After j of three blocks the CLS token has gone at least about that far; after the last it has arrived."""
    vit, blocks = base.vit, null_space.blocks
    edits = x_edit(null_space, ridge=1e-9, threshold=1e3).edit(base, failing)
    for i, images in enumerate(failing.images):
        full = one(edits, i)
        end = cls_states(vit, images, full)[1][blocks[-1]]
        before = cls_states(vit, images, {n: v for n, v in full.items() if f"blocks.{blocks[-1]}." not in n})
        keys, outputs, _ = before
        name = f"blocks.{blocks[-1]}.mlp.fc2.weight"
        gamma = getattr(vit.blocks[blocks[-1]].ls2, "gamma", 1.0)
        inserted = keys[blocks[-1]] @ (full[name] - vit.get_parameter(name)).T * gamma
        torch.testing.assert_close(outputs[blocks[-1]] + inserted, end, rtol=1e-2, atol=1e-2)
        middle = f"blocks.{blocks[1]}.mlp.fc2.weight"
        first = cls_states(vit, images, {n: v for n, v in full.items() if f"blocks.{blocks[0]}." in n})
        gamma = getattr(vit.blocks[blocks[1]].ls2, "gamma", 1.0)
        half = first[0][blocks[1]] @ (full[middle] - vit.get_parameter(middle)).T * gamma
        torch.testing.assert_close(2 * half, end - first[1][blocks[-1]], rtol=2e-2, atol=2e-2)


def test_loss_and_success_are_those_of_the_edited_model(base, null_space, failing):
    edits = x_edit(null_space).edit(base, failing)
    assert edits.converged.float().mean() > 0.5
    for i, images in enumerate(failing.images):
        logits = functional_call(base.vit, one(edits, i), (images,))
        loss = F.cross_entropy(logits, failing.labels[i].expand(2)).item()
        assert edits.losses[i] == pytest.approx(loss, rel=1e-2, abs=1e-3)
        assert edits.converged[i] == (loss <= SHORT.stop_loss)


def test_anchors_keep_their_outputs_where_only_unused_directions_change(base, null_space, anchors, failing):
    """Keys of 40 anchors leave 56 of 96 directions free."""
    plain = base.vit(anchors)
    moved = {}
    for threshold in (1e-6, 1e6):
        edits = x_edit(null_space, threshold=threshold).edit(base, failing)
        assert (edits.norm() > 0.1).all()
        after = torch.stack([functional_call(base.vit, one(edits, i), (anchors,)) for i in range(4)])
        moved[threshold] = (after - plain).abs().max()
        if threshold < 1:
            first = f"blocks.{null_space.blocks[0]}.mlp.fc2.weight"
            keys = cls_states(base.vit, anchors)[0][null_space.blocks[0]]
            change = edits.changed[first] - base.vit.get_parameter(first)
            assert (keys @ change.mT).abs().max() < 1e-3 * change.norm(dim=(1, 2)).max()
    assert moved[1e-6] < 0.2 * moved[1e6]


@pytest.mark.parametrize("blocks", [(0, 1, 2), (0, 2, 3)])
def test_any_blocks_can_be_edited_and_many_edits_equal_single_ones(base, null_space, failing, blocks):
    """Few steps: more would magnify rounding."""
    editor = x_edit(at(null_space, blocks), descent=DescentConfig(max_steps=3, stop_loss=0.05), threshold=1e3)
    together = editor.edit(base, failing)
    assert set(together.changed) == {f"blocks.{block}.mlp.fc2.weight" for block in blocks}
    for i in range(4):
        alone = editor.edit(base, Samples(failing.images[i : i + 1], failing.labels[i : i + 1], ("a",)))
        for name, tensor in together.changed.items():
            torch.testing.assert_close(tensor[i], alone.changed[name][0], rtol=1e-3, atol=1e-3)


def test_a_threshold_that_leaves_nothing_is_an_error_that_says_what_to_do(base, null_space, failing):
    used = NullSpace(
        null_space.blocks, null_space.effects, torch.ones(3, 96).double(), null_space.vectors, 40
    )
    with pytest.raises(NumericalError, match="40 anchors use all 96 directions.*raise `threshold`"):
        x_edit(used, threshold=0.5).edit(base, failing)


def test_a_head_that_reads_more_than_cls_is_refused(null_space, failing):
    vit = lively(depth=4, global_pool="avg")
    with pytest.raises(ConfigError, match="pools tokens by 'avg'.*X-Edit need"):
        x_edit(null_space).edit(Split(vit, find_sites(vit, "mlp", [0])), failing)


def test_keys_that_a_system_cannot_tell_apart_are_refused():
    same = torch.ones(1, 2, 9).double()
    with pytest.raises(NumericalError, match="the keys is singular; raise `ridge`"):
        insert(torch.zeros(4, 9).double(), same, torch.ones(1, 2, 4).double(), ridge=0.0)
