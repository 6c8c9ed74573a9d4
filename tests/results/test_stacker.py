"""The learned fusion: calibrated, monotone, and at ease with missing branches."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from quavf.core.errors import ConfigError
from quavf.core.records import Array, Floats
from quavf.results.fusion import PUBLISHED, read_fusion
from quavf.results.stacker import Modulator, Stacker, Start, fit_stacker, to_logits

INPUTS = ("audio", "visual", "cues")


def sigmoid(x: Floats) -> Floats:
    return np.asarray(1 / (1 + np.exp(-x)))


@pytest.fixture(scope="module")
def data() -> tuple[dict[str, Floats], Array]:
    """Branches with noise of different strength; a face tells nothing where it is badly seen.

    Their scores are overconfident: three times the log-odds that they deserve.
    """
    rng = np.random.default_rng(0)
    n = 20_000
    labels = (rng.random(n) < 0.3).astype(int)
    quality = rng.random(n)
    signal = 2.0 * labels - 1
    evidence = {
        "audio": signal * 0.5 + rng.normal(size=n),
        "visual": signal * quality + rng.normal(size=n),
        "cues": signal * 1.0 + rng.normal(size=n),
    }
    columns = {name: sigmoid(3 * values) for name, values in evidence.items()}
    return {**columns, "quality": quality, "face_size": np.full(n, 80.0)}, labels


@pytest.fixture(scope="module")
def stacker(data: tuple[dict[str, Floats], Array]) -> Stacker:
    columns, labels = data
    return fit_stacker(INPUTS, ("quality", "face_size"), columns, labels)


def log_loss(p: Floats, labels: Array) -> float:
    return float(-np.log(np.where(labels == 1, p, 1 - p)).mean())


def test_probabilities_are_calibrated(
    data: tuple[dict[str, Floats], Array], stacker: Stacker
) -> None:
    columns, labels = data
    for lacking in ((), ("visual",), ("audio", "cues")):
        p = stacker.fuse({n: v for n, v in columns.items() if n not in lacking})
        for low in np.arange(0, 1, 0.1):
            own = (p >= low) & (p < low + 0.1)
            if own.sum() > 300:
                assert p[own].mean() == pytest.approx(labels[own].mean(), abs=0.05), (lacking, low)


def test_it_is_as_good_as_the_truth_allows(
    data: tuple[dict[str, Floats], Array], stacker: Stacker
) -> None:
    """Each branch's log-odds are 2 * strength * evidence, and audio counts half of cues."""
    columns, labels = data
    odds = np.log(0.3 / 0.7) + sum(
        2 * strength * to_logits(columns[name]) / 3
        for name, strength in (("audio", 0.5), ("visual", columns["quality"]), ("cues", 1.0))
    )
    best = log_loss(sigmoid(odds), labels)
    assert log_loss(stacker.fuse(columns), labels) < best * 1.02
    assert log_loss(PUBLISHED.fuse(columns), labels) > best * 1.3


def test_a_face_counts_as_far_as_it_is_seen(stacker: Stacker) -> None:
    def effect(quality: float) -> float:
        columns = {"audio": np.full(2, 0.5), "visual": np.array([0.3, 0.7])}
        p = stacker.fuse({**columns, "quality": np.full(2, quality)})
        return float(p[1] - p[0])

    assert effect(0.95) > 2 * effect(0.05)


def test_a_higher_score_never_lowers_the_result(stacker: Stacker) -> None:
    rng = np.random.default_rng(1)
    columns = {name: rng.random(500) for name in (*INPUTS, "quality")}
    columns["face_size"] = 10 ** rng.uniform(1, 3, 500)
    for name in INPUTS:
        higher = {**columns, name: np.minimum(columns[name] + 0.1, 1)}
        assert (stacker.fuse(higher) >= stacker.fuse(columns)).all(), name


def test_missing_scores(stacker: Stacker) -> None:
    """A row takes the regression of what it has, whatever the others have; none: NaN."""
    nan = np.nan
    columns = {
        "audio": np.array([0.2, 0.2, nan, nan]),
        "visual": np.array([0.9, nan, 0.9, nan]),
        "quality": np.array([0.5, nan, 0.5, nan]),
    }
    fused = stacker.fuse(columns)
    assert np.isnan(fused).tolist() == [False, False, False, True]
    alone = stacker.fuse({"audio": np.array([0.2])})
    np.testing.assert_allclose(fused[1], alone[0])
    assert stacker.fuse({}).shape == (0,)
    assert np.isnan(stacker.fuse({"quality": np.array([0.5])})).all()


def test_extreme_scores_stay_finite(stacker: Stacker) -> None:
    columns = {name: np.array([0.0, 1.0]) for name in INPUTS}
    fused = stacker.fuse({**columns, "face_size": np.array([0.0, 1e9])})
    assert ((fused > 0) & (fused < 1)).all()


def test_it_is_kept_as_plain_numbers(
    data: tuple[dict[str, Floats], Array], stacker: Stacker
) -> None:
    columns, labels = data
    text = json.dumps(stacker.to_json())
    again = read_fusion(json.loads(text))
    np.testing.assert_array_equal(again.fuse(columns), stacker.fuse(columns))
    refitted = fit_stacker(INPUTS, ("quality", "face_size"), columns, labels)
    assert json.dumps(refitted.to_json()) == text


def test_row_weights_shift_the_level(data: tuple[dict[str, Floats], Array]) -> None:
    columns, labels = data
    share = np.where(labels == 1, 0.5 / labels.mean(), 0.5 / (1 - labels.mean()))
    even = fit_stacker(("cues",), (), columns, labels, share)
    middle = float(even.fuse({"cues": np.array([0.5])})[0])
    assert middle == pytest.approx(0.5, abs=0.02)


def test_modulators_without_values() -> None:
    assert Modulator.fit("quality", np.array([np.nan])) == Modulator("quality", 0.0, 1.0)
    size = Modulator.fit("face_size", np.array([10.0, 1000.0]))
    assert size.mean == pytest.approx(np.log(100))
    np.testing.assert_allclose(size.scale(np.array([100.0, np.nan])), 0, atol=1e-12)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"weights": [{"inputs": ["cues"], "bias": [0], "slopes": [[1]]}]}, "those of cues do not"),
        ({"weights": 3}, "fusion: TypeError"),
        ({"modulators": [{"name": "quality"}]}, "fusion: KeyError: 'mean'"),
        ({"inputs": ["audio"]}, "do not fit the inputs"),
        ({"kind": "magic"}, "fusion.kind: 'magic' is not known; use published or stacker"),
    ],
)
def test_damaged_descriptions(stacker: Stacker, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        read_fusion(stacker.to_json() | changes)


def test_a_start_holds_where_labels_are_few(
    data: tuple[dict[str, Floats], Array], stacker: Stacker
) -> None:
    """Elsewhere talking is rarer: a hundred rows tell that, but not which branch to trust."""
    columns, labels = data
    rng = np.random.default_rng(1)
    rare = np.flatnonzero((labels == 0) | (rng.random(len(labels)) < 0.2))
    few, others = rare[:100], rare[1000:]

    def loss(start: Start | None, rows: Array) -> float:
        part = {name: values[rows] for name, values in columns.items()}
        fitted = fit_stacker(INPUTS, ("quality", "face_size"), part, labels[rows], start=start)
        judged = fitted.fuse({name: values[others] for name, values in columns.items()})
        return log_loss(judged, labels[others])

    as_it_was = stacker.fuse({name: values[others] for name, values in columns.items()})
    held = loss(Start(stacker, 0.01), few)
    assert held < log_loss(as_it_was, labels[others]) - 0.01
    assert held < loss(None, few)
    assert loss(Start(stacker, 1e-6), others) == pytest.approx(loss(None, others), abs=5e-3)


def test_a_start_fills_in_what_labels_do_not_tell(
    data: tuple[dict[str, Floats], Array], stacker: Stacker
) -> None:
    columns, labels = data
    same = np.flatnonzero(labels == 0)[:50]
    part = {name: values[same] for name, values in columns.items()}
    held = fit_stacker(INPUTS, (), part, labels[same], start=Start(stacker, 0.01))
    assert held == stacker
