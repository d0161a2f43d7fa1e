"""Groups, checked against tables worked out by hand."""

from pathlib import Path

import numpy as np
import pytest

from vitedit.data.benchmark import COLUMNS, disagreements, largest_groups, manifest, mistakes, spaced
from vitedit.data.images import ImageSet
from vitedit.data.sources import Folder
from vitedit.errors import ConfigError


def probabilities(*rows: tuple[int, float]) -> np.ndarray:
    """Rows of three classes from (predicted class, its probability); the rest is shared by the others."""
    table = np.array([[(1 - p) / 2] * 3 for _, p in rows], np.float32)
    for at, (label, p) in enumerate(rows):
        table[at, label] = p
    return table


def image_set(count: int) -> ImageSet:
    return ImageSet("pool", tuple(f"{at:02}.png" for at in range(count)), None, Folder(Path("unused")))


# image:                    0        1         2         3         4         5         6         7
BASE = probabilities((0, 0.9), (1, 0.9), (1, 0.85), (2, 0.95), (1, 0.79), (0, 0.8), (1, 0.99), (1, 0.9))
STRONG = probabilities((0, 0.9), (0, 0.8), (0, 0.9), (1, 0.9), (0, 0.99), (2, 0.7), (0, 0.85), (2, 0.9))


def test_mad_candidates_by_hand() -> None:
    """Image 0: agree. 4: base unsure. 5: stronger unsure. 1: exactly at the threshold, enters."""
    table = disagreements(BASE, STRONG, 0.8)
    assert table.index.tolist() == [1, 2, 3, 6, 7]
    assert table["key"].tolist() == ["0_1", "0_1", "1_2", "0_1", "2_1"]
    assert table["label"].tolist() == [0, 0, 1, 0, 2]
    assert table["predicted"].tolist() == [1, 1, 2, 1, 1]
    np.testing.assert_allclose(table["confidence"], [0.9, 0.85, 0.95, 0.99, 0.9], rtol=1e-6)
    np.testing.assert_allclose(table["confidence_stronger"], [0.8, 0.9, 0.9, 0.85, 0.9], rtol=1e-6)


def test_mad_without_candidates_says_what_to_change() -> None:
    with pytest.raises(
        ConfigError, match=r"Of 8 images the models disagree on 7 .*confident on 0.*min_confidence"
    ):
        disagreements(BASE, STRONG, 0.995)
    unsure, agreed = [4, 5], [0, 0, 0]
    pick = np.array(unsure + agreed)
    with pytest.raises(
        ConfigError, match=r"Of 5 images .* disagree on 2 .*confident on 3, never at once.*\(0\.9\)"
    ):
        disagreements(BASE[pick], STRONG[pick], 0.9)


LABELS = np.array([0, 0, 1, 0, 0, 0, 2, 0])


@pytest.mark.parametrize(
    ("same", "keys"), [(True, ["0_1", "0_2", "0_1", "2_1", "0_1"]), (False, ["0", "0", "0", "2", "0"])]
)
def test_mistakes_by_hand(same: bool, keys: list[str]) -> None:
    """Images 0, 2 and 5 are right and never enter, however unsure the model is about them."""
    table = mistakes(BASE, LABELS, same, "photos")
    assert table.index.tolist() == [1, 3, 4, 6, 7]
    assert table["key"].tolist() == keys
    assert table["predicted"].tolist() == [1, 2, 1, 1, 1] and table["label"].tolist() == [0, 0, 0, 2, 0]
    assert table["confidence_stronger"].isna().all()


def test_a_perfect_model_is_an_error() -> None:
    with pytest.raises(ConfigError, match=r"all 8 images of 'photos' right"):
        mistakes(BASE, BASE.argmax(axis=1), True, "photos")


def test_largest_groups_first_ties_by_name() -> None:
    table = mistakes(BASE, LABELS, True, "x")
    table["key"] = ["b", "a", "c", "a", "b"]
    assert largest_groups(table, groups=5, min_size=1) == (["a", "b", "c"], [])
    assert largest_groups(table, groups=5, min_size=2) == (["a", "b"], [])
    assert largest_groups(table, groups=1, min_size=2) == (["a"], [])
    assert largest_groups(table, groups=1, min_size=1, held_out=1) == (["a"], ["b"])
    with pytest.raises(
        ConfigError, match=r"5 candidates in 3 groups, the largest of 2 images.*min_size` is 3"
    ):
        largest_groups(table, groups=5, min_size=3)


def test_manifest_rows() -> None:
    candidates = disagreements(BASE, STRONG, 0.8)
    table = manifest("natural", image_set(8), candidates, ["0_1", "2_1"], max_images=2, max_edits=1)
    assert list(table.columns) == COLUMNS
    assert table["group"].tolist() == ["0_1", "0_1", "2_1"]
    assert table["file"].tolist() == ["01.png", "02.png", "07.png"]
    assert table["is_edit"].tolist() == [True, False, True]
    assert set(table["images"]) == {"pool"} and set(table["subset"]) == {"natural"}
    everything = manifest("natural", image_set(8), candidates, ["0_1"], max_images=None, max_edits=None)
    assert everything["file"].tolist() == ["01.png", "02.png", "06.png"] and everything["is_edit"].all()


@pytest.mark.parametrize(
    ("length", "count", "places"),
    [
        (10, 5, [0, 2, 4, 6, 8]),
        (7, 3, [0, 2, 4]),
        (3, 5, [0, 1, 2]),
        (4, None, [0, 1, 2, 3]),
        (0, 3, []),
        (9, 1, [0]),
    ],
)
def test_evenly_spaced(length: int, count: int | None, places: list[int]) -> None:
    assert spaced(length, count).tolist() == places
