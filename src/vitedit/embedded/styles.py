"""The five styles of the embedded world: changes of a finished picture, before it is scaled down."""

from collections.abc import Callable

import numpy as np
from jaxtyping import Float32

from vitedit.embedded.contexts import COLUMNS, ROWS, SIDE, Field, Picture, smooth_noise

LUMINANCE = np.array((0.299, 0.587, 0.114), np.float32)
Layers = Float32[np.ndarray, "side side channels"]
OIL_COLOURS = np.array([[0.75, 0.22, 0.08], [0.25, 0.68, 0.22], [0.05, 0.05, 0.55]], np.float32)
"""Mixes red, green and blue into a warm, less saturated palette; rows are the colours before."""


def box_mean(values: Layers, radius: int) -> Layers:
    """Mean over the square window of `radius` around each pixel, edges repeated."""
    width = 2 * radius + 1
    for axis in (0, 1):
        pad = [(radius + 1, radius) if axis == at else (0, 0) for at in range(3)]
        total = np.cumsum(np.pad(values, pad, mode="edge"), axis=axis, dtype=np.float64)
        upper, lower = np.take(total, range(width, SIDE + width), axis), np.take(total, range(SIDE), axis)
        values = ((upper - lower) / width).astype(np.float32)
    return values


def edge_strength(picture: Picture) -> Field:
    """Length of the brightness gradient after a light blur, about 0 to 1."""
    grey = box_mean((picture @ LUMINANCE)[..., None], 1)[..., 0]
    down, right = np.gradient(grey)
    return np.sqrt(down**2 + right**2) * 4


def bend(picture: Picture, rng: np.random.Generator, reach: float, cells: int) -> Picture:
    """Moves every pixel by up to about `reach` pixels along a smooth random field."""
    row = np.clip(ROWS + reach * smooth_noise(rng, cells, cells), 0, SIDE - 1).astype(np.int64)
    column = np.clip(COLUMNS + reach * smooth_noise(rng, cells, cells), 0, SIDE - 1).astype(np.int64)
    return picture[row, column]


def kuwahara(picture: Picture, radius: int) -> Picture:
    """Replaces each pixel by the mean of the calmest of the four windows that touch it: flat strokes, kept edges."""
    with_square = np.concatenate([picture, (picture @ LUMINANCE)[..., None] ** 2], axis=2)
    mean = np.pad(box_mean(with_square, radius), ((radius, radius), (radius, radius), (0, 0)), mode="edge")
    variance = mean[..., 3] - (mean[..., :3] @ LUMINANCE) ** 2
    corners = [(down, right) for down in (0, 2 * radius) for right in (0, 2 * radius)]
    choices = np.stack([mean[a : a + SIDE, b : b + SIDE, :3] for a, b in corners])
    calmest = np.stack([variance[a : a + SIDE, b : b + SIDE] for a, b in corners]).argmin(axis=0)
    return np.take_along_axis(choices, calmest[None, ..., None], axis=0)[0]


def plain(picture: Picture, rng: np.random.Generator) -> Picture:
    """The picture as it is."""
    del rng
    return picture


def oil_painting(picture: Picture, rng: np.random.Generator) -> Picture:
    """Brush strokes: pixels displaced in dabs, smoothed to flat patches, warm palette, relief of the canvas."""
    painted = kuwahara(bend(picture, rng, 3.0, 24), 2)
    toned = painted @ OIL_COLOURS + np.array((0.06, 0.03, 0.0), np.float32)
    angle = 3 * smooth_noise(rng, 4, 4)
    strokes = np.sin((ROWS * np.cos(angle) + COLUMNS * np.sin(angle)) * 1.1) * smooth_noise(rng, 12, 12)
    return toned + 0.16 * strokes[..., None]


def stage_light(picture: Picture, rng: np.random.Generator) -> Picture:
    """Two coloured spots in a dark hall."""
    light = np.full((SIDE, SIDE, 3), 0.05, np.float32)
    for _ in range(2):
        row, column, radius = rng.uniform((24, 24, 18), (72, 72, 34)).astype(np.float32)
        colour = rng.permutation(np.array((1.5, rng.uniform(0.2, 0.9), 0.1), np.float32))
        distance = ((ROWS - row) ** 2 + (COLUMNS - column) ** 2) / radius**2
        spot = np.exp(-(distance**2))
        light += spot[..., None] * colour
    return picture * light


def renditions(picture: Picture, rng: np.random.Generator) -> Picture:
    """A cartoon: three flat tones in swapped, saturated colours, with black outlines."""
    flat = np.round(box_mean(picture, 2) * 3) / 3
    recoloured = flat[..., rng.permutation(3)]
    grey = (recoloured @ LUMINANCE)[..., None]
    saturated = grey + 1.5 * (recoloured - grey)
    return np.where(edge_strength(flat)[..., None] > 0.45, np.float32(0.05), np.clip(saturated, 0, 1))


def sketch(picture: Picture, rng: np.random.Generator) -> Picture:
    """Pencil on paper: dark where the brightness changes, with a little hatching in the dark parts."""
    hatch = (np.sin((ROWS + COLUMNS) * 0.9) > 0) * np.clip(0.45 - picture @ LUMINANCE, 0, 1)
    pencil = np.clip(1.3 * edge_strength(picture), 0, 0.85) + 0.5 * hatch
    paper = 0.95 + 0.04 * smooth_noise(rng, 48, 48)
    return (paper - pencil)[..., None] * np.array((1.0, 0.99, 0.95), np.float32)


STYLES: dict[str, Callable[[Picture, np.random.Generator], Picture]] = {
    "plain": plain,
    "oil_painting": oil_painting,
    "stage_light": stage_light,
    "renditions": renditions,
    "sketch": sketch,
}
