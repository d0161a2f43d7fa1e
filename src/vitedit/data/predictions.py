"""Class probabilities of a model on a whole image set."""

import logging
import time
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
import torch
from jaxtyping import Float32
from torch import Tensor, nn
from tqdm import tqdm

from vitedit.config import TransformConfig
from vitedit.data.images import ImageSet
from vitedit.errors import ConfigError, ImageError, NumericalError

log = logging.getLogger(__name__)

THREADS = 4
SECONDS_BETWEEN_LINES = 30.0


@torch.inference_mode()
def predict(
    model: nn.Module, images: ImageSet, transform: TransformConfig, device: torch.device, batch_size: int = 64
) -> Float32[np.ndarray, "n C"]:
    """Softmax probabilities of every image, in the order of the set; images are decoded meanwhile.

    Raises:
        ImageError: An image is unreadable.
        NumericalError: The model returned NaN or infinite logits.
    """
    starts = range(0, len(images), batch_size)
    batches = [np.arange(start, min(start + batch_size, len(images))) for start in starts]
    parts = []
    with tqdm(total=len(images), desc=f"predict {images.name}", unit="image", disable=None) as bar:
        report = Report(f"predict {images.name}", len(images), quiet=not bar.disable)
        for batch in _decoded(images, batches, transform):
            parts.append(model(batch.to(device)).float().softmax(dim=1).cpu().numpy())
            bar.update(len(batch))
            report.update(len(batch))
    probabilities = np.concatenate(parts)
    if not np.isfinite(probabilities).all():
        raise NumericalError(
            f"images.{images.name}: the model's output is not finite; its checkpoint or `transform` is wrong."
        )
    return probabilities


def labels_of(images: ImageSet, classes: int) -> np.ndarray:
    """The set's labels, checked against the number of the model's classes.

    Raises:
        ImageError: The set has no labels.
        ConfigError: A label that the model does not have.
    """
    if images.labels is None:
        raise ImageError(
            f"images.{images.name}: labels are needed here; set `labels: folder` or `labels: csv`."
        )
    if images.labels.max() >= classes:
        raise ConfigError(
            f"images.{images.name}: label {images.labels.max()}, but the model has {classes} classes."
        )
    return images.labels


class Report:
    """Progress as log lines, for runs without a terminal."""

    def __init__(self, what: str, total: int, quiet: bool) -> None:
        self.what, self.total, self.quiet = what, total, quiet
        self.done, self.began = 0, time.monotonic()
        self.said = self.began

    def update(self, count: int) -> None:
        """Counts `count` more as done; says so twice a minute and at the end."""
        self.done += count
        now = time.monotonic()
        if not self.quiet and (now - self.said > SECONDS_BETWEEN_LINES or self.done == self.total):
            self.said, rate = now, self.done / max(now - self.began, 1e-9)
            left = (self.total - self.done) / rate
            log.info("%s: %d of %d, %.1f a second, %.0f s left", self.what, self.done, self.total, rate, left)


def _decoded(images: ImageSet, batches: Sequence[np.ndarray], transform: TransformConfig) -> Iterator[Tensor]:
    """Tensors of the batches in order, a few of them decoded ahead."""
    with ThreadPoolExecutor(THREADS) as pool:
        ahead: deque[Future[Tensor]] = deque()
        try:
            for batch in batches:
                ahead.append(pool.submit(images.read, batch, transform))
                if len(ahead) > THREADS:
                    yield ahead.popleft().result()
            while ahead:
                yield ahead.popleft().result()
        finally:
            pool.shutdown(wait=True, cancel_futures=True)
