"""Blending, and joining two score sets."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quavf.core.branches import BranchSpec
from quavf.core.errors import ScoresError
from quavf.core.records import Floats
from quavf.results.fusion import (
    PUBLISHED,
    FusionCounts,
    average_branches,
    compute_shares,
    count_branches,
    encode_clips,
    fuse_at_quality,
    fuse_scores,
)
from quavf.results.scores import Scores
from tests.helpers.toy_branch import toy_branch

NAN = float("nan")
Row = tuple[str, int, int, float, float, float]  # clip, person, frame, audio, visual, quality


def columns_of(audio: Any, visual: Any, quality: Any) -> dict[str, Floats]:
    columns = {"audio": audio, "visual": visual, "quality": quality}
    return {name: np.array(values, float) for name, values in columns.items()}


def make(*rows: Row) -> Scores:
    columns: list[Any] = [list(column) for column in zip(*rows, strict=True)] or [[]] * 6
    clip, person, frame, audio, visual, quality = columns
    return Scores(
        np.array(clip, object),
        np.array(person, int),
        np.array(frame, int),
        columns_of(audio, visual, quality),
    )


@pytest.mark.parametrize(
    ("audio", "visual", "quality", "expected"),
    [
        (0.2, 0.8, 0.0, 0.2),
        (0.2, 0.8, 1.0, 0.8),
        (0.2, 0.8, 0.25, 0.35),
        (0.2, NAN, 0.9, 0.2),
        (NAN, 0.8, 0.0, 0.8),
        (NAN, 0.8, NAN, 0.8),
        (0.2, NAN, NAN, 0.2),
        (NAN, NAN, 0.5, NAN),
        (NAN, NAN, NAN, NAN),
        (0.2, 0.8, NAN, 0.5),
    ],
)
def test_the_published_formula(
    audio: float, visual: float, quality: float, expected: float
) -> None:
    result = PUBLISHED.fuse(columns_of([audio], [visual], [quality]))
    np.testing.assert_allclose(result, [expected])


@pytest.mark.parametrize(
    ("audio", "visual", "mean", "constant"),
    [(0.2, 0.8, 0.5, 0.65), (NAN, 0.8, 0.8, 0.8), (0.2, NAN, 0.2, 0.2), (NAN, NAN, NAN, NAN)],
)
def test_mean_and_constant(audio: float, visual: float, mean: float, constant: float) -> None:
    columns = columns_of([audio], [visual], [0.1])
    np.testing.assert_allclose(average_branches(columns), [mean])
    np.testing.assert_allclose(fuse_at_quality(columns, 0.75), [constant])


def test_no_rows() -> None:
    assert PUBLISHED.fuse(columns_of([], [], [])).shape == (0,)
    assert PUBLISHED.fuse({}).shape == (0,)


UNIT = st.floats(0, 1) | st.just(NAN)


@given(st.lists(st.tuples(UNIT, UNIT, UNIT), max_size=20))
def test_fused_lies_between_the_branches(rows: list[tuple[float, float, float]]) -> None:
    audio, visual, quality = np.array(rows, float).reshape(-1, 3).T
    fused = PUBLISHED.fuse(columns_of(audio, visual, quality))
    assert np.array_equal(np.isnan(fused), np.isnan(audio) & np.isnan(visual))
    there = ~np.isnan(fused)
    low, high = np.fmin(audio, visual)[there], np.fmax(audio, visual)[there]
    assert (fused[there] >= low - 1e-12).all()
    assert (fused[there] <= high + 1e-12).all()


@given(st.lists(st.tuples(UNIT, UNIT, UNIT), max_size=20), st.floats(0, 1))
def test_two_branches_follow_the_formula_to_the_last_bit(
    rows: list[tuple[float, float, float]], constant: float
) -> None:
    audio, visual, quality = np.array(rows, float).reshape(-1, 3).T

    def blend(weight: Any) -> Floats:
        blended = (1 - weight) * audio + weight * visual
        return np.where(np.isnan(audio), visual, np.where(np.isnan(visual), audio, blended))

    columns = columns_of(audio, visual, quality)
    expected = blend(np.where(np.isnan(quality), 0.5, quality))
    np.testing.assert_array_equal(PUBLISHED.fuse(columns), expected)
    np.testing.assert_array_equal(average_branches(columns), blend(0.5))
    np.testing.assert_array_equal(fuse_at_quality(columns, constant), blend(constant))


def test_outer_join_takes_each_value_from_whoever_has_it() -> None:
    audio = make(("b", 1, 3, 0.2, NAN, NAN), ("a", 1, 0, 0.4, NAN, NAN))
    visual = make(("b", 1, 3, NAN, 0.8, 0.5), ("b", 2, 3, NAN, 0.6, 0.1))
    joined, counts = fuse_scores(audio, visual)
    keys = list(zip(joined.clip, joined.person, joined.frame, strict=True))
    assert keys == [("a", 1, 0), ("b", 1, 3), ("b", 2, 3)]
    np.testing.assert_array_equal(joined.audio, [0.4, 0.2, NAN])
    np.testing.assert_array_equal(joined.visual, [NAN, 0.8, 0.6])
    np.testing.assert_array_equal(joined.quality, [NAN, 0.5, 0.1])
    np.testing.assert_allclose(joined.fused, [0.4, 0.5, 0.6])
    assert counts == FusionCounts(1, {"audio": 1, "visual": 1}, 0, 0)


def test_rows_without_quality_or_scores_are_counted() -> None:
    joined, counts = fuse_scores(
        make(("a", 1, 0, 0.2, NAN, NAN), ("a", 1, 1, NAN, NAN, NAN)),
        make(("a", 1, 0, NAN, 0.8, NAN)),
    )
    np.testing.assert_allclose(joined.fused, [0.5, NAN])
    assert counts == FusionCounts(
        several=1, only={"audio": 0, "visual": 0}, neither=1, no_quality=1
    )
    assert count_branches(joined) == counts


def test_equal_values_on_both_sides_are_no_conflict() -> None:
    rows = make(("a", 1, 0, 0.2, 0.8, 0.5))
    joined, _ = fuse_scores(rows, rows)
    assert len(joined) == 1
    np.testing.assert_allclose(joined.fused, [0.5])


@pytest.mark.parametrize("column", ["audio", "visual", "quality"])
def test_conflict_names_row_and_values(column: str) -> None:
    values = {"audio": 0.2, "visual": 0.8, "quality": 0.5}
    other = {**values, column: 0.75}
    a = make(("c", 2, 7, *values.values()))  # type: ignore[arg-type]
    b = make(("c", 2, 7, *other.values()))  # type: ignore[arg-type]
    message = rf"clip c, person 2, frame 7: {column} is {values[column]} .* and 0\.75"
    with pytest.raises(ScoresError, match=message):
        fuse_scores(a, b)


@pytest.mark.parametrize("which", ["first", "second"])
def test_row_twice_in_one_set(which: str) -> None:
    once = make(("a", 1, 0, 0.2, NAN, NAN))
    twice = make(("a", 1, 0, 0.2, NAN, NAN), ("a", 1, 1, 0.1, NAN, NAN), ("a", 1, 0, 0.2, NAN, NAN))
    pair = (twice, once) if which == "first" else (once, twice)
    with pytest.raises(ScoresError, match=f"the {which} scores have clip a, person 1, frame 0"):
        fuse_scores(*pair)


@pytest.mark.parametrize("n", [0, 1])
def test_empty_sides(n: int) -> None:
    some = make(*[("a", 1, 0, 0.2, NAN, NAN)] * n)
    for pair in ((some, Scores.empty()), (Scores.empty(), some)):
        joined, counts = fuse_scores(*pair)
        assert len(joined) == counts.only["audio"] == n


def test_inputs_are_left_alone() -> None:
    audio, visual = make(("a", 1, 0, 0.2, NAN, NAN)), make(("a", 1, 0, NAN, 0.8, 0.5))
    fuse_scores(audio, visual)
    assert np.isnan(audio.visual).all()
    assert np.isnan(visual.audio).all()


KEYS = st.lists(
    st.tuples(st.sampled_from("abc"), st.integers(0, 2), st.integers(0, 3)), unique=True
)


@given(left=KEYS, right=KEYS)
def test_join_equals_dictionaries(left: list[Any], right: list[Any]) -> None:
    audio = {key: i / 100 for i, key in enumerate(left)}
    visual = {key: 1 - i / 100 for i, key in enumerate(right)}
    joined, counts = fuse_scores(
        make(*[(*key, value, NAN, NAN) for key, value in audio.items()]),
        make(*[(*key, NAN, value, 0.5) for key, value in visual.items()]),
    )
    keys = list(
        zip(joined.clip.tolist(), joined.person.tolist(), joined.frame.tolist(), strict=True)
    )
    assert keys == sorted({*left, *right})
    np.testing.assert_array_equal(joined.audio, [audio.get(key, NAN) for key in keys])
    np.testing.assert_array_equal(joined.visual, [visual.get(key, NAN) for key in keys])
    assert counts.several == len({*left} & {*right})
    assert counts.only["audio"] == len({*left} - {*right})


@given(st.lists(st.sampled_from(["b", "a", "clip", "Ω"])))
def test_clip_codes_are_numpy_unique(clips: list[str]) -> None:
    names, codes = encode_clips(np.array(clips, object))
    assert names.tolist() == sorted(set(clips))
    assert [names[code] for code in codes] == clips


@pytest.mark.parametrize(
    ("audio", "visual", "quality", "face"),
    [
        (0.1, 0.2, 0.7, 0.7),
        (0.1, 0.2, NAN, 0.5),
        (NAN, 0.2, 0.1, 1.0),
        (0.1, NAN, 0.9, 0.0),
        (NAN, NAN, 0.9, None),
    ],
)
def test_shares_of_two_branches(
    audio: float, visual: float, quality: float, face: float | None
) -> None:
    shares = compute_shares(columns_of([audio], [visual], [quality]))
    expected = (NAN, NAN) if face is None else (1 - face, face)
    np.testing.assert_allclose([shares["audio"][0], shares["visual"][0]], expected)


# A third branch.


@pytest.mark.parametrize(
    ("audio", "visual", "quality", "toy", "expected", "shares"),
    [
        (0.2, 0.8, 0.25, NAN, 0.35, (0.75, 0.25, 0.0)),
        (0.2, 0.8, 0.25, 0.5, (0.35 + 0.25) / 1.5, (0.5, 1 / 6, 1 / 3)),
        (0.2, 0.8, NAN, 0.5, 0.5, (1 / 3, 1 / 3, 1 / 3)),
        (0.2, NAN, NAN, 0.5, 0.35, (0.5, 0.0, 0.5)),
        (NAN, 0.8, 1.0, 0.5, (0.8 + 0.25) / 1.5, (0.0, 2 / 3, 1 / 3)),
        (NAN, 0.8, 0.0, 0.5, 0.5, (0.0, 0.0, 1.0)),
        (NAN, NAN, NAN, 0.5, 0.5, (0.0, 0.0, 1.0)),
        (NAN, NAN, 0.5, NAN, NAN, (NAN, NAN, NAN)),
    ],
)
def test_a_third_branch_takes_part_by_its_weight(
    audio: float,
    visual: float,
    quality: float,
    toy: float,
    expected: float,
    shares: tuple[float, ...],
    toy_spec: BranchSpec,
) -> None:
    columns = {**columns_of([audio], [visual], [quality]), toy_spec.name: np.array([toy])}
    np.testing.assert_allclose(PUBLISHED.fuse(columns), [expected])
    found = compute_shares(columns)
    assert list(found) == ["audio", "visual", "toy"]
    np.testing.assert_allclose(np.concatenate([*found.values()]), shares)
    there = [value for value in (audio, visual, toy) if not np.isnan(value)]
    np.testing.assert_allclose(average_branches(columns), [np.mean(there or [NAN])])


def test_cues_count_as_much_as_audio_and_visual_together() -> None:
    columns = {**columns_of([0.2, 0.2, NAN], [0.6, 0.6, NAN], [0.25, NAN, NAN])}
    columns["cues"] = np.array([0.9, 0.9, 0.4])
    half = 0.5 * 0.9 + 0.5 * (0.75 * 0.2 + 0.25 * 0.6)
    np.testing.assert_allclose(PUBLISHED.fuse(columns), [half, (0.2 + 0.6 + 0.9) / 3, 0.4])


def test_branches_without_any_weight_take_the_mean() -> None:
    columns = {"visual": [0.4, 0.4], "toy": [0.8, 0.8], "quality": [0.0, 0.5]}
    with toy_branch(weight=np.zeros_like):
        fused = PUBLISHED.fuse({name: np.array(values) for name, values in columns.items()})
    np.testing.assert_allclose(fused, [0.6, 0.4])


def test_a_third_branch_is_joined_and_counted(toy_spec: BranchSpec) -> None:
    rows = make(("a", 1, 0, 0.2, 0.8, 0.25), ("a", 1, 1, NAN, 0.8, 0.5), ("a", 1, 2, NAN, NAN, NAN))
    toy = Scores(rows.clip, rows.person, rows.frame, {toy_spec.name: np.array([0.5, NAN, 0.1])})
    joined, counts = fuse_scores(rows, toy)
    np.testing.assert_array_equal(joined.toy, [0.5, NAN, 0.1])
    np.testing.assert_allclose(joined.fused, [0.4, 0.8, 0.1])
    assert counts == FusionCounts(1, {"audio": 0, "visual": 1, "toy": 1}, 0, 0)
