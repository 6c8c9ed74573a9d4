from __future__ import annotations

import numpy as np
import pytest

from quavf.core.records import Floats
from quavf.results.minimise import minimise


def bowl(x: Floats) -> tuple[float, Floats]:
    """Least at (1, -2, 3), a thousand times as steep in one direction."""
    steep, away = np.array([1.0, 30.0, 1000.0]), x - np.array([1.0, -2.0, 3.0])
    return float((steep * away**2).sum() / 2), steep * away


def valley(x: Floats) -> tuple[float, Floats]:
    """Rosenbrock's function, least at (1, 1)."""
    a, b = float(x[0]), float(x[1])
    slope = np.array([-2 * (1 - a) - 400 * a * (b - a * a), 200 * (b - a * a)])
    return (1 - a) ** 2 + 100 * (b - a * a) ** 2, slope


@pytest.mark.parametrize("start", [(0, 0, 0), (100, 50, -20), (1, -2, 3)])
def test_bowls(start: tuple[float, ...]) -> None:
    np.testing.assert_allclose(minimise(bowl, np.array(start)), [1, -2, 3], atol=1e-6)


def test_curved_valley() -> None:
    np.testing.assert_allclose(minimise(valley, np.array([-1.2, 1.0])), [1, 1], atol=1e-6)


def test_it_stops_where_nothing_improves() -> None:
    """At a kink the gradient promises what no step keeps."""
    point = minimise(lambda x: (float(abs(x[0])), np.sign(x)), np.array([0.75]))
    assert abs(point[0]) <= 0.75
