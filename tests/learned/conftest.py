"""What networks that predict edits are tried on: the last three FFNs of the tiny model, and three edits."""

import pytest

from vitedit.learned.network import last_ffns


@pytest.fixture
def last(split):
    """The tiny model cut before its last three FFNs, whichever blocks the run edits."""
    return last_ffns(split)


@pytest.fixture
def tokens(last, images):
    """Prefix tokens of three edits of two images each."""
    return last.prefix_samples(images[:6].unflatten(0, (3, 2)))
