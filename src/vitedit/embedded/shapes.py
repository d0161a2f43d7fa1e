"""The ten shapes and two textures of the embedded world, as functions of object coordinates.

Object coordinates put the object's centre at (0, 0) and its outermost points near distance 1, y pointing down. A shape is a
signed distance (negative inside); a texture is a share in [0, 1] that mixes the object's two colours.
"""

from collections.abc import Callable

import numpy as np
from jaxtyping import Float32

Field = Float32[np.ndarray, "height width"]
Number = float | np.float32
Shape = Callable[[Field, Field], Field]
Texture = Callable[[Field, Field, Number], Field]


def _box(x: Field, y: Field, half_width: float, half_height: float) -> Field:
    """Signed distance (in the largest-coordinate sense) to an upright rectangle around the origin."""
    return np.maximum(np.abs(x) - half_width, np.abs(y) - half_height)


def arrow(x: Field, y: Field) -> Field:
    """An arrow pointing up: a triangular head on a shaft."""
    head = np.maximum(y - 0.05, 0.70 * (np.abs(x) - 0.88) - 0.70 * (y - 0.05) - 0.02)
    return np.minimum(head, _box(x, y - 0.45, 0.33, 0.48))


def bar(x: Field, y: Field) -> Field:
    """A long horizontal bar with round ends."""
    return np.sqrt(np.maximum(np.abs(x) - 0.58, 0.0) ** 2 + y**2) - 0.40


def crescent(x: Field, y: Field) -> Field:
    """A moon, open to the right."""
    return np.maximum(np.sqrt(x**2 + y**2) - 0.95, 0.72 - np.sqrt((x - 0.52) ** 2 + y**2))


def cross(x: Field, y: Field) -> Field:
    """An upright plus sign."""
    return np.minimum(_box(x, y, 0.34, 0.94), _box(x, y, 0.94, 0.34))


def disc(x: Field, y: Field) -> Field:
    """A full disc."""
    return np.sqrt(x**2 + y**2) - 0.88


def heart(x: Field, y: Field) -> Field:
    """Two lobes over a tip that points down."""
    lobes = np.sqrt((np.abs(x) - 0.45) ** 2 + (y + 0.38) ** 2) - 0.51
    tip = np.maximum(0.70 * (np.abs(x) + y) - 0.56, -0.02 - y)
    return np.minimum(np.minimum(lobes, tip), _box(x, y + 0.18, 0.30, 0.20))


def ring(x: Field, y: Field) -> Field:
    """A disc with a round hole."""
    return np.abs(np.sqrt(x**2 + y**2) - 0.69) - 0.27


def square(x: Field, y: Field) -> Field:
    """A square that stands on its side."""
    return _box(x, y, 0.77, 0.77)


def star(x: Field, y: Field) -> Field:
    """A star with five points: one edge, folded ten times."""
    fold = np.float32(np.pi / 5)
    angle = np.abs((np.arctan2(x, -y) + 11 * fold) % (2 * fold) - fold)
    radius = np.sqrt(x**2 + y**2)
    inner_x, inner_y = 0.50 * np.cos(fold), 0.50 * np.sin(fold)
    edge_x, edge_y = inner_x - 1.05, inner_y
    across = (radius * np.cos(angle) - 1.05) * edge_y - radius * np.sin(angle) * edge_x
    return across / np.float32(np.hypot(edge_x, edge_y))


def triangle(x: Field, y: Field) -> Field:
    """An equilateral triangle that points up."""
    return np.maximum(y - 0.60, 0.866 * np.abs(x) - 0.5 * y - 0.52)


def spotted(x: Field, y: Field, period: Number) -> Field:
    """Round spots on a staggered grid; `period` is the distance between neighbours in a row."""
    row = np.floor(y / (0.87 * period))
    along = (x / period + 0.5 * (row % 2)) % 1.0 - 0.5
    across = (y / (0.87 * period)) % 1.0 - 0.5
    distance = np.sqrt(along**2 + (0.87 * across) ** 2)
    return np.clip((0.33 - distance) * 8 + 0.5, 0, 1)


def striped(x: Field, y: Field, period: Number) -> Field:
    """Straight bands of equal width; `period` is the width of a pair of bands."""
    del y  # the caller turns the coordinates, so bands along one axis are enough
    return np.clip(np.sin(x * np.float32(2 * np.pi / period)) * 2 + 0.5, 0, 1)


SHAPES: dict[str, Shape] = {
    "arrow": arrow,
    "bar": bar,
    "crescent": crescent,
    "cross": cross,
    "disc": disc,
    "heart": heart,
    "ring": ring,
    "square": square,
    "star": star,
    "triangle": triangle,
}
TEXTURES: dict[str, Texture] = {"spotted": spotted, "striped": striped}
