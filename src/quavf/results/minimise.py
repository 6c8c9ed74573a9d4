"""Minimise a smooth function of a few variables."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from quavf.core.records import Floats

Loss = Callable[[Floats], tuple[float, Floats]]  # the value at a point (P,), and its gradient

HISTORY = 10  # steps that the curvature is estimated from
ENOUGH = 1e-4  # share of the decrease that the slope promises, see `_search`


def minimise(loss: Loss, start: Floats, *, tolerance: float = 1e-7, steps: int = 500) -> Floats:
    """The point (P,) where a smooth function is least, from `start`: L-BFGS, deterministic.

    Stops when the gradient's largest value is below `tolerance`, or no step improves the value.
    Nocedal and Wright, Numerical Optimization, algorithms 7.4 and 7.5.
    """
    point = np.array(start, float)
    value, gradient = loss(point)
    moves: list[tuple[Floats, Floats]] = []  # differences of points and of gradients
    for _ in range(steps):
        if np.abs(gradient).max() < tolerance:
            break
        found = _search(loss, point, value, gradient, _choose_direction(gradient, moves))
        if found is None:
            break
        new_point, value, new_gradient = found
        move = (new_point - point, new_gradient - gradient)
        if move[0] @ move[1] > 1e-14:
            moves = [*moves[1 - HISTORY :], move]
        point, gradient = new_point, new_gradient
    return point


def _choose_direction(gradient: Floats, moves: list[tuple[Floats, Floats]]) -> Floats:
    """Downhill, scaled by the curvature that earlier moves have shown."""
    direction = -gradient
    shares = []
    for step, change in reversed(moves):
        share = (step @ direction) / (step @ change)
        direction = direction - share * change
        shares.append(share)
    if moves:
        step, change = moves[-1]
        direction = direction * (step @ change) / (change @ change)
    else:
        direction = direction / max(1.0, float(np.abs(gradient).sum()))
    for (step, change), share in zip(moves, reversed(shares), strict=True):
        direction = direction + (share - (change @ direction) / (step @ change)) * step
    return direction


def _search(
    loss: Loss, point: Floats, value: float, gradient: Floats, direction: Floats
) -> tuple[Floats, float, Floats] | None:
    """The first of ever shorter steps that improves the value enough; None: there is none."""
    slope = float(gradient @ direction)
    length = 1.0
    for _ in range(40):
        new_point = point + length * direction
        new_value, new_gradient = loss(new_point)
        if new_value <= value + ENOUGH * length * slope:
            return new_point, new_value, new_gradient
        length /= 2
    return None
