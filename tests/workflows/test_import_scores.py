"""Import of scores: the published predictions keep their values, and are fused as published."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from quavf.core.errors import AnnotationError, ConfigError, ScoresError, StoreError
from quavf.core.records import Segment
from quavf.results.scores import Scores, read_config, read_scores
from quavf.store import ClipStore
from quavf.workflows.fuse import fuse
from quavf.workflows.import_scores import import_branches, import_scores
from quavf.workflows.predict import predict
from tests.helpers.data import needs_golden
from tests.helpers.scored_stores import CONFIG
from tests.helpers.stores import make_store


def write_rows(path: Path, rows: list[Any]) -> Path:
    content = {"version": "1.0", "challenge": "ego4d_talking_to_me", "results": rows}
    path.write_text(json.dumps(content))
    return path


def row(frame: Any, score: Any, clip: Any = "clip") -> dict[str, Any]:
    return {"video_id": clip, "frame_id": frame, "label": 1, "score": score}


def values(scores: Scores, column: str) -> dict[tuple[str, int], float]:
    keys = zip(scores.clip.tolist(), scores.frame.tolist(), strict=True)
    return dict(zip(keys, scores[column].tolist(), strict=True))


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """One segment with one person at frames 0, 15 and 300, scored by `light`."""
    target = make_store(tmp_path / "store", {1: [0, 15, 300]})
    target.write_quality("clip", "light", np.array([0.6, 0.9, 0.3]), {})
    return target.path


@needs_golden
def test_published_files(e2e_root: Path, e2e_challenge_store: Path, tmp_path: Path) -> None:
    """Audio and visual as in the files; their fusion as in QuAVF.json, to 1e-12."""
    files = {"audio": e2e_root / "aPred.json", "visual": e2e_root / "vPred.json"}
    summary = import_branches(files, e2e_challenge_store, tmp_path / "scores")
    assert (summary.clips, summary.rows, summary.branches.several) == (4, 478, 478)
    assert (summary.scorer, summary.unknown) == ("imported", {"audio": 0, "visual": 0})
    scores = read_scores(tmp_path / "scores")
    for column, tolerance in (("audio", 0), ("visual", 0), ("fused", 1e-12)):
        name = {"audio": "aPred", "visual": "vPred", "fused": "QuAVF"}[column]
        results = json.loads((e2e_root / f"{name}.json").read_text())["results"]
        published = {(r["video_id"], int(r["frame_id"])): r["score"] for r in results}
        assert values(scores, column) == pytest.approx(published, rel=0, abs=tolerance), column


def test_both_branches(store: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Frame numbers may be text; unknown rows and faces without a score are counted."""
    audio = write_rows(tmp_path / "aPred.json", [row(0, 0.25), row(15, 0.5), row(1, 0.5)])
    visual = write_rows(tmp_path / "vPred.json", [row("15", 1), row(0, 0.5, "other")])
    out = tmp_path / "scores"
    summary = import_branches({"visual": visual, "audio": audio}, store, out)
    assert (summary.clips, summary.rows, summary.without_score) == (1, 2, 1)
    assert (summary.branches.several, summary.branches.only) == (1, {"audio": 1, "visual": 0})
    assert summary.unknown == {"audio": 1, "visual": 1}
    assert caplog.messages == [
        f"{audio}: rows without a face in the store: 1",
        f"{visual}: rows without a face in the store: 1",
        f"{audio}, {visual}: faces without a score: 1",
    ]
    scores = read_scores(out)
    quality = (0.6 + 0.9) / 15  # both faces lie in each other's windows of 15 slots
    assert scores.person.tolist() == [1, 1]
    np.testing.assert_array_equal(scores.frame, [0, 15])
    np.testing.assert_array_equal(scores.audio, [0.25, 0.5])
    np.testing.assert_array_equal(scores.visual, [np.nan, 1])
    np.testing.assert_allclose(scores.quality, [quality] * 2, rtol=1e-15)
    np.testing.assert_allclose(scores.fused, [0.25, (1 - quality) * 0.5 + quality], rtol=1e-15)
    config = read_config(out)
    assert (config["command"], config["quality"]) == ("import", "light")
    assert (config["audio"], config["visual"]) == (str(audio), str(visual))


def test_one_branch_at_a_time(store: Path, tmp_path: Path) -> None:
    """Fused later, they are the same as both in one go."""
    audio = write_rows(tmp_path / "aPred.json", [row(0, 0.25), row(15, 0.5)])
    visual = write_rows(tmp_path / "vPred.json", [row(0, 0.75), row(15, 1), row(300, 0)])
    import_scores(audio, store, tmp_path / "a", "audio")
    import_scores(visual, store, tmp_path / "v", "visual")
    fuse(tmp_path / "a", tmp_path / "v", tmp_path / "fused")
    import_branches({"audio": audio, "visual": visual}, store, tmp_path / "both")
    apart, both = read_scores(tmp_path / "fused"), read_scores(tmp_path / "both")
    for column in ("audio", "visual", "fused"):
        np.testing.assert_array_equal(apart[column], both[column])
    assert np.isnan(read_scores(tmp_path / "a").quality).all()


def test_quality_is_that_of_predict(challenge: Path, visual: Path, tmp_path: Path) -> None:
    """`challenge` has two clips of one person; the imported scores are those predicted."""
    predict(challenge, tmp_path / "predicted", visual=visual, config=CONFIG)
    predicted = read_scores(tmp_path / "predicted")
    rows = [row(frame, score, clip) for (clip, frame), score in values(predicted, "visual").items()]
    file = write_rows(tmp_path / "vPred.json", rows)
    import_scores(file, challenge, tmp_path / "scores", "visual")
    imported = read_scores(tmp_path / "scores")
    for column in Scores.names():
        np.testing.assert_array_equal(getattr(imported, column), getattr(predicted, column))


def test_store_without_quality(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    target = make_store(tmp_path / "store", {1: [0]})
    (target.folder("clip") / "quality" / "light.parquet").unlink()
    audio = write_rows(tmp_path / "aPred.json", [row(0, 0.25)])
    visual = write_rows(tmp_path / "vPred.json", [row(0, 0.75)])
    files = {"audio": audio, "visual": visual}
    summary = import_branches(files, target.path, tmp_path / "scores")
    assert (summary.scorer, summary.branches.no_quality) == ("", 1)
    assert "the faces have no quality, so fusion takes the plain mean" in caplog.text
    scores = read_scores(tmp_path / "scores")
    assert np.isnan(scores.quality).all()
    assert scores.fused.tolist() == [0.5]


def test_choice_of_quality(store: Path, tmp_path: Path) -> None:
    """The published scorer comes first; else one of several is named."""
    file = write_rows(tmp_path / "vPred.json", [row(0, 0.75)])
    clips = ClipStore.open(store)
    clips.write_quality("clip", "other", np.zeros(3), {})
    with pytest.raises(StoreError, match="has quality from light, other; choose one"):
        import_scores(file, store, tmp_path / "scores", "visual")
    summary = import_scores(file, store, tmp_path / "scores", "visual", quality="other")
    assert (summary.scorer, read_scores(tmp_path / "scores").quality[0]) == ("other", 0)
    clips.write_quality("clip", "fan", np.full(3, 0.5), {})
    assert import_scores(file, store, tmp_path / "scores", "visual").scorer == "fan"


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([row(0, 0.5), row(0, 0.5)], r"results\[1\]: video clip, frame 0: listed twice"),
        ([row(0, 0.5), row(15, 1.5)], r"results\[1\]: video clip, frame 15: .* found 1.5"),
        ([row(0, float("nan"))], r"results\[0\]: video clip, frame 0: .* from 0 to 1, found nan"),
        ([row(0, "0.5")], r"results\[0\]: video clip, frame 0: .* from 0 to 1, found '0.5'"),
        ([row(0.5, 0.5)], r"results\[0\]: expected video_id, frame_id \(a whole number\)"),
        ([{"video_id": "clip"}], r"results\[0\]: expected .* found {'video_id': 'clip'}"),
        ([row(1, 0.5)], r"aPred.json: not one of the rows belongs to a face of "),
        ([], r"aPred.json: not one of the rows belongs to a face of "),
    ],
)
def test_faulty_rows(store: Path, tmp_path: Path, rows: list[Any], message: str) -> None:
    file = write_rows(tmp_path / "aPred.json", rows)
    with pytest.raises(ScoresError, match=message):
        import_scores(file, store, tmp_path / "scores", "audio")
    assert not (tmp_path / "scores").exists()


@pytest.mark.parametrize("content", ["[]", '{"results": {}}', '{"clip": {"0": 0.5}}'])
def test_file_of_another_kind(store: Path, tmp_path: Path, content: str) -> None:
    file = tmp_path / "aPred.json"
    file.write_text(content)
    with pytest.raises(ScoresError, match=r"aPred\.json: expected an object with a list 'results'"):
        import_scores(file, store, tmp_path / "scores", "audio")


def test_missing_file_and_unknown_branch(store: Path, tmp_path: Path) -> None:
    with pytest.raises(AnnotationError, match=r"none\.json: no such file"):
        import_scores(tmp_path / "none.json", store, tmp_path / "scores", "audio")
    with pytest.raises(ConfigError, match="no branch 'sound'; there are audio, visual"):
        import_scores(tmp_path / "none.json", store, tmp_path / "scores", "sound")
    with pytest.raises(ConfigError, match="give a file with --audio, --visual, --cues, or several"):
        import_branches({}, store, tmp_path / "scores")


def test_several_persons_in_one_frame(tmp_path: Path) -> None:
    """Their faces cannot be told apart; a clip where one person is seen at a time is fine."""
    segments = [Segment(1, 0, 20, 1), Segment(2, 0, 20, 0)]
    target = make_store(tmp_path / "store", {1: [0, 15], 2: [15, 16]}, segments)
    single = write_rows(tmp_path / "single.json", [row(0, 0.25), row(16, 0.75)])
    import_scores(single, target.path, tmp_path / "scores", "audio")
    scores = read_scores(tmp_path / "scores")
    assert (scores.person.tolist(), scores.audio.tolist()) == ([1, 2], [0.25, 0.75])
    shared = write_rows(tmp_path / "shared.json", [row(0, 0.25), row(15, 0.75)])
    with pytest.raises(
        ScoresError, match=r"shared\.json: video clip, frame 15: .* several persons'"
    ):
        import_scores(shared, target.path, tmp_path / "scores", "audio")
