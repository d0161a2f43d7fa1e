import pytest
import torch
import torch.nn.functional as F

from vitedit.editors.kn_slots import KnowledgeSlots
from vitedit.errors import ConfigError
from vitedit.model.edits import Samples
from vitedit.model.sites import find_sites
from vitedit.model.vit import Split
from vitedit.where.attribution import attribute_neurons

NAMES = ["blocks.1.mlp.fc2.weight", "blocks.2.mlp.fc2.weight"]


def by_hand(vit, scores, predicted, label, neurons, remove, insert):
    """One edit as published: neuron by neuron, first the subtraction, then the addition."""
    weights = {name: vit.get_parameter(name).clone() for name in NAMES}
    old, new = vit.head.weight[predicted], vit.head.weight[label]
    for index in scores.argsort(descending=True)[:neurons].tolist():
        column = weights[NAMES[index // 96]][:, index % 96]
        length = column.norm().item()
        column -= remove * length / old.norm() * old
        column += insert * length / new.norm() * new
    return weights


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"answer": "desired", "tokens": "all"},
        {"remove": 0.5, "insert": 2.0},
        {"remove": 0.0, "insert": 0.0},
    ],
)
def test_the_formula_by_hand(vit, split, samples, descent, fields):
    edits = KnowledgeSlots(descent, neurons=7, steps=3, **fields).edit(split, samples)
    assert sorted(edits.changed) == NAMES and edits.steps.tolist() == [0] * 6
    predicted = vit(samples.images[:, 0]).argmax(-1)
    answer = samples.labels if fields.get("answer") == "desired" else predicted
    scores = attribute_neurons(
        split, Samples(samples.images, answer, samples.keys), 3, tokens=fields.get("tokens", "cls")
    )
    for i in range(6):
        expected = by_hand(
            vit,
            scores[i],
            predicted[i],
            samples.labels[i],
            7,
            fields.get("remove", 1.0),
            fields.get("insert", 8.0),
        )
        for name in NAMES:
            torch.testing.assert_close(edits.changed[name][i], expected[name], rtol=1e-4, atol=1e-6)


def test_exactly_the_asked_neurons_change_and_others_keep_their_bits(vit, split, samples, descent):
    for neurons in (1, 7, 57, 192):
        edits = KnowledgeSlots(descent, neurons=neurons, steps=2).edit(split, samples)
        moved = torch.cat([(edits.changed[name] != vit.get_parameter(name)).any(1) for name in NAMES], dim=1)
        assert moved.sum(1).tolist() == [neurons] * 6


def test_losses_are_those_of_the_edited_network(vit, split, samples, descent):
    edits = KnowledgeSlots(descent, neurons=20, steps=2).edit(split, samples)
    for i in range(6):
        changed = {name: tensor[i] for name, tensor in edits.changed.items()}
        logits = torch.func.functional_call(vit, changed, (samples.images[i],))
        loss = F.cross_entropy(logits, samples.labels[i : i + 1])
        torch.testing.assert_close(edits.losses[i], loss, rtol=1e-4, atol=1e-5)
        assert edits.converged[i] == (logits.argmax() == samples.labels[i] and loss <= descent.stop_loss)


def test_the_wrong_class_of_several_samples_is_that_of_their_mean_logits(vit, split, images, descent):
    logits = vit(images)
    first, second = next(
        (i, j)
        for i in range(12)
        for j in range(12)
        if (logits[i] + logits[j]).argmax() == logits[j].argmax() != logits[i].argmax()
    )
    pair = Samples(images[[first, second]][None], torch.tensor([3]), ("a",))
    edits = KnowledgeSlots(descent, neurons=192, remove=1.0, insert=0.0, steps=1).edit(split, pair)
    wrong, values = vit.head.weight[logits[second].argmax()], vit.get_parameter(NAMES[0])
    torch.testing.assert_close(
        edits.changed[NAMES[0]][0], values - wrong[:, None] / wrong.norm() * values.norm(dim=0)
    )


def test_a_label_already_predicted_gains_the_difference_of_both_lengths(vit, split, images, descent):
    label = vit(images[:1]).argmax(-1)
    edits = KnowledgeSlots(descent, neurons=192, steps=1).edit(
        split, Samples(images[:1, None], label, ("a",))
    )
    values, row = vit.get_parameter(NAMES[1]), vit.head.weight[label[0]]
    torch.testing.assert_close(
        edits.changed[NAMES[1]][0], values + 7 * row[:, None] / row.norm() * values.norm(dim=0)
    )


def test_attention_chosen_by_the_run_gives_the_ffns_of_the_same_blocks(vit, split, samples, descent):
    editor = KnowledgeSlots(descent, neurons=5, steps=1)
    edits = editor.edit(Split(vit, find_sites(vit, "attn", [1, 2])), samples)
    assert all(
        torch.equal(tensor, edits.changed[n]) for n, tensor in editor.edit(split, samples).changed.items()
    )


def test_more_neurons_than_there_are_is_refused(split, samples, descent):
    with pytest.raises(ConfigError, match="193 asked, the FFNs have 192"):
        KnowledgeSlots(descent, neurons=193, steps=1).edit(split, samples)
