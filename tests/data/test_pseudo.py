"""Pseudo-samples: deterministic, patch-aligned, over the whole grid."""

from operator import itemgetter
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from torchvision.transforms.v2 import RandomResizedCrop

from vitedit.config import ImagesConfig, PseudoConfig, TransformConfig
from vitedit.data import pseudo
from vitedit.data.images import ImageSet, open_images
from vitedit.data.pseudo import PseudoSamples, random_box, remaining
from vitedit.errors import ConfigError, ImageError

PATCH, GRID = 4, 6
TRANSFORM = TransformConfig(size=PATCH * GRID)
CONFIG = PseudoConfig(images="train", patches=(1, 4))


@pytest.fixture
def images(tmp_path: Path) -> ImageSet:
    """Forty images of one colour each, so that an image is known by any of its pixels."""
    for at in range(40):
        Image.new("RGB", (30, 20), (6 * at, 3 * at, 250 - 6 * at)).save(tmp_path / f"{at:02}.png")
    return open_images("train", ImagesConfig(path=tmp_path, labels="none"))


def samples(
    images: ImageSet, seed: int = 0, indices: range = range(40), config: PseudoConfig = CONFIG
) -> PseudoSamples:
    return PseudoSamples(images, indices, TRANSFORM, PATCH, config, seed)


def test_batch_depends_on_seed_and_number_only(images: ImageSet) -> None:
    one, two = samples(images), samples(images)
    later = one.batch(5, 4)
    for at in (0, 3, 5):
        again = two.batch(at, 4)
    assert torch.equal(later[0], again[0]) and torch.equal(later[1], again[1])
    assert not torch.equal(later[0], two.batch(6, 4)[0])
    assert not torch.equal(later[0], samples(images, seed=1).batch(5, 4)[0])


def test_pasted_rectangles(images: ImageSet) -> None:
    """Each is one donor's pixels, on patch borders, of permitted size; every patch is reached, also the last."""
    reached, sides, areas = np.zeros((GRID, GRID), int), set(), set()
    for iteration in range(60):
        originals, mixed = samples(images).batch(iteration, 8)
        assert (
            originals.shape == mixed.shape == (8, 3, 24, 24)
            and originals.dtype == mixed.dtype == torch.float32
        )
        for original, changed in zip(originals, mixed, strict=True):
            assert len(original.flatten(1).unique(dim=1).T) == 1  # originals are untouched
            differs = (original != changed).any(dim=0)
            patches = differs.reshape(GRID, PATCH, GRID, PATCH)
            assert (patches == patches[:, :1, :, :1]).all()
            patches = patches[:, 0, :, 0].numpy()
            rows, columns = patches.any(axis=1), patches.any(axis=0)
            assert (patches == np.outer(rows, columns)).all() and len(
                changed[:, differs].unique(dim=1).T
            ) == 1
            reached += patches
            sides |= {(int(rows.sum()), "rows"), (int(columns.sum()), "columns")}
            areas.add(int(patches.sum()))
    assert reached.min() > 0
    assert sides == {(length, side) for length in range(1, 5) for side in ("rows", "columns")}
    assert 1 in areas and 16 in areas and 12 in areas  # height and width are drawn independently


def test_offsets_are_uniform(images: ImageSet) -> None:
    one = samples(images, config=PseudoConfig(images="train", patches=(3, 3)))
    counts = np.zeros((4, 4))
    for iteration in range(100):
        originals, mixed = one.batch(iteration, 8)
        for differs in (originals != mixed).any(dim=1):
            rows, columns = torch.where(differs)
            counts[int(rows.min()) // PATCH, int(columns.min()) // PATCH] += 1
    assert ((counts - 50) ** 2 / 50).sum() < 37.7  # chi-square, 15 degrees of freedom, p = 0.001


def test_no_image_is_used_twice_in_a_batch(images: ImageSet) -> None:
    one = samples(images, indices=range(10, 20))
    originals, mixed = one.batch(0, 5)
    colours = torch.cat([originals, mixed]).permute(0, 2, 3, 1).reshape(-1, 3).unique(dim=0)
    assert len(colours) == 10  # all ten images occur, and no other
    red = ((colours[:, 0] * 0.5 + 0.5) * 255 / 6).round().long()
    assert sorted(red.tolist()) == list(range(10, 20))
    with pytest.raises(ImageError, match=r"batch of 6 needs 12 images, 'train' has 10 outside"):
        one.batch(0, 6)


def test_memory_does_not_change_the_batches(images: ImageSet, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = samples(images).batch(2, 8)[1]
    monkeypatch.setattr(pseudo, "ROOM", 3 * 30 * 20 * 3)
    short = samples(images)
    assert torch.equal(short.batch(2, 8)[1], expected) and torch.equal(short.batch(2, 8)[1], expected)
    assert len(short._kept) == 3


def test_crops_keep_the_share_and_aspect_of_torchvision() -> None:
    """Same distribution as torchvision's RandomResizedCrop: means of area and aspect agree within sampling error."""
    rng = np.random.default_rng(0)
    ours = np.array([random_box(300, 200, (0.25, 1.0), rng) for _ in range(3000)])
    assert ours.min() >= 0 and ours[:, 2].max() == 300 and ours[:, 3].max() == 200
    wide, high = ours[:, 2] - ours[:, 0], ours[:, 3] - ours[:, 1]
    torch.manual_seed(0)
    crop = RandomResizedCrop(8, scale=(0.25, 1.0))
    blank = torch.zeros(3, 200, 300)
    sides = itemgetter("height", "width")
    theirs = np.array([sides(crop.make_params([blank])) for _ in range(3000)])
    pairs = ((wide * high, theirs.prod(axis=1)), (wide / high, theirs[:, 1] / theirs[:, 0]))
    for our, their in pairs:
        assert abs(our.mean() - their.mean()) < 4 * np.sqrt((our.var() + their.var()) / 3000)
    assert (wide * high).min() > 0.24 * 300 * 200


def test_long_images_give_their_central_part() -> None:
    """In 1000 x 10 pixels no draw of half the area fits: the centre with the widest permitted aspect is taken."""
    rng = np.random.default_rng(0)
    assert random_box(1000, 10, (0.5, 1.0), rng) == (493, 0, 506, 10)
    assert random_box(10, 1000, (0.5, 1.0), rng) == (0, 493, 10, 506)


@pytest.mark.parametrize("patches", [(1, 7)])
def test_rectangles_must_fit_the_grid(images: ImageSet, patches: tuple[int, int]) -> None:
    with pytest.raises(ConfigError, match=r"patches.*6 x 6"):
        samples(images, config=PseudoConfig(images="train", patches=patches))
    assert samples(images, config=PseudoConfig(images="train", patches=(6, 6))).batch(0, 2)[1].shape[0] == 2


def test_remaining_images_are_in_no_manifest(images: ImageSet) -> None:
    benchmark = pd.DataFrame({"images": ["train", "other", "train"], "file": ["03.png", "05.png", "00.png"]})
    locality = pd.DataFrame({"images": ["train"], "file": ["39.png"]})
    left = remaining(images, benchmark, locality)
    assert left.tolist() == [at for at in range(40) if at not in (0, 3, 39)]
    assert remaining(images).tolist() == list(range(40))


def test_views_are_two_mixtures_of_the_same_originals(images: ImageSet) -> None:
    """Each has its own donor and rectangle; donors, originals and other images are all different pictures."""
    one = samples(images)
    drawn = one.views(3, 6, 5)
    assert drawn.originals.shape == drawn.mixed.shape == drawn.views.shape == (6, 3, 24, 24)
    assert drawn.others.shape == (5, 3, 24, 24)
    colours = set()
    for part in (drawn.originals, drawn.others):
        assert all(len(image.flatten(1).unique(dim=1).T) == 1 for image in part)
        colours |= {tuple(image[:, 0, 0].tolist()) for image in part}
    rectangles = []
    for part in (drawn.mixed, drawn.views):
        differs = (part != drawn.originals).any(dim=1)
        assert differs.any(dim=(1, 2)).all()
        pasted = {
            tuple(changed[:, where][:, 0].tolist()) for changed, where in zip(part, differs, strict=True)
        }
        assert len(pasted) == 6 and not pasted & colours
        colours |= pasted
        rectangles.append(differs)
    assert len(colours) == 23 and not torch.equal(*rectangles)


def test_views_depend_on_seed_and_number_only(images: ImageSet) -> None:
    drawn, again = samples(images).views(3, 4, 2), samples(images).views(3, 4, 2)
    assert torch.equal(drawn.views, again.views) and torch.equal(drawn.others, again.others)
    assert not torch.equal(drawn.views, samples(images).views(4, 4, 2).views)
    assert not torch.equal(drawn.originals, samples(images).batch(3, 4)[0])
    with pytest.raises(ImageError, match=r"12 with two views and 5 others needs 41 images, 'train' has 40"):
        samples(images).views(0, 12, 5)
