"""Many pictures of the embedded world at once, rendered by one process or shared among several."""

from concurrent.futures import Executor, Future
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from jaxtyping import Int64, UInt8

from vitedit.embedded.render import IMAGE_SIZE, sample

CHUNK = 500  # pictures in one task of a worker


@dataclass(frozen=True)
class Pictures:
    """Rendered pictures with their truth: images (n, 48, 48, 3) uint8, labels (n,), contexts (n,)."""

    images: UInt8[np.ndarray, "n 48 48 3"]
    labels: Int64[np.ndarray, "n"]
    contexts: Int64[np.ndarray, "n"]


def render_range(
    seed: int, stream: str, start: int, stop: int, typical_share: float, style: str = "plain"
) -> Pictures:
    """Pictures `start` to `stop` (exclusive) of a stream; see render.sample."""
    images = np.empty((stop - start, IMAGE_SIZE, IMAGE_SIZE, 3), np.uint8)
    truth = np.empty((2, stop - start), np.int64)
    for at, index in enumerate(range(start, stop)):
        images[at], *truth[:, at] = sample(seed, stream, index, typical_share=typical_share, style=style)
    return Pictures(images, truth[0], truth[1])


def submit_range(
    executor: Executor, seed: int, stream: str, start: int, stop: int, typical_share: float
) -> list[Future[Pictures]]:
    """render_range in chunks on an executor, so that several processes can share it."""
    edges = [*range(start, stop, CHUNK), stop]
    return [executor.submit(render_range, seed, stream, a, b, typical_share) for a, b in pairwise(edges)]


def gather(chunks: list[Future[Pictures]]) -> Pictures:
    """Waits for the chunks of submit_range and joins them in order."""
    parts = [chunk.result() for chunk in chunks]
    return Pictures(
        np.concatenate([part.images for part in parts]),
        np.concatenate([part.labels for part in parts]),
        np.concatenate([part.contexts for part in parts]),
    )
