"""The EvalAI file: written as the published one, and every fault found by the validator."""

from __future__ import annotations

import gzip
import json
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from quavf.core.errors import AnnotationError, ScoresError
from quavf.evaluation.submission import find_problems, write_submission_file
from quavf.results.scores import Scores
from tests.helpers.data import GOLDEN, needs_golden

EXPECTED = {"a": [0, 5, 7], "b": {3}}


def make_scores(keys: list[tuple[str, int, int]], fused: list[float]) -> Scores:
    clip = np.array([key[0] for key in keys], object)
    person, frame = (np.array([key[i] for key in keys], int) for i in (1, 2))
    return Scores(clip, person, frame, {"fused": np.array(fused, float)})


def row(video: Any = "a", frame: Any = 0, label: Any = 1, score: Any = 0.5) -> dict[str, Any]:
    return {"video_id": video, "frame_id": frame, "label": label, "score": score}


def good_rows() -> list[Any]:
    return [row(frame=0), row(frame=5), row(frame=7), row("b", 3)]


def with_row(bad: Any, rows: list[Any]) -> list[Any]:
    return [*rows, bad]


def write(path: Path, results: Any, **top: Any) -> Path:
    content = {"version": "1.0", "challenge": "ego4d_talking_to_me", "results": results, **top}
    path.write_text(json.dumps({k: v for k, v in content.items() if v is not None}))
    return path


def problems(tmp_path: Path, results: Any, **top: Any) -> list[str]:
    return find_problems(write(tmp_path / "s.json", results, **top), EXPECTED)


def test_written_file_is_valid_sorted_and_exact(tmp_path: Path) -> None:
    keys = [("b", 1, 3), ("a", 1, 7), ("a", 1, 0), ("a", 1, 5)]
    path = tmp_path / "deep" / "submission.json"
    counts = write_submission_file(make_scores(keys, [1.0, 0.0, 1 / 3, 0.25]), path)
    assert counts == {"rows": 4, "videos": 2}
    content = json.loads(path.read_text())
    assert content["version"] == "1.0"
    assert content["challenge"] == "ego4d_talking_to_me"
    assert content["results"] == [
        row("a", 0, 1, 1 / 3),
        row("a", 5, 1, 0.25),
        row("a", 7, 1, 0.0),
        row("b", 3, 1, 1.0),
    ]
    assert find_problems(path, EXPECTED) == []
    assert [p.name for p in path.parent.iterdir()] == ["submission.json"]


@pytest.mark.parametrize("bad", [float("nan"), 1.5, -0.1, float("inf")])
def test_unusable_score_is_refused_and_nothing_is_written(tmp_path: Path, bad: float) -> None:
    scores = make_scores([("a", 1, 0), ("a", 1, 9)], [0.5, bad])
    with pytest.raises(ScoresError, match="clip a, frame 9: the fused score is"):
        write_submission_file(scores, tmp_path / "s.json")
    assert list(tmp_path.iterdir()) == []


def test_two_persons_in_one_frame_are_refused(tmp_path: Path) -> None:
    scores = make_scores([("a", 1, 4), ("a", 2, 4)], [0.5, 0.5])
    with pytest.raises(ScoresError, match=r"1 row \(video a frame 4\) more than once"):
        write_submission_file(scores, tmp_path / "s.json")


def test_nothing_to_submit(tmp_path: Path) -> None:
    with pytest.raises(ScoresError, match="no scores to submit"):
        write_submission_file(Scores.empty(), tmp_path / "s.json")


def test_good_file_in_any_order_with_either_kind_of_frame_id(tmp_path: Path) -> None:
    rows = [row("b", "3", score=0), row(frame="7", score=1), row(frame=5), row(frame="0")]
    assert problems(tmp_path, rows) == []


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda r: r[:1], "3 rows (video a frame 5, video a frame 7, video b frame 3) missing"),
        (lambda r: [], "4 rows (video a frame 0, video a frame 5, video a frame 7, …) missing"),
        (lambda r: [*r, row(frame=6)], "1 row (video a frame 6) of frames that have no face"),
        (lambda r: [*r, row(frame=-1)], "1 row (video a frame -1) of frames that have no face"),
        (lambda r: [*r, row(frame="5")], "1 row (video a frame 5) more than once"),
        (lambda r: [*r, row("x"), row("x", 1), row("y")], "2 unknown video ids (x, y)"),
        (lambda r: [row(label=0), *r[1:]], "1 row (video a frame 0) with a label other than 1"),
        (lambda r: [row(label=True), *r[1:]], "1 row (video a frame 0) with a label other than 1"),
        (lambda r: [row(label="1"), *r[1:]], "1 row (video a frame 0) with a label other than 1"),
        *(
            (lambda r, s=s: [row(score=s), *r[1:]], "1 row (video a frame 0) with a score that")
            for s in (
                float("nan"), float("inf"), -float("inf"), 1.01, -1, 10**400, "0.5", None, True,
            )
        ),
        *(
            (partial(with_row, bad), "1 malformed")
            for bad in (
                None, 3, list[Any](), dict[str, Any](), {"video_id": "a"}, row(video=3),
                row(frame=1.0), row(frame="-1"),
                row(frame=None), row(frame="one"), row(frame="²"), row(frame=True),
                row(frame="9" * 5000),
            )
        ),
    ],
)  # fmt: skip
def test_each_fault_is_the_only_problem(tmp_path: Path, change: Any, message: str) -> None:
    found = problems(tmp_path, change(good_rows()))
    assert len(found) == 1, found
    assert found[0].startswith(message)


def test_faults_are_counted_once_for_each_kind(tmp_path: Path) -> None:
    rows = [row(frame=f, score=2, label=0) for f in (0, 5, 7)] + [None] * 5
    found = problems(tmp_path, rows)
    assert [text.split(",")[0].split(" (")[0] for text in found] == [
        "5 malformed", "3 rows", "3 rows", "1 row"
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("top", "message"),
    [
        ({"version": None}, "'version' is missing"),
        ({"version": "1.1"}, "'version' is '1.1', expected '1.0'"),
        ({"challenge": "ego4d_looking_at_me"}, "'challenge' is 'ego4d_looking_at_me'"),
        ({"challenge": None}, "'challenge' is missing"),
        ({"team": "us"}, "unknown top-level keys ['team']"),
    ],
)
def test_top_level_keys(tmp_path: Path, top: dict[str, Any], message: str) -> None:
    found = problems(tmp_path, good_rows(), **top)
    assert len(found) == 1
    assert message in found[0]


@pytest.mark.parametrize(("results", "what"), [(None, "missing"), ({}, "dict"), ("rows", "str")])
def test_results_must_be_a_list(tmp_path: Path, results: Any, what: str) -> None:
    assert problems(tmp_path, results) == [
        f"top-level key 'results' is {what}, expected a list of rows"
    ]


def test_top_level_must_be_an_object(tmp_path: Path) -> None:
    path = tmp_path / "s.json"
    path.write_text("[]")
    assert "top level is a list" in find_problems(path, EXPECTED)[0]


@pytest.mark.parametrize("text", ["", "{", "version: 1.0", '{"results": [}'])
def test_not_json(tmp_path: Path, text: str) -> None:
    path = tmp_path / "s.json"
    path.write_text(text)
    with pytest.raises(AnnotationError, match=r"s\.json"):
        find_problems(path, EXPECTED)


def test_no_file(tmp_path: Path) -> None:
    with pytest.raises(AnnotationError, match="no such file"):
        find_problems(tmp_path / "s.json", EXPECTED)


@needs_golden
@pytest.mark.parametrize("name", ["aPred", "vPred", "QuAVF"])
@pytest.mark.parametrize("other", ["aPred", "vPred", "QuAVF"])
def test_published_files_are_valid(tmp_path: Path, name: str, other: str) -> None:
    paths = {}
    for each in (name, other):
        paths[each] = tmp_path / f"{each}.json"
        paths[each].write_bytes(gzip.decompress((GOLDEN / "e2e" / f"{each}.json.gz").read_bytes()))
    expected: dict[str, set[int]] = {}
    for item in json.loads(paths[other].read_text())["results"]:
        expected.setdefault(item["video_id"], set()).add(int(item["frame_id"]))
    assert find_problems(paths[name], expected) == []
    expected["one_more"] = {1}
    assert len(find_problems(paths[name], expected)) == 1
