"""The loop of every training that can be interrupted: iterations, a log row each, and a state on disk now and then."""

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import pandas as pd

from vitedit.progress import track
from vitedit.tensors import load_state, save_state

log = logging.getLogger(__name__)


@runtime_checkable
class Training(Protocol):
    """What the loop drives. Everything random in an iteration depends on its number and on seeds only."""

    @property
    def rows(self) -> list[dict[str, Any]]:
        """The log: one row for each iteration that is done."""
        ...

    def step(self, iteration: int) -> None:
        """One iteration; adds its row."""
        ...

    def state(self) -> dict[str, Any]:
        """Everything that the rest of the training depends on, the rows included."""
        ...

    def restore(self, state: Mapping[str, Any]) -> None:
        """Goes back to a kept state."""
        ...


def run(
    training: Training,
    iterations: int,
    checkpoint_every: int,
    state: Path,
    depends: Mapping[str, Any],
    what: str = "training iterations",
) -> pd.DataFrame:
    """Trains in place, resuming from `state` if it is there; returns the log, one row an iteration.

    On the CPU a training that was killed and resumed ends with the same bits as an undisturbed one.

    Args:
        training: What is trained.
        iterations: Iterations in total, those done before included.
        checkpoint_every: Iterations between two states.
        state: File of the state; one of another configuration is ignored.
        depends: The configuration that the training depends on.
        what: Name of the work in progress messages.
    """
    kept = load_state(state, depends)
    if kept is not None:
        training.restore(kept)
        log.info("%s: going on after %d of %d, from %s", what, len(training.rows), iterations, state)
    done = len(training.rows)
    for iteration in track(range(done, iterations), what, iterations, done):
        training.step(iteration)
        if (iteration + 1) % checkpoint_every == 0:
            save_state(state, training.state(), depends)
    return pd.DataFrame(training.rows)
