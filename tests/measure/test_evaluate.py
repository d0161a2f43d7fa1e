import numpy as np
import pandas as pd
import pytest
import torch
from torch.func import functional_call

from vitedit.measure.evaluate import Reference, measure
from vitedit.measure.specificity import overlaps
from vitedit.model.edits import Edits


def test_rates_equal_those_of_whole_models_with_the_edited_weights(split, samples, images):
    noise = torch.Generator().manual_seed(0)
    changed = {n: w + 0.5 * torch.randn(6, *w.shape, generator=noise) for n, w in split.weights.items()}
    edits = Edits(
        split.full(changed), samples.labels, torch.zeros(6).long(), torch.zeros(6), torch.zeros(6).bool()
    )
    group, near = Reference.of(split, images[:6], batch=4), Reference.of(split, images[6:], batch=4)
    assert np.array_equal(near.before, split.vit(images[6:]).argmax(-1))
    own = np.arange(6)[:, None]
    rows = measure(split, edits, group, own, near)
    for i in range(6):
        weights = {name: tensor[i] for name, tensor in edits.changed.items()}
        right = functional_call(split.vit, weights, (images[:6],)).argmax(-1) == edits.labels[i]
        kept = functional_call(split.vit, weights, (images[6:],)).argmax(-1) == split.vit(images[6:]).argmax(
            -1
        )
        assert rows["sr"][i] == bool(right[i])
        assert rows["gr"][i] == pytest.approx((right.sum().item() - int(right[i])) / 5)
        assert rows["gr_ref"][i] == pytest.approx((right.sum().item() - 1) / 6)
        assert rows["lr"][i] == pytest.approx(kept.float().mean().item())
    published = measure(split, edits, group, own, near, reference=True)
    assert published["gr"].equals(rows["gr_ref"]) and not published["gr"].equals(rows["gr"])
    pd.testing.assert_frame_equal(published.drop(columns="gr"), rows.drop(columns="gr"))
    assert rows["sr"].nunique() + rows["lr"].nunique() > 2, (
        "rates must differ for this test to mean something"
    )


def test_all_samples_of_an_edit_are_left_out(split, samples, images):
    changed = {n: w.expand(6, *w.shape).clone() for n, w in split.weights.items()}
    group, near = Reference.of(split, images[:6]), Reference.of(split, images[6:])
    before = torch.as_tensor(group.before)
    labels = torch.where(torch.arange(6) % 2 == 0, before, (before + 1) % 5)
    edits = Edits(split.full(changed), labels, torch.zeros(6).long(), torch.zeros(6), torch.zeros(6).bool())
    own = (np.arange(6)[:, None] + np.arange(2)) % 6
    rows = measure(split, edits, group, own, near)
    for i, (first, second) in enumerate(own):
        right = (before == labels[i]).tolist()
        assert rows["sr"][i] == (right[first] + right[second]) / 2
        assert rows["gr"][i] == sum(right[at] for at in range(6) if at not in (first, second)) / 4
        assert rows["gr_ref"][i] == pytest.approx((sum(right) - 2) / 6)
    assert rows["sr"].nunique() > 1 and rows["gr_ref"].nunique() > 1


def test_every_unordered_pair_of_masks_once():
    masks = torch.tensor([[1.0, 1, 0], [1, 0, 0], [0, 0, 1]])
    table = overlaps(masks, pd.DataFrame({"group": ["a", "a", "b"], "file": ["1", "2", "3"]}))
    assert table[["edit_a", "edit_b", "group_a", "group_b"]].values.tolist() == [
        [0, 1, "a", "a"],
        [0, 2, "a", "b"],
        [1, 2, "a", "b"],
    ]
    assert table["iou"].tolist() == [0.5, 0.0, 0.0]
