"""Plain text for a terminal: aligned columns, and nothing in them that acts on it."""

from collections.abc import Collection, Iterable, Sequence

GAP = "  "
FEW = 12
"""Names in a row that are read, not counted."""


def table(rows: Iterable[Sequence[str]]) -> str:
    """Rows as lines, their columns aligned; nothing in them can move the cursor or change colours."""
    shown = [[printable(cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*shown, strict=True)]
    return "\n".join(
        GAP.join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in shown
    )


def printable(text: str) -> str:
    """Text with `?` for what a terminal would act on."""
    return "".join(letter if letter.isprintable() else "?" for letter in text)


def percent(share: float) -> str:
    """A share without decimals."""
    return f"{share:.0%}"


def few(names: Collection[str]) -> str:
    """Names in a row; of many the first, and how many more there are."""
    shown = list(names)[:FEW]
    return ", ".join(shown) + (f" and {len(names) - len(shown)} more" if len(names) > len(shown) else "")


def count_of(rate: float, count: int, what: str) -> str:
    """A rate as a number of things."""
    return f"{round(rate * count)} of {count} {what}".rstrip()
