from __future__ import annotations

import csv
import json
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from quavf.core.branches import BranchSpec
from quavf.core.errors import ConfigError, ScoresError
from quavf.results.records import Moment, Person, PersonBoxes, PersonScores
from quavf.results.video import VideoResult


def example(video: Path = Path("dinner.mp4")) -> VideoResult:
    box = np.array([[10.0, 20, 50, 70], [11, 20, 51, 70]])
    scores = PersonScores(
        time_s=np.array([0.0, 0.1]),
        frame=np.array([0, 3]),
        box=box,
        columns={
            "audio": np.array([np.nan, 0.25]),
            "visual": np.array([0.5, 0.75]),
            "quality": np.array([0.5, 0.5]),
            "fused": np.array([0.5, 0.5]),
        },
    )
    boxes = PersonBoxes(np.arange(2), np.array([0.0, 1 / 30]), box)
    return VideoResult(
        video=video,
        duration_s=1.5,
        fps=Fraction(30000, 1001),
        frame_size=(640, 360),
        persons=(Person(1, 0.0, 0.1, b"jpeg"), Person(2, 0.5, 1.0)),
        scores={1: scores, 2: replace(scores, time_s=np.array([0.0, 0.2]))},
        boxes={1: boxes},
        moments=(Moment(1, 0.0, 0.75, 0.875),),
        truth=(Moment(2, 0.0, 1.0),),
        models={"audio": "small"},
        notes=("no sound",),
    )


def test_a_result_comes_back_as_it_was_written(tmp_path: Path) -> None:
    result = example()
    result.write(tmp_path)
    again = VideoResult.read(tmp_path)
    assert again.to_json() == result.to_json()
    assert sorted(again.scores) == [1, 2]
    for name in ("time_s", "frame", "box", "audio", "fused"):
        np.testing.assert_array_equal(
            getattr(again.scores[1], name), getattr(result.scores[1], name)
        )
    np.testing.assert_array_equal(again.boxes[1].box, result.boxes[1].box)


@pytest.mark.parametrize("lines_at_once", [1, 3, 4096])
def test_the_table_has_a_row_for_each_time_and_person(
    tmp_path: Path, lines_at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("quavf.results.video_tables.LINES", lines_at_once)
    example().write(tmp_path)
    rows = list(csv.DictReader((tmp_path / "scores.csv").read_text().splitlines()))
    assert [(r["time_s"], r["person"]) for r in rows] == [
        ("0.000", "1"),
        ("0.000", "2"),
        ("0.100", "1"),
        ("0.200", "2"),
    ]
    assert rows[0]["audio"] == ""
    assert rows[2]["visual"] == "0.7500"
    moments = json.loads((tmp_path / "moments.json").read_text())
    assert moments["moments"] == [{"person": 1, "start_s": 0.0, "end_s": 0.75, "confidence": 0.875}]


def test_a_result_without_anyone(tmp_path: Path) -> None:
    VideoResult(Path("empty.mp4"), 1.0, Fraction(30), (64, 48)).write(tmp_path)
    again = VideoResult.read(tmp_path)
    assert again.persons == ()
    assert again.scores == {}
    assert (tmp_path / "scores.csv").read_text().count("\n") == 1


@pytest.mark.parametrize("name", ["result.json", "scores.parquet", "boxes.parquet"])
def test_a_damaged_result_names_its_file(tmp_path: Path, name: str) -> None:
    example().write(tmp_path)
    (tmp_path / name).write_bytes(b"\x00 broken")
    with pytest.raises(ScoresError, match=name):
        VideoResult.read(tmp_path)


def test_further_branch_is_in_both_tables(tmp_path: Path, toy_spec: BranchSpec) -> None:
    result = example()
    first, second = result.scores[1], result.scores[2]
    toy = np.array([0.25, np.nan])
    scores = {1: replace(first, columns={**first.columns, toy_spec.name: toy}), 2: second}
    replace(result, scores=scores).write(tmp_path)
    again = VideoResult.read(tmp_path)
    np.testing.assert_array_equal(again.scores[1].toy, toy)
    assert np.isnan(again.scores[2].toy).all()
    rows = list(csv.DictReader((tmp_path / "scores.csv").read_text().splitlines()))
    assert list(rows[0])[-4:] == ["visual", "quality", "toy", "fused"]
    assert [r["toy"] for r in rows] == ["0.2500", "", "", ""]


def test_tables_in_pandas() -> None:
    pytest.importorskip("pandas", reason="pandas is not installed")
    result = replace(example(), speaking=(Moment(2, 0.25, 0.5, 0.75),), truth=None)
    scores = result.to_pandas()
    assert list(scores.columns[:4]) == ["time_s", "frame", "person", "name"]
    assert scores["audio"].isna().tolist() == [True, True, False, False]
    assert len(result.to_pandas("boxes")) == sum(map(len, result.boxes.values()))
    found = result.to_pandas("moments").to_dict("records")
    kinds = ["speaking"] * ("speaking" in result.stretches) + ["talking"] * len(result.moments)
    assert sorted(row["kind"] for row in found) == kinds
    nobody = VideoResult(Path("empty.mp4"), 1.0, Fraction(30), (64, 48))
    assert nobody.to_pandas("moments").columns.tolist()[:3] == ["person", "name", "kind"]
    assert len(nobody.to_pandas()) == 0


@pytest.mark.parametrize("table", ["scores", "boxes", "moments"])
def test_tables_in_pandas_name_the_people(table: str) -> None:
    pytest.importorskip("pandas", reason="pandas is not installed")
    first, second = example().persons
    result = replace(
        example(),
        persons=(replace(first, name="Ada"), second),
        boxes={1: example().boxes[1], 2: example().boxes[1], 3: example().boxes[1]},
    )
    found = result.to_pandas(table)
    names = set(zip(found["person"], found["name"], strict=True))
    numbers = {"scores": [1, 2], "boxes": [1, 2, 3], "moments": [1, 2]}[table]
    titles = {1: "Ada", 2: "Person 2", 3: "Person 3"}  # 3 is in no list of persons
    assert names == {(number, titles[number]) for number in numbers}


def test_pandas_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(table: object) -> None:
        raise ModuleNotFoundError("No module named 'pandas'")

    monkeypatch.setattr(
        "quavf.results.video.insert_names", lambda *_: type("T", (), {"to_pandas": fail})()
    )
    with pytest.raises(ConfigError, match="to_pandas: needs pandas; install it with"):
        example().to_pandas()
    with pytest.raises(ConfigError, match="'rows' is not one of scores, boxes, moments"):
        example().to_pandas("rows")
