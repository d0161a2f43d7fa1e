"""The one interface of all methods: `edit(split, samples) -> Edits`."""

import logging
from abc import ABC, abstractmethod
from typing import ClassVar, final

from vitedit.config import DescentConfig
from vitedit.errors import ConfigError
from vitedit.model.descent import judge
from vitedit.model.edits import Edits, Samples
from vitedit.model.room import fitting
from vitedit.model.vit import Split

log = logging.getLogger(__name__)


class Editor(ABC):
    """A method as a frozen dataclass of its hyper-parameters (and trained artefacts); subclasses are final."""

    descent: DescentConfig
    """Budget and stop rule, from the run."""

    artifacts: ClassVar[tuple[str, ...]] = ()
    """Names of the trained artefacts that are passed as fields; the class of such a field has `load(path, base, depends)`."""

    masks: ClassVar[str] = "units"
    """What a hyper-parameter `sparsity` is a share of: hidden `units` of the chosen matrices, their `weights`, or the
    `neurons` of the chosen blocks' FFNs."""

    joint: ClassVar[bool] = False
    """Whether one edit may be made from images of several classes."""

    def cut(self, base: Split) -> Split:
        """The model cut before the matrices that this method edits: by default those that the run chose.

        Edits are made and measured on it, so that a method that edits the last block costs the last block only.
        """
        return base

    @final
    def edit(self, split: Split, samples: Samples) -> Edits:
        """Edits the base model once for each of the E samples, in one batch if that fits into free memory. The base model stays
        as it is.

        An edit whose samples meet the stop rule before it begins is no change at all, whatever the method.

        Raises:
            UnknownNameError: An edited name is no parameter of the model.
            NumericalError: A loss or a weight became NaN or infinite.
            ConfigError: An edit is to be made from images of several classes, which the method cannot do.
        """
        if samples.labels.dim() == 2 and not self.joint:
            raise ConfigError(
                f"{type(self).__name__} makes an edit from images of one class. Edit once for each image and add up the edits "
                "(`merge`), or take another method."
            )
        classes = split.vit.num_classes
        if not 0 <= int(samples.labels.min()) <= int(samples.labels.max()) < classes:
            raise ValueError(
                f"labels {samples.labels.tolist()[:8]} are not all among the model's {classes} classes 0 to {classes - 1}."
            )
        before = [parameter._version for parameter in split.vit.parameters()]
        cut = self.cut(split)
        room = fitting(cut, samples.images)
        if room < len(samples):
            log.info(
                "free memory holds %d of these %d edits at once: they are made in parts", room, len(samples)
            )
        edits = Edits.join([self._batch(cut, part) for part in samples.parts(room)])
        assert before == [parameter._version for parameter in split.vit.parameters()], (
            "an editor wrote to the base model"
        )
        return edits

    def _batch(self, cut: Split, samples: Samples) -> Edits:
        """Edits of one batch; those that were done before they began change nothing."""
        edits = self.run(cut, samples).check(cut.vit)
        labels = samples.labels.to(cut.device)
        return edits.undo(*judge(cut, {}, cut.prefix_samples(samples.images), labels, self.descent))

    @abstractmethod
    def run(self, split: Split, samples: Samples) -> Edits:
        """The method itself, on the model as `cut` cuts it."""
