"""How one patch comes of several failures: each way against the same edits made by hand."""

import numpy as np
import pytest
import torch
from patches import bits
from tiny import TINY
from tool_place import pixels_of, several_failures

import vitedit
from vitedit.config import DescentConfig
from vitedit.editors.ft import FineTune
from vitedit.errors import ConfigError, UnknownNameError, ViteditError
from vitedit.model.edits import Samples
from vitedit.model.patch import checksum
from vitedit.model.successive import Successive
from vitedit.tool.editing import lost_of, retained
from vitedit.tool.methods import Method, cut_model
from vitedit.tool.ways import WAYS, choose_way

SETTING = {"learning_rate": 0.003, "max_steps": 30, "stop_loss": 0.05}
EDITOR = FineTune(descent=DescentConfig(max_steps=30, stop_loss=0.05), learning_rate=0.003)


@pytest.fixture
def model(place):
    return vitedit.load_vit(TINY.name, checkpoint=place.weights, architecture=TINY.architecture)


@pytest.fixture
def failures(place):
    return several_failures(place)


def edit(model, failures, way, **more):
    asked = {"method": "ft", "setting": SETTING, "keep_failed": True} | more
    return vitedit.edit(model, *failures, way=way, **asked)


def pixels(failures):
    return torch.cat([pixels_of(image) for image in failures[0]])


def named(failures, at):
    """A failure as samples of one edit; fine-tuning does not look at the key."""
    return Samples(pixels(failures)[at][None, None], torch.tensor([failures[1][at]]), ("key",))


@pytest.mark.parametrize("way", [way for way in WAYS if way != "union"])
def test_a_patch_of_any_way_is_applied_and_reverted_bit_for_bit(model, failures, way, tmp_path):
    before = bits(model.state_dict())
    edit(model, failures, way).save(tmp_path / "fix.safetensors")
    patch = vitedit.Patch.load(tmp_path / "fix.safetensors")
    edited = patch.apply(model.state_dict())
    assert bits(model.state_dict()) == before and bits(patch.revert(edited)) == before
    assert patch.about.way == way and [image.label for image in patch.about.images] == failures[1]
    with torch.no_grad(), patch.applied(model):
        assert [image.after for image in patch.about.images] == model(pixels(failures)).argmax(-1).tolist()
    assert checksum(edited) == patch.edited and bits(model.state_dict()) == before


def test_a_sequence_is_the_edits_made_by_hand_one_after_another(model, failures):
    base = cut_model(model, Method.of("ft"))
    taking, steps, course = Successive(base), 0, np.zeros((3, 3), bool)
    for at in range(3):
        edits = EDITOR.edit(taking.split, named(failures, at))
        taking.take(edits.changes)
        steps += int(edits.steps)
        seen = taking.split.vit(pixels(failures)[: at + 1]).argmax(-1).tolist()
        course[at, : at + 1] = np.equal(seen, failures[1][: at + 1])
    patch = edit(model, failures, "sequence")
    weights = patch.apply(model.state_dict())
    for name, change in taking.changes().items():
        assert torch.equal(weights[name], change.dense()[0])
    made = patch.about.measured
    assert made.steps == steps and (made.directly, made.retention) == retained(course)
    assert made.success == course[-1].mean()


def test_a_merge_is_the_sum_of_the_single_edits(model, failures):
    base = cut_model(model, Method.of("ft"))
    single = [EDITOR.edit(base, named(failures, at)) for at in range(3)]
    patch = edit(model, failures, "merge")
    weights = patch.apply(model.state_dict())
    for site in base.sites:
        old = base.weights[site.name]
        summed = old + torch.stack([one.changed[site.name][0] - old for one in single]).sum(0)
        torch.testing.assert_close(
            weights[site.name], summed, rtol=1e-3, atol=1e-4
        )  # batches sum in other orders
    assert patch.about.measured.steps == sum(int(one.steps) for one in single)
    assert patch.about.measured.directly is None and patch.about.measured.retention is None


def test_a_joint_edit_is_one_descent_over_all(model, failures):
    base = cut_model(model, Method.of("ft"))
    edits = EDITOR.edit(base, Samples(pixels(failures)[None], torch.tensor([failures[1]]), ("key",)))
    weights = edit(model, failures, "joint").apply(model.state_dict())
    assert all(torch.equal(weights[name], values[0]) for name, values in edits.changed.items())


def test_of_one_failure_every_way_is_the_same_edit(model, failures):
    one = (failures[0][:1], failures[1][:1])
    assert len({edit(model, one, way).edited for way in WAYS if way != "union"}) == 1
    assert edit(model, one, "sequence").about.measured.retention == 1


def test_one_label_for_all_is_the_same_as_that_label_for_each(model, failures):
    images, label = failures[0], failures[1][0]
    for way in ("joint", "sequence"):
        patches = [edit(model, (images, labels), way) for labels in (label, [label], [label] * 3)]
        assert len({patch.edited for patch in patches}) == 1


@pytest.mark.parametrize(
    ("asked", "method", "labels", "chosen"),
    [
        (None, "ft", [1, 2], "joint"),
        (None, "kn_slots", [1, 2], "merge"),
        (None, "kn_slots", [1, 1], "joint"),
        ("sequence", "kn_slots", [1, 2], "sequence"),
        ("merge", "ft", [1, 2], "merge"),
    ],
)
def test_the_way_is_that_asked_for_or_the_one_that_the_method_can_go(asked, method, labels, chosen):
    assert choose_way(asked, Method.of(method), labels) == chosen


def test_ways_that_a_method_cannot_go(tmp_path):
    with pytest.raises(
        ConfigError, match="kn_slots makes an edit from images of one class, and these are of 2"
    ):
        choose_way("joint", Method.of("kn_slots"), [1, 2])
    with pytest.raises(
        ConfigError,
        match="only hypernet can unite its masks; take --hypernet FILE, or another way: joint, merge, sequence",
    ):
        choose_way("union", Method.of("ft"), [1, 2])
    with pytest.raises(ConfigError, match="another way: merge, sequence"):
        choose_way("union", Method.of("kn_slots"), [1, 2])
    with pytest.raises(UnknownNameError, match="no such way. Ways: joint, union, merge, sequence"):
        choose_way("both", Method.of("ft"), [1, 2])
    (trained := tmp_path / "h.safetensors").touch()
    method = Method.of("hypernet", {"union": True}, {"hypernet": trained})
    with pytest.raises(ConfigError, match="--way union"):
        choose_way(None, method, [1, 2])


def test_every_method_without_training_edits_several_failures(model, failures):
    for method in ("spt", "kn_slots", "lora"):
        for way in ("merge", "sequence"):
            patch = vitedit.edit(model, *failures, way=way, method=method, keep_failed=True)
            assert len(patch.about.images) == 3 and patch.about.method == method


def test_too_few_right_is_refused_unless_enough(model, failures):
    with pytest.raises(
        ViteditError,
        match=r"still wrong about 1 of 3 samples \(ft, sequence, \d+ steps\). Edits of single.*try `--way joint`\. `min_success`",
    ):
        edit(model, failures, "sequence", keep_failed=False)
    patch = edit(model, failures, "sequence", keep_failed=False, min_success=0.6)
    assert patch.about.measured.success == pytest.approx(2 / 3)


def test_retention_and_what_was_lost_worked_out_by_hand():
    course = np.array([[1, 0, 0, 0], [0, 1, 0, 0], [1, 1, 0, 0], [0, 1, 1, 1]], bool)
    assert retained(course) == (3 / 4, 2 / 3), "the third was never right after its own edit"
    assert lost_of(course) == [(0, 1)], "lost first by the second, though the third brought it back"
    assert retained(None) == (None, None) and lost_of(None) == []
    assert retained(np.zeros((2, 2), bool)) == (0.0, None)
