"""Two patches side by side: what they do, and where they change the same weights."""

from dataclasses import dataclass

import torch

from vitedit.errors import ArtifactError
from vitedit.model.difference import Difference
from vitedit.model.patch import Patch


@dataclass(frozen=True)
class Overlap:
    """Weights of one parameter that two patches change."""

    name: str
    first: int
    second: int
    both: int
    """Changed by both."""
    conflicts: int
    """Changed by both, to different values."""


def overlap(first: Patch, second: Patch) -> list[Overlap]:
    """Overlap of two patches, a line a parameter that either changes.

    Raises:
        ArtifactError: The same parameter has other shapes in them: of other architectures, or with neurons that one has added.
    """
    names = dict.fromkeys([*first.differences, *second.differences])
    return [_of_parameter(name, first.differences.get(name), second.differences.get(name)) for name in names]


def _of_parameter(name: str, first: Difference | None, second: Difference | None) -> Overlap:
    one, other = (0 if change is None else len(change.entries()[0]) for change in (first, second))
    if first is None or second is None:
        return Overlap(name, one, other, 0, 0)
    if first.shape != second.shape:
        raise ArtifactError(
            f"{name} is {first.shape} in one patch and {second.shape} in the other: other architectures, or one patch "
            "was made on top of neurons that the other has added. They cannot be compared."
        )
    if first.grown != second.grown:
        raise ArtifactError(
            f"{name} has grown by other numbers of neurons in the two patches; they cannot be compared."
        )
    (places, values), (others, other_values) = first.entries(), second.entries()
    here, there = torch.isin(places, others), torch.isin(others, places)
    return Overlap(name, one, other, int(here.sum()), int((values[here] != other_values[there]).sum()))
