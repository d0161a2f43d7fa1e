import pytest
import torch

from vitedit.editors.kn import KnowledgeNeurons
from vitedit.errors import ConfigError
from vitedit.model.sites import find_sites
from vitedit.model.vit import Split
from vitedit.where.attribution import attribute_neurons

RATE = 3e-3


def moved_neurons(vit, edits, blocks):
    """(E, blocks * 96): which rows of fc1, and which columns of fc2, differ from the base model."""
    rows = [
        (edits.changed[f"blocks.{b}.mlp.fc1.weight"] != vit.get_parameter(f"blocks.{b}.mlp.fc1.weight")).any(
            2
        )
        for b in blocks
    ]
    columns = [
        (edits.changed[f"blocks.{b}.mlp.fc2.weight"] != vit.get_parameter(f"blocks.{b}.mlp.fc2.weight")).any(
            1
        )
        for b in blocks
    ]
    return torch.cat(rows, 1), torch.cat(columns, 1)


@pytest.mark.parametrize("sparsity", [0.5, 0.9])
def test_only_the_top_neurons_change_rows_and_columns_together(vit, split, samples, descent, sparsity):
    edits = KnowledgeNeurons(descent, RATE, sparsity, steps=4).edit(split, samples)
    rows, columns = moved_neurons(vit, edits, [1, 2])
    kept = {0.5: 96, 0.9: 19}[sparsity]
    assert torch.equal(rows, columns) and rows.sum(1).tolist() == [kept] * 6
    scores = attribute_neurons(split, samples, 4)
    for i in range(6):
        assert scores[i][rows[i]].min() > scores[i][~rows[i]].max()
    per_block = rows.unflatten(1, (2, 96)).sum(-1)
    assert len(set(per_block.flatten().tolist())) > 2, "the ranking is over all FFNs together"
    assert (edits.steps > 0).all()


@pytest.mark.parametrize(
    ("variant", "rank"),
    [
        ({"score": "absolute"}, lambda split, samples: attribute_neurons(split, samples, 3).abs()),
        (
            {"target": "log_probability"},
            lambda split, samples: attribute_neurons(split, samples, 3, "log_probability"),
        ),
        ({"tokens": "cls"}, lambda split, samples: attribute_neurons(split, samples, 3, tokens="cls")),
    ],
)
def test_variants_rank_by_what_they_say(vit, split, samples, descent, variant, rank):
    chosen, _ = moved_neurons(
        vit, KnowledgeNeurons(descent, RATE, 0.8, steps=3, **variant).edit(split, samples), [1, 2]
    )
    plain, _ = moved_neurons(vit, KnowledgeNeurons(descent, RATE, 0.8, steps=3).edit(split, samples), [1, 2])
    scores = rank(split, samples)
    assert all(scores[i][chosen[i]].min() > scores[i][~chosen[i]].max() for i in range(6))
    assert not torch.equal(chosen, plain)


def test_attention_chosen_by_the_run_gives_the_ffns_of_the_same_blocks(vit, split, samples, descent):
    editor = KnowledgeNeurons(descent, RATE, 0.5, steps=2)
    attention = Split(vit, find_sites(vit, "attn", [2, 1]))
    assert editor.cut(attention).sites == split.sites
    edits, same = editor.edit(attention, samples), editor.edit(split, samples)
    assert edits.changed.keys() == same.changed.keys()
    assert all(torch.equal(edits.changed[name], same.changed[name]) for name in same.changed)


def test_a_sparsity_that_leaves_no_neuron_is_refused(split, samples, descent):
    with pytest.raises(ConfigError, match="none of 192 units"):
        KnowledgeNeurons(descent, RATE, 0.999, steps=1).edit(split, samples)
