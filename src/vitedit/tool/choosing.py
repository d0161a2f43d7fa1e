"""`--sparsity auto`: edits at several sparsities, of which a bound on locality chooses."""

from collections.abc import Sequence

from vitedit.errors import ConfigError
from vitedit.model.vit import Split
from vitedit.progress import track
from vitedit.tool.editing import Attempt, Failure, Outcome, make
from vitedit.tool.methods import Method

SPARSITIES = (0.25, 0.5, 0.75, 0.9, 0.95, 0.99)
"""Those of the paper's curves, and a sparser one."""
MIN_LOCALITY = 0.98
"""The bound where none is named."""


def make_several(failure: Failure, method: Method, base: Split) -> list[Attempt]:
    """One edit at each of the sparsities.

    Raises:
        ConfigError: The method has no sparsity.
    """
    methods = [method.under(sparsity) for sparsity in SPARSITIES]
    return [make(failure, one, base) for one in track(methods, "edits", total=len(methods))]


def choose(outcomes: Sequence[Outcome], min_locality: float) -> int | None:
    """Which edit is kept: of those that succeed and keep the bound, the one that generalizes best.

    Of those that do so equally well the most local one; without neighbours the one of lowest sparsity. None if there is none.
    """
    fit = [at for at, outcome in enumerate(outcomes) if keeps(outcome, min_locality)]
    return max(fit, key=lambda at: (_rates(outcomes[at]), -at), default=None)


def keeps(outcome: Outcome, min_locality: float | None) -> bool:
    """Whether an edit succeeds on all samples, and leaves enough other predictions as they were."""
    measured = outcome.patch.about.measured
    enough = min_locality is None or (measured.locality is not None and measured.locality >= min_locality)
    return measured.success == 1 and enough


def _rates(outcome: Outcome) -> tuple[float, float]:
    """Generalization, then locality; nothing without neighbours, where every edit within the bound is as good."""
    measured = outcome.patch.about.measured
    return (
        (0.0, 0.0) if measured.generalization is None else (measured.generalization, measured.locality or 0.0)
    )


def check_bound(min_locality: float | None) -> None:
    """Refuses a bound that is no rate.

    Raises:
        ConfigError: It is not in [0, 1].
    """
    if min_locality is not None and not 0 <= min_locality <= 1:
        raise ConfigError(f"--min-locality {min_locality}: a share of images, from 0 to 1.")
