"""The one interface of all methods: `edit(split, samples) -> Edits`."""

from abc import ABC, abstractmethod
from typing import ClassVar, final

from vitedit.model.edits import Edits, Samples
from vitedit.model.vit import Split


class Editor(ABC):
    """A method as a frozen dataclass of its hyper-parameters (and trained artefacts); subclasses are final."""

    artifacts: ClassVar[tuple[str, ...]] = ()
    """Names of the trained artefacts that are passed as fields; the class of such a field has `load(path, base, depends)`."""

    def cut(self, base: Split) -> Split:
        """The model cut before the matrices that this method edits: by default those that the run chose.

        Edits are made and measured on it, so that a method that edits the last block costs the last block only.
        """
        return base

    @final
    def edit(self, split: Split, samples: Samples) -> Edits:
        """Edits the base model once for each of the E samples, all in one batch. The base model stays as it is.

        A sample whose label is already predicted is treated like any other: the stop rule decides.

        Raises:
            UnknownNameError: An edited name is no parameter of the model.
            NumericalError: A loss or a weight became NaN or infinite.
        """
        classes = split.vit.num_classes
        if not 0 <= int(samples.labels.min()) <= int(samples.labels.max()) < classes:
            raise ValueError(
                f"labels {samples.labels.tolist()[:8]} are not all among the model's {classes} classes 0 to {classes - 1}."
            )
        before = [parameter._version for parameter in split.vit.parameters()]
        edits = self.run(self.cut(split), samples).check(split.vit)
        assert before == [parameter._version for parameter in split.vit.parameters()], (
            "an editor wrote to the base model"
        )
        return edits

    @abstractmethod
    def run(self, split: Split, samples: Samples) -> Edits:
        """The method itself, on the model as `cut` cuts it."""
