"""Which edit is kept: the one that is asked for if it keeps the bounds, or with `--sparsity auto` the best of several."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass

from vitedit.data.images import ImageSet
from vitedit.errors import ConfigError, NumericalError, ViteditError
from vitedit.model.about import Way
from vitedit.progress import track
from vitedit.tool import text
from vitedit.tool.editing import Attempt, Ground, Outcome, make, measure
from vitedit.tool.failures import Failures
from vitedit.tool.methods import Method

log = logging.getLogger(__name__)

SPARSITIES = (0.25, 0.5, 0.75, 0.9, 0.95, 0.99)
"""Those of the paper's curves, and a sparser one."""
MIN_LOCALITY = 0.98
"""The bound of `--sparsity auto` where none is named."""


@dataclass(frozen=True)
class Bounds:
    """What an edit has to keep to be written."""

    success: float = 1.0
    """Least share of the samples that it gets right."""
    locality: float | None = None
    """Least share of the other predictions that it leaves as they were; without it any."""
    anyway: bool = False
    """Whether an edit that does not keep them is written all the same."""

    def check(self) -> None:
        """Refuses bounds that are no rates.

        Raises:
            ConfigError: One is not in [0, 1].
        """
        for flag, bound in (("--min-success", self.success), ("--min-locality", self.locality)):
            if bound is not None and not 0 <= bound <= 1:
                raise ConfigError(f"{flag} {bound}: a share of images, from 0 to 1.")

    def succeeds(self, outcome: Outcome) -> bool:
        """Whether an edit gets enough samples right."""
        return outcome.patch.about.measured.success >= self.success

    def kept_by(self, outcome: Outcome) -> bool:
        """Whether an edit gets enough samples right, and leaves enough other predictions as they were."""
        made = outcome.patch.about.measured
        local = self.locality is None or (made.locality is not None and made.locality >= self.locality)
        return self.succeeds(outcome) and local


@dataclass(frozen=True)
class Task:
    """What is to be edited, how, and what it is measured on."""

    failures: Failures
    method: Method
    ground: Ground
    way: Way
    neighbours: ImageSet | None
    locality: ImageSet | None

    def outcomes(self, methods: Sequence[Method]) -> list[Outcome]:
        """An edit with each of several settings of the method; of several those that do not stay finite are left out.

        Raises:
            NumericalError: None stays finite.
        """
        what = track(methods, "edits", total=len(methods)) if len(methods) > 1 else methods
        attempts = list[Attempt]()
        for at, method in enumerate(what, 1):
            try:
                attempts.append(make(self.failures, method, self.ground, self.way))
            except NumericalError as error:
                if at == len(methods) and not attempts:
                    raise
                log.warning("left out: %s with %s: %s", method.name, method.setting, error)
        return measure(self.failures, attempts, self.neighbours, self.locality)


def edit_once(task: Task, bounds: Bounds) -> Outcome:
    """The one edit that is asked for.

    Raises:
        ViteditError: It does not keep the bounds.
    """
    (outcome,) = task.outcomes([task.method])
    if bounds.anyway or bounds.kept_by(outcome):
        return outcome
    said = text.of_edit(outcome, task.failures.classes)
    if not bounds.succeeds(outcome):
        more = f"\n\n{said}\n\n" if len(task.failures.samples) > 1 else " "
        raise ViteditError(
            f"{text.failed(outcome)}{more}Nothing is written. {_way_out(outcome)}--anyway writes it."
        )
    raise ViteditError(
        f"the edit keeps less than {bounds.locality:.1%} of the other predictions:\n\n{said}\n\n"
        f"Nothing is written. {_SEARCH if 'sparsity' in task.method.setting else ''}--anyway writes this one."
    )


_SEARCH = "--sparsity auto looks for an edit that keeps the bound; "


def _way_out(outcome: Outcome) -> str:
    success = outcome.patch.about.measured.success
    return f"--min-success {int(100 * success) / 100:g} is content with it; " if success >= 0.01 else ""


def edit_best(task: Task, bounds: Bounds) -> tuple[str, Outcome]:
    """The edit that the bounds choose among several sparsities, and the table that shows why.

    Raises:
        ConfigError: The method has no sparsity.
        ViteditError: None keeps the bounds.
    """
    outcomes = task.outcomes([task.method.under(sparsity) for sparsity in SPARSITIES])
    chosen = choose(outcomes, bounds)
    said = text.trade_off(outcomes, chosen)
    if chosen is not None:
        return said, outcomes[chosen]
    if bounds.anyway:
        return said, max(outcomes, key=_by_locality)
    enough = f"succeeds for {bounds.success:.0%} of the samples" if bounds.success < 1 else "succeeds"
    raise ViteditError(
        f"no sparsity gives an edit that {enough} and keeps {bounds.locality:.1%} of the other predictions:\n\n{said}\n\n"
        "Nothing is written. Lower the bounds (--min-locality, --min-success), try another method, or keep the most local edit "
        "of those that succeed best with --anyway."
    )


def choose(outcomes: Sequence[Outcome], bounds: Bounds) -> int | None:
    """Which edit is kept: of those that keep the bounds and succeed best, the one that generalizes best.

    Of those that do so equally well the most local one; without neighbours the one of lowest sparsity. None if there is none.
    """
    fit = [at for at, outcome in enumerate(outcomes) if bounds.kept_by(outcome)]
    return max(fit, key=lambda at: (_rates(outcomes[at]), -at), default=None)


def _rates(outcome: Outcome) -> tuple[float, float, float]:
    """Success, generalization, locality; without neighbours success alone: every edit within the bounds is as good."""
    made = outcome.patch.about.measured
    if made.generalization is None:
        return made.success, 0.0, 0.0
    return made.success, made.generalization, made.locality or 0.0


def _by_locality(outcome: Outcome) -> tuple[float, float]:
    made = outcome.patch.about.measured
    return made.success, made.locality or 0.0
