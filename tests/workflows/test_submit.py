"""Submit: the file of the challenge and its check."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from quavf.core.errors import ScoresError
from quavf.results.scores import read_scores, write_scores
from quavf.workflows.predict import predict
from quavf.workflows.submit import check_submission, write_submission
from tests.helpers.scored_stores import CONFIG


def test_submission_and_its_check(challenge: Path, audio: Path, visual: Path, tmp_path: Path):
    predict(challenge, tmp_path / "scores", audio, visual, CONFIG)
    path = tmp_path / "submission.json"
    assert write_submission(tmp_path / "scores", path) == {"rows": 8, "videos": 2}
    assert check_submission(path, challenge) == []
    content = json.loads(path.read_text())
    scores = read_scores(tmp_path / "scores")
    assert [row["score"] for row in content["results"]] == scores.fused.tolist()
    content["results"].pop()
    path.write_text(json.dumps(content))
    (problem,) = check_submission(path, challenge)
    assert "1 row (video clip1 frame 30) missing" in problem


def test_submission_of_two_people_in_one_clip(scores: Path, tmp_path: Path) -> None:
    found = read_scores(scores)
    write_scores(tmp_path / "scores", replace(found, frame=found.frame * 0), {})
    with pytest.raises(ScoresError, match=r"3 rows .* more than once"):
        write_submission(tmp_path / "scores", tmp_path / "submission.json")
    assert not (tmp_path / "submission.json").exists()
