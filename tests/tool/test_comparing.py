"""Overlap of two patches, worked out by hand."""

import pytest
import torch
from patches import ABOUT

from vitedit.errors import ArtifactError
from vitedit.model.difference import Difference
from vitedit.model.patch import Patch
from vitedit.tool.comparing import Overlap, overlap


def patch(name, place, value=1.0, shape=(4, 5)):
    base = torch.zeros(shape)
    new = base.clone()
    new[place] = value
    return Patch({name: Difference.between(base, new)}, "", "", ABOUT)


def test_rows_against_columns():
    first, second = patch("a", 1), patch("a", (slice(None), 2))
    assert overlap(first, second) == [Overlap("a", 5, 4, 1, 0)]
    assert overlap(first, patch("a", (slice(None), 2), 3.0)) == [Overlap("a", 5, 4, 1, 1)]


def test_other_parameters_do_not_meet():
    both = overlap(patch("a", 1), patch("b", (0, 0)))
    assert both == [Overlap("a", 5, 0, 0, 0), Overlap("b", 0, 1, 0, 0)]


def test_other_architectures_are_refused():
    with pytest.raises(ArtifactError, match="other architectures"):
        overlap(patch("a", 1), patch("a", 1, shape=(4, 6)))
