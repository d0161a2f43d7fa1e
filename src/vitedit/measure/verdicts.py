"""One statement of the paper and its test: a number with an interval, and one of three verdicts.

Every statement is brought to one number that is positive where the statement holds. The one rule: a 95 % interval above 0 is
"reproduced", one below 0 "not reproduced", everything else "undecided". A statement of two parts takes the smaller number.
Fewer than `LEAST` groups decide nothing. What each number is: docs/claims.md.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
import yaml

from vitedit.errors import ConfigError
from vitedit.measure.bootstrap import interval
from vitedit.yaml_files import read_yaml

Verdict = Literal["reproduced", "not reproduced", "undecided"]
Paper = Mapping[str, Any]

PAPER_VALUES = Path("config/paper_values.yaml")
"""What the paper printed."""
LEAST = 6
"""Fewest independent units that decide: six that all agree differ from chance at 5 % (2 x 2^-6 = 3 %), five do not."""
UNKNOWN = "unknown"
"""Stands in the file of printed values for a number that the paper has but that is not known here."""
NO_NUMBER = "no number is known here"
"""Says so for people."""
TOO_FEW, NOT_MEASURED, NOT_DEFINED, TIED = "too few units", "not measured", "not defined", "interval holds 0"
"""Why a claim is undecided."""
Kind = Literal["finding", "check"]
"""A check holds by construction, whatever was measured, unless the code is wrong."""
_NOTHING = (np.nan, np.nan, np.nan)


@dataclass(frozen=True)
class Claim:
    """One statement of the paper, tested on one backbone. Rates and shares in `value`, `low` and `high` lie in [-1, 1]."""

    source: str
    backbone: str
    statement: str
    statistic: str
    value: float
    low: float
    high: float
    verdict: Verdict
    measured: str
    paper: str
    kind: Kind
    why: str
    """Why it is undecided; empty if it is not."""


COLUMNS = list(Claim.__dataclass_fields__)


@dataclass(frozen=True)
class Statement:
    """A statement before it is tested."""

    source: str
    backbone: str
    text: str
    statistic: str
    paper: str = NO_NUMBER
    kind: Kind = "finding"

    def untested(self, measured: str, why: str = NOT_MEASURED) -> Claim:
        """The claim of a run that cannot decide it, and why, in words and as one of the reasons."""
        place = (self.source, self.backbone, self.text, self.statistic)
        return Claim(*place, *_NOTHING, "undecided", measured, self.paper, self.kind, why)

    def tested(self, numbers: tuple[float, float, float], measured: str, few: str = "") -> Claim:
        """The claim with its verdict; `few` says why so little decides nothing, empty if there is enough."""
        claim = replace(self.untested(measured), value=numbers[0], low=numbers[1], high=numbers[2])
        if few:
            return replace(claim, measured=f"{measured} {few}", why=TOO_FEW)
        if np.isnan(numbers[1]):
            return replace(claim, why=NOT_DEFINED)
        found = verdict(numbers[1], numbers[2])
        return replace(claim, verdict=found, why=TIED if found == "undecided" else "")

    def resampled(self, draws: np.ndarray, measured: str, groups: int, edits: int, form: str = "pp") -> Claim:
        """The claim of a number over groups and edits: entry 0 as measured, then the resamples."""
        numbers = interval(draws)
        behind = f"{measured} {self.statistic}: {signed(numbers, form)}; {groups} groups, {edits} edits."
        return self.tested(numbers, behind, too_few(groups, "groups"))


def verdict(low: float, high: float) -> Verdict:
    """From the ends of the interval of a number that is positive where the statement holds."""
    return "reproduced" if low > 0 else "not reproduced" if high < 0 else "undecided"


def too_few(count: int, units: str) -> str:
    """Why so few units decide nothing; empty if there are enough."""
    return f"Too little to decide: fewer than {LEAST} {units} may agree by chance." if count < LEAST else ""


def signed(numbers: tuple[float, float, float], form: str = "pp") -> str:
    """A signed number with its interval; `pp` in percentage points, else a format of Python."""
    if np.isnan(numbers[0]):
        return "not defined"
    scale, digits, unit = (100, "+.1f", " pp") if form == "pp" else (1, form, "")
    value, low, high = (scale * number for number in numbers)
    ends = "" if np.isnan(low) else f" [{low:{digits}}, {high:{digits}}]"
    return f"{value:{digits}}{ends}{unit}".replace("-", "−")


def read_paper_values(path: Path = PAPER_VALUES) -> Paper:
    """What the paper printed, section by section.

    Raises:
        ConfigError: The file is missing or no mapping of sections.
    """
    try:
        values = read_yaml(path)
    except (OSError, yaml.YAMLError) as error:
        raise ConfigError(
            f"{path}: what the paper printed cannot be read ({error}). Run in the repository."
        ) from None
    if not isinstance(values, dict) or not all(isinstance(section, dict) for section in values.values()):
        raise ConfigError(f"{path}: asked for a mapping of sections (weights, layer_search, ...).")
    return values


def table(claims: list[Claim]) -> pd.DataFrame:
    """A row a claim."""
    return pd.DataFrame([asdict(claim) for claim in claims], columns=COLUMNS)
