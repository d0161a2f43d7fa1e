"""Labels beside points, placed so that they cover neither points nor each other and stand nearest to their own point."""

from collections.abc import Iterable, Sequence
from itertools import product
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.text import Annotation, Text
from matplotlib.transforms import Bbox, BboxBase

_DISTANCES = (7.0, 10.0, 14.0, 19.0, 25.0, 32.0, 40.0)  # points
_ANGLES = (45, 135, -45, -135, 0, 180, 90, -90, 22, 158, -22, -158, 67, 113, -67, -113)
_SPOTS = [(d * np.cos(np.deg2rad(a)), d * np.sin(np.deg2rad(a)), d) for d, a in product(_DISTANCES, _ANGLES)]
_GAP = 6  # pixels between two labels
_MARKER = 10  # pixels that a point takes
_STRANGE = 150  # square pixels that standing nearer to another point costs
_LEADER = {"arrowstyle": "-", "lw": 0.6, "shrinkA": 0, "shrinkB": 3}


def settle(figure: Figure) -> None:
    """Lays the figure out. Labels are placed in pixels, so call this before, once everything else is drawn."""
    figure.draw_without_rendering()


def place(axis: Axes, points: np.ndarray, texts: Iterable[str], obstacles: np.ndarray, **style: Any) -> None:
    """Writes one text beside each point (n, 2) with a thin line to it, each at the best of the spots around it.

    Args:
        axis: A panel of a figure that has been laid out (`settle`).
        points: Points in data coordinates; those that are not finite get no label.
        texts: One label a point; an empty one is not written.
        obstacles: Further points (m, 2) to keep free.
        style: Passed on to `Axes.annotate`.
    """
    every = axis.transData.transform(np.vstack([points, obstacles]))
    centres = every[np.isfinite(every).all(1)]
    half = _MARKER / 2
    taken: list[BboxBase] = [Bbox.from_extents(x - half, y - half, x + half, y + half) for x, y in centres]
    taken += [extent(text).padded(_GAP) for text in axis.texts]
    leader = {**_LEADER, "color": style.get("color")}
    for point, text in zip(points, texts, strict=True):
        if text and np.isfinite(point).all():
            label = axis.annotate(
                text,
                point,
                (0, 0),
                textcoords="offset points",
                annotation_clip=False,
                arrowprops=leader,
                **style,
            )
            taken.append(_settle_label(label, axis, taken, centres).padded(_GAP))


def extent(text: Text) -> Bbox:
    """Pixels that a text takes, without the line of an annotation."""
    text.get_window_extent()  # an annotation finds its place here
    return Text.get_window_extent(text)


def _settle_label(label: Annotation, axis: Axes, taken: Sequence[BboxBase], centres: np.ndarray) -> Bbox:
    """Puts a label at its best spot; the box that it takes in pixels."""
    size = extent(label)
    middle = axis.transData.transform(label.xy)
    others = centres[np.hypot(*(centres - middle).T) > 1]
    scale = axis.get_figure(root=True).dpi / 72  # type: ignore[union-attr]  # an axis is in a figure

    def box(spot: tuple[float, float, float]) -> Bbox:
        left, bottom = (
            at + scale * shift - length * (0 if shift > 0.1 else 1 if shift < -0.1 else 0.5)
            for at, shift, length in zip(middle, spot[:2], (size.width, size.height), strict=True)
        )
        return Bbox.from_bounds(left, bottom, size.width, size.height)

    def cost(spot: tuple[float, float, float]) -> float:
        own = _distances(box(spot), middle[None])[0]
        strange = (_distances(box(spot), others) < own + 1).any()
        return _cost(box(spot), taken, axis.bbox) + _STRANGE * strange + spot[2]

    best = min(_SPOTS, key=cost)
    across, up, _ = best
    ha = "left" if across > 0.1 else "right" if across < -0.1 else "center"
    va = "bottom" if up > 0.1 else "top" if up < -0.1 else "center"
    label.set(position=(across, up), ha=ha, va=va)
    return box(best)


def _distances(box: BboxBase, points: np.ndarray) -> np.ndarray:
    """From a box to each point (n, 2)."""
    return np.hypot(*np.maximum(np.maximum(box.min - points, points - box.max), 0).T)


def _cost(box: Bbox, taken: Sequence[BboxBase], frame: BboxBase) -> float:
    """Covered area in square pixels, and what sticks out of the frame threefold."""
    shared = [Bbox.intersection(box, other) for other in taken]
    covered = sum(part.width * part.height for part in shared if part is not None)
    inside = Bbox.intersection(box, frame)
    outside = box.width * box.height - (inside.width * inside.height if inside is not None else 0)
    return covered + 3 * outside
