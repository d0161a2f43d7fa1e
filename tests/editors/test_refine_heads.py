"""Head removal and the projection, against plainly ablated timm models and brute force."""

from copy import deepcopy
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from lively import lively

from vitedit.config import DescentConfig
from vitedit.editors import refine_heads
from vitedit.editors.refine_heads import RefineHeads
from vitedit.errors import ArtifactError, ConfigError
from vitedit.learned.anchors import Anchors
from vitedit.model.descent import descend
from vitedit.model.edits import Samples
from vitedit.model.objectives import kl_divergence
from vitedit.model.representation import represent
from vitedit.model.sites import find_sites
from vitedit.model.vit import PASS_BYTES, Split
from vitedit.tensors import save_tensors
from vitedit.where.heads import choose_heads, cut_before_heads, remove_heads, score_heads

HEADS, SIZE = 3, 8
"""Of a block of `lively`."""


@pytest.fixture(scope="module")
def base():
    vit = lively(depth=4)
    return Split(vit, find_sites(vit, "mlp", [1, 2]))


@pytest.fixture(scope="module")
def pairs(base, images):
    """Three edits of two images each; labels that the model gives neither."""
    labels = base.vit(images[:6:2]).topk(3).indices[:, 2]
    return Samples(images[:6].unflatten(0, (3, 2)), labels, ("a", "b", "c"))


@pytest.fixture
def editor(images):
    descent = DescentConfig(max_steps=60, stop_loss=0.05)
    return RefineHeads(descent, 0.03, protection=1.0, anchors=Anchors(images[6:]), blocks=3)


def ablated(vit, heads):
    """The model without some heads, (block, head): their features are set to zero before the output projection."""
    model = deepcopy(vit)
    for block, head in heads:

        def silence(module, inputs, head=head):
            features = inputs[0].clone()
            features[..., SIZE * head : SIZE * (head + 1)] = 0
            return (features,)

        model.blocks[block].attn.proj.register_forward_pre_hook(silence)
    return model


@pytest.mark.parametrize("tokens_read", ["shared", "own"])
def test_removed_heads_are_those_of_a_plainly_ablated_model(base, images, tokens_read):
    """The first block cut at, one in the middle, and the last, where CLS alone is a query."""
    split = cut_before_heads(base, 3)
    removed = torch.tensor([[1, 0, 0, 0, 1, 1, 0, 0, 0], [0, 0, 0, 0, 0, 0, 0, 1, 0], [0] * 9]).bool()
    heads = [[(1, 0), (2, 1), (2, 2)], [(3, 1)], []]
    tokens = split.prefix(images)[None].expand(1 if tokens_read == "shared" else 3, -1, -1, -1)
    logits = split.run(tokens, remove_heads(split, removed))
    expected = torch.stack([ablated(base.vit, some)(images) for some in heads])
    torch.testing.assert_close(logits, expected, rtol=1e-4, atol=1e-4)
    assert not torch.allclose(expected[0], expected[2], atol=0.1)


def test_removal_zeroes_the_columns_of_the_heads_and_no_others(base):
    split = cut_before_heads(base, 2)
    removed = torch.tensor([[0, 1, 0, 0, 0, 0], [1, 1, 0, 0, 0, 0]]).bool()
    first, last = remove_heads(split, removed).values()
    weight = base.vit.get_parameter("blocks.2.attn.proj.weight")
    for edit, columns in ((0, slice(8, 16)), (1, slice(0, 16))):
        expected = weight.clone()
        expected[:, columns] = 0
        assert torch.equal(first.dense()[edit], expected)
    assert torch.equal(last.dense()[0], last.base) and (last.difference() == 0).all()
    assert first.difference().ne(0).flatten(1).sum(1).tolist() == [24 * 8, 24 * 16]


@pytest.mark.parametrize("room", [None, 1])
def test_scores_are_what_removing_each_head_alone_saves(base, pairs, monkeypatch, room):
    if room:
        monkeypatch.setitem(PASS_BYTES, "cpu", room)  # one image a pass
    split = cut_before_heads(base, 3)
    scores = score_heads(split, split.prefix_samples(pairs.images), pairs.labels)
    assert scores.shape == (3, 3 * HEADS)

    def losses(model):
        flat = F.cross_entropy(
            model(pairs.images.flatten(0, 1)), pairs.labels.repeat_interleave(2), reduction="none"
        )
        return flat.view(3, 2).mean(1)

    for block in (1, 2, 3):
        for head in range(HEADS):
            expected = losses(base.vit) - losses(ablated(base.vit, [(block, head)]))
            torch.testing.assert_close(scores[:, HEADS * (block - 1) + head], expected, rtol=1e-3, atol=1e-4)
    assert scores.std() > 0.1


def test_only_heads_that_speak_for_the_wrong_prediction_are_removed():
    scores = torch.tensor([[0.3, -0.1, 0.5, 0.1], [-1.0, -0.2, 0.0, 0.4]])
    assert choose_heads(scores, 2).int().tolist() == [[1, 0, 1, 0], [0, 0, 0, 1]]
    assert choose_heads(scores, 9).int().tolist() == [[1, 0, 1, 1], [0, 0, 0, 1]]
    assert not choose_heads(scores, 0).any()


def test_the_edited_model_reads_the_projected_representation(base, pairs, editor):
    """The same logits as a plainly ablated model whose features after the norm pass P = I + U V."""
    edits = editor.edit(base, pairs)
    change = edits.changes["head.weight"]
    head = base.vit.head
    up = torch.linalg.lstsq(
        head.weight.expand(3, -1, -1), change.up
    ).solution  # W U = up has many solutions U
    split = editor.cut(base)
    removal = {name: made for name, made in edits.changes.items() if name != "head.weight"}
    z = represent(split, split.prefix_samples(pairs.images), removal)
    expected = head(z + z @ change.down.mT @ up.mT)
    logits = split.run(split.prefix_samples(pairs.images), edits.changes)
    torch.testing.assert_close(logits, expected, rtol=1e-3, atol=1e-3)
    assert edits.converged.all() and (logits.argmax(-1) == pairs.labels[:, None]).all()
    assert change.up.shape == (3, 5, 4) and change.down.shape == (3, 4, 24)


def test_the_representation_is_what_the_head_reads(base, images, monkeypatch):
    split = cut_before_heads(base, 2)
    removed = torch.eye(6, dtype=torch.bool)[:2]
    monkeypatch.setitem(PASS_BYTES, "cpu", 30_000)  # a few images a pass
    z = represent(split, split.prefix(images)[None], remove_heads(split, removed))
    for edit in range(2):
        model = ablated(base.vit, [(2, edit)])
        expected = model.forward_head(model.forward_features(images), pre_logits=True)
        torch.testing.assert_close(z[edit], expected, rtol=1e-4, atol=1e-4)


def drift(base, edits, images):
    """Divergence of the edited from the base model on images."""
    split = cut_before_heads(base, 3)
    logits = split.run(split.prefix(images)[None], edits.changes)
    return kl_divergence(base.vit(images)[None], logits, 1.0)


def test_protection_lowers_the_drift_on_the_anchors(base, pairs, editor, images):
    free, kept = (
        drift(base, replace(editor, protection=weight).edit(base, pairs), images[6:])
        for weight in (0.0, 30.0)
    )
    assert (kept < 0.8 * free).all()


def test_the_penalty_is_the_drift_of_the_edited_model(base, pairs, editor, images, monkeypatch):
    """Removed heads included, although the descent sees representations only."""
    seen = []

    def spy(objective, start, inputs, *rest, **more):
        ends = descend(objective, start, inputs, *rest, **more)
        seen.append(objective.penalty(ends.values, inputs))
        return ends

    monkeypatch.setattr(refine_heads, "descend", spy)
    edits = replace(editor, protection=5.0).edit(base, pairs)
    torch.testing.assert_close(seen[0], 5 * drift(base, edits, images[6:]), rtol=1e-3, atol=1e-3)


def test_without_heads_the_projection_edits_alone(base, pairs, editor):
    edits = replace(editor, heads=0).edit(base, pairs)
    assert edits.converged.all()
    for name, change in edits.changes.items():
        assert change.difference().ne(0).any() == (name == "head.weight")


def test_removed_heads_and_the_head_count_as_changed_weights(base, pairs, editor):
    """In units of the backbone's weights, the head's own added on top."""
    edits = editor.edit(base, pairs)
    weights = sum(p.numel() for name, p in base.vit.named_parameters() if not name.startswith("head."))
    expected = torch.full((3,), (24 * 8 + 5 * 24) / weights)
    torch.testing.assert_close(edits.fraction(base.vit), expected)


def test_more_blocks_than_the_model_has_are_all_of_them(base):
    assert cut_before_heads(base, 99).blocks == [0, 1, 2, 3]
    assert cut_before_heads(base, 1).point == (3, 0)


def test_a_head_that_pools_tokens_is_refused(editor):
    vit = lively(global_pool="avg", class_token=False)
    with pytest.raises(ConfigError, match="pools tokens by 'avg'.*refine_heads needs.*Keep other methods"):
        editor.cut(Split(vit, find_sites(vit, "mlp", [1])))


def test_anchors_survive_the_round_trip(base, images, tmp_path):
    path = tmp_path / "anchors.safetensors"
    Anchors(images).save(path, {"depends": {"a": 1}})
    again = Anchors.load(path, base, {"a": 1})
    assert torch.equal(again.images, images)
    for blocks in (1, 3):
        split = cut_before_heads(base, blocks)
        torch.testing.assert_close(again.tokens(split), split.prefix(images))
        assert again.tokens(split) is again.tokens(split)
    with pytest.raises(ArtifactError, match="another configuration"):
        Anchors.load(path, base, {"a": 2})


def test_anchors_of_another_size_and_other_artefacts_are_refused(base, tmp_path):
    path = tmp_path / "anchors.safetensors"
    Anchors(torch.zeros(2, 3, 32, 32)).save(path, {})
    with pytest.raises(
        ArtifactError, match="32 x 32 pixels there, but the model takes 24 x 24.*collect_stat"
    ):
        Anchors.load(path, base)
    save_tensors(path, {"queries": torch.zeros(2, 3)}, {})
    with pytest.raises(ArtifactError, match="not refine_heads's anchors; it holds queries"):
        Anchors.load(path, base)
