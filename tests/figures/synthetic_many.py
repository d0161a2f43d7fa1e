"""Rows of many edits with plausible numbers."""

import numpy as np
import pandas as pd

from vitedit.measure.many import COLUMNS, COMBINED, RELATIONS, SEQUENCE

COUNTS, FEW, SIZES = (1, 3, 10, 30), 10, (1, 3, 10)
ORDERS = ("first order", "random order 1", "group by group")


def many_rows(methods: tuple[str, ...], backbone: str = "base", released: bool = False) -> pd.DataFrame:
    """Sequences in three orders, of which the first is the longest, and combined edits in the ways that a method has."""
    rng = np.random.default_rng(8)
    rows = []
    for method in methods:
        for way in ORDERS:
            length = COUNTS[-1] if way == ORDERS[0] else FEW
            rows += [_edit(method, way, count, rng) for count in range(1, length + 1)]
        for way in ("merge", *(("joint", "union") if method == "hypernet" else ())):
            rows += [_combined(method, way, size, rng) for size in SIZES for _ in range(2)]
    made = pd.DataFrame(rows).reindex(columns=COLUMNS)
    return made.assign(backbone=backbone, setting="", seed=0, released=released)


def _rates(count: int, rng: np.random.Generator) -> dict[str, float]:
    fall = 1 / (1 + 0.1 * count) + rng.normal(0, 0.01)
    return {"success": 0.99, "gr": 0.8 * fall, "lr": 0.6 * fall, "kept": 0.95 * fall, "retention": 0.9 * fall}


def _edit(method: str, way: str, count: int, rng: np.random.Generator) -> dict[str, object]:
    row: dict[str, object] = {"method": method, "experiment": SEQUENCE, "way": way, "count": count}
    if count <= FEW:
        held = dict(zip(RELATIONS, rng.integers(0, 4, len(RELATIONS)), strict=True))
        row |= {f"held_{name}": number for name, number in held.items()}
        row |= {f"lost_{name}": min(number, int(rng.integers(0, 2))) for name, number in held.items()}
    return row | (_rates(count, rng) if count in COUNTS else {})


def _combined(method: str, way: str, size: int, rng: np.random.Generator) -> dict[str, object]:
    rates = _rates(size, rng) | {"retention": np.nan}
    return {"method": method, "experiment": COMBINED, "way": way, "count": size, **rates}
