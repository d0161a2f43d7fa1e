import pytest
import torch

from vitedit.errors import ArtifactError, ConfigError
from vitedit.model.edits import Samples
from vitedit.model.vit import Split
from vitedit.where.hypernet import CLAMP, Hypernet, score_units, soften
from vitedit.where.masks import join


@pytest.fixture
def network(split):
    torch.manual_seed(0)
    return Hypernet.for_sites(split.vit, split.sites, 24, blocks=2, heads=6)


def test_one_score_for_every_hidden_unit_of_every_site(network, split, images):
    scores = network(split.cls(images))
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
        assert torch.equal(join(loaded(split.cls(images))), join(network.eval()(split.cls(images))))


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


def test_heads_that_do_not_divide_the_width_are_refused():
    with pytest.raises(ConfigError, match="5 heads do not divide .* 24"):
        Hypernet(24, {"a": 3}, blocks=1, heads=5)


def test_several_samples_are_scored_by_their_mean_soft_mask(network, split, images):
    pair = Samples(images[None, :2], torch.tensor([0]), ("pair",))
    alone = soften(join(network(split.cls(images[:2]))))
    torch.testing.assert_close(score_units(network, split, pair.images), alone.mean(0, keepdim=True))
