"""One edit from many failures, against edits that are put together by hand."""

import pytest
import torch

from vitedit.config import DescentConfig
from vitedit.editors import editor_class
from vitedit.editors.ways import edit_together, together, ways_of
from vitedit.errors import ConfigError
from vitedit.model.edits import Samples

DESCENT = DescentConfig(max_steps=25, stop_loss=0.05)


@pytest.fixture
def failures(images):
    return Samples(images[:3, None], torch.tensor([1, 4, 2]), ("a", "b", "c"))


@pytest.fixture
def ft():
    return editor_class("ft")(descent=DESCENT, learning_rate=3e-3)


def test_joint_is_one_edit_of_all_failures(split, failures, ft):
    edits = edit_together("joint", ft, split, failures)
    same = ft.edit(split, Samples(failures.images[None, :, 0], failures.labels[None], ("a",)))
    assert len(edits) == 1 and edits.labels.tolist() == [[1, 4, 2]]
    assert all(torch.equal(edits.changed[name], same.changed[name]) for name in same.changed)


def test_merged_is_the_sum_of_edits_made_apart(split, failures, ft):
    edits, apart = edit_together("merge", ft, split, failures), ft.edit(split, failures)
    assert len(edits) == 1 and int(edits.steps) == int(apart.steps.sum())
    for name, new in edits.changed.items():
        base = split.weights[name]
        torch.testing.assert_close(new[0], base + (apart.changed[name] - base).sum(0))
    right = split.predict_many(split.prefix_samples(together(failures).images), edits.changes) == edits.labels
    assert bool(edits.converged) <= bool(right.all())


def test_ways_of_methods():
    ways = {name: ways_of(editor_class(name)) for name in ("hypernet", "ft", "rome", "t_patcher")}
    assert ways == {
        "hypernet": ["joint", "union", "merge"],
        "ft": ["joint", "merge"],
        "rome": ["merge"],
        "t_patcher": ["merge"],
    }


def test_a_way_that_a_method_lacks_is_refused(split, failures, ft):
    with pytest.raises(ConfigError, match=r"FineTune cannot edit by way of 'union'. Its ways: joint, merge"):
        edit_together("union", ft, split, failures)
