"""What all parts of the configuration share: kinds of values, and a strict frozen base class."""

import re
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

Fraction = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[int, Field(gt=0)]
NonNegative = Annotated[int, Field(ge=0)]
Rate = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Sparsity = Annotated[float, Field(ge=0, lt=1)]
Scalar = bool | int | float | str
Lax = Field(strict=False)  # YAML has no paths and no tuples: these two are made from strings and lists
Name = Annotated[str, Field(pattern=r"^[a-z0-9_]+$")]


LONGEST_NAME, LONGEST_PATH = 255, 4096
"""Bytes of a file's name and of a path on Linux."""


def _possible(path: Path) -> Path:
    try:
        parts = [part.encode() for part in path.parts]
    except UnicodeEncodeError:
        raise ValueError("no file can have this name: it is no text") from None
    if any(len(part) > LONGEST_NAME or b"\0" in part for part in parts) or len(str(path)) > LONGEST_PATH:
        raise ValueError("no file can have this name: it is too long, or has a zero in it")
    return path


File = Annotated[Path, Lax, AfterValidator(_possible)]


def _unique(values: list[Any]) -> list[Any]:
    doubled = sorted({str(value) for value in values if values.count(value) > 1})
    if doubled:
        raise ValueError(f"{', '.join(doubled)} given more than once")
    return values


Unique = AfterValidator(_unique)


def as_number(value: object) -> str:
    """What to write instead of a text that was meant as a number: 1.0e-3 for "1e-3"; empty for everything else."""
    text = value if isinstance(value, str) else ""
    found = re.fullmatch(r"([+-]?\d+)(\.\d*)?[eE]([+-]?)(\d+)", text)
    return f"{found[1]}{found[2] or '.0'}e{found[3] or '+'}{found[4]}" if found else ""


class Section(BaseModel):
    """A frozen part of the configuration that refuses unknown keys."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid", use_attribute_docstrings=True)
