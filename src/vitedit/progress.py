"""Progress of long work: a bar on a terminal, a line now and then in a log file, both with rate and time left."""

import logging
import sys
import time
from collections.abc import Iterable, Iterator
from typing import TypeVar

from tqdm import tqdm

T = TypeVar("T")
log = logging.getLogger(__name__)

SECONDS_BETWEEN_LINES = 20.0


def track(items: Iterable[T], what: str, total: int, start: int = 0) -> Iterator[T]:
    """Yields the items while showing how far the work is.

    Args:
        items: What remains to be done.
        what: Name of the work, with its unit in the plural ("meta-training iterations").
        total: Number of items including those done before.
        start: Items done before (a resumed stage).
    """
    if sys.stderr.isatty():
        yield from tqdm(items, desc=what, total=total, initial=start, dynamic_ncols=True)
        return
    began = spoke = time.monotonic()
    for done, item in enumerate(items, start + 1):
        yield item
        now = time.monotonic()
        if now - spoke >= SECONDS_BETWEEN_LINES or done == total:
            spoke, rate = now, (done - start) / max(now - began, 1e-9)
            log.info(
                "%s: %d of %d, %.2f a second, %.0f s left", what, done, total, rate, (total - done) / rate
            )
