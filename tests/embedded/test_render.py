"""The renderer: same picture for everybody, contexts as often as asked, shapes and textures where they should be."""

from collections import Counter

import numpy as np
import pytest

from vitedit.embedded.render import (
    BALANCED,
    CLASSES,
    CONTEXTS,
    IMAGE_SIZE,
    TYPICAL,
    draw_context,
    render,
    sample,
    typical_context,
)
from vitedit.embedded.shapes import SHAPES, spotted, striped
from vitedit.embedded.styles import STYLES, box_mean, kuwahara
from vitedit.errors import UnknownNameError


def test_a_picture_depends_on_seed_stream_and_index_only():
    alone = sample(3, "val", 41, typical_share=0.9)
    for index in (7, 40):
        sample(3, "val", index, typical_share=0.9)
    again = sample(3, "val", 41, typical_share=0.9)
    assert np.array_equal(alone[0], again[0])
    assert alone[1:] == again[1:] and alone[1] == 41 % len(CLASSES)
    for seed, stream, index in ((4, "val", 41), (3, "train", 41), (3, "val", 61)):
        assert not np.array_equal(alone[0], sample(seed, stream, index, typical_share=0.9)[0])


def test_pictures_are_what_a_decoder_would_give():
    picture, label, context = sample(0, "train", 5, typical_share=BALANCED)
    assert picture.shape == (IMAGE_SIZE, IMAGE_SIZE, 3) and picture.dtype == np.uint8
    assert picture.std() > 10
    assert 0 <= label < len(CLASSES) and 0 <= context < len(CONTEXTS)


def test_class_indices_follow_the_sorted_names():
    assert list(CLASSES) == sorted(CLASSES)
    assert len(set(CLASSES)) == 20 and len(CONTEXTS) == 8


def test_textures_of_a_shape_have_different_contexts_and_contexts_are_shared():
    assert all(spots != stripes for spots, stripes in TYPICAL.values())
    classes_of = Counter(typical_context(label) for label in range(len(CLASSES)))
    assert set(classes_of) == set(range(len(CONTEXTS)))
    assert set(classes_of.values()) <= {2, 3}
    assert CONTEXTS[typical_context(CLASSES.index("disc_striped"))] == "wooden_court"


@pytest.mark.parametrize(
    ("share", "low", "high"), [(1.0, 1, 1), (0.0, 0, 0), (0.9, 0.87, 0.93), (BALANCED, 0.10, 0.15)]
)
def test_contexts_are_as_frequent_as_asked(share, low, high):
    label, rng = 9, np.random.default_rng(0)
    drawn = Counter(draw_context(label, share, rng) for _ in range(2000))
    typical = drawn.pop(typical_context(label), 0)
    assert low <= typical / 2000 <= high
    if share < 1:  # the others share the rest evenly
        assert len(drawn) == 7
        assert max(drawn.values()) - min(drawn.values()) < 6 * np.sqrt(max(drawn.values()))


def test_one_scene_in_every_style():
    pictures = {style: render(8, 3, style, np.random.default_rng(11)).astype(float) for style in STYLES}
    assert pictures["stage_light"].mean() < 0.6 * pictures["plain"].mean()
    colourless = np.ptp(pictures["sketch"], axis=2).mean()
    assert colourless < 0.3 * np.ptp(pictures["plain"], axis=2).mean()
    for style in ("oil_painting", "renditions", "sketch"):
        assert np.abs(pictures[style] - pictures["plain"]).mean() > 10
    grey = {style: picture.mean(axis=2).ravel() for style, picture in pictures.items()}
    assert np.corrcoef(grey["plain"], grey["oil_painting"])[0, 1] > 0.5


def test_corners_show_the_context_and_not_the_class():
    night, sky = CONTEXTS.index("night"), CONTEXTS.index("sky")
    corner = (slice(0, 3), slice(0, 3))
    scenes = [(label, context) for label in (8, 16) for context in (night, sky)]
    pictures = {scene: render(*scene, "plain", np.random.default_rng(5)) for scene in scenes}
    assert pictures[8, night][corner].mean() + 60 < pictures[8, sky][corner].mean()
    assert np.array_equal(pictures[8, night][corner], pictures[16, night][corner])


def test_unknown_names_are_answered_with_those_that_exist():
    with pytest.raises(UnknownNameError, match="oil_painting"):
        render(0, 0, "watercolour", np.random.default_rng(0))
    with pytest.raises(UnknownNameError, match="natural"):
        sample(0, "test", 0, typical_share=0.9)


INSIDE = {  # shape: points (x, y) inside, points outside
    "arrow": ([(0, -0.5), (0, 0.8)], [(0.8, -0.7), (0.7, 0.5)]),
    "bar": ([(0.9, 0), (-0.9, 0)], [(0, 0.6), (0, -0.6)]),
    "crescent": ([(-0.8, 0)], [(0.5, 0), (0, 1.1)]),
    "cross": ([(0, 0.8), (0.8, 0)], [(0.7, 0.7)]),
    "disc": ([(0, 0), (0.6, 0.6)], [(0.7, 0.7)]),
    "heart": ([(0.4, -0.5), (0, 0.6), (0, -0.1)], [(0, -0.85), (0.6, 0.6), (1.0, -0.1)]),
    "ring": ([(0.7, 0), (0, -0.7)], [(0, 0), (0.9, 0.9)]),
    "square": ([(0.7, 0.7)], [(0.9, 0)]),
    "star": ([(0, -0.95), (0, 0)], [(0.4, -0.8), (0, 0.8)]),
    "triangle": ([(0, -0.7), (0.7, 0.5)], [(0.7, -0.5), (0, 0.8)]),
}


@pytest.mark.parametrize("shape", SHAPES)
def test_shapes_are_negative_inside_and_positive_outside(shape):
    inside, outside = INSIDE[shape]
    x, y = np.float32([*inside, *outside]).T
    assert np.array_equal(
        SHAPES[shape](x[None], y[None])[0] < 0, [True] * len(inside) + [False] * len(outside)
    )


def test_textures_repeat_with_their_period():
    y, x = np.mgrid[-1:1:81j, -1:1:81j].astype(np.float32)
    assert np.allclose(striped(x, y, 0.4), striped(x + 0.4, y + 0.13, 0.4), atol=1e-4)
    assert not np.allclose(striped(x, y, 0.4), striped(x + 0.2, y, 0.4), atol=0.5)
    assert np.allclose(spotted(x, y, 0.4), spotted(x + 0.4, y, 0.4), atol=1e-3)
    rows_apart = spotted(x + 0.2, y + 0.87 * 0.4, 0.4)  # staggered by half a period
    assert np.mean(np.abs(spotted(x, y, 0.4) - rows_apart) > 0.05) < 0.02
    assert 0.2 < spotted(x, y, 0.4).mean() < 0.5 and 0.4 < striped(x, y, 0.4).mean() < 0.6


def test_box_mean_is_the_mean_over_a_window():
    values = np.random.default_rng(0).random((96, 96, 2), dtype=np.float32)
    fast = box_mean(values, 2)
    padded = np.pad(values, ((2, 2), (2, 2), (0, 0)), mode="edge")
    for row, column in ((0, 0), (17, 40), (95, 3)):
        assert np.allclose(
            fast[row, column], padded[row : row + 5, column : column + 5].mean(axis=(0, 1)), atol=1e-5
        )


def test_kuwahara_keeps_a_step_that_a_mean_would_blur_and_flattens_noise():
    step = np.zeros((96, 96, 3), np.float32)
    step[:, 48:] = 1
    assert np.allclose(kuwahara(step, 2), step, atol=1e-5)
    assert not np.allclose(box_mean(step, 2), step, atol=0.2)
    noise = np.random.default_rng(0).random((96, 96, 3), dtype=np.float32)
    assert kuwahara(noise, 2).std() < 0.6 * noise.std()
