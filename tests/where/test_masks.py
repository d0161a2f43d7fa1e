import pytest
import torch

from vitedit.errors import ConfigError
from vitedit.model.sites import find_sites
from vitedit.where.masks import binarise, expand, iou, join, kept_units, split


def test_kept_units_are_those_of_the_published_code():
    assert [kept_units(s, 18_432) for s in (0.25, 0.5, 0.75, 0.9, 0.95)] == [13_824, 9_216, 4_608, 1_843, 921]


@pytest.mark.parametrize("sparsity", [0.0, 0.25, 0.5, 0.9, 0.95])
def test_a_binary_mask_has_exactly_the_asked_number_of_ones(sparsity):
    scores = torch.randn(3, 200, generator=torch.Generator().manual_seed(0))
    mask = binarise(scores, sparsity)
    assert mask.sum(-1).tolist() == [kept_units(sparsity, 200)] * 3 and set(mask.unique().tolist()) <= {
        0.0,
        1.0,
    }
    assert scores[mask == 1].min() > 0 or sparsity < 0.6


def test_the_highest_scores_win_over_all_sites_together():
    assert binarise(torch.tensor([[0.1, 5.0, 3.0, 4.0]]), 0.5).tolist() == [[0, 1, 0, 1]]


def test_ties_keep_the_count():
    """The published threshold `score > v` loses one unit, and all tied ones (D1)."""
    assert binarise(torch.tensor([[1.0, 1.0, 1.0, 0.0]]), 0.5).tolist() == [[1, 1, 0, 0]]


@pytest.mark.parametrize("sparsity", [-0.1, 1.0, 1.5])
def test_an_impossible_sparsity_is_refused(sparsity):
    with pytest.raises(ConfigError, match="not in"):
        kept_units(sparsity, 10)


def test_a_sparsity_that_leaves_nothing_is_refused():
    with pytest.raises(ConfigError, match="none of 10 units"):
        kept_units(0.95, 10)


def test_join_and_split_are_inverse(vit):
    sites = find_sites(vit, "mlp", [1]) + find_sites(vit, "attn", [2])
    flat = torch.randn(2, sum(site.size(vit) for site in sites))
    parts = split(flat, sites, vit)
    assert [p.shape[-1] for p in parts.values()] == [96, 96, 72, 24]
    assert torch.equal(join(parts), flat)
    assert [f.shape for f in expand(flat, sites, vit).values()] == [
        (2, 96, 1),
        (2, 1, 96),
        (2, 72, 1),
        (2, 1, 24),
    ]


def test_iou_by_hand():
    masks = torch.tensor([[1.0, 1, 0, 0], [0, 1, 1, 0], [0, 0, 0, 1]])
    torch.testing.assert_close(iou(masks), torch.tensor([[1, 1 / 3, 0], [1 / 3, 1, 0], [0, 0, 1]]))
