"""Labels beside points, placed so that they cover neither points nor each other."""

from collections.abc import Iterable
from itertools import product
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.transforms import Bbox

_ANGLES = np.deg2rad([45, 135, -45, -135, 0, 180, 90, -90])
_DISTANCES = (7, 12, 18)


def place(
    axis: Axes, points: np.ndarray, texts: Iterable[str], obstacles: np.ndarray | None = None, **style: Any
) -> None:
    """Writes one text beside each point (n, 2), at the first of 24 places with the least overlap.

    Call it once limits and sizes are final: it measures in pixels. `obstacles` (m, 2) are further points to keep free.
    """
    figure = axis.get_figure(root=True)
    assert figure is not None and isinstance(figure.canvas, FigureCanvasAgg)
    figure.draw_without_rendering()
    renderer = figure.canvas.get_renderer()
    centres = axis.transData.transform(points if obstacles is None else np.vstack([points, obstacles]))
    taken = [Bbox.from_bounds(x - 5, y - 5, 10, 10) for x, y in centres if np.isfinite([x, y]).all()]
    taken += [text.get_window_extent(renderer) for text in axis.texts]
    for point, text in zip(points, texts):
        if not text or not np.isfinite(point).all():
            continue
        label = axis.annotate(text, point, (0, 0), textcoords="offset points", annotation_clip=False, **style)
        best = min(
            _PLACES, key=lambda spot: _cost(_move(label, *spot, renderer), taken, axis.bbox) + spot[0] / 4
        )
        taken.append(_move(label, *best, renderer))


_PLACES = list(product(_DISTANCES, _ANGLES))


def _move(label: Any, distance: float, angle: float, renderer: Any) -> Bbox:
    """Puts the label at a distance (points) and angle from its point; its box in pixels."""
    across, up = np.cos(angle), np.sin(angle)
    label.set_position((distance * across, distance * up))
    label.set_ha("left" if across > 0.1 else "right" if across < -0.1 else "center")
    label.set_va("bottom" if up > 0.1 else "top" if up < -0.1 else "center")
    return label.get_window_extent(renderer)


def _cost(box: Bbox, taken: list[Bbox], frame: Bbox) -> float:
    """Covered area in square pixels, and what sticks out of the frame threefold."""
    shared = [Bbox.intersection(box, other) for other in taken]
    covered = sum(part.width * part.height for part in shared if part is not None)
    inside = Bbox.intersection(box, frame)
    outside = box.width * box.height - (inside.width * inside.height if inside is not None else 0)
    return covered + 3 * outside
