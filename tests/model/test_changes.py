"""Every form of a change against the whole model with the dense matrices that it stands for."""

import pytest
import torch
import torch.nn.functional as F
from tiny import TINY
from torch.func import functional_call

from vitedit.config import DescentConfig
from vitedit.errors import UnknownNameError
from vitedit.model.changes import Full, Grown, LowRank, Thin, changing
from vitedit.model.edits import Samples
from vitedit.model.sites import find_sites
from vitedit.model.vit import Split, build_vit
from vitedit.where import masks
from vitedit.where.masks import binarise, edit_under, units

EDITS = 3
FORMS = ["full", "thin", "low rank", "grown"]


def changes_of(form, vit, block, scale=0.3):
    """Changes of one FFN in one form."""
    fc1, bias, fc2 = (f"blocks.{block}.mlp.{name}" for name in ("fc1.weight", "fc1.bias", "fc2.weight"))
    first, second = vit.get_parameter(fc1), vit.get_parameter(fc2)
    rng = torch.Generator().manual_seed(block)

    def noise(*shape):
        return scale * torch.randn(EDITS, *shape, generator=rng)

    def some():
        return torch.stack([torch.randperm(96, generator=rng)[:5] for _ in range(EDITS)])

    return {
        "full": lambda: {fc1: Full(first, first + noise(96, 24)), fc2: Full(second, second + noise(24, 96))},
        "thin": lambda: {
            fc1: Thin(first, 0, some(), noise(5, 24)),
            fc2: Thin(second, 1, some(), noise(5, 24)),
        },
        "low rank": lambda: {
            fc1: LowRank(first, noise(96, 2), noise(2, 24)),
            fc2: LowRank(second, noise(24, 2), noise(2, 96)),
        },
        "grown": lambda: {
            fc1: Grown(first, 0, noise(2, 24)),
            bias: Grown(vit.get_parameter(bias), 0, noise(2)),
            fc2: Grown(second, 1, noise(2, 24)),
        },
    }[form]()


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("own", [False, True], ids=["shared images", "own images"])
@pytest.mark.parametrize(("part", "block"), [("attn", 0), ("mlp", 1), ("mlp", 3)])
def test_edited_models_are_those_with_the_dense_matrices(vit, images, form, own, part, block):
    split = Split(vit, find_sites(vit, part, [block]))
    changes = (
        {**changes_of(form, vit, 1), **changes_of(form, vit, 3)} if block < 3 else changes_of(form, vit, 3)
    )
    some = images.unflatten(0, (EDITS, 4)) if own else images[None, :4]
    tokens = split.prefix(some.flatten(0, 1)).unflatten(0, some.shape[:2])
    logits = split.run(tokens, changes)
    assert logits.shape == (EDITS, 4, 5)
    for i in range(EDITS):
        dense = {name: change.dense()[i] for name, change in changes.items()}
        whole = functional_call(vit, dense, (some[i if own else 0],))
        torch.testing.assert_close(logits[i], whole, rtol=1e-4, atol=1e-4)
        assert not torch.allclose(whole, vit(some[i if own else 0]), atol=1e-2)


@pytest.mark.parametrize("form", FORMS)
def test_differences_undone_and_taken_edits(vit, form):
    for name, change in changes_of(form, vit, 1).items():
        base, dense = vit.get_parameter(name), change.dense()
        grown = [a - b for a, b in zip(dense.shape[1:], base.shape, strict=True)]
        before = F.pad(base, [side for more in reversed(grown) for side in (0, more)])
        norms = (dense - before).flatten(1).norm(dim=1)
        torch.testing.assert_close(change.difference().flatten(1).norm(dim=1), norms)
        undone = change.undo(torch.tensor([True, False, True])).dense()
        assert torch.equal(undone[0], before) and torch.equal(undone[1], dense[1])
        assert torch.equal(change.take(torch.tensor([2, 0])).dense(), dense[[2, 0]])
        assert change.finite().all() and len(change) == EDITS


def test_attention_can_be_changed_too(vit, images):
    split = Split(vit, find_sites(vit, "attn", [1, 3]))
    changed = {
        name: weight + 0.2 * torch.randn(EDITS, *weight.shape) for name, weight in split.weights.items()
    }
    logits = split.run(split.prefix(images)[None], split.full(changed))
    for i in range(EDITS):
        whole = functional_call(vit, {name: tensor[i] for name, tensor in changed.items()}, (images,))
        torch.testing.assert_close(logits[i], whole, rtol=1e-4, atol=1e-4)


def test_the_model_is_itself_again_even_after_an_error(vit, images):
    before = vit(images)
    with pytest.raises(RuntimeError), changing(vit, changes_of("full", vit, 1)):
        vit(images[:1].repeat(EDITS, 1, 1, 1))
        raise RuntimeError
    assert torch.equal(vit(images), before)


def test_what_is_no_linear_layer_is_refused(vit):
    norm = vit.get_parameter("blocks.1.norm2.weight")
    with (
        pytest.raises(UnknownNameError, match=r"blocks\.1\.norm2: a LayerNorm"),
        changing(vit, {"blocks.1.norm2.weight": Full(norm, norm[None])}),
    ):
        pass


@pytest.mark.parametrize("part", ["mlp", "attn"])
@pytest.mark.parametrize("count", [1, 2])
def test_a_sparse_edit_equals_the_dense_descent_under_the_same_mask(vit, images, monkeypatch, part, count):
    """To 1e-5 of weights in float64; in float32 the two add up in another order."""
    model = build_double(vit)
    split = Split(model, find_sites(model, part, [1, 2]))
    samples = Samples(
        images.double().unflatten(0, (-1, count))[:4], torch.tensor([0, 1, 2, 3]), tuple("abcd")
    )
    scores = torch.rand(4, units(split), generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    scores[1, : units(split) // 2] = 0  # sites with more units than others, and edits with more than others
    chosen = binarise(scores, 0.9)
    settings = DescentConfig(max_steps=12, stop_loss=0.01)
    thin = edit_under(split, samples, chosen, settings, 1e-3)
    monkeypatch.setattr(masks, "DENSE", -1.0)
    dense = edit_under(split, samples, chosen, settings, 1e-3)
    assert all(isinstance(change, Thin) for change in thin.changes.values())
    assert all(isinstance(change, Full) for change in dense.changes.values())
    assert torch.equal(thin.steps, dense.steps) and (thin.norm() > 0.01).all()
    for name, weight in dense.changed.items():
        torch.testing.assert_close(thin.changed[name], weight, rtol=0, atol=1e-5)
    torch.testing.assert_close(thin.fraction(model), dense.fraction(model), rtol=1e-2, atol=1e-4)


def build_double(vit):
    """A copy in double precision."""
    import copy

    return copy.deepcopy(vit).double()


def test_a_sparse_edit_stores_its_own_rows_and_columns_alone(split, samples):
    chosen = binarise(torch.rand(6, units(split)), 0.95)
    edits = edit_under(split, samples, chosen, DescentConfig(max_steps=2), 1e-3)
    stored = sum(change.added.numel() for change in edits.changes.values())
    dense = 6 * sum(weight.numel() for weight in split.weights.values())
    assert stored < 0.12 * dense, (
        "0.05 of all rows and columns, and what edits with fewer in a matrix are filled up with"
    )


@pytest.mark.parametrize("kept", ["both", "fc1", "fc2"])
def test_the_first_ffn_is_computed_by_what_changes_alone(split, images, kept):
    """Rows and columns that overlap, against the general form of the same changes; whichever of the two matrices changes."""
    vit, rng = split.vit, torch.Generator().manual_seed(5)
    changes = {**changes_of("thin", vit, 1), **changes_of("full", vit, 2)}
    fc1, fc2 = "blocks.1.mlp.fc1.weight", "blocks.1.mlp.fc2.weight"
    index = changes[fc1].index.roll(1, 1)
    index[:, 0] = torch.randint(96, (EDITS,), generator=rng)
    changes[fc2] = Thin(vit.get_parameter(fc2), 1, index, changes[fc2].added)
    if kept != "both":
        del changes[fc2 if kept == "fc1" else fc1]
    tokens = split.prefix(images)[None]
    shared = split.share(tokens, changes)
    assert "hidden" in shared, "the short form is meant"
    general = {name: Full(change.base, change.dense()) for name, change in changes.items()}
    assert "hidden" not in split.share(tokens, general)
    torch.testing.assert_close(split.run(shared, changes), split.run(tokens, general), rtol=1e-4, atol=1e-4)


def test_an_ffn_with_a_norm_inside_takes_the_general_form(images):
    vit = build_vit(
        TINY.model_copy(update={"architecture": {**(TINY.architecture or {}), "scale_mlp_norm": True}})
    )
    changes = changes_of("thin", vit.eval().requires_grad_(False), 1)
    split = Split(vit, find_sites(vit, "mlp", [1]))
    tokens = split.prefix(images)[None]
    assert "hidden" not in split.share(tokens, changes)
    dense = {name: Full(change.base, change.dense()) for name, change in changes.items()}
    torch.testing.assert_close(split.run(tokens, changes), split.run(tokens, dense), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("form", FORMS)
def test_merged_changes_are_the_sum_of_all(vit, images, form):
    changes = changes_of(form, vit, 3)
    merged = {name: change.merge() for name, change in changes.items()}
    assert all(len(change) == 1 for change in merged.values())
    if form != "grown":
        for name, change in changes.items():
            summed = vit.get_parameter(name) + (change.dense() - vit.get_parameter(name)).sum(0)
            torch.testing.assert_close(merged[name].dense()[0], summed, rtol=1e-4, atol=1e-5)
    split = Split(vit, find_sites(vit, "mlp", [3]))
    whole = functional_call(vit, {name: change.dense()[0] for name, change in merged.items()}, (images[:4],))
    torch.testing.assert_close(
        split.run(split.prefix(images[:4])[None], merged)[0], whole, rtol=1e-4, atol=1e-4
    )


def test_merged_neurons_write_what_each_of_them_writes(vit, images):
    changes = changes_of("grown", vit, 3)
    mlp, x = vit.blocks[3].mlp, torch.randn(5, 24, generator=torch.Generator().manual_seed(0))

    def written(values, at):
        with changing(vit, {name: change.take(torch.tensor([at])) for name, change in values.items()}):
            return mlp(x[None])[0]

    each = sum(written(changes, at) - mlp(x) for at in range(EDITS))
    merged = {name: change.merge() for name, change in changes.items()}
    torch.testing.assert_close(written(merged, 0) - mlp(x), each, rtol=1e-4, atol=1e-5)
