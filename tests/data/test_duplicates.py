"""A photograph stored twice is found, distinct pictures are not merged."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from vitedit.config import ImagesConfig
from vitedit.data.duplicates import repeated, repeats, thumbnail
from vitedit.data.images import open_images

REAL = Path(__file__).parents[3] / "shared" / "real"


def scene(seed: int) -> Image.Image:
    """Smooth random colours with some detail, like a photograph."""
    rng = np.random.default_rng(seed)
    coarse = Image.fromarray(rng.integers(0, 256, (7, 9, 3), np.uint8)).resize(
        (180, 140), Image.Resampling.BICUBIC
    )
    detail = rng.normal(0, 12, (140, 180, 3))
    return Image.fromarray((np.asarray(coarse) + detail).clip(0, 255).astype(np.uint8))


def test_copies_within_a_class_are_found(tmp_path: Path) -> None:
    for name, seed, quality in (
        ("0", 1, 95),
        ("1", 2, 90),
        ("2", 1, 40),
        ("3", 1, 60),
        ("4", 3, 90),
        ("5", 2, 90),
    ):
        scene(seed).save(tmp_path / f"{name}.jpg", quality=quality)
    images = open_images("x", ImagesConfig(path=tmp_path, labels="none"))
    classes = np.array([0, 0, 0, 1, 0, 0])
    assert repeats(images, classes, range(6)) == {2, 5}  # 3 is a copy, but of another class
    assert repeats(images, classes, [2, 4]) == {2}  # of image 0, which was not asked about
    assert repeats(images, classes, [0, 1, 3]) == set()


def test_resized_and_shifted_pictures() -> None:
    original = scene(5)
    smaller = original.resize((120, 93), Image.Resampling.BICUBIC)
    shifted = original.crop((20, 0, 180, 140))
    mirrored = original.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    thumbnails = np.stack([thumbnail(picture) for picture in (original, smaller, shifted, mirrored)])
    assert repeated(thumbnails).tolist() == [False, True, False, False]


def test_renders_of_the_embedded_world_stay_apart() -> None:
    """A hundred pictures of one class in one context, in every style."""
    render = pytest.importorskip("vitedit.embedded.render")
    styles = pytest.importorskip("vitedit.embedded.styles")
    for style in styles.STYLES:
        pictures = [render.render(3, 5, style, np.random.default_rng([9, at])) for at in range(100)]
        thumbnails = np.stack([thumbnail(Image.fromarray(picture)) for picture in pictures])
        assert not repeated(thumbnails).any()


@pytest.mark.skipif(not REAL.is_dir(), reason="needs the real photographs beside the project, no part of it")
def test_the_one_known_pair_of_real_photographs() -> None:
    """Of 1750 photographs of 1000 classes exactly the one that their description names."""
    config = ImagesConfig(path=REAL, labels="csv", csv=REAL / "photos.csv", label_column="imagenet_index")
    images = open_images("photos", config)
    assert images.labels is not None and len(images) == 1750
    found = [images.files[at] for at in repeats(images, images.labels, range(len(images)))]
    assert found == ["photos/imagen/0784_n04154565_17948_screwdriver.jpg"]
