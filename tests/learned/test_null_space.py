import numpy as np
import pytest
import torch
from lively import lively
from torch import Tensor

from vitedit.errors import ArtifactError, ConfigError, ImageError, NumericalError
from vitedit.learned.null_space import NullSpace, collect_null_space
from vitedit.learned.tracing import COPIES, NOISE, strongest, trace
from vitedit.model.factors import recorded
from vitedit.model.last_block import LastBlock
from vitedit.model.sites import find_sites
from vitedit.model.vit import Split
from vitedit.tensors import save_tensors, torch_rng


@pytest.fixture
def collected(split, images):
    return collect_null_space(LastBlock.of(split), images[:4], images.split(5), seed=0)


def test_directions_are_those_of_the_anchors_keys_in_the_traced_blocks(split, images, collected):
    assert collected.blocks == strongest(trace(split, images[:4], 0), 3) and collected.count == 12
    for at, block in enumerate(collected.blocks):
        with recorded(split.vit, [f"blocks.{block}.mlp.fc2"]) as seen:
            split.vit(images)
        keys = seen[f"blocks.{block}.mlp.fc2"][0][:, 0].double().numpy()
        moment = keys.T @ keys / 12
        values, vectors = collected.values[at].numpy(), collected.vectors[at].numpy()
        np.testing.assert_allclose(vectors * values @ vectors.T, moment, rtol=1e-4, atol=1e-6)
        assert collected.scale(block) == pytest.approx(np.trace(moment) / 96, rel=1e-4)


def test_the_projector_leaves_what_no_anchor_uses(split, images, collected):
    block, keys = collected.blocks[1], torch.randn(2, 3, 96, generator=torch.Generator().manual_seed(0))
    free = collected.free(block, keys, 1e-6)
    assert free.dtype == torch.float64 and free.shape == keys.shape
    torch.testing.assert_close(collected.free(block, free, 1e-6), free)
    values, vectors = collected.values[1], collected.vectors[1]
    unused = vectors[:, values < 1e-6 * values.mean()]
    assert unused.shape[1] == 96 - 12, "twelve anchors"
    torch.testing.assert_close(free, keys.double() @ unused @ unused.T)
    assert torch.equal(collected.free(block, keys, 97.0), keys.double()), "no eigenvalue is 96 times the mean"
    assert (free.norm(dim=-1) < keys.norm(dim=-1)).all()


def test_saved_and_loaded_it_is_the_same(tmp_path, split, collected):
    meta = {"stage": "collect_statistics", "depends": {"statistics": {"anchors": 12}}}
    collected.save(tmp_path / "n", meta)
    loaded = NullSpace.load(tmp_path / "n", split, meta["depends"])
    for name, value in vars(collected).items():
        other = getattr(loaded, name)
        assert torch.equal(other, value) if isinstance(value, Tensor) else other == value, name
    assert loaded.vectors.dtype == torch.float64
    with pytest.raises(ArtifactError, match="anchors: made with 12.*Run rule collect_statistics"):
        NullSpace.load(tmp_path / "n", split, {"statistics": {"anchors": 99}})


def test_that_of_another_backbone_is_refused(tmp_path, split, collected):
    collected.save(tmp_path / "n", {})
    wide, deep = lively(depth=4, embed_dim=48), lively(depth=5)
    with pytest.raises(
        ArtifactError, match="X-Edit's null space .*size 96.*asks for 192.*collect_statistics"
    ):
        NullSpace.load(tmp_path / "n", Split(wide, find_sites(wide, "mlp", [0])))
    with pytest.raises(ArtifactError, match="of 4 blocks, but this one has 5.*collect_statistics"):
        NullSpace.load(tmp_path / "n", Split(deep, find_sites(deep, "mlp", [0])))
    pooled = lively(depth=4, global_pool="avg")
    with pytest.raises(ConfigError, match="X-Edit need one that reads the CLS token"):
        NullSpace.load(tmp_path / "n", Split(pooled, find_sites(pooled, "mlp", [0])))


def test_a_file_whose_parts_do_not_belong_together_is_refused(tmp_path, split, collected):
    for name, meta in (("values", {"blocks": [1, 2, 3]}), ("vectors", {"blocks": [1, 2]}), ("vectors", {})):
        tensors = {"effects": collected.effects, "values": collected.values, "vectors": collected.vectors}
        tensors |= {"values": collected.values[:, :5]} if name == "values" else {}
        save_tensors(tmp_path / "n", tensors, meta)
        with pytest.raises(ArtifactError, match="do not belong together. Run rule collect_statistics"):
            NullSpace.load(tmp_path / "n", split)
    save_tensors(tmp_path / "n", {"second_moment": torch.eye(96)}, {})
    with pytest.raises(ArtifactError, match="not X-Edit's null space; it holds second_moment"):
        NullSpace.load(tmp_path / "n", split)


def test_no_images_or_a_broken_model_are_errors(split, images):
    last = LastBlock.of(split)
    with pytest.raises(ImageError, match="statistics.images"):
        collect_null_space(last, images[:0], [], seed=0)
    with pytest.raises(NumericalError, match="not finite"):
        collect_null_space(last, images * torch.inf, [images * torch.inf], seed=0)


def test_a_model_of_two_blocks_is_edited_in_both(images):
    vit = lively(depth=2)
    made = collect_null_space(LastBlock.of(Split(vit, find_sites(vit, "mlp", [0]))), images, [images], seed=0)
    assert made.blocks == [0, 1] and made.vectors.shape == (2, 96, 96)


def test_effects_are_what_restoring_a_block_gives_back(images):
    """By hooks on the whole model, with the same noise."""
    vit = lively()
    split = Split(vit, find_sites(vit, "mlp", [1]))
    effects, clean, noises = trace(split, images, seed=4), {}, torch_rng(4, "trace")
    hooks = [
        block.register_forward_hook(lambda _, given, made, i=i: clean.update({i: made[:, 0].clone()}))
        for i, block in enumerate(vit.blocks)
    ]
    answers = vit(images).argmax(-1)
    for hook in hooks:
        hook.remove()
    patches = vit._pos_embed(vit.patch_embed(images))[:, 1:]

    def probability(noise, restored=None):
        def disturb(_, given):
            return (torch.cat([given[0][:, :1], given[0][:, 1:] + NOISE * patches.std() * noise], dim=1),)

        hooks = [vit.blocks[0].register_forward_pre_hook(disturb)]
        if restored is not None:
            hooks.append(
                vit.blocks[restored].register_forward_hook(
                    lambda _, given, made: torch.cat([clean[restored][:, None], made[:, 1:]], dim=1)
                )
            )
        chance = vit(images).softmax(-1).gather(1, answers[:, None]).mean()
        for hook in hooks:
            hook.remove()
        return chance

    expected = torch.zeros(3)
    for _ in range(COPIES):
        noise = torch.randn(patches.shape, generator=noises)
        expected += (
            torch.stack([probability(noise, block) - probability(noise) for block in range(3)]) / COPIES
        )
    torch.testing.assert_close(effects, expected, rtol=1e-4, atol=1e-5)
    chances = vit(images).softmax(-1).max(-1).values.mean()
    noises = torch_rng(4, "trace")
    lows = [probability(torch.randn(patches.shape, generator=noises)) for _ in range(COPIES)]
    everything = chances - torch.stack(lows).mean()
    torch.testing.assert_close(effects[2], everything, rtol=1e-4, atol=1e-5)  # the head reads CLS
    assert torch.equal(trace(split, images, seed=4), effects)
    assert not torch.equal(trace(split, images, seed=5), effects)


def test_the_strongest_blocks_come_in_forward_order():
    effects = torch.tensor([0.3, 0.1, 0.5, 0.1, 0.4])
    assert strongest(effects, 3) == [0, 2, 4] and strongest(effects, 4) == [0, 1, 2, 4]
    assert strongest(effects[:2], 3) == [0, 1]
