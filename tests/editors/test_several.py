"""Every method makes one edit of several failures: by single edits added up and one after another, and jointly where it can."""

import pytest
import torch
from patches import ABOUT, bits
from test_contract import make, train

from vitedit.editors import EDITORS, editor_class
from vitedit.model.edits import Samples
from vitedit.model.patch import Patch
from vitedit.tool.ways import WAYS


@pytest.fixture(scope="module")
def trained(split, images):
    return train(split, images)


CASES = [
    (way, method)
    for way in ("joint", "merge", "sequence")
    for method in EDITORS
    if way != "joint" or editor_class(method).joint
]


@pytest.mark.parametrize(("way", "method"), CASES)
def test_a_way_leads_to_one_patch(way, method, split, images, trained):
    editor, vit = make(method, trained), split.vit
    labels = vit(images[:3]).topk(3).indices[[0, 1, 2], [1, 2, 1]]
    made = WAYS[way](editor, split, Samples(images[:3, None], labels, ("a", "b", "c")))
    assert len(made.edits) == 1 and (made.course is not None) == (way == "sequence")
    before, patch = bits(vit.state_dict()), Patch.of(made.edits, 0, vit, ABOUT)
    with torch.no_grad(), patch.applied(vit):
        seen = (vit(images[:3]).argmax(-1) == labels).tolist()
    assert bits(vit.state_dict()) == before
    assert float(made.edits.fraction(vit)) > 0 and float(made.edits.norm()) > 0
    if made.course is not None:
        assert made.course[-1].tolist() == seen, "what was seen at the end is what the patch does"
