"""Methods keep their look and are told apart, whatever the eye."""

import numpy as np
import pytest
from matplotlib.colors import to_rgb

from vitedit.figures.style import METHODS, SPARE, methods


def test_a_method_keeps_its_colour() -> None:
    few, many = methods(["ft", "hypernet"]), methods(["newest", "hypernet", "other", "ft"])
    assert few["hypernet"] == many["hypernet"] == METHODS["hypernet"]
    assert few["ft"] == many["ft"] and many["newest"] == methods(["other", "newest"])["newest"]
    every = methods([*METHODS, "newest", "other", "third"]).values()
    assert len({look.colour for look in every}) == len(every) == len({look.words for look in every})


# What people without one kind of cone see, as a matrix on linear RGB (Machado, Oliveira and Fernandes 2009, severity 1).
VISION = {
    "all": np.eye(3),
    "no green cones": [[0.367, 0.861, -0.228], [0.280, 0.673, 0.047], [-0.012, 0.043, 0.969]],
    "no red cones": [[0.152, 1.053, -0.205], [0.115, 0.786, 0.099], [-0.004, -0.048, 1.052]],
}


def lab(colours: list[str], vision: str) -> np.ndarray:
    """CIE L*a*b* (n, 3) of colours as seen."""
    rgb = np.array([to_rgb(colour) for colour in colours])
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    seen = (linear @ np.array(VISION[vision]).T).clip(0, 1)
    to_xyz = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
    xyz = seen @ to_xyz.T / [0.9505, 1, 1.089]
    x, y, z = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116).T
    return np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], 1)


@pytest.mark.parametrize(("vision", "least"), [("all", 25), ("no green cones", 8), ("no red cones", 8)])
def test_methods_are_told_apart(vision: str, least: float) -> None:
    """By colour with any vision, by marker always."""
    looks = list(METHODS.values())
    seen = lab([look.colour for look in looks], vision)
    distances = np.linalg.norm(seen[:, None] - seen[None], axis=2) + 1000 * np.eye(len(looks))
    assert distances.min() > least
    assert len({(look.marker, look.hollow) for look in looks}) == len(looks)
    assert not {look.colour for look in looks} & {colour for colour, *_ in SPARE}
    red, green, blue = to_rgb(METHODS["random_mask"].colour)
    assert red == green == blue
