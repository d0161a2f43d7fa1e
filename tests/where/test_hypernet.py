import pytest
import torch

from vitedit.errors import ArtifactError, ConfigError
from vitedit.model.edits import Samples
from vitedit.model.patch import checksum
from vitedit.model.vit import Split
from vitedit.where.hypernet import CLAMP, Hypernet, score_units, soften
from vitedit.where.masks import join
from vitedit.where.published import mask_units


@pytest.fixture
def network(split):
    torch.manual_seed(0)
    return Hypernet.for_sites(split.vit, split.sites, 24, blocks=2, heads=6)


def test_one_score_for_every_hidden_unit_of_every_site(network, split, images):
    scores = network(split.cls(images), torch.zeros(len(images), dtype=torch.int64))
    assert {n: t.shape for n, t in scores.items()} == {site.name: (12, 96) for site in split.sites}
    flat = join(scores)
    assert (flat[0] - flat[1]).abs().max() > 1e-3, "masks must depend on the image"


def test_size_at_the_papers_shape():
    """The published network: 3,546,624 weights a block; 24,837,120 with 3 blocks and the dead parameter."""
    network = Hypernet(
        768, {f"blocks.{b}.mlp.fc{i}.weight": 3072 for b in (7, 8, 9) for i in (1, 2)}, blocks=3, heads=6
    )
    assert sum(p.numel() for p in network.blocks[0].parameters()) == 3_546_624
    dead = 6 * 3072
    assert sum(p.numel() for p in network.parameters()) + dead == 24_837_120


def test_soft_masks_stay_off_the_ends():
    assert soften(torch.tensor([-100.0, 0, 100])).tolist() == pytest.approx([CLAMP, 0.5, 1 - CLAMP])


def test_saved_and_loaded_it_is_the_same(tmp_path, network, split, images):
    network.save(tmp_path / "h.safetensors", {"depends": {"a": 1}})
    loaded = Hypernet.load(tmp_path / "h.safetensors", split, {"a": 1})
    with torch.no_grad():
        seen = split.cls(images), torch.zeros(len(images), dtype=torch.int64)
        assert torch.equal(join(loaded(*seen)), join(network.eval()(*seen)))


def test_one_of_another_configuration_is_refused(tmp_path, network, split):
    network.save(
        tmp_path / "h.safetensors", {"stage": "meta_train", "depends": {"meta_train": {"iterations": 3}}}
    )
    with pytest.raises(
        ArtifactError, match="meta_train.iterations: made with 3, configuration says 4.*Run rule meta_train"
    ):
        Hypernet.load(tmp_path / "h.safetensors", split, {"meta_train": {"iterations": 4}})


def test_one_for_other_sites_is_refused(tmp_path, network, split):
    network.save(tmp_path / "h.safetensors", {})
    with pytest.raises(ArtifactError, match="are to be edited"):
        Hypernet.load(tmp_path / "h.safetensors", Split(split.vit, split.sites[:2]))


def test_one_for_another_base_model_is_refused(tmp_path, network, split):
    own = checksum(split.vit.state_dict())
    network.save(tmp_path / "own.safetensors", {"base_model": own})
    assert Hypernet.load(tmp_path / "own.safetensors", split)
    network.save(tmp_path / "other.safetensors", {"base_model": "0" * 64})
    with pytest.raises(
        ArtifactError, match=f"checksum {'0' * 12}, but this model's is {own[:12]}. Train one"
    ):
        Hypernet.load(tmp_path / "other.safetensors", split)


def test_heads_that_do_not_divide_the_width_are_refused():
    with pytest.raises(ConfigError, match="5 heads do not divide .* 24"):
        Hypernet(24, {"a": 3}, blocks=1, heads=5)


def test_several_samples_are_scored_by_their_mean_soft_mask(network, split, images):
    pair = Samples(images[None, :2], torch.tensor([0]), ("pair",))
    alone = soften(join(network(split.cls(images[:2]), torch.zeros(2, dtype=torch.int64))))
    torch.testing.assert_close(
        score_units(network, split, pair.images, pair.labels), alone.mean(0, keepdim=True)
    )


def test_a_network_that_is_shown_the_label_starts_without_a_preference_and_can_learn_one(
    tmp_path, split, images
):
    torch.manual_seed(0)
    network = Hypernet.for_sites(split.vit, split.sites, 24, 1, 6, classes=split.vit.num_classes)
    cls = split.cls(images[:1]).expand(2, -1)
    one, other = join(network(cls, torch.tensor([3, 4])))
    assert torch.equal(one, other)
    torch.nn.init.normal_(network.labels.weight)
    network.save(tmp_path / "h.safetensors", {})
    loaded = Hypernet.load(tmp_path / "h.safetensors", split)
    one, other = join(loaded(cls, torch.tensor([3, 4])))
    assert (one - other).abs().max() > 0.01
    masks = mask_units(loaded, split, images[:1, None].expand(2, -1, -1, -1, -1), torch.tensor([3, 4]), 0.75)
    assert not torch.equal(*masks)


def test_a_tied_network_gives_both_matrices_of_a_block_the_same_mask(split, images):
    torch.manual_seed(0)
    network = Hypernet.for_sites(split.vit, split.sites, 24, 1, 6, tied=True)
    assert len(network.heads) == len(network.tokens) == 2 and len(split.sites) == 4
    scores = network(split.cls(images), torch.zeros(len(images), dtype=torch.int64))
    assert list(scores) == [site.name for site in split.sites]
    for block in (1, 2):
        assert torch.equal(scores[f"blocks.{block}.mlp.fc1.weight"], scores[f"blocks.{block}.mlp.fc2.weight"])
    assert not torch.equal(scores["blocks.1.mlp.fc1.weight"], scores["blocks.2.mlp.fc1.weight"])
    mask = mask_units(network, split, images[:1, None], torch.tensor([0]), 0.75)[0]
    first, second = (part.unflatten(0, (2, -1)) for part in mask.chunk(2))
    assert (
        mask.sum() == len(mask) // 4 and torch.equal(first[0], first[1]) and torch.equal(second[0], second[1])
    )
