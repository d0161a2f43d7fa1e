"""Labels beside points, placed so that they cover neither points nor each other."""

from collections.abc import Iterable, Sequence
from itertools import product
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.text import Annotation
from matplotlib.transforms import Bbox, BboxBase

_DISTANCES = (7.0, 12.0, 18.0)  # points
_ANGLES = (45, 135, -45, -135, 0, 180, 90, -90)
_SPOTS = [(d * np.cos(np.deg2rad(a)), d * np.sin(np.deg2rad(a)), d) for d, a in product(_DISTANCES, _ANGLES)]
_GAP = 3  # pixels between two labels
_MARKER = 10  # pixels that a point takes


def settle(figure: Figure) -> None:
    """Lays the figure out. Labels are placed in pixels, so call this before, once everything else is drawn."""
    figure.draw_without_rendering()


def place(axis: Axes, points: np.ndarray, texts: Iterable[str], obstacles: np.ndarray, **style: Any) -> None:
    """Writes one text beside each point (n, 2), each at the spot of 24 around it that covers least.

    Args:
        axis: A panel of a figure that has been laid out (`settle`).
        points: Points in data coordinates; those that are not finite get no label.
        texts: One label a point; an empty one is not written.
        obstacles: Further points (m, 2) to keep free.
        style: Passed on to `Axes.annotate`.
    """
    centres = axis.transData.transform(np.vstack([points, obstacles]))
    half = _MARKER / 2
    taken = [
        Bbox.from_extents(x - half, y - half, x + half, y + half)
        for x, y in centres
        if np.isfinite([x, y]).all()
    ]
    taken += [text.get_window_extent() for text in axis.texts]
    for point, text in zip(points, texts, strict=True):
        if text and np.isfinite(point).all():
            label = axis.annotate(
                text, point, (0, 0), textcoords="offset points", annotation_clip=False, **style
            )
            taken.append(_settle_label(label, axis, taken).padded(_GAP))


def _settle_label(label: Annotation, axis: Axes, taken: Sequence[BboxBase]) -> Bbox:
    """Puts a label at its best spot; the box that it takes in pixels."""
    size = label.get_window_extent()
    middle = axis.transData.transform(label.xy)
    scale = axis.get_figure(root=True).dpi / 72  # type: ignore[union-attr]  # an axis is in a figure

    def box(spot: tuple[float, float, float]) -> Bbox:
        left, bottom = (
            at + scale * shift - length * (0 if shift > 0.1 else 1 if shift < -0.1 else 0.5)
            for at, shift, length in zip(middle, spot[:2], (size.width, size.height), strict=True)
        )
        return Bbox.from_bounds(left, bottom, size.width, size.height)

    best = min(_SPOTS, key=lambda spot: _cost(box(spot), taken, axis.bbox) + spot[2] / 4)
    across, up, _ = best
    ha = "left" if across > 0.1 else "right" if across < -0.1 else "center"
    va = "bottom" if up > 0.1 else "top" if up < -0.1 else "center"
    label.set(position=(across, up), ha=ha, va=va)
    return box(best)


def _cost(box: Bbox, taken: Sequence[BboxBase], frame: BboxBase) -> float:
    """Covered area in square pixels, and what sticks out of the frame threefold."""
    shared = [Bbox.intersection(box, other) for other in taken]
    covered = sum(part.width * part.height for part in shared if part is not None)
    inside = Bbox.intersection(box, frame)
    outside = box.width * box.height - (inside.width * inside.height if inside is not None else 0)
    return covered + 3 * outside
