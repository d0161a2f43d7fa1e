"""FT-l1: fine-tuning with an absolute penalty on the change of the edited weights."""

from dataclasses import dataclass
from typing import Annotated, ClassVar, final

from pydantic import Field
from torch import Tensor

from vitedit.config import DescentConfig, Rate
from vitedit.editors.base import Editor
from vitedit.model.descent import Objective
from vitedit.model.edits import Edits, Samples
from vitedit.model.objectives import absolute_change, soft_threshold
from vitedit.model.vit import Split, Weights
from vitedit.where.masks import fine_tune


@final
@dataclass(frozen=True)
class FineTuneL1(Editor):
    """Adds penalty_weight * |W - W0| over the sites' weights (published code: by its subgradient).

    The subgradient leaves unneeded weights oscillating around W0, so that nearly every weight changes. The proximal step
    shrinks the change instead after each update, with every weight's own step size, and gives true zeros.
    """

    joint: ClassVar[bool] = True

    descent: DescentConfig
    learning_rate: Rate
    """Step size of RMSprop."""
    penalty_weight: Annotated[float, Field(ge=0)]
    """lambda."""
    proximal: bool = False
    """Proximal step instead of the subgradient."""
    reference: bool = False
    """Begin as the published code does (deviation D17)."""

    def run(self, split: Split, samples: Samples) -> Edits:
        """Descends on all weights of the sites."""
        base, weight = split.weights, self.penalty_weight

        def project(values: Weights, rates: Weights, _: Tensor) -> Weights:
            return {
                name: base[name] + soft_threshold(value - base[name], weight * rates[name])
                for name, value in values.items()
            }

        if self.proximal:
            objective = Objective(split.call, project=project)
        else:
            objective = Objective(
                split.call, penalty=lambda values, _: weight * absolute_change(values, base)
            )
        return fine_tune(
            split, samples, self.descent, self.learning_rate, objective=objective, sgd_first=self.reference
        )
