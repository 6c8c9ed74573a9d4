from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from quavf.core.errors import ConfigError
from quavf.results.config import MomentsConfig
from quavf.results.moments import find_moments

PLAIN: dict[str, Any] = {"threshold": 0.5, "margin": 0.1, "max_gap": 0.0, "min_length": 0.0}
NAN = float("nan")


@pytest.mark.parametrize(
    ("scores", "settings", "expected"),
    [
        ([], {}, []),
        ([0.4], {}, []),
        ([0.5], {}, [(0.0, 0.1)]),  # one score holds for a step
        ([0.1, 0.6, 0.7, 0.1], {}, [(0.1, 0.3)]),
        ([0.6, 0.45, 0.6], {}, [(0.0, 0.3)]),  # under the threshold, over the margin
        ([0.45, 0.6, 0.45], {}, [(0.1, 0.3)]),  # but it does not begin there
        ([0.6, 0.39, 0.6], {}, [(0.0, 0.1), (0.2, 0.3)]),
        ([0.6, 0.39, 0.6], {"max_gap": 0.1}, [(0.0, 0.3)]),
        ([0.6, 0.1, 0.1, 0.6], {"max_gap": 0.1}, [(0.0, 0.1), (0.3, 0.4)]),
        ([0.6, 0.1, 0.6], {"min_length": 0.2}, []),
        ([0.6, 0.1, 0.6], {"min_length": 0.2, "max_gap": 0.1}, [(0.0, 0.3)]),  # joined first
        ([0.6, NAN, 0.6], {}, [(0.0, 0.3)]),  # not scored for a moment
        ([0.6, *[NAN] * 11, 0.6], {"max_gap": 9.0}, [(0.0, 0.1), (1.2, 1.3)]),  # gone for long
        ([NAN, NAN], {}, []),
        ([1.0, 0.0], {"threshold": 1.0, "margin": 1.0}, [(0.0, 0.2)]),  # never ends
    ],
)
def test_moments_table(
    scores: list[float], settings: dict[str, Any], expected: list[tuple[float, float]]
) -> None:
    times = np.arange(len(scores)) / 10
    found = find_moments(7, times, np.array(scores, float), 0.1, MomentsConfig(**PLAIN | settings))
    assert [(round(m.start_s, 6), round(m.end_s, 6)) for m in found] == expected
    assert all(m.person == 7 for m in found)


def test_confidence_is_the_mean_score_inside() -> None:
    scores = np.array([0.0, 0.6, 0.8, 0.0])
    (moment,) = find_moments(1, np.arange(4) / 10, scores, 0.1, MomentsConfig(min_length=0.1))
    assert moment.confidence == pytest.approx(0.7)


def test_times_count_and_not_rows() -> None:
    times = np.array([0.0, 0.1, 5.0, 5.1])
    found = find_moments(1, times, np.full(4, 0.9), 0.1, MomentsConfig(min_length=0.1))
    assert [(m.start_s, round(m.end_s, 6)) for m in found] == [(0.0, 0.2), (5.0, 5.2)]


@pytest.mark.parametrize(
    "settings",
    [{"threshold": 0}, {"threshold": 1.1}, {"margin": -0.1}, {"max_gap": -1},
     {"min_length": float("nan")}],
)  # fmt: skip
def test_settings_that_cannot_be_used(settings: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=next(iter(settings))):
        MomentsConfig(**settings)
