"""Masks that the two matrices of a block share, and the search on the edit sample itself."""

import pytest
import torch
import torch.nn.functional as F

from vitedit.config import DescentConfig, MaskSearchConfig
from vitedit.editors.searched_mask import CERTAIN, SearchedMask
from vitedit.errors import ConfigError
from vitedit.model.edits import Samples
from vitedit.model.objectives import kl_divergence
from vitedit.model.sites import find_sites
from vitedit.model.vit import Split
from vitedit.tensors import torch_rng
from vitedit.where.mask_search import random_logits, search_masks
from vitedit.where.masks import binarise, edit_under, owners

SETTINGS = MaskSearchConfig(inner_learning_rate=0.3, inner_steps=2, search_steps=3)


def test_owners_are_the_units_themselves_or_shared_within_a_block(split):
    assert owners(split).tolist() == list(range(384))
    block = list(range(96))
    assert owners(split, tied=True).tolist() == block * 2 + [96 + at for at in block] * 2


def test_matrices_with_other_hidden_units_cannot_be_tied(vit):
    attention = Split(vit, find_sites(vit, "attn", [1]))
    with pytest.raises(ConfigError, match=r"blocks\.1\.attn have 72 and 24 hidden units"):
        owners(attention, tied=True)


def test_a_tied_search_finds_one_mask_a_block_and_not_that_of_either_matrix(split, images):
    tokens, teacher = split.prefix(images[:2]), split.suffix(split.prefix(images[2:4]))
    tied, start = SETTINGS.model_copy(update={"tied": True}), torch.Generator().manual_seed(0)
    free = random_logits(split, [start], 2, tied=True)
    assert free.shape == (2, 192)
    logits, _ = search_masks(split, tokens, teacher, free, tied)
    fc1, fc2, other_fc1, other_fc2 = logits.split(96, dim=-1)
    assert torch.equal(fc1, fc2) and torch.equal(other_fc1, other_fc2) and not torch.equal(fc1, other_fc1)
    alone, _ = search_masks(split, tokens, teacher, free[:, owners(split, tied=True)], SETTINGS)
    assert not torch.allclose(alone, logits, atol=0.1)


def test_a_certain_target_makes_the_divergence_a_cross_entropy():
    student, label = torch.randn(4, 10, generator=torch.Generator().manual_seed(0)), torch.arange(4)
    target = CERTAIN * F.one_hot(label, 10).float()
    expected = 25 * F.cross_entropy(student / 5, label)
    torch.testing.assert_close(kl_divergence(target, student, 5.0), expected)


def test_the_searched_mask_searches_each_edit_sample_and_descends_under_its_mask(split, images):
    descent = DescentConfig(max_steps=5, stop_loss=1e-6)
    samples = Samples(images[:3, None], torch.tensor([1, 2, 3]), ("a", "b", "c"))
    editor = SearchedMask(descent, 1e-3, 0.75, inner_learning_rate=0.3, inner_steps=2, search_steps=3, seed=4)
    made = editor.edit(split, samples)
    for at, key in enumerate(samples.keys):
        target = CERTAIN * F.one_hot(samples.labels[at : at + 1], split.vit.num_classes).float()
        start = random_logits(split, [torch_rng(4, "searched_mask", key)], 1, tied=False)
        logits, _ = search_masks(split, split.prefix(images[at : at + 1]), target, start, SETTINGS)
        one = Samples(images[at : at + 1, None], samples.labels[at : at + 1], (key,))
        alone = edit_under(split, one, binarise(logits, 0.75), descent, 1e-3)
        for name, weights in made.changed.items():
            torch.testing.assert_close(weights[at], alone.changed[name][0], rtol=1e-3, atol=1e-4)
