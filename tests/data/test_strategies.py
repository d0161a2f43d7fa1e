"""Each strategy changes what it says, as much as it says, and nothing else."""

from typing import get_args

import numpy as np
import pytest
import torch

from vitedit.config import PseudoConfig
from vitedit.data.strategies import NOISE, PART, STRATEGIES

SIDE = 24
WHERE = (slice(4, 12), slice(8, 20))
SHARE = 8 * 12 / SIDE**2


@pytest.fixture
def images():
    generator = torch.Generator().manual_seed(0)
    return torch.randn(2, 3, SIDE, SIDE, generator=generator).unbind()


def apply(name, images, seed=0):
    return STRATEGIES[name](*images, WHERE, np.random.default_rng(seed))


def test_the_configuration_offers_exactly_these():
    assert get_args(PseudoConfig.model_fields["strategy"].annotation) == tuple(STRATEGIES)
    assert PseudoConfig(images="train").strategy == "cutmix"


@pytest.mark.parametrize("name", STRATEGIES)
def test_originals_and_donors_are_left_alone_and_numbers_decide(name, images):
    before = [image.clone() for image in images]
    first, again = apply(name, images), apply(name, images)
    assert torch.equal(first, again) and first.shape == images[0].shape and first.dtype == torch.float32
    assert all(torch.equal(image, kept) for image, kept in zip(images, before, strict=True))
    assert torch.equal(first, images[0]) == (name == "none")


@pytest.mark.parametrize(("name", "filling"), [("cutmix", 1), ("cutout", None)])
def test_a_rectangle_is_replaced(name, filling, images):
    made = apply(name, images)
    inside = torch.zeros(SIDE, SIDE, dtype=torch.bool)
    inside[WHERE] = True
    expected = images[1][:, inside] if filling else torch.zeros(3, int(inside.sum()))
    assert torch.equal(made[:, inside], expected) and torch.equal(made[:, ~inside], images[0][:, ~inside])


def test_mixup_takes_the_other_by_the_rectangles_share(images):
    torch.testing.assert_close(apply("mixup", images), (1 - SHARE) * images[0] + SHARE * images[1])


def test_noise_has_its_strength_and_no_colour(images):
    drawn = torch.stack([apply("noise", images, seed) - images[0] for seed in range(20)])
    assert abs(drawn.std() - NOISE) < 0.01 and abs(drawn.mean()) < 0.01
    assert not torch.equal(drawn[0], drawn[1])


def test_a_crop_is_an_enlarged_part_of_the_original():
    """Of an image that is its own coordinates: values span a part of the permitted size, anywhere in the image."""
    across = torch.arange(SIDE, dtype=torch.float32).expand(3, SIDE, SIDE)
    spans, starts = [], set()
    for seed in range(60):
        made = apply("crop", (across, across), seed)
        torch.testing.assert_close(made[:, 0], made[:, -1])
        assert (made[:, :, 1:] > made[:, :, :-1] - 1e-4).all()
        spans.append(float(made.max() - made.min()) + 1)
        starts.add(int(made.min()))
    low, high = (SIDE * share**0.5 for share in PART)
    assert low - 1 <= min(spans) < max(spans) <= high + 1
    assert min(starts) == 0 and max(starts) > SIDE / 3
