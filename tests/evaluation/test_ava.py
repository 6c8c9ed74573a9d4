"""AVA's own average precision, and its file of predictions."""

from __future__ import annotations

import csv
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from quavf.core.errors import ScoresError
from quavf.core.records import Array, SourceRows
from quavf.evaluation.ava import find_ava_problems, judge_ava, write_ava_file
from quavf.evaluation.source_rows import score_rows
from quavf.results.scores import Scores
from tests.helpers.ava_files import SILENT, SPEAKS, row, write_rows

BOX = (0.25, 0.5, 0.5, 0.75)
LINES = [row("m", k / 25, BOX, SPEAKS if k % 2 else SILENT, "m:a") for k in range(4)]
ROWS = SourceRows(np.ones(4, int), np.arange(4), tuple(LINES))


def voc_area(labels: Array, scores: Array) -> float:
    """The definition, step by step: the best precision at each recall from there on, integrated."""
    order = sorted(range(len(scores)), key=lambda k: -scores[k])
    points, hits = [], 0
    for n, k in enumerate(order, 1):
        hits += int(labels[k])
        points.append((hits / int(labels.sum()), hits / n))
    area, reached = 0.0, 0.0
    for recall in sorted({recall for recall, _ in points}):
        best = max(precision for at, precision in points if at >= recall)
        area += (recall - reached) * best
        reached = recall
    return area


@pytest.mark.parametrize("seed", range(8))
def test_average_precision_by_an_independent_way(seed: int) -> None:
    rng = np.random.default_rng(seed)
    labels = rng.random(200) < 0.3
    scores = np.round(rng.random(200) * 0.6 + 0.4 * labels * rng.random(200), 12)
    result = judge_ava(labels.astype(int), scores)
    assert result.ap == pytest.approx(voc_area(labels, scores), abs=1e-12)
    assert (result.n_rows, result.n_positive) == (200, int(labels.sum()))


def test_average_precision_by_hand() -> None:
    """Hits at ranks 1, 3 and 4: 1/3 each of precision 1, 3/4 (raised from 2/3) and 3/4."""
    result = judge_ava(np.array([1, 0, 1, 1, 0]), np.array([0.9, 0.8, 0.7, 0.6, 0.5]))
    assert result.ap == pytest.approx((1 + 0.75 + 0.75) / 3)
    assert judge_ava(np.zeros(2, int), np.zeros(2)).ap is None


def test_rows_between_scored_faces() -> None:
    rows = SourceRows(np.array([1, 1, 1, 2, 1]), np.array([10, 12, 30, 5, 0]), ("",) * 5)
    clip = np.array(["m"] * 4, object)
    person, frame = np.array([1, 1, 1, 3]), np.array([14, 10, 20, 5])
    scores = Scores(clip, person, frame, {"speaking": np.array([0.6, 0.2, np.nan, 1.0])})
    found = score_rows(rows, scores, "speaking", Fraction(25), unknown=0.3)
    np.testing.assert_allclose(found.scores, [0.2, 0.4, 0.6, 0.3, 0.2])
    assert (found.n_filled, found.n_unknown) == (3, 1)


@pytest.mark.parametrize(
    ("frame", "expected"),
    [
        (49, 0.9),
        (50, 0.2),  # 2 s before the first score
        (100, 0.2),
        (150, 0.2 + 0.4 / 3),  # 2 s after it, on the way to the other one
        (151, 0.9),
        (199, 0.9),
        (200, 0.6 - 0.4 / 3),
        (300, 0.6),
        (301, 0.9),
    ],
)
def test_a_score_counts_for_two_seconds(frame: int, expected: float) -> None:
    rows = SourceRows(np.array([1]), np.array([frame]), ("",))
    columns = {"speaking": np.array([0.2, 0.6])}
    scores = Scores(np.array(["m"] * 2, object), np.ones(2, int), np.array([100, 250]), columns)
    found = score_rows(rows, scores, "speaking", Fraction(25), unknown=0.9)
    np.testing.assert_allclose(found.scores, [expected])
    assert found.n_unknown == (expected == 0.9)
    assert found.n_filled == (expected != 0.9 and frame != 100)


def test_file_of_predictions(tmp_path: Path) -> None:
    path = tmp_path / "out" / "p.csv"
    scores = np.array([0.1, 1 / 3, 0.0, 1.0])
    assert write_ava_file([(ROWS, scores)], path) == {"rows": 4, "videos": 1}
    lines = path.read_text().splitlines()
    assert lines[1] == f"m,0.04,0.25,0.5,0.5,0.75,SPEAKING_AUDIBLE,m:a,{1 / 3!r}"
    assert [float(fields[-1]) for fields in csv.reader(lines)] == scores.tolist()
    assert find_ava_problems(path, {"m": ROWS}) == []


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda f: f[1:], "1 row (video m at 0 entity m:a) missing"),
        (lambda f: [*f, f[0]], "1 row (video m at 0 entity m:a) more than once"),
        (lambda f: [*f, f[0].replace("m:a", "m:b")], "(video m at 0 entity m:b) that AVA's files"),
        (lambda f: [f[0].replace("0.25", "0.26"), *f[1:]], "with another box than AVA's"),
        (lambda f: [f[0].replace(SPEAKS, SILENT), *f[1:]], "with a label other than SPEAKING_AUD"),
        (lambda f: [f[0] + "x", *f[1:]], "with a score that is not a number in [0, 1]"),
        (lambda f: [f[0].rpartition(",")[0], *f[1:]], "1 rows without 9 fields (the first"),
        (lambda f: [], "no row of predictions"),
    ],
)
def test_check_finds_faults(tmp_path: Path, change: object, message: str) -> None:
    path = tmp_path / "p.csv"
    write_ava_file([(ROWS, np.full(4, 0.5))], path)
    write_rows(path, change(path.read_text().splitlines()))  # type: ignore[operator]
    assert message in "; ".join(find_ava_problems(path, {"m": ROWS}))


def test_mistakes(tmp_path: Path) -> None:
    with pytest.raises(ScoresError, match="no scores of AVA's rows; predict its store first"):
        write_ava_file([], tmp_path / "p.csv")
    with pytest.raises(ScoresError, match="cannot be read"):
        find_ava_problems(tmp_path / "p.csv", {})
