"""Edits that one model takes in, one after another."""

import pytest
import torch

from vitedit.config import DescentConfig
from vitedit.editors import editor_class
from vitedit.model.changes import Grown
from vitedit.model.edits import Samples
from vitedit.model.last_block import LastBlock
from vitedit.model.successive import Successive

DESCENT = DescentConfig(max_steps=25, stop_loss=0.05)


def edit_of(split, images, at, label):
    editor = editor_class("ft")(descent=DESCENT, learning_rate=3e-3)
    return editor.edit(split, Samples(images[None, at : at + 1], torch.tensor([label]), (str(at),)))


def test_each_edit_is_made_on_the_model_with_those_before(split, images):
    model, before = Successive(split), {n: t.clone() for n, t in split.vit.state_dict().items()}
    first = edit_of(split, images, 0, 3)
    model.take(first.changes)
    assert int(model.split.vit(images[:1]).argmax()) == 3
    second = edit_of(model.split, images, 1, 4)
    model.take(second.changes)
    assert int(model.split.vit(images[1:2]).argmax()) == 4
    for site in split.sites:
        assert not torch.equal(first.changed[site.name], second.changed[site.name])
        assert torch.equal(model.split.vit.get_parameter(site.name), second.changed[site.name][0])
    assert all(torch.equal(before[name], tensor) for name, tensor in split.vit.state_dict().items())


def test_all_edits_are_one_edit_of_the_base_model(split, images):
    model = Successive(split)
    assert model.changes() == {}
    for at, label in ((0, 3), (1, 4)):
        model.take(edit_of(model.split, images, at, label).changes)
    logits = split.run(split.prefix(images)[None], model.changes())[0]
    torch.testing.assert_close(logits, model.split.vit(images), rtol=1e-4, atol=1e-4)


def test_several_edits_are_taken_in_together(split, images):
    editor, labels = editor_class("ft")(descent=DESCENT, learning_rate=3e-3), torch.tensor([3, 4])
    edits = editor.edit(split, Samples(images[:2, None], labels, ("a", "b")))
    model = Successive(split)
    model.take(edits.changes)
    for site in split.sites:
        base = split.weights[site.name]
        summed = base + (edits.changed[site.name] - base).sum(0)
        torch.testing.assert_close(model.split.vit.get_parameter(site.name), summed)


@pytest.mark.parametrize("times", [1, 3])
def test_neurons_are_added_to_those_that_were_added(split, times):
    model, hidden = Successive(split), LastBlock.of(split).hidden
    rng = torch.Generator().manual_seed(0)
    for _ in range(times):
        last = LastBlock.of(model.split)
        new = {"fc1.weight": (0, 24), "fc1.bias": (0, None), "fc2.weight": (1, 24)}
        model.take(
            {
                last.name(part): Grown(
                    last.vit.get_parameter(last.name(part)),
                    axis,
                    torch.randn(1, 2, *([width] if width else []), generator=rng),
                )
                for part, (axis, width) in new.items()
            }
        )
    last = LastBlock.of(model.split)
    assert last.hidden == hidden + 2 * times
    assert last.vit.get_parameter(last.name("fc1.bias")).shape == (hidden + 2 * times,)
