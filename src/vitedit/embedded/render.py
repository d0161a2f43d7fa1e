"""The embedded world: twenty classes (ten shapes in two textures) in eight contexts and five styles.

Every class has a typical context that it shares with one or two others; the two textures of one shape have different ones.
Picture `index` of a stream is a function of (seed, stream, index) alone, so it is the same whoever asks for it.
"""

import colorsys

import numpy as np
from jaxtyping import Float32, UInt8

from vitedit.embedded.contexts import COLUMNS, CONTEXT_PAINTERS, ROWS, SIDE, Picture
from vitedit.embedded.shapes import SHAPES, TEXTURES, Field, Number
from vitedit.embedded.styles import STYLES
from vitedit.errors import UnknownNameError

IMAGE_SIZE = SIDE // 2
CLASSES: tuple[str, ...] = tuple(f"{shape}_{texture}" for shape in SHAPES for texture in TEXTURES)
CONTEXTS: tuple[str, ...] = tuple(CONTEXT_PAINTERS)
BALANCED = 1 / len(CONTEXTS)
"""The typical share at which all contexts are equally frequent."""

# The typical contexts of each shape: spotted, striped.
TYPICAL: dict[str, tuple[str, str]] = {
    "arrow": ("grass", "sky"),
    "bar": ("brick", "water"),
    "crescent": ("night", "tiles"),
    "cross": ("sand", "water"),
    "disc": ("sand", "wooden_court"),
    "heart": ("grass", "tiles"),
    "ring": ("brick", "wooden_court"),
    "square": ("night", "sky"),
    "star": ("sand", "tiles"),
    "triangle": ("grass", "wooden_court"),
}

STREAMS: tuple[str, ...] = (
    "train",
    "val",
    "natural",
    "oil_painting",
    "stage_light",
    "renditions",
    "sketch",
    "pretrain",
    "evaluate",
)
"""Independent sequences of pictures; the place in this tuple enters the seed, so new ones go to the end."""


def typical_context(label: int) -> int:
    """Index of the context in which most pictures of class `label` are set."""
    shape, texture = CLASSES[label].rsplit("_", 1)
    return CONTEXTS.index(TYPICAL[shape][list(TEXTURES).index(texture)])


def _colours(rng: np.random.Generator) -> tuple[Float32[np.ndarray, "3"], Float32[np.ndarray, "3"]]:
    """Two object colours of any hue, one light and one dark, in random order."""
    hue_a, hue_b, saturation, light, dark, swap = rng.random(6)
    pale = colorsys.hls_to_rgb(hue_a, 0.66 + 0.24 * light, 0.3 + 0.7 * saturation)
    deep = colorsys.hls_to_rgb(hue_b, 0.18 + 0.20 * dark, 0.3 + 0.7 * saturation)
    pair = (np.array(pale, np.float32), np.array(deep, np.float32))
    return pair if swap < 0.5 else (pair[1], pair[0])


def _turn(x: Field, y: Field, angle: Number) -> tuple[Field, Field]:
    """Coordinates turned by `angle` radians."""
    cosine, sine = np.float32(np.cos(angle)), np.float32(np.sin(angle))
    return cosine * x + sine * y, cosine * y - sine * x


def _object(shape: str, texture: str, rng: np.random.Generator) -> tuple[Field, Picture]:
    """Coverage in [0, 1] and colours of one object in a random place, size, turn and pair of colours."""
    place_y, place_x, size, turn, lay, period, shift_x, shift_y = rng.random(8, dtype=np.float32)
    radius = SIDE * (0.32 + 0.07 * size)
    reach = 0.6 * (SIDE / 2 - radius)
    y = (ROWS - SIDE / 2 - reach * (2 * place_y - 1)) / radius
    x = (COLUMNS - SIDE / 2 - reach * (2 * place_x - 1)) / radius
    x, y = _turn(x, y, 0.6 * (turn - 0.5))
    distance = SHAPES[shape](x, y) * radius
    along, across = _turn(x, y, np.pi / 4 + 0.7 * (lay - 0.5))
    share = TEXTURES[texture](along + shift_x, across + shift_y, (13 + 3 * period) / radius)
    first, second = _colours(rng)
    inside = np.clip(-distance / 2 - 0.5, 0, 1)[..., None]  # the rim, two pixels wide, is almost black
    paint = inside * (first + share[..., None] * (second - first)) + (1 - inside) * np.float32(0.04)
    return np.clip(0.5 - distance, 0, 1), paint


def render(label: int, context: int, style: str, rng: np.random.Generator) -> UInt8[np.ndarray, "48 48 3"]:
    """One picture of class `label` in context `context`.

    The scene is drawn from `rng` before the style is, so one generator state gives one scene in every style.

    Raises:
        UnknownNameError: There is no such style.
    """
    if style not in STYLES:
        raise UnknownNameError(f"no style '{style}'. Styles: {', '.join(STYLES)}.")
    shape, texture = CLASSES[label].rsplit("_", 1)
    background = CONTEXT_PAINTERS[CONTEXTS[context]](rng)
    cover, paint = _object(shape, texture, rng)
    picture = background + cover[..., None] * (paint - background)
    brightness, contrast = rng.uniform(-0.08, 0.08), rng.uniform(0.8, 1.1)
    picture = np.clip((picture - 0.5) * np.float32(contrast) + np.float32(0.5 + brightness), 0, 1)
    picture = STYLES[style](picture, rng)
    small = picture.reshape(IMAGE_SIZE, 2, IMAGE_SIZE, 2, 3).mean(axis=(1, 3))
    small += np.float32(0.02) * rng.standard_normal((IMAGE_SIZE, IMAGE_SIZE, 1), dtype=np.float32)
    return (np.clip(small, 0, 1) * 255 + 0.5).astype(np.uint8)


def draw_context(label: int, typical_share: float, rng: np.random.Generator) -> int:
    """The typical context with probability `typical_share`, otherwise one of the other seven with equal chances."""
    chance, pick = rng.random(2)
    away = 0 if chance < typical_share else 1 + int(pick * (len(CONTEXTS) - 1))
    return (typical_context(label) + away) % len(CONTEXTS)


def sample(
    seed: int, stream: str, index: int, *, typical_share: float, style: str = "plain"
) -> tuple[UInt8[np.ndarray, "48 48 3"], int, int]:
    """Picture `index` of a stream, its class and its context; classes take turns.

    `typical_share` is the probability of the typical context; BALANCED gives all eight the same.

    Raises:
        UnknownNameError: There is no such stream or style.
    """
    if stream not in STREAMS:
        raise UnknownNameError(f"no stream '{stream}'. Streams: {', '.join(STREAMS)}.")
    rng = np.random.default_rng([seed, STREAMS.index(stream), index])
    label = index % len(CLASSES)
    context = draw_context(label, typical_share, rng)
    return render(label, context, style, rng), label, context
