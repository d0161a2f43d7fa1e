"""Probabilities in the set's order, whatever the batch size."""

import logging
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from vitedit.config import ImagesConfig, TransformConfig
from vitedit.data import predictions
from vitedit.data.images import ImageSet, open_images
from vitedit.data.predictions import labels_of, predict
from vitedit.errors import ConfigError, ImageError, NumericalError

TRANSFORM = TransformConfig(size=6)
CPU = torch.device("cpu")


@pytest.fixture
def images(tmp_path: Path) -> ImageSet:
    for at in range(23):
        pixels = np.random.default_rng(at).integers(0, 256, (9, 7, 3), np.uint8)
        (tmp_path / f"c{at % 4}").mkdir(exist_ok=True)
        Image.fromarray(pixels).save(tmp_path / f"c{at % 4}" / f"{at}.png")
    return open_images("x", ImagesConfig(path=tmp_path))


@pytest.fixture
def model() -> nn.Module:
    model = nn.Sequential(nn.Flatten(), nn.Linear(108, 4))
    weights = torch.Generator().manual_seed(0)
    for parameter in model.parameters():
        parameter.data = torch.randn(parameter.shape, generator=weights)
    return model


@pytest.mark.parametrize("batch_size", [1, 5, 23, 64])
def test_order_and_values(images: ImageSet, model: nn.Module, batch_size: int) -> None:
    got = predict(model, images, TRANSFORM, CPU, batch_size)
    with torch.no_grad():
        expected = [torch.softmax(model(images.read([at], TRANSFORM))[0], 0).numpy() for at in range(23)]
    assert got.dtype == np.float32 and got.shape == (23, 4)
    np.testing.assert_allclose(got, expected, atol=1e-5)


def test_only_a_few_batches_are_decoded_ahead(images: ImageSet) -> None:
    read: list[int] = []

    class Counting(ImageSet):
        def read(self, indices: Sequence[int] | np.ndarray, transform: TransformConfig) -> torch.Tensor:
            read.extend(map(int, indices))
            return super().read(indices, transform)

    counting = Counting(images.name, images.files, images.labels, images.source)
    batches = predictions._decoded(counting, [np.array([at]) for at in range(23)], TRANSFORM)
    next(batches)
    time.sleep(0.1)
    assert len(read) <= predictions.THREADS + 1
    assert len(list(batches)) == 22 and sorted(read) == list(range(23))


def test_an_unreadable_image_ends_it(images: ImageSet, model: nn.Module, tmp_path: Path) -> None:
    (tmp_path / "c1" / "13.png").write_bytes(b"broken")
    with pytest.raises(ImageError, match=r"images\.x: c1/13\.png"):
        predict(model, images, TRANSFORM, CPU, 4)


def test_nan_is_noticed(images: ImageSet, model: nn.Module) -> None:
    model[1].bias.data[2] = torch.nan  # type: ignore[index]
    with pytest.raises(NumericalError, match=r"images\.x"):
        predict(model, images, TRANSFORM, CPU)


def test_labels_are_checked_against_the_model(images: ImageSet) -> None:
    assert labels_of(images, 4).tolist() == [0] * 6 + [1] * 6 + [2] * 6 + [3] * 5
    with pytest.raises(ConfigError, match="label 3, but the model has 3 classes"):
        labels_of(images, 3)
    with pytest.raises(ImageError, match="labels are needed"):
        labels_of(ImageSet("x", images.files, None, images.source), 4)
