"""The looking-at-me challenge: from `videos_challenge` to the file that is handed in."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from quavf.cli import main
from quavf.core.errors import AnnotationError, ConfigError, ScoresError, StoreError
from quavf.core.records import CroppedClip
from quavf.results.scores import Scores, write_scores
from quavf.sources.challenge import index_challenge
from quavf.sources.config import ChallengeConfig
from quavf.store import ClipStore
from quavf.workflows.prepare import prepare_source
from quavf.workflows.submit import check_submission, write_submission
from tests.helpers.media_files import jpeg

FILES = {
    "v1/2": ("00010_a7.jpg", "00012_b1.jpg", "00011_c.jpg"),
    "v1/10": ("00300_d.jpg",),
    "v2/person": ("u10.jpg", "u9.jpg", "notes.txt"),
    "v2/x": ("u1.JPG",),
}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for track, names in FILES.items():
        (tmp_path / "challenge" / track).mkdir(parents=True)
        for name in names:
            (tmp_path / "challenge" / track / name).write_bytes(jpeg())
    (tmp_path / "challenge" / "empty").mkdir()
    return tmp_path / "challenge"


def read(root: Path) -> tuple[list[CroppedClip], dict[str, int]]:
    index = index_challenge(ChallengeConfig(root, "lam"))
    assert all(isinstance(record, CroppedClip) for record in index.records)
    return index.records, index.notes  # type: ignore[return-value]


def test_tracks_are_persons_and_names_say_the_frame(root: Path) -> None:
    (first, second), notes = read(root)
    assert (first.clip, first.split, first.sound) == ("v1", "test", None)
    assert {p: list(own) for p, own in first.faces.items()} == {1: [10, 11, 12], 2: [300]}
    assert first.faces[1][12].name == "00012_b1.jpg"
    assert first.rows is not None
    assert first.rows.text == ("2/a7", "2/c", "2/b1", "10/d")
    assert first.rows.frame.tolist() == [10, 11, 12, 300]
    assert first.notes == {}
    assert notes == {"folders without <track>/<picture>.jpg, left out": 1}
    # Without frame numbers: in order, one track after the other.
    assert {p: list(own) for p, own in second.faces.items()} == {1: [0, 1], 2: [62]}
    assert second.rows is not None
    assert second.rows.text == ("person/u9", "person/u10", "x/u1")
    assert second.notes == {
        "files in <video>/<track> that are not named <frame>_<unique id>.jpg": 1,
        "tracks whose pictures have no frame number, taken in order": 2,
    }


def test_two_pictures_of_one_frame_are_both_handed_in(root: Path, tmp_path: Path) -> None:
    (root / "v1" / "2" / "00010_z.jpg").write_bytes(jpeg())
    (first, _), _ = read(root)
    assert first.notes == {"pictures of a frame that another picture shows, scored like it": 1}
    store = prepare(root, tmp_path)
    scores = write(tmp_path, store, {("v1", 1, 10): 0.25, ("v1", 2, 300): 0.5})
    write_submission(scores, tmp_path / "s.json", "lam")
    found = {row["unique_id"]: row["score"] for row in content(tmp_path / "s.json")["results"]}
    assert (found["a7"], found["z"], found["d"]) == (0.25, 0.25, 0.5)


def prepare(root: Path, tmp_path: Path) -> ClipStore:
    summary = prepare_source("challenge", tmp_path / "store", ChallengeConfig(root, "lam"))
    assert not summary.failed
    return ClipStore.open(tmp_path / "store")


def write(tmp_path: Path, store: ClipStore, looking: dict[tuple[str, int, int], float]) -> Path:
    clip, person, frame = (np.array(part) for part in zip(*looking, strict=True))
    columns = {"looking": np.array(list(looking.values()))}
    scores = Scores(clip.astype(object), person, frame, columns)
    write_scores(tmp_path / "scores", scores, {"store": str(store.path)})
    return tmp_path / "scores"


def content(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(path.read_text())
    return found


def test_submission_has_a_row_for_every_picture(
    root: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    store = prepare(root, tmp_path)
    looking = {("v1", 1, 10): 0.25, ("v1", 1, 12): 0.75, ("v1", 2, 300): 1.0, ("v2", 1, 1): 0.5}
    scores, path = write(tmp_path, store, looking), tmp_path / "out" / "s.json"
    with caplog.at_level(logging.WARNING):
        assert write_submission(scores, path, "lam") == {"rows": 7, "videos": 2}
    assert "2 faces without a score took the value between their neighbours in time" in caplog.text
    assert "1 face without a score within 2 s took the mean of all scores" in caplog.text
    found = content(path)
    assert (found["version"], found["challenge"]) == ("1.0", "ego4d_looking_at_me")
    keys = ("video_id", "unique_id", "track_id", "label", "score")
    assert [tuple(row[key] for key in keys) for row in found["results"]] == [
        ("v1", "a7", "2", 1, 0.25),
        ("v1", "c", "2", 1, 0.5),
        ("v1", "b1", "2", 1, 0.75),
        ("v1", "d", "10", 1, 1.0),
        ("v2", "u9", "person", 1, 0.5),
        ("v2", "u10", "person", 1, 0.5),
        ("v2", "u1", "x", 1, 0.625),
    ]
    assert list(found["results"][0]) == list(keys)
    assert check_submission(path, store.path, "lam") == []


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda rows: rows[1:], "1 row (video v1 track 2 id a7) missing"),
        (lambda rows: [*rows, rows[0]], "1 row (video v1 track 2 id a7) more than once"),
        (
            lambda rows: [{**rows[0], "track_id": 3}, *rows[1:]],
            "1 row (video v1 track 3 id a7) of pictures that the set does not have",
        ),
        (lambda rows: [{**rows[0], "score": 2}, *rows[1:]], "with a score that is not a number"),
        (lambda rows: [{**rows[0], "label": 0}, *rows[1:]], "with a label other than 1"),
        (lambda rows: [{"video_id": "v1"}, *rows[1:]], "1 malformed, expected objects with"),
        (lambda rows: [{**rows[0], "unique_id": None}, *rows[1:]], "1 malformed"),
        (lambda rows: {}, "top-level key 'results' is dict, expected a list of rows"),
    ],
)
def test_check_finds_faults(root: Path, tmp_path: Path, change: Any, message: str) -> None:
    store, path = prepare(root, tmp_path), tmp_path / "s.json"
    write_submission(write(tmp_path, store, {("v1", 1, 10): 0.25}), path, "lam")
    found = content(path)
    found["results"] = change(found["results"])
    path.write_text(json.dumps(found))
    assert message in "; ".join(check_submission(path, store.path, "lam"))


def test_check_refuses_the_other_challenge(root: Path, tmp_path: Path) -> None:
    path = tmp_path / "s.json"
    path.write_text(json.dumps({"version": "1.0", "challenge": "ego4d_talking_to_me"}))
    problems = check_submission(path, prepare(root, tmp_path).path, "lam")
    assert "is 'ego4d_talking_to_me', expected 'ego4d_looking_at_me'" in problems[0]


def test_mistakes(root: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="task: 'asd' is not one of ttm, lam"):
        ChallengeConfig(root, "asd")
    with pytest.raises(ConfigError, match="submit: task 'asd' is not one of"):
        write_submission(tmp_path, tmp_path / "s.json", "asd")
    with pytest.raises(AnnotationError, match=r"no such folder; pass \.\.\./videos_challenge"):
        read(tmp_path / "nowhere")
    with pytest.raises(AnnotationError, match=r"no <video>/<track>/<picture>\.jpg in it"):
        read(root / "empty")
    store = prepare(root, tmp_path)
    scores = write(tmp_path, store, {("v1", 1, 10): float("nan")})
    with pytest.raises(ScoresError, match="no score says who is looking; predict with weights"):
        write_submission(scores, tmp_path / "s.json", "lam")
    (store.folder("v2") / "rows.parquet").unlink()
    with pytest.raises(StoreError, match="clip v2 does not say what its dataset calls the faces"):
        check_submission(tmp_path / "s.json", store.path, "lam")


def test_commands(root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store = tmp_path / "store"
    words = ["prepare", "challenge", "--task", "lam", "--root", str(root), "--store", str(store)]
    assert main(words) == 0
    assert main(["check", str(store)]) == 0
    scores = write(tmp_path, ClipStore.open(store), {("v1", 1, 10): 0.25})
    path = str(tmp_path / "s.json")
    assert main(["submit", str(scores), "--task", "lam", "--out", path]) == 0
    assert "s.json: 7 rows of 2 videos" in capsys.readouterr().out
    assert main(["submit", "--check", path, "--task", "lam", "--store", str(store)]) == 0
