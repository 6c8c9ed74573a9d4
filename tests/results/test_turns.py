"""Scores of whole turns."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from quavf.core.records import Floats
from quavf.results.turns import fuse_turns, pool_turns

TURNS = [np.array([1, 2]), np.array([2, 3, 4]), np.array([5])]


def test_rows_of_a_turn_share_the_mean_of_what_is_known() -> None:
    values = np.array([0.9, 0.2, 0.4, np.nan, 0.8, np.nan])
    np.testing.assert_allclose(
        pool_turns(values, TURNS),
        [np.nan, 0.3, 0.3, 0.6, 0.6, np.nan],
        err_msg="a row of two turns takes the first one's; one without a value has none",
    )
    outside = np.full(6, 0.5)
    pooled = pool_turns(values, TURNS, outside)
    np.testing.assert_allclose(pooled, [0.5, 0.3, 0.3, 0.6, 0.6, np.nan])
    np.testing.assert_array_equal(outside, 0.5, err_msg="the given array stays")
    np.testing.assert_array_equal(pool_turns(values, [], values), values)


def test_turns_are_fused_from_their_means() -> None:
    class Product:
        def fuse(self, columns: Mapping[str, Floats]) -> Floats:
            return columns["audio"] * columns["visual"]

        def to_json(self) -> dict[str, Any]:
            return {}

    audio = np.array([0.9, 0.2, 0.4, np.nan, 0.8, np.nan])
    visual = np.array([0.5, 1.0, 0.0, 0.2, 0.4, 0.1])
    fused = fuse_turns({"audio": audio, "visual": visual}, TURNS, Product(), np.full(6, 0.7))
    np.testing.assert_allclose(fused, [0.7, 0.15, 0.15, 0.12, 0.12, np.nan])
    alone = fuse_turns({"audio": audio, "visual": visual}, [], Product(), np.full(6, 0.7))
    np.testing.assert_array_equal(alone, 0.7)
