"""Both protocols row by row on tables small enough to check by hand; the report's files."""

from __future__ import annotations

import json
from dataclasses import replace
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from quavf.core.branches import BranchSpec
from quavf.core.errors import ConfigError, ScoresError
from quavf.core.records import Interval, Segment
from quavf.evaluation.calibration import bin_by_score, compute_calibration_error
from quavf.evaluation.config import EvaluateConfig
from quavf.evaluation.metrics import bootstrap_by_clip, mean_average_precision
from quavf.evaluation.protocols import Evaluation, evaluate_scores
from quavf.report.evaluation import print_evaluation, write_evaluation
from quavf.results.fusion import PUBLISHED
from quavf.results.scores import Scores

NAN = float("nan")
FAST = EvaluateConfig(n_resamples=20)
POSITIVE = ("a", Segment(1, 0, 9, 1))
NEGATIVE = ("a", Segment(1, 20, 29, 0))


def make(rows: list[tuple[Any, ...]]) -> Scores:
    """Rows of clip, person, frame, audio, visual, quality; fused by the formula."""
    clip, person, frame, *values = zip(*rows, strict=True)
    names = ("audio", "visual", "quality")
    columns = {name: np.array(v, float) for name, v in zip(names, values, strict=True)}
    columns["fused"] = PUBLISHED.fuse(columns)
    return Scores(np.array(clip, object), np.array(person, int), np.array(frame, int), columns)


def pair(extra: list[tuple[Any, ...]] | None = None) -> Scores:
    """One frame in each of POSITIVE and NEGATIVE, and more."""
    rows = [("a", 1, 5, 0.9, 0.8, 0.5), ("a", 1, 25, 0.1, 0.2, 0.5)]
    return make(rows + (extra or []))


def synthetic(n_clips: int = 8, seed: int = 0) -> tuple[Scores, list[tuple[str, Segment]]]:
    """Audio of one strength, a face that is right as far as its quality; some values missing."""
    random = np.random.default_rng(seed)
    rows: list[tuple[Any, ...]] = []
    segments = []
    for clip in range(n_clips):
        for index in range(8):
            name, start, label = f"clip{clip}", index * 40, (index + clip) % 3 == 0
            segments.append((name, Segment(1 + index % 2, start, start + 29, int(label))))
            quality = random.random()
            luck = random.normal(size=2)  # shared by the frames of a segment
            for frame in range(start - 2, start + 32):
                logits = luck + random.normal(size=2) + (label - 0.5) * np.array([1, 4 * quality])
                audio, visual = 1 / (1 + np.exp(-logits))
                visual = NAN if random.random() < 0.05 else visual
                rows.append((name, 1 + index % 2, frame, audio, visual, quality))
    return make(rows), segments


@pytest.mark.parametrize(
    ("frame", "inside"), [(-1, False), (0, True), (9, True), (10, False), (19, False), (20, True)]
)
def test_both_ends_of_a_segment_belong_to_it(frame: int, inside: bool) -> None:
    result = evaluate_scores(pair([("a", 1, frame, 0.5, 0.5, 0.5)]), [POSITIVE, NEGATIVE], FAST)
    assert result.frame.counts["rows"] == 2 + inside
    assert result.counts["rows_in_no_segment"] == 1 - inside


@pytest.mark.parametrize(
    ("clip", "person"), [("b", 1), ("a", 2), ("a", 0), ("", 1)], ids=["clip", "person", "0", "no"]
)
def test_rows_of_others_are_not_judged(clip: str, person: int) -> None:
    segments = [POSITIVE, NEGATIVE, ("a", Segment(0, 0, 9, 1))]
    result = evaluate_scores(pair([(clip, person, 5, 0.5, 0.5, 0.5)]), segments, FAST)
    assert result.frame.counts["rows"] == result.segment.counts["rows"] == 2
    assert result.counts["segments_of_wearer"] == 1


def test_frame_in_two_segments_of_one_label_counts_once() -> None:
    segments = [POSITIVE, ("a", Segment(1, 4, 12, 1)), NEGATIVE]
    result = evaluate_scores(pair(), segments, FAST)
    assert result.frame.counts["rows"] == 2
    assert result.segment.counts["rows"] == 3
    assert result.counts["contradictory_rows"] == 0


def test_contradictory_frames_are_left_out_and_counted() -> None:
    segments = [POSITIVE, ("a", Segment(1, 8, 12, 0)), NEGATIVE]
    extra = [("a", 1, frame, 0.5, 0.5, 0.5) for frame in (7, 8, 9, 10)]
    result = evaluate_scores(pair(extra), segments, FAST)
    assert result.counts["contradictory_rows"] == 2
    assert result.frame.counts["rows"] == 4
    assert result.frame.counts["positive_rows"] == 2
    assert result.segment.counts["rows"] == 3


def test_repeated_reversed_and_unscored_segments_are_counted() -> None:
    reversed_, unscored = ("a", Segment(1, 9, 3, 1)), ("z", Segment(1, 0, 9, 1))
    result = evaluate_scores(pair(), [POSITIVE, POSITIVE, NEGATIVE, reversed_, unscored], FAST)
    assert result.counts["segments"] == 4
    assert result.counts["repeated_segments"] == 1
    assert result.counts["segments_without_scores"] == 2
    assert result.segment.counts["rows"] == 2


def test_segment_score_is_the_mean_over_what_is_there() -> None:
    extra = [("a", 1, 6, 0.5, NAN, 0.1), ("a", 1, 7, NAN, NAN, 0.9)]
    rows = evaluate_scores(pair(extra), [POSITIVE, NEGATIVE], FAST).segment.rows
    np.testing.assert_allclose(rows.systems["audio"], [0.7, 0.1])
    np.testing.assert_allclose(rows.systems["visual"], [0.8, 0.2])
    np.testing.assert_allclose(rows.systems["mean"], [(0.85 + 0.5) / 2, 0.15])
    np.testing.assert_allclose(rows.quality, [0.3, 0.5])  # the row without any score is left out
    assert rows.labels.tolist() == [1, 0]


def test_constant_scores_stay_tied_over_segments_of_any_length() -> None:
    rows = [("a", 1, f, 0.1, 0.1, 0.1) for f in range(37)]
    segments = [("a", Segment(1, s, s + n, n % 2)) for s, n in ((0, 2), (3, 9), (13, 4), (18, 17))]
    result = evaluate_scores(make(rows), segments, FAST)
    assert set(result.segment.rows.systems["audio"]) == {0.1}
    assert result.segment.systems["audio"].map == pytest.approx(0.5)  # type: ignore[union-attr]


def test_systems_are_judged_on_their_rows_and_compared_on_common_rows() -> None:
    scores, segments = synthetic()
    result = evaluate_scores(scores, segments, FAST)
    rows, counts = result.frame.rows, result.frame.counts
    assert counts["rows"] == 8 * 8 * 30
    assert counts["clips"] == 8
    for name in ("audio", "visual", "mean", "fused"):
        has = ~np.isnan(rows.systems[name])
        judged = result.frame.systems[name]
        assert judged is not None
        expected = mean_average_precision(rows.labels[has], rows.systems[name][has])
        assert judged.map == pytest.approx(expected, abs=1e-12)
        assert judged.map_ci is not None
        assert judged.map_ci[0] < judged.map_ci[1]
        assert judged.n_rows + judged.n_missing == counts["rows"]
    assert result.frame.systems["visual"].n_missing > 0  # type: ignore[union-attr]
    common = ~np.isnan(rows.systems["visual"])
    assert counts["common_rows"] == common.sum()
    maps = {
        n: mean_average_precision(rows.labels[common], s[common]) for n, s in rows.systems.items()
    }
    difference = result.frame.differences["fused-audio"]
    assert difference.map == pytest.approx(maps["fused"] - maps["audio"], abs=1e-12)
    boot = bootstrap_by_clip(rows.labels, rows.systems, rows.clip, n_resamples=20)
    assert difference.ci == boot.differences["fused-audio"]


def test_highest_score_of_a_segment() -> None:
    extra = [("a", 1, 6, 0.5, NAN, 0.2), ("a", 1, 26, 0.3, 0.7, 0.9)]
    config = replace(FAST, segment_score="max")
    rows = evaluate_scores(pair(extra), [POSITIVE, NEGATIVE], config).segment.rows
    np.testing.assert_allclose(rows.systems["audio"], [0.9, 0.3])
    np.testing.assert_allclose(rows.systems["visual"], [0.8, 0.7])
    np.testing.assert_allclose(rows.quality, [0.35, 0.7])  # the mean, always


def test_row_order_does_not_matter() -> None:
    scores, segments = synthetic(4)
    order = np.random.default_rng(1).permutation(len(scores))
    first, second = (
        evaluate_scores(scores, segments, FAST),
        evaluate_scores(scores.take(order), segments, FAST),
    )
    assert first.frame.systems == second.frame.systems
    assert first.segment.differences == second.segment.differences


@pytest.mark.parametrize("missing", ["audio", "visual"])
def test_a_system_without_values_is_none_and_nothing_is_fused(missing: str) -> None:
    scores, segments = synthetic(4)
    columns = {**scores.columns, **dict.fromkeys((missing, "fused"), np.full(len(scores), NAN))}
    result = evaluate_scores(replace(scores, columns=columns), segments, FAST)
    there = "visual" if missing == "audio" else "audio"
    assert [name for name, s in result.frame.systems.items() if s] == [there]
    assert set(result.frame.systems) == {"audio", "visual", "mean", "fused"}
    assert result.frame.differences == {}


def test_gaps_of_fused_are_filled_by_the_formula() -> None:
    scores, segments = synthetic(4)
    columns = {**scores.columns, "fused": np.full(len(scores), NAN)}
    emptied = replace(scores, columns=columns)
    assert (
        evaluate_scores(emptied, segments, FAST).frame.systems
        == evaluate_scores(scores, segments, FAST).frame.systems
    )


@pytest.mark.parametrize(("weight", "present"), [(0.5, False), (0.3, True), (0.0, True)])
def test_constant_is_named_only_when_it_is_not_the_mean(weight: float, present: bool) -> None:
    config = EvaluateConfig(n_resamples=0, face_weight=weight)
    result = evaluate_scores(pair(), [POSITIVE, NEGATIVE], config)
    assert ("constant" in result.frame.systems) is present
    assert ("fused-constant" in result.frame.differences) is present


def test_quality_bins_hold_every_common_row_once() -> None:
    scores, segments = synthetic()
    frame = evaluate_scores(scores, segments, FAST).frame
    assert [b.low for b in frame.quality_bins] == [i / 10 for i in range(10)]
    assert sum(b.n_rows for b in frame.quality_bins) == frame.counts["common_rows"]
    assert any(value is not None for b in frame.quality_bins for value in b.map.values())


@pytest.mark.parametrize(
    ("quality", "index"),
    [(0.0, 0), (0.1, 1), (0.3, 3), (0.7, 7), (0.999, 9), (1.0, 9), (NAN, None)],
)
def test_quality_at_the_edge_of_a_bin(quality: float, index: int | None) -> None:
    rows = [("a", 1, 5, 0.9, 0.8, quality), ("a", 1, 25, 0.1, 0.2, quality)]
    frame = evaluate_scores(make(rows), [POSITIVE, NEGATIVE], FAST).frame
    filled = [i for i, b in enumerate(frame.quality_bins) if b.n_rows]
    assert filled == ([] if index is None else [index])
    if index is None:
        assert frame.counts["common_rows_without_quality"] == 2
    else:
        assert frame.quality_bins[index].map["fused"] == 1
        assert frame.quality_bins[index - 1].map["fused"] is None


def test_a_system_with_one_class_has_no_map_but_the_others_do() -> None:
    rows = [
        ("a", 1, 5, 0.9, 0.8, 0.5),
        ("a", 1, 6, 0.8, 0.8, 0.5),
        ("b", 1, 5, 0.7, 0.6, 0.5),
        ("a", 1, 25, 0.1, NAN, 0.5),
        ("b", 1, 25, 0.1, NAN, 0.5),
    ]
    segments = [(clip, s) for clip in "ab" for s in (POSITIVE[1], NEGATIVE[1])]
    frame = evaluate_scores(make(rows), segments, FAST).frame
    visual, audio = frame.systems["visual"], frame.systems["audio"]
    assert visual is not None
    assert audio is not None
    assert (visual.map, visual.map_ci, visual.n_rows) == (None, None, 3)
    assert audio.map == 1
    assert audio.map_ci == (1.0, 1.0)
    assert frame.differences["visual-audio"].map is None


@pytest.mark.parametrize("clip", ["only", "two"])
def test_one_clip_has_no_interval(clip: str) -> None:
    extra = [("b", 1, 5, 0.9, 0.9, 0.5), ("b", 1, 25, 0.1, 0.1, 0.5)] if clip == "two" else []
    segments = [(name, s) for name in "ab" for s in (POSITIVE[1], NEGATIVE[1])]
    audio = evaluate_scores(pair(extra), segments, FAST).frame.systems["audio"]
    assert audio is not None
    assert (audio.map_ci is None) is (clip == "only")


def test_scores_and_segments_of_different_clips() -> None:
    other = [("z", Segment(1, 0, 99, 1)), ("a", Segment(7, 0, 99, 0))]
    for segments in (other, []):
        with pytest.raises(ScoresError, match="do not belong together"):
            evaluate_scores(pair(), segments, FAST)


@pytest.mark.parametrize(
    ("segments", "message"),
    [
        ([POSITIVE], "label 1 only"),
        ([NEGATIVE], "label 0 only"),
        ([POSITIVE, ("a", Segment(1, 0, 9, 0))], "contradictory labels"),
    ],
)
def test_one_class_only(segments: list[tuple[str, Segment]], message: str) -> None:
    with pytest.raises(ScoresError, match=message):
        evaluate_scores(pair(), segments, FAST)


def test_row_twice() -> None:
    with pytest.raises(ScoresError, match="clip a, person 1, frame 5 is scored twice"):
        evaluate_scores(pair([("a", 1, 5, 0.5, 0.5, 0.5)]), [POSITIVE, NEGATIVE], FAST)


def test_no_scores_at_all() -> None:
    empty = make([("a", 1, 5, NAN, NAN, 0.5)])
    for scores in (Scores.empty(), empty):
        with pytest.raises(ScoresError, match="rows has a score"):
            evaluate_scores(scores, [POSITIVE, NEGATIVE], FAST)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("n_resamples", -1),
        ("confidence", 0.0),
        ("confidence", 1.0),
        ("confidence", NAN),
        ("seed", -1),
        ("n_bins", 0),
        ("face_weight", 1.1),
        ("face_weight", NAN),
        ("n_reliability_bins", 0),
        ("segment_score", "median"),
    ],
)
def test_config_names_the_bad_field(field: str, value: Any) -> None:
    with pytest.raises(ConfigError, match=rf"evaluate\.{field} is {value}"):
        EvaluateConfig(**{field: value})


@pytest.fixture(scope="module")
def evaluation() -> Evaluation:
    return evaluate_scores(*synthetic(), EvaluateConfig(n_resamples=20, face_weight=0.7))


def tiny() -> Evaluation:
    """One clip, no quality: no interval, no bin."""
    rows = [("a", 1, 5, 0.9, NAN, NAN), ("a", 1, 25, 0.1, NAN, NAN)]
    return evaluate_scores(make(rows), [POSITIVE, NEGATIVE], FAST)


def test_written_files(tmp_path: Path, evaluation: Evaluation) -> None:
    folder = tmp_path / "deep" / "evaluation"
    paths = write_evaluation(folder, evaluation)
    figures = ["precision_recall.png", "quality_bins.png", "reliability.png"]
    names = ["metrics.json", "metrics.md", *figures]
    assert sorted(p.name for p in folder.iterdir()) == sorted(paths) == names
    content = json.loads(paths["metrics.json"].read_text())
    for protocol in ("frame", "segment"):
        for system in ("audio", "visual", "mean", "constant", "fused"):
            result = content[protocol][system]
            assert 0 < result["map"] <= 1
            low, high = result["map_ci"]
            assert 0 < low <= high <= 1
            assert 0 <= result["accuracy"] <= 1
        difference = content["differences"][protocol]["fused-audio"]
        assert difference["ci"][0] <= difference["ci"][1]
        assert len(content["quality_bins"][protocol]) == 10
    assert content["counts"]["segments"] == 64
    assert content["counts"]["frame"]["rows"] == 1920
    assert content["config"]["face_weight"] == 0.7
    for name in names[2:]:
        assert paths[name].read_bytes().startswith(b"\x89PNG")


def test_markdown_tables_are_rectangular(tmp_path: Path, evaluation: Evaluation) -> None:
    text = write_evaluation(tmp_path, evaluation)["metrics.md"].read_text()
    tables = [block.splitlines() for block in text.split("\n\n") if block.startswith("|")]
    assert len(tables) == 6
    for lines in tables:
        assert len({line.count("|") for line in lines}) == 1
    assert "Fused − audio" in text


def test_files_of_the_smallest_evaluation(tmp_path: Path) -> None:
    paths = write_evaluation(tmp_path, tiny())
    content = json.loads(paths["metrics.json"].read_text())
    assert content["frame"]["visual"] is None
    assert content["frame"]["audio"]["map"] == 1
    assert content["frame"]["audio"]["map_ci"] is None
    assert "No intervals" in paths["metrics.md"].read_text()


@pytest.mark.parametrize("width", [80, 120])
def test_printed_table_fits_and_says_what_is_clear(width: int, evaluation: Evaluation) -> None:
    stream = StringIO()
    print_evaluation(evaluation, Console(file=stream, width=width, color_system=None))
    text = stream.getvalue()
    assert max(len(line) for line in text.splitlines()) <= width
    assert "mAP % [interval]" in text
    line = next(line for line in text.splitlines() if "Fused − audio" in line)
    assert line.count("higher") == 2
    result = evaluation.frame.systems["fused"]
    assert result is not None
    assert result.map is not None
    assert f"{result.map * 100:.1f} [" in text


def test_printed_smallest_evaluation() -> None:
    stream = StringIO()
    print_evaluation(tiny(), Console(file=stream, width=80, color_system=None))
    assert "No intervals" in " ".join(stream.getvalue().split())


def test_former_name_of_the_face_weight() -> None:
    with pytest.warns(DeprecationWarning, match="fixed_weight is now face_weight"):
        config = EvaluateConfig(fixed_weight=0.7)
    assert config == EvaluateConfig(face_weight=0.7)
    assert replace(config, seed=3).face_weight == 0.7


# Calibration.


def test_calibration_of_every_system(evaluation: Evaluation) -> None:
    for name, result in evaluation.frame.systems.items():
        assert result is not None
        scores, labels = evaluation.frame.rows.systems[name], evaluation.frame.rows.labels
        known = ~np.isnan(scores)
        bins = bin_by_score(labels[known], scores[known], 15)
        assert result.reliability == bins
        assert result.ece == compute_calibration_error(bins)
        assert sum(b.n_rows for b in bins) == result.n_rows


def test_values_that_are_not_finite_are_missing_and_counted() -> None:
    scores, segments = synthetic(4)
    gaps = {name: values.copy() for name, values in scores.columns.items()}
    gaps["visual"][::7] = np.inf
    result = evaluate_scores(replace(scores, columns=gaps), segments, FAST)
    gaps["visual"][::7] = NAN
    expected = evaluate_scores(replace(scores, columns=gaps), segments, FAST)
    assert result.counts == {**expected.counts, "scores_not_finite": len(scores.clip[::7])}
    assert result.frame.systems == expected.frame.systems


# What each part adds.


def test_contributions_of_two_branches(evaluation: Evaluation) -> None:
    """Without one of two branches, the other one is left."""
    for protocol in (evaluation.frame, evaluation.segment):
        assert {n: c.gain for n, c in protocol.contributions.items()} == {
            "audio": protocol.differences["fused-visual"],
            "visual": protocol.differences["fused-audio"],
            "quality": protocol.differences["fused-constant"],
        }


def test_no_contribution_of_a_single_branch() -> None:
    assert tiny().frame.contributions == {}


def test_contributions_of_three_branches(toy_spec: BranchSpec) -> None:
    """Against fusing again and judging on the rows that all fusions have."""
    scores, segments = synthetic(6)
    toy = np.random.default_rng(1).random(len(scores))
    columns = {**scores.columns, toy_spec.name: toy}
    columns["fused"] = PUBLISHED.fuse(columns)
    frame = evaluate_scores(replace(scores, columns=columns), segments, FAST).frame
    assert list(frame.contributions) == ["audio", "visual", "toy", "quality"]
    keys = zip(scores.clip.tolist(), scores.person.tolist(), scores.frame.tolist(), strict=True)
    label_of = {
        (clip, s.person, f): s.label
        for clip, s in segments
        for f in range(s.start_frame, s.last_frame + 1)
    }
    labels = np.array([label_of.get(key, -1) for key in keys])
    fusions = {
        name: PUBLISHED.fuse({n: v for n, v in columns.items() if n not in (*own, "fused")})
        for name, *own in (("audio",) * 2, ("visual", "visual", "quality"), ("toy",) * 2)
    }
    even = {**columns, "quality": np.full(len(scores), 0.5)}
    fusions |= {"quality": PUBLISHED.fuse(even), "fused": columns["fused"]}
    keep = (labels >= 0) & ~np.isnan([*fusions.values()]).any(axis=0)
    judged = {name: values[keep] for name, values in fusions.items()}
    maps = {name: mean_average_precision(labels[keep], v) for name, v in judged.items()}
    boot = bootstrap_by_clip(labels[keep], judged, scores.clip[keep], n_resamples=20)
    for name, contribution in frame.contributions.items():
        assert contribution.map_without == pytest.approx(maps[name], abs=1e-12)
        assert contribution.gain.map == pytest.approx(maps["fused"] - maps[name], abs=1e-12)
        assert contribution.gain.ci == pytest.approx(boot.differences[f"fused-{name}"], abs=1e-12)


def test_a_branch_that_changes_nothing_adds_nothing(toy_spec: BranchSpec) -> None:
    """Without it, the fusion gives the same scores."""
    scores, segments = synthetic(4)
    toy = np.where(np.arange(len(scores)) == 0, 0.5, NAN)  # of one row, outside all segments
    frame = evaluate_scores(with_cues(scores, toy=toy), segments, FAST).frame
    assert "toy" not in frame.contributions
    same = dict.fromkeys(("audio", "visual", "toy", "fused"), scores.audio)
    frame = evaluate_scores(with_cues(scores, **same), segments, FAST).frame
    for part in frame.contributions.values():
        assert part.gain.map == 0
        assert part.gain.ci == (0, 0)


def test_another_fusion_tells_what_its_parts_add(toy_spec: BranchSpec) -> None:
    scores, segments = synthetic(4)
    columns = {**scores.columns, toy_spec.name: 1 - scores.audio}
    given: list[set[str]] = []

    class Recorded:
        def fuse(self, columns: Any) -> Any:
            given.append({n for n, values in columns.items() if not np.isnan(values).all()})
            return PUBLISHED.fuse(columns)

        def to_json(self) -> dict[str, Any]:
            return {}

    evaluate_scores(replace(scores, columns=columns), segments, FAST, fusion=Recorded())
    everything = {"audio", "visual", "toy", "quality"}
    assert given == [
        everything,  # gaps are filled
        everything - {"audio"},
        everything - {"visual", "quality"},
        everything - {"toy"},
        everything - {"quality"},
    ]


# Speaking and looking.


def with_cues(scores: Scores, **columns: Any) -> Scores:
    return replace(scores, columns={**scores.columns, **columns})


def test_tasks_are_judged_in_whole_clips() -> None:
    """By hand: person 1 of clip a looks in frames 3 to 6; clip b is not labelled."""
    rows = [("a", 1, f, 0.5, 0.5, 0.5) for f in range(10)] + [("b", 1, 0, 0.5, 0.5, 0.5)]
    rows += [("a", 2, f, 0.5, 0.5, 0.5) for f in range(3)] + [("a", 0, 0, 0.5, 0.5, 0.5)]
    looking = [0.1, 0.2, 0.3, 0.9, NAN, 0.8, 0.4, 0.6, 0.3, 0.1, 1.0, 0.2, 0.1, 0.3, 0.9]
    scores = with_cues(make(rows), looking=np.array(looking))
    segments = [("a", Segment(1, 0, 4, 1)), ("a", Segment(1, 5, 9, 0))]
    intervals = {"a": [Interval(1, 3, 6), Interval(2, 50, 60)]}
    result = evaluate_scores(scores, segments, FAST, {"looking": intervals, "speaking": {}})
    assert list(result.tasks) == ["looking"]  # speaking has neither scores nor labels
    frame, segment = result.tasks["looking"].frame, result.tasks["looking"].segment
    labels = [0, 0, 0, 1, 1, 1, 0, 0, 0, 0, 0, 0]  # of persons 1 and 2 where there is a score
    known = [0.1, 0.2, 0.3, 0.9, 0.8, 0.4, 0.6, 0.3, 0.1, 0.2, 0.1, 0.3]
    assert (frame.n_rows, frame.n_positive, frame.n_clips) == (12, 3, 1)
    assert frame.map == pytest.approx(mean_average_precision(np.array(labels), np.array(known)))
    assert frame.accuracy == pytest.approx(10 / 12)
    # Stretches: frames 0-2, 3-6 and 7-9 of person 1, all of person 2.
    means = np.array([0.2, 0.7, 1 / 3, 0.2])
    assert (segment.n_rows, segment.n_positive, segment.accuracy) == (4, 1, 1.0)
    assert segment.map == pytest.approx(mean_average_precision(np.array([0, 1, 0, 0]), means))
    highest = replace(FAST, segment_score="max")
    segment = (
        evaluate_scores(scores, segments, highest, {"looking": intervals}).tasks["looking"].segment
    )
    assert segment.accuracy == 0.75  # frame 7 has 0.6


def test_stretches_that_are_not_labelled_are_not_judged() -> None:
    """By hand: person 1 looks in frames 3 to 6, and nobody knows of frames 5 to 7."""
    rows = [("a", 1, f, 0.5, 0.5, 0.5) for f in range(10)]
    rows += [("a", 2, f, 0.5, 0.5, 0.5) for f in range(3)]
    looking = np.array([0.1, 0.2, 0.3, 0.9, 0.7, 0.0, 0.0, 1.0, 0.3, 0.1, 0.2, 0.1, 0.3])
    segments = [("a", Segment(1, 0, 4, 1)), ("a", Segment(1, 5, 9, 0))]
    task = evaluate_scores(
        with_cues(make(rows), looking=looking),
        segments,
        FAST,
        {"looking": {"a": [Interval(1, 3, 6)]}},
        unlabelled={"looking": {"a": [Interval(1, 5, 7), Interval(2, 5, 9)]}},
    ).tasks["looking"]
    assert (task.frame.n_rows, task.frame.n_positive, task.frame.accuracy) == (10, 2, 1.0)
    assert (task.segment.n_rows, task.segment.n_positive, task.segment.accuracy) == (4, 1, 1.0)


def test_intervals_of_tasks_are_those_of_the_bootstrap() -> None:
    scores, segments = synthetic(6)
    positive = {(clip, s.person, s.start_frame): s for clip, s in segments if s.label}
    speaking: dict[str, list[Interval]] = {f"clip{i}": [] for i in range(6)}
    for (clip, *_), s in positive.items():
        speaking[clip].append(Interval(s.person, s.start_frame, s.last_frame))
    scores = with_cues(scores, speaking=scores.audio)
    frame = evaluate_scores(scores, segments, FAST, {"speaking": speaking}).tasks["speaking"].frame
    labels = np.array(
        [
            any(i.person == p and i.start_frame <= f <= i.last_frame for i in speaking[clip])
            for clip, p, f in zip(scores.clip, scores.person, scores.frame, strict=True)
        ]
    )
    boot = bootstrap_by_clip(labels, {"s": scores.audio}, scores.clip, n_resamples=20)
    assert frame.map_ci == pytest.approx(boot.intervals["s"], abs=1e-12)


def test_a_task_of_one_class_has_no_map(tmp_path: Path) -> None:
    scores, segments = synthetic(2)
    scores = with_cues(scores, looking=scores.visual)
    result = evaluate_scores(scores, segments, FAST, {"looking": {"clip0": []}})
    frame = result.tasks["looking"].frame
    assert (frame.map, frame.map_ci, frame.n_positive) == (None, None, 0)
    assert frame.accuracy > 0
    write_evaluation(tmp_path, result)
    print_evaluation(result, Console(file=StringIO(), width=80))


def test_files_with_tasks(tmp_path: Path) -> None:
    scores, segments = synthetic(4)
    labels = {"clip0": [Interval(1, 0, 100)], "clip1": [Interval(2, 40, 99)]}
    scores = with_cues(scores, cues=scores.visual, looking=scores.visual, speaking=scores.audio)
    tasks = {"looking": labels, "speaking": labels}
    result = evaluate_scores(scores, segments, FAST, tasks)
    paths = write_evaluation(tmp_path, result)
    content = json.loads(paths["metrics.json"].read_text())
    for protocol in ("frame", "segment"):
        for name in ("looking", "speaking", "fused", "cues"):
            assert 0 <= content[protocol][name]["map"] <= 1
            assert 0 <= content[protocol][name]["ece"] <= 1
            bins = content["reliability"][protocol][name]
            assert sum(b["n_rows"] for b in bins) == content[protocol][name]["n_rows"]
        assert [*content["contributions"][protocol]] == ["audio", "visual", "cues", "quality"]
    text = paths["metrics.md"].read_text()
    assert "| Looking at me | Frames |" in text
    stream = StringIO()
    print_evaluation(result, Console(file=stream, width=80, color_system=None))
    printed = stream.getvalue()
    assert max(map(len, printed.splitlines())) <= 80
    assert "Speaking and looking at me" in printed
    assert "What each part adds" in printed


# A third branch.


def test_a_third_branch_is_judged_and_drawn(tmp_path: Path, toy_spec: BranchSpec) -> None:
    scores, segments = synthetic(4)
    toy = np.where(np.isnan(scores.audio), 0.5, 1 - scores.audio)
    scores = replace(scores, columns={**scores.columns, toy_spec.name: toy})
    result = evaluate_scores(scores, segments, EvaluateConfig(n_resamples=20, face_weight=0.7))
    names = ["audio", "visual", "toy", "mean", "constant", "fused"]
    assert list(result.frame.systems) == names
    audio, judged = (result.frame.systems[name] for name in ("audio", "toy"))
    assert audio is not None
    assert judged is not None
    assert judged.map != audio.map
    assert "fused-toy" in result.frame.differences
    write_evaluation(tmp_path, result)
    assert json.loads((tmp_path / "metrics.json").read_text())["frame"]["toy"]["map"] == judged.map
    table = (tmp_path / "metrics.md").read_text()
    assert "| Toy |" in table
    assert "Fused − toy" in table
