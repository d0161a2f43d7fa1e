"""Damaged files, and what may come of reading one: a result or an error of ours, in bounded time and memory."""

import os
import signal
import tracemalloc
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from vitedit.errors import ViteditError

SECONDS = 10
MOST_MEMORY = 2**26
ODD_NUMBERS = [b"\x00", b"\xff", b"\x7f", b"\x80", b"\x01"]

EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "0"))
"""Damaged files a test, to search for what nobody knows yet; without it a few, the same in every run."""
FUZZ = settings(
    max_examples=EXAMPLES or 50,
    derandomize=not EXAMPLES,
    database=None,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)

Damage = Callable[[bytes], bytes]


def _at(content: bytes, place: float) -> int:
    return int(place * len(content))


def _flip(place: float, bit: int) -> Damage:
    def damage(content: bytes) -> bytes:
        at = _at(content, place)
        return content[:at] + bytes([byte ^ 1 << bit for byte in content[at : at + 1]]) + content[at + 1 :]

    return damage


def _overwrite(place: float, byte: bytes, length: int) -> Damage:
    """Lengths and offsets become huge, zero or negative."""

    def damage(content: bytes) -> bytes:
        at = _at(content, place)
        return content[:at] + byte * length + content[at + length :]

    return damage


def _truncate(place: float) -> Damage:
    return lambda content: content[: _at(content, place)]


def _delete(place: float, length: int) -> Damage:
    return lambda content: content[: _at(content, place)] + content[_at(content, place) + length :]


def _repeat(place: float, length: int) -> Damage:
    def damage(content: bytes) -> bytes:
        at = _at(content, place)
        return content[: at + length] + content[at:]

    return damage


def _place() -> st.SearchStrategy[float]:
    """Anywhere; more often at the beginning and the end, where formats keep their headers."""
    inner = st.floats(0, 1, exclude_max=True)
    return st.one_of(inner, inner.map(lambda at: at / 20), inner.map(lambda at: 1 - at / 20 - 1e-9))


ONE = st.one_of(
    st.builds(_flip, _place(), st.integers(0, 7)),
    st.builds(_overwrite, _place(), st.sampled_from(ODD_NUMBERS), st.sampled_from([1, 2, 4, 8])),
    st.builds(_truncate, _place()),
    st.builds(_delete, _place(), st.integers(1, 600)),
    st.builds(_repeat, _place(), st.integers(1, 600)),
)


@st.composite
def damages(draw: st.DrawFn, most: int = 4) -> Damage:
    """A few changes, one after the other."""
    changes = draw(st.lists(ONE, min_size=1, max_size=most))

    def damage(content: bytes) -> bytes:
        for change in changes:
            content = change(content)
        return content

    return damage


class TooLong(BaseException):
    """No Exception, which readers may catch."""


@contextmanager
def bounded() -> Iterator[None]:
    """Fails what takes more than `SECONDS` of computing, which waiting for other jobs is not, or waits much longer."""

    def stop(number: int, frame: FrameType | None) -> None:
        raise TooLong(f"took more than {SECONDS} s")

    timers = {
        signal.SIGVTALRM: (signal.ITIMER_VIRTUAL, SECONDS),
        signal.SIGALRM: (signal.ITIMER_REAL, 10 * SECONDS),
    }
    before = {number: signal.signal(number, stop) for number in timers}
    for timer, seconds in timers.values():
        signal.setitimer(timer, seconds)
    try:
        yield
    finally:
        for number, (timer, _) in timers.items():
            signal.setitimer(timer, 0)
            signal.signal(number, before[number])


def outcome(action: Callable[[], Any]) -> Any:
    """What an action returns, or the error of ours that it raises, which has to be in words."""
    with bounded(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of libraries, on damaged files
        try:
            return action()
        except ViteditError as error:
            assert len(str(error).split()) > 3 and "Type-check error" not in str(error), error
            return error


def lean(action: Callable[[], Any]) -> Any:
    """The outcome of an action that must not take more than `MOST_MEMORY`, as Python and NumPy count it."""
    tracemalloc.start()
    try:
        found = outcome(action)
        assert tracemalloc.get_traced_memory()[1] < MOST_MEMORY
    finally:
        tracemalloc.stop()
    return found
