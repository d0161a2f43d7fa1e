"""Many edits: one after another on one model, and one edit from many failures."""

from typing import Annotated

from pydantic import AfterValidator, Field

from vitedit.config.section import Name, NonNegative, Positive, Section, Unique


def _rising(values: list[int]) -> list[int]:
    if values != sorted(values):
        raise ValueError(f"{values}: write the numbers in rising order")
    return values


Numbers = Annotated[list[Positive], Field(min_length=1), Unique, AfterValidator(_rising)]


class ManyEditsConfig(Section):
    """What `snakemake many_edits` does (not in the paper): on the first backbone, every method at its knob's middle value."""

    images: Annotated[list[Name], Field(min_length=1), Unique] | None = None
    """Labelled sets whose images that the model gets wrong are the failures; null takes the labelled ones among those that groups
    and the locality set come from. Images of the locality set and of the groups held out for tuning are left out."""
    counts: Numbers = [1, 3, 10, 30, 100, 300, 1000]
    """Numbers of edits of a sequence after which everything is measured; the last is its length."""
    compared: Positive = 100
    """First edits of the sequence that are also made in other orders; of these each
    is asked which earlier ones it undoes."""
    shuffles: NonNegative = 2
    """Other random orders of these; one more order goes group by group."""
    sizes: Numbers = [1, 3, 10, 30, 100]
    """Numbers of failures that one edit is made from."""
    repeats: Positive = 4
    """Edits of each size, all from failures of their own."""
    others: Positive = 240
    """Images that the model is right about, on which it is measured what many edits do far from the failures."""

    @property
    def edited(self) -> int:
        """Number of failures that are edited."""
        return max(self.counts[-1], self.sizes[-1] * self.repeats)
