"""The near-boundary rule, checked against a table worked out by hand."""

from pathlib import Path

import numpy as np
import pytest

from vitedit.data.images import ImageSet
from vitedit.data.locality import COLUMNS, margins, near_boundary, next_band, published
from vitedit.data.sources import Folder
from vitedit.errors import ConfigError

VAL = np.array([[0.40, 0.38, 0.22], [0.50, 0.25, 0.25], [0.30, 0.36, 0.34], [0.41, 0.40, 0.19]], np.float32)
VAL_LABELS = np.array([0, 0, 1, 1])  # the last is wrong, by a hair
SKETCH = np.array(
    [[0.20, 0.41, 0.39], [0.375, 0.375, 0.25], [0.375, 0.25, 0.375], [0.5, 0.375, 0.125]], np.float32
)
SKETCH_LABELS = np.array([1, 0, 2, 0])  # the third is a tie that argmax gives to class 0


def image_set(name: str, labels: np.ndarray) -> ImageSet:
    return ImageSet(name, tuple(f"{at}.png" for at in range(len(labels))), labels, Folder(Path("unused")))


SOURCES = [
    margins(image_set("val", VAL_LABELS), VAL, VAL_LABELS),
    margins(image_set("sketch", SKETCH_LABELS), SKETCH, SKETCH_LABELS),
]


def test_rule_by_hand() -> None:
    """val 1 and sketch 3 are far from the boundary; val 3 and sketch 2 are wrong."""
    table = near_boundary(SOURCES, 0.05, None)
    assert list(table.columns) == COLUMNS
    rows = list(zip(table["images"], table["file"], table["label"], strict=True))
    gaps = {
        ("sketch", "1.png", 0): 0.0,
        ("val", "0.png", 0): 0.02,
        ("val", "2.png", 1): 0.02,
        ("sketch", "0.png", 1): 0.02,
    }
    assert rows[0] == ("sketch", "1.png", 0) and set(rows) == set(gaps)
    np.testing.assert_allclose(table["gap"], [gaps[row] for row in rows], atol=1e-6)
    assert (np.diff(table["gap"]) >= 0).all() and (table["predicted"] == table["label"]).all()


def test_the_bound_itself_is_outside() -> None:
    assert len(near_boundary(SOURCES, 0.125, None)) == 4 and len(near_boundary(SOURCES, 0.1251, None)) == 5


def test_the_next_band_is_held_out_for_tuning() -> None:
    near, further = near_boundary(SOURCES, 0.1, None), next_band(SOURCES, 0.1, None)
    assert list(further.columns) == COLUMNS and further["held_out"].all() and not near["held_out"].any()
    assert further["gap"].tolist() == [0.125] and near["gap"].max() < 0.1
    assert len(next_band(SOURCES, 0.07, 1)) == 1 and len(next_band(SOURCES, 0.2, None)) == 1


def test_a_published_set_is_taken_whole_with_the_models_own_predictions() -> None:
    """Labels are not asked for: the wrong image and the sure one are in it too."""
    table = published(image_set("sensitive", VAL_LABELS), VAL)
    assert list(table.columns) == COLUMNS and not table["held_out"].any()
    assert table["predicted"].tolist() == [0, 0, 1, 0] == table["label"].tolist()
    np.testing.assert_allclose(table["gap"], [0.02, 0.25, 0.02, 0.01], atol=1e-6)


def test_smallest_gaps_are_kept() -> None:
    everything = near_boundary(SOURCES, 0.05, None)
    assert near_boundary(SOURCES, 0.05, 2).equals(everything.head(2))


def test_too_few_says_what_would_do() -> None:
    with pytest.raises(ConfigError, match=r"\(val: 4 images, 3 right\).*A gap of 0\.251 would give 3 images"):
        near_boundary(SOURCES[:1], 0.001, None)
    assert len(near_boundary(SOURCES[:1], 0.251, None)) == 3
    with pytest.raises(
        ConfigError,
        match=r"4 images have .* below `locality.gap` \(0.05\), 5 are needed .* 0\.251 would give 6",
    ):
        near_boundary(SOURCES, 0.05, None, min_images=5)
    with pytest.raises(ConfigError, match=r"No gap gives enough, since the model gets only 6 right"):
        near_boundary(SOURCES, 1.0, None, min_images=7)
    wrong = (VAL_LABELS + 1) % 3
    with pytest.raises(ConfigError, match=r"no image right \(val: 4 images, 0 right\)"):
        near_boundary([margins(image_set("val", wrong), VAL, wrong)], 0.05, None)


def test_disjoint_from_the_benchmark() -> None:
    """Misclassified images and right ones: whatever the thresholds, none is in both."""
    from vitedit.data.benchmark import mistakes

    rng = np.random.default_rng(0)
    scores = rng.dirichlet(np.ones(4), 300).astype(np.float32)
    labels = rng.integers(0, 4, 300)
    local = near_boundary([margins(image_set("x", labels), scores, labels)], 1.0, None)
    wrong = {f"{at}.png" for at in mistakes(scores, labels, False, "x").index}
    assert not wrong & set(local["file"]) and len(wrong) + len(local) == 300
