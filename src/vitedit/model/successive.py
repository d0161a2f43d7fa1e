"""One model that takes in edit after edit."""

from copy import deepcopy

from torch import nn

from vitedit.model.changes import Changes
from vitedit.model.patch import put
from vitedit.model.vit import Split


class Successive:
    """A copy of a base model into which edits are written one after another; the base model stays as it is.

    Any method edits `split` as it edits the base model, so an edit that was made before is there when the next one is made.
    """

    def __init__(self, base: Split) -> None:
        self.split = Split(deepcopy(base.vit), base.sites)
        self._base = base
        self._written: set[str] = set()

    def take(self, changes: Changes) -> None:
        """Writes all edits of a batch in, as one change (`Change.merge`); they must have been made from `split`."""
        for name, change in changes.items():
            new = change.merge().dense()[0] if len(change) > 1 else change.dense()[0]
            put(self.split.vit, name, nn.Parameter(new.detach().clone(), requires_grad=False))
        self._written |= changes.keys()

    def changes(self) -> Changes:
        """All edits so far as one edit of the base model, in full."""
        vit = self.split.vit
        return self._base.full({name: vit.get_parameter(name)[None] for name in sorted(self._written)})
