"""The eight contexts of the embedded world: backgrounds in float32 RGB, drawn at twice the final resolution."""

from collections.abc import Callable

import numpy as np
from jaxtyping import Float32

SIDE = 96
Field = Float32[np.ndarray, "side side"]
Picture = Float32[np.ndarray, "side side 3"]

ROWS, COLUMNS = np.indices((SIDE, SIDE), dtype=np.float32)
"""Pixel coordinates, rows from the top."""


def _enlarge(cells: int) -> Float32[np.ndarray, "side cells"]:
    """Matrix that enlarges `cells` values to SIDE values by linear interpolation."""
    at = np.linspace(0, cells - 1, SIDE)
    return np.maximum(0, 1 - np.abs(at[:, None] - np.arange(cells))).astype(np.float32)


ENLARGE = {cells: _enlarge(cells) for cells in (4, 6, 12, 24, 48)}


def smooth_noise(rng: np.random.Generator, rows: int, columns: int) -> Field:
    """Uniform values in [-1, 1] on a coarse grid (a key of ENLARGE each way), interpolated to the picture."""
    grid = rng.random((rows, columns), dtype=np.float32) * 2 - 1
    return ENLARGE[rows] @ grid @ ENLARGE[columns].T


def shade(low: tuple[float, float, float], high: tuple[float, float, float], share: Field) -> Picture:
    """Colours between `low` (share 0) and `high` (share 1); shares may go beyond both ends."""
    dark, light = np.array(low, np.float32), np.array(high, np.float32)
    return dark + share[..., None] * (light - dark)


def sand(rng: np.random.Generator) -> Picture:
    """Pale dunes: fine grain over faint ripples."""
    phase = rng.random(dtype=np.float32) * 6.3
    ripple = np.sin(ROWS * 0.22 + phase + 2 * smooth_noise(rng, 4, 4))
    return shade(
        (0.74, 0.60, 0.36), (0.96, 0.86, 0.62), 0.5 + 0.28 * ripple + 0.3 * smooth_noise(rng, 48, 48)
    )


def wooden_court(rng: np.random.Generator) -> Picture:
    """Upright boards with dark seams and grain."""
    board = COLUMNS / 14 + rng.random(dtype=np.float32)
    tone = rng.random(10, dtype=np.float32)[board.astype(np.int64)]
    seam = np.clip(1.4 - 7 * np.abs(board % 1.0 - 0.5), 0, 1)
    return shade(
        (0.36, 0.19, 0.08), (0.84, 0.53, 0.26), 0.35 + 0.55 * tone - seam + 0.25 * smooth_noise(rng, 6, 48)
    )


def grass(rng: np.random.Generator) -> Picture:
    """Green blades: noise that is long in the upright direction."""
    return shade(
        (0.06, 0.25, 0.06),
        (0.45, 0.75, 0.22),
        0.5 + 0.7 * smooth_noise(rng, 12, 48) + 0.2 * smooth_noise(rng, 4, 4),
    )


def water(rng: np.random.Generator) -> Picture:
    """Blue waves: level crests, bent and broken."""
    phase = rng.random(dtype=np.float32) * 6.3
    wave = np.sin(ROWS * 0.5 + phase + 3 * smooth_noise(rng, 4, 12))
    return shade((0.02, 0.22, 0.48), (0.40, 0.78, 0.88), 0.4 + 0.35 * wave + 0.2 * smooth_noise(rng, 24, 12))


def brick(rng: np.random.Generator) -> Picture:
    """A red wall: staggered bricks between pale joints."""
    row = ROWS / 12 + rng.random(dtype=np.float32)
    column = COLUMNS / 24 + 0.5 * (np.floor(row) % 2) + rng.random(dtype=np.float32)
    tone = rng.random((10, 8), dtype=np.float32)[row.astype(np.int64), column.astype(np.int64)]
    joint = np.maximum(np.abs(row % 1.0 - 0.5) - 0.40, 2 * (np.abs(column % 1.0 - 0.5) - 0.45))
    wall = shade((0.45, 0.13, 0.08), (0.72, 0.32, 0.22), tone + 0.2 * smooth_noise(rng, 24, 24))
    return np.where(joint[..., None] > 0, np.array((0.78, 0.72, 0.66), np.float32), wall)


def sky(rng: np.random.Generator) -> Picture:
    """Light blue, paler towards the bottom, with clouds."""
    cloud = np.clip(1.6 * smooth_noise(rng, 6, 4) + 0.5 * smooth_noise(rng, 12, 12) - 0.2, 0, 1)
    blue = shade((0.30, 0.55, 0.92), (0.72, 0.87, 0.98), ROWS / SIDE)
    return blue + cloud[..., None] * (np.float32(0.98) - blue)


def night(rng: np.random.Generator) -> Picture:
    """Dark blue with stars."""
    stars = np.zeros((SIDE // 2, SIDE // 2), np.float32)
    stars[tuple(rng.integers(0, SIDE // 2, (2, 30)))] = rng.random(30, dtype=np.float32) * 0.7 + 0.3
    dark = shade((0.02, 0.02, 0.10), (0.10, 0.08, 0.26), ROWS / SIDE + 0.4 * smooth_noise(rng, 4, 4))
    return dark + stars.repeat(2, 0).repeat(2, 1)[..., None]


def tiles(rng: np.random.Generator) -> Picture:
    """A pale chequered floor with joints."""
    row, column = (axis / 16 + rng.random(dtype=np.float32) for axis in (ROWS, COLUMNS))
    chequer = (np.floor(row) + np.floor(column)) % 2
    joint = np.maximum(np.abs(row % 1.0 - 0.5), np.abs(column % 1.0 - 0.5)) > 0.45
    floor = shade((0.56, 0.66, 0.66), (0.90, 0.92, 0.90), chequer + 0.1 * smooth_noise(rng, 24, 24))
    return np.where(joint[..., None], np.float32(0.40), floor)


CONTEXT_PAINTERS: dict[str, Callable[[np.random.Generator], Picture]] = {
    "sand": sand,
    "wooden_court": wooden_court,
    "grass": grass,
    "water": water,
    "brick": brick,
    "sky": sky,
    "night": night,
    "tiles": tiles,
}
