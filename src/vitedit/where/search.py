"""Which layers to edit: windows of consecutive FFNs and self-attentions compared by fine-tuning (paper section 3.1, Fig. 2)."""

from collections.abc import Iterator
from dataclasses import dataclass

import pandas as pd

from vitedit.errors import ConfigError
from vitedit.model.sites import Part
from vitedit.where.pareto import harmonic, pareto_front


@dataclass(frozen=True)
class Window:
    """Consecutive blocks (0-based, inclusive) whose FFNs or self-attentions are edited together."""

    part: Part
    first: int
    last: int

    @property
    def blocks(self) -> list[int]:
        """The blocks, in forward order."""
        return list(range(self.first, self.last + 1))


def windows(depth: int, length: int) -> Iterator[Window]:
    """Every window of `length` blocks, FFNs first: {1-3, ..., 10-12} x 2 for 12 blocks and length 3.

    Raises:
        ConfigError: The model has fewer blocks than a window.
    """
    if length > depth:
        raise ConfigError(f"search.window: a window of {length} blocks does not fit into a model of {depth}.")
    parts: tuple[Part, ...] = ("mlp", "attn")
    for part in parts:
        for first in range(depth - length + 1):
            yield Window(part, first, first + length - 1)


def choose(rows: pd.DataFrame) -> Window:
    """The window on the Pareto front with the highest harmonic mean of generalization and locality; the earlier of equals.

    The paper names its choice without a rule (docs/deviations.md). The harmonic mean prefers balance: a window that keeps
    everything because it changes nothing scores zero.

    Args:
        rows: One row per window and edit with columns part, first, last, gr, lr.
    """
    means = rows.groupby(["part", "first", "last"], as_index=False)[["gr", "lr"]].mean()
    front = means[pareto_front(means["gr"].to_numpy(), means["lr"].to_numpy())]
    best = front.loc[front.index[harmonic(front["gr"].to_numpy(), front["lr"].to_numpy()).argmax()]]
    return Window(best["part"], int(best["first"]), int(best["last"]))
