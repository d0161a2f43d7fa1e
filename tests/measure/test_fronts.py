"""Areas between curves and leads over a front, by hand."""

import numpy as np
import pytest

from vitedit.measure.fronts import area, escape


def row(*values: float) -> np.ndarray:
    return np.array([values])


def test_area_is_the_mean_height_over_the_common_range() -> None:
    # ours falls from (lr 0.2, gr 0.8) to (0.6, 0.4); theirs is level at 0.3 from 0.4 to 0.9
    gap = area(row(0.4, 0.8), row(0.6, 0.2), row(0.3, 0.3), row(0.4, 0.9))
    assert gap == pytest.approx([((0.6 - 0.3) + (0.4 - 0.3)) / 2], abs=1e-6)
    assert area(row(0.3, 0.3), row(0.4, 0.9), row(0.4, 0.8), row(0.6, 0.2)) == pytest.approx(-gap, abs=1e-6)


def test_a_single_point_is_compared_at_its_locality() -> None:
    ours = row(0.8, 0.4), row(0.2, 0.6)
    assert area(*ours, row(0.5), row(0.3)) == pytest.approx([0.2])
    assert np.isnan(area(*ours, row(0.5), row(0.7))).all()


def test_curves_without_common_locality_have_no_area() -> None:
    assert np.isnan(area(row(0.8, 0.4), row(0.2, 0.3), row(0.8, 0.4), row(0.4, 0.5))).all()


def test_draws_are_independent() -> None:
    gr, lr = np.random.default_rng(0).random((2, 7, 4))
    other = np.random.default_rng(1).random((2, 7, 3))
    each = [area(gr[[at]], lr[[at]], *other[:, [at]])[0] for at in range(7)]
    assert area(gr, lr, *other) == pytest.approx(each, nan_ok=True)


def test_escape() -> None:
    assert escape(row(0.5, 0.1), row(0.5, 0.9), row(0.6), row(0.6)) == pytest.approx([0.3])
    assert escape(row(0.5), row(0.5), row(0.6, 0.9), row(0.7, 0.2)) == pytest.approx([-0.1])
