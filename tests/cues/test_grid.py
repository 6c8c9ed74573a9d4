"""The grid of cues, its sliding windows and the rule."""

from __future__ import annotations

import numpy as np
import pytest

from quavf.cues.grid import (
    COLUMNS,
    CONFIDENCE,
    LIP,
    RATE,
    SIZE,
    YAW,
    CueGrid,
    apply_rule,
    logit,
    nearest_ticks,
    reach,
    rolling_max,
    rolling_mean,
    rolling_std,
    sigmoid,
)


def make_grid(n_ticks: int = 60, n_people: int = 1) -> CueGrid:
    """People who face the camera with closed, still lips, in silence."""
    faces = np.zeros((n_people, n_ticks, len(COLUMNS)))
    faces[:, :, SIZE], faces[:, :, CONFIDENCE] = 100.0, 1.0
    return CueGrid(faces, np.zeros(n_ticks), np.full(n_ticks, -60.0))


def talk(grid: CueGrid, person: int = 0) -> CueGrid:
    """The same with one person's lips moving, and a voice."""
    faces = grid.faces.copy()
    faces[person, :, LIP] = 0.1 + 0.1 * np.sin(np.arange(grid.n_ticks) * 1.7)
    return CueGrid(faces, np.ones(grid.n_ticks), np.full(grid.n_ticks, -20.0))


@pytest.mark.parametrize("look_ahead", [None, 0, 3])
def test_sliding_windows_equal_a_loop(look_ahead: int | None) -> None:
    rng = np.random.default_rng(0)
    values = rng.normal(size=(2, 40))
    values[rng.random(values.shape) < 0.3] = np.nan
    values[1, 10:30] = np.nan
    half, after = 5, 5 if look_ahead is None else min(5, look_ahead)
    for person in range(2):
        for tick in range(40):
            part = values[person, max(tick - half, 0) : tick + after + 1]
            part = part[~np.isnan(part)]
            expected = part.mean() if len(part) else np.nan
            assert rolling_mean(values, half, look_ahead)[person, tick] == pytest.approx(
                expected, nan_ok=True
            )
            expected = part.std() if len(part) >= 3 else np.nan
            assert rolling_std(values, half, look_ahead)[person, tick] == pytest.approx(
                expected, nan_ok=True, abs=1e-7
            )
            expected = part.max() if len(part) else np.nan
            assert rolling_max(values, half, look_ahead)[person, tick] == pytest.approx(
                expected, nan_ok=True
            )


def test_rule_needs_all_three_factors() -> None:
    talking = apply_rule(talk(make_grid()))
    assert talking.to_me[0].min() > 0.95
    silent_lips = talk(make_grid(n_people=2))
    assert apply_rule(silent_lips).to_me[1].max() < 0.1
    muted = CueGrid(talk(make_grid()).faces, np.zeros(60), np.full(60, -60.0))
    assert apply_rule(muted).to_me.max() < 0.01
    turned = talk(make_grid())
    turned.faces[:, :, YAW] = 60.0
    assert apply_rule(turned).to_me.max() < 0.1
    assert apply_rule(turned).speaking.min() > 0.95


def test_rule_does_not_know_what_the_mesh_cannot_read() -> None:
    grid = talk(make_grid())
    grid.faces[:, :, [LIP, YAW]] = np.nan
    assert np.isnan(apply_rule(grid).to_me).all()


def test_rule_of_the_causal_form_ignores_the_future() -> None:
    grid, changed = talk(make_grid()), talk(make_grid())
    changed.faces[:, 33:, LIP] = 0.0
    changed.voice[33:] = 0.0
    a, b = apply_rule(grid, 2).to_me[0], apply_rule(changed, 2).to_me[0]
    np.testing.assert_array_equal(a[:31], b[:31])
    assert abs(a[31] - b[31]) > 0 or abs(a[36] - b[36]) > 0.1


def test_nearest_ticks_leaves_gaps_empty() -> None:
    times = np.array([0.0, 1 / 30, 1.0])
    rows = nearest_ticks(times, 20)
    assert rows[0] == 0
    assert rows[15] == 2
    assert (rows[3:13] == -1).all()
    assert (nearest_ticks(np.empty(0), 3) == -1).all()


def test_logit_inverts_sigmoid_within_its_limit() -> None:
    values = np.array([-4.0, 0.0, 3.0])
    np.testing.assert_allclose(logit(sigmoid(values)), values)
    assert logit(np.array([0.0]))[0] == pytest.approx(-6.0)
    assert reach(1.0) == RATE
