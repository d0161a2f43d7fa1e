"""Class probabilities of a model on a whole image set."""

from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
import torch
from jaxtyping import Float32
from torch import Tensor, nn

from vitedit.config import TransformConfig
from vitedit.data.images import ImageSet
from vitedit.errors import ConfigError, ImageError, NumericalError
from vitedit.progress import track

THREADS = 4


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
    decoded = track(_decoded(images, batches, transform), f"batches of {images.name}", len(batches))
    parts = [model(batch.to(device)).float().softmax(dim=1).cpu().numpy() for batch in decoded]
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
