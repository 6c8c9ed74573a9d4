"""The scores folder: round trip, and one clear error for every kind of damage."""

from __future__ import annotations

import copy
import pickle
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from quavf.core.branches import BranchSpec
from quavf.core.errors import QuavfError, ScoresError
from quavf.results.scores import (
    SCORES_FILE,
    Scores,
    concatenate,
    read_config,
    read_scores,
    write_scores,
)
from tests.helpers.toy_branch import toy_branch

NAN = float("nan")


def make_scores(n: int = 3) -> Scores:
    clip = np.array([f"clip{i}" for i in range(n)], object)
    values = np.linspace(0, 1, n)
    missing = np.full(n, NAN)
    columns = {"audio": values, "visual": missing, "quality": values / 2, "fused": values}
    return Scores(clip, np.ones(n, int), np.arange(n), columns)


def columns() -> dict[str, list[Any]]:
    return {
        "clip": ["a", "a"],
        "person": [1, 1],
        "frame": [0, 5],
        "audio": [0.0, 1.0],
        "visual": [None, 0.5],
        "quality": [None, 0.25],
        "fused": [0.0, 0.75],
    }


def write_columns(folder: Path, content: dict[str, Any]) -> Path:
    folder.mkdir(exist_ok=True)
    pq.write_table(pa.table(content), folder / SCORES_FILE)
    return folder


@pytest.mark.parametrize("n", [0, 1, 3, 1000])
def test_round_trip_keeps_every_row_and_what_is_missing(tmp_path: Path, n: int) -> None:
    scores = make_scores(n)
    write_scores(tmp_path / "out", scores, {"seed": 1})
    back = read_scores(tmp_path / "out")
    for name in Scores.names():
        np.testing.assert_array_equal(getattr(back, name), getattr(scores, name), err_msg=name)
    assert back.person.dtype == np.int64
    assert back.visual.dtype == np.float64
    assert read_config(tmp_path / "out") == {"seed": 1}


def test_missing_is_stored_as_null(tmp_path: Path) -> None:
    write_scores(tmp_path, make_scores(3), {})
    assert pq.read_table(tmp_path / SCORES_FILE)["visual"].null_count == 3


def test_writing_again_replaces_and_leaves_no_other_file(tmp_path: Path) -> None:
    write_scores(tmp_path, make_scores(3), {})
    write_scores(tmp_path, make_scores(2), {})
    assert len(read_scores(tmp_path)) == 2
    assert sorted(p.name for p in tmp_path.iterdir()) == ["config.json", "scores.parquet"]


def test_folder_named_like_a_partition_does_not_change_a_column(tmp_path: Path) -> None:
    folder = write_columns(tmp_path / "clip=other", columns())
    assert read_scores(folder).clip.tolist() == ["a", "a"]


def test_wide_types_are_accepted(tmp_path: Path) -> None:
    content = columns()
    content["frame"] = pa.array([0, 5], pa.int16())
    content["audio"] = pa.array([0.0, 1.0], pa.float32())
    content["clip"] = pa.array(["a", "a"]).dictionary_encode()
    content["extra"] = [1, 2]
    scores = read_scores(write_columns(tmp_path, content))
    assert scores.frame.tolist() == [0, 5]
    assert scores.clip.tolist() == ["a", "a"]


@pytest.mark.parametrize("name", Scores.names())
def test_missing_column_is_named(tmp_path: Path, name: str) -> None:
    content = columns()
    del content[name]
    with pytest.raises(ScoresError, match=f"column '{name}' is missing"):
        read_scores(write_columns(tmp_path, content))


@pytest.mark.parametrize("name", ["audio", "visual", "quality", "fused"])
@pytest.mark.parametrize("bad", [NAN, float("inf"), -float("inf"), 1.0001, -0.1])
def test_bad_value_is_named_with_its_row(tmp_path: Path, name: str, bad: float) -> None:
    content = columns()
    content[name] = [None, bad]
    message = rf"column '{name}' has 1 values .*{bad} in row 1, clip a, person 1, frame 5"
    with pytest.raises(ScoresError, match=message):
        read_scores(write_columns(tmp_path, content))


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("person", ["one", "two"]),
        ("frame", [0.5, 1.0]),
        ("audio", ["high", "low"]),
        ("fused", [[0.1], [0.2]]),
    ],
)
def test_wrong_type_is_an_error(tmp_path: Path, name: str, values: list[Any]) -> None:
    with pytest.raises(ScoresError, match="wrong type"):
        read_scores(write_columns(tmp_path, {**columns(), name: values}))


@pytest.mark.parametrize("name", ["clip", "person", "frame"])
def test_keys_may_not_be_empty(tmp_path: Path, name: str) -> None:
    content = columns()
    content[name][1] = None
    with pytest.raises(ScoresError, match=f"column '{name}' has 1 empty rows"):
        read_scores(write_columns(tmp_path, content))


@pytest.mark.parametrize("content", [b"", b"not parquet", b"PAR1" + b"\0" * 40 + b"PAR1"])
def test_not_a_parquet_file(tmp_path: Path, content: bytes) -> None:
    (tmp_path / SCORES_FILE).write_bytes(content)
    with pytest.raises(ScoresError, match="not a readable Parquet file"):
        read_scores(tmp_path)


def test_truncated_file(tmp_path: Path) -> None:
    write_scores(tmp_path, make_scores(100), {})
    path = tmp_path / SCORES_FILE
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(ScoresError, match="not a readable Parquet file"):
        read_scores(tmp_path)


def test_no_file_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(ScoresError, match="quavf predict"):
        read_scores(tmp_path / "nowhere")


def test_config_is_empty_without_a_file_and_must_be_an_object(tmp_path: Path) -> None:
    assert read_config(tmp_path) == {}
    (tmp_path / "config.json").write_text("[1, 2]")
    with pytest.raises(QuavfError, match=r"config\.json"):
        read_config(tmp_path)


def test_sorted_and_take() -> None:
    scores = Scores(
        np.array(["b", "a", "a", "a"], object),
        np.array([1, 10, 2, 2]),
        np.array([0, 0, 9, 10]),
        dict.fromkeys(("audio", "visual", "quality", "fused"), np.arange(4.0)),
    )
    assert scores.sorted().audio.tolist() == [2, 3, 1, 0]
    assert scores.take(scores.frame > 8).audio.tolist() == [2, 3]
    assert len(Scores.empty()) == 0
    assert len(Scores.empty().sorted()) == 0


def test_parts_are_joined_in_order() -> None:
    assert len(concatenate([])) == 0
    empty = Scores.empty()
    assert len(concatenate([empty, empty])) == 0


def test_concatenate_fills_columns_that_a_part_lacks() -> None:
    keys = (np.array(["a"], object), np.ones(1, int), np.zeros(1, int))
    parts = [Scores(*keys, {"audio": np.array([0.25])}), Scores(*keys, {"fused": np.array([0.5])})]
    joined = concatenate(parts)
    np.testing.assert_array_equal(joined.audio, [0.25, NAN])
    np.testing.assert_array_equal(joined["fused"], [NAN, 0.5])


# Columns by name.


def test_a_column_that_is_absent_is_missing_throughout() -> None:
    scores = Scores(np.array(["a"], object), np.ones(1, int), np.zeros(1, int))
    assert np.isnan(scores["audio"]).all()
    assert np.isnan(scores.fused).all()
    assert scores.fused.shape == (1,)


def test_a_column_that_no_branch_writes_is_an_error() -> None:
    scores = make_scores()
    with pytest.raises(KeyError, match="'smell' is not a score column; there are audio, visual"):
        scores["smell"]
    with pytest.raises(AttributeError, match="'Scores' object has no attribute 'smell'"):
        scores.smell  # noqa: B018
    with pytest.raises(AssertionError, match="smell"):
        replace(scores, columns={"smell": scores.fused})


def test_scores_survive_pickling_and_copying() -> None:
    scores = make_scores()
    for again in (pickle.loads(pickle.dumps(scores)), copy.deepcopy(scores)):
        np.testing.assert_array_equal(again.quality, scores.quality)


# A third branch.


def test_further_branch_is_written_before_fused_and_read_back(
    tmp_path: Path, toy_spec: BranchSpec
) -> None:
    scores = make_scores()
    scores = replace(scores, columns={**scores.columns, toy_spec.name: scores.quality})
    write_scores(tmp_path, scores, {})
    written = pq.read_table(tmp_path / SCORES_FILE).column_names
    assert written == [*Scores.names()[:-1], toy_spec.name, "fused"]
    back = read_scores(tmp_path)
    np.testing.assert_array_equal(back.toy, scores.quality)
    assert np.isnan(back.toy_noise).all()


def test_further_branch_without_values_is_not_written(tmp_path: Path, toy_spec: BranchSpec) -> None:
    scores = make_scores()
    scores = replace(scores, columns={**scores.columns, toy_spec.name: np.full(3, NAN)})
    write_scores(tmp_path, scores, {})
    assert pq.read_table(tmp_path / SCORES_FILE).column_names == list(Scores.names())


def test_column_of_a_branch_that_is_not_registered_is_ignored(tmp_path: Path) -> None:
    with toy_branch() as spec:
        scores = make_scores()
        scores = replace(scores, columns={**scores.columns, spec.name: scores.quality})
        write_scores(tmp_path, scores, {})
    assert set(read_scores(tmp_path).columns) == {"audio", "visual", "quality", "fused"}


def test_bad_value_of_a_further_branch_is_named(tmp_path: Path, toy_spec: BranchSpec) -> None:
    content = {**columns(), toy_spec.name: [0.5, 2.0]}
    with pytest.raises(ScoresError, match=r"column 'toy' has 1 values .*2\.0 in row 1"):
        read_scores(write_columns(tmp_path, content))
