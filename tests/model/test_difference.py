"""Changes of one parameter: the smallest layout, old and new to the last bit."""

import pytest
import torch

from vitedit.model.difference import Difference

BASE = torch.randn(6, 8, generator=torch.Generator().manual_seed(0))


def edited(where):
    new = BASE.clone()
    new[where] += 1.0
    return new


@pytest.mark.parametrize(
    ("where", "layout", "index"),
    [
        ((slice(2, 4),), "rows", [2, 3]),
        ((slice(None), 5), "columns", [5]),
        ((1, 7), "entries", [15]),
        (([0, 3, 5], [1, 2, 3]), "entries", [1, 26, 43]),
    ],
)
def test_the_smallest_layout_is_kept(where, layout, index):
    new = edited(where)
    change = Difference.between(BASE, new)
    assert (change.layout, change.index.tolist()) == (layout, index)
    assert torch.equal(change.apply(BASE), new) and torch.equal(change.revert(new), BASE)
    places, values = change.entries()
    assert torch.equal(places, (new != BASE).flatten().nonzero().flatten())
    assert torch.equal(values, new.flatten()[places])
    assert change.norm == pytest.approx(float((new - BASE).norm()))
    change.check()


def test_a_changed_sign_of_zero_is_a_change():
    base, new = torch.zeros(3, 2), torch.zeros(3, 2)
    new[1, 0] = -0.0
    change = Difference.between(base, new)
    assert change.index.tolist() == [2]
    assert torch.signbit(change.apply(base)).tolist() == torch.signbit(new).tolist()
    assert not torch.signbit(change.revert(new)).any()


def test_no_change_is_none():
    assert Difference.between(BASE, BASE.clone()) is None


@pytest.mark.parametrize("grown", [(7, 8), (6, 9), (7, 9)])
def test_what_was_added_is_taken_away_again(grown):
    new = torch.zeros(grown)
    new[:6, :8] = BASE
    change = Difference.between(BASE, new)
    assert change.grows and len(change.entries()[0]) == new.numel() - BASE.numel(), "also where it is zero"
    assert torch.equal(change.apply(BASE), new) and torch.equal(change.revert(new), BASE)
    change.check()


@pytest.mark.parametrize("shape", [(5,), (4, 3, 2, 2)])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16])
def test_vectors_and_kernels_of_every_type(shape, dtype):
    base = torch.randn(shape).to(dtype)
    new = base.clone()
    new.view(-1)[3] = 2.5
    change = Difference.between(base, new)
    assert change.new.dtype == dtype
    assert torch.equal(change.apply(base), new) and torch.equal(change.revert(new), base)


def test_a_change_of_a_few_entries_takes_little_memory_whatever_size_it_claims():
    one = torch.ones(1)
    change = Difference(
        "entries", (46000, 46000), (46000, 46000), torch.tensor([2**30], dtype=torch.int32), one, 2 * one
    )
    change.check()
    assert change.entries()[0].tolist() == [2**30]


def damaged(**parts):
    fine = {
        "layout": "rows",
        "shape": (6, 8),
        "grown": (6, 8),
        "index": torch.tensor([1, 2], dtype=torch.int32),
    }
    values = {"old": torch.zeros(2, 8), "new": torch.ones(2, 8)}
    return Difference(**{**fine, **values, **parts})


@pytest.mark.parametrize(
    "parts",
    [
        {"index": torch.tensor([1, 6], dtype=torch.int32)},
        {"index": torch.tensor([-1, 2], dtype=torch.int32)},
        {"index": torch.tensor([2, 2], dtype=torch.int32)},
        {"index": torch.tensor([], dtype=torch.int32), "old": torch.zeros(0, 8), "new": torch.zeros(0, 8)},
        {"old": torch.zeros(2, 7)},
        {"new": torch.ones(3, 8)},
        {"new": torch.full((2, 8), float("nan"))},
        {"new": torch.ones(2, 8, dtype=torch.float64)},
        {"old": torch.zeros(2, 8, dtype=torch.int64), "new": torch.ones(2, 8, dtype=torch.int64)},
        {"grown": (6,)},
        {"grown": (5, 8)},
        {"grown": (2**20, 8)},
        {"grown": (2**40, 8)},
        {"shape": (0, 8)},
        {"shape": (), "grown": (), "layout": "entries", "index": torch.tensor([0], dtype=torch.int32)},
    ],
)
def test_parts_that_do_not_fit_are_refused(parts):
    damaged().check()
    with pytest.raises(ValueError):
        damaged(**parts).check()
