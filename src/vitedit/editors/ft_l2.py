"""FT-l2: fine-tuning with a quadratic penalty on the change of the edited weights."""

from dataclasses import dataclass
from typing import Annotated, ClassVar, final

from pydantic import Field

from vitedit.config import DescentConfig, Rate
from vitedit.editors.base import Editor
from vitedit.model.descent import Objective
from vitedit.model.edits import Edits, Samples
from vitedit.model.objectives import squared_change
from vitedit.model.vit import Split
from vitedit.where.masks import fine_tune


@final
@dataclass(frozen=True)
class FineTuneL2(Editor):
    """Adds penalty_weight / 2 * ||W - W0||^2 over the sites' weights (published code)."""

    joint: ClassVar[bool] = True

    descent: DescentConfig
    learning_rate: Rate
    """Step size of RMSprop."""
    penalty_weight: Annotated[float, Field(ge=0)]
    """lambda."""
    reference: bool = False
    """Begin as the published code does (deviation D17)."""

    def run(self, split: Split, samples: Samples) -> Edits:
        """Descends on all weights of the sites."""
        base = split.weights
        objective = Objective(
            split.call, penalty=lambda values, _: self.penalty_weight * squared_change(values, base)
        )
        return fine_tune(
            split, samples, self.descent, self.learning_rate, objective=objective, sgd_first=self.reference
        )
