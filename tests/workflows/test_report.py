"""Files for other programs, of videos, scores and stores."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest

from quavf.cli import main
from quavf.core.errors import ConfigError
from quavf.results.labels import LabelledPerson, VideoLabels
from quavf.results.scores import Scores, write_scores
from quavf.results.video import VideoResult
from quavf.workflows.report import write_formats
from tests.helpers.made_up_results import made_up, write_video
from tests.helpers.stores import make_tiny_store


@pytest.fixture(scope="module")
def scored(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store of two clips, and scores that are high throughout."""
    out = tmp_path_factory.mktemp("scored")
    faces = make_tiny_store(out / "store", ("val", "val")).faces("clip0")
    names = np.repeat(np.array(["clip0", "clip1"], object), len(faces))
    person, frame = np.tile(faces.person, 2), np.tile(faces.frame, 2)
    columns = {"audio": np.ones(len(names)), "fused": np.ones(len(names))}
    made_from = {"store": str(out / "store")}
    write_scores(out / "scores", Scores(names, person, frame, columns), made_from)
    return out


def test_beside_the_results_of_a_run(tmp_path: Path) -> None:
    result = made_up(write_video(tmp_path / "in.mp4", seconds=0.5))
    result.write(tmp_path / "out")
    written = write_formats([tmp_path / "out"], ["csv", "json"])
    assert [p.name for p in written] == ["report.csv", "report.json"]
    rows = list(csv.DictReader(written[0].read_text().splitlines()))
    assert len(rows) == len(result.moments)
    assert VideoResult.read(tmp_path / "out").moments  # the run's own files are left alone


def test_several_runs_get_names_that_differ(tmp_path: Path) -> None:
    for name in ("a", "b"):
        made_up(tmp_path / name / "IMG 1.mp4").write(tmp_path / "runs" / name)
    written = write_formats([tmp_path / "runs"], ["rttm"], tmp_path / "out")
    assert [p.name for p in written] == ["IMG_1.rttm", "IMG_1-2.rttm"]
    assert len(write_formats([tmp_path / "runs" / "a", tmp_path / "runs" / "b"], ["rttm"])) == 2
    assert (tmp_path / "runs" / "b" / "report.rttm").is_file()


def test_names_of_labelled_people(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """In all files, in the page and in its words, as soon as labels lie beside the run."""
    result = made_up(write_video(tmp_path / "in.mp4", seconds=0.5), has_cues=True)
    result.write(tmp_path / "out")
    assert main(["report", str(tmp_path / "out")]) == 0
    before = capsys.readouterr().out
    assert "Anna" not in before
    people = (LabelledPerson(1, name="Anna B."), LabelledPerson(2, name="<i>Ben"))
    VideoLabels(result.video.name, people).write(tmp_path / "out" / "labels.json")
    elan, rttm, table = write_formats([tmp_path / "out"], ["elan", "rttm", "json"])
    assert 'TIER_ID="Anna B. talks to you"' in elan.read_text()
    assert {line.split()[7] for line in rttm.read_text().splitlines()} == {"Anna_B."}
    assert json.loads(table.read_text())["people"][0] == {"person": 1, "name": "Anna B."}
    assert main(["report", str(tmp_path / "out")]) == 0
    said = capsys.readouterr().out.replace("\n", " ")
    page = (tmp_path / "out" / "report.html").read_text()
    assert '"name":"Anna B."' in page
    assert "<i>Ben" not in page
    assert "Anna B." in said
    assert "erson 1" not in said
    assert VideoResult.read(tmp_path / "out").persons == result.persons, "the run's own stay"


def test_two_people_of_one_name_differ_in_files(tmp_path: Path) -> None:
    made_up(tmp_path / "in.mp4").write(tmp_path)
    people = (LabelledPerson(1, name="Ann"), LabelledPerson(2, name="Ann"))
    VideoLabels("in.mp4", people).write(tmp_path / "labels.json")
    (table,) = write_formats([tmp_path], ["json"])
    names = [p["name"] for p in json.loads(table.read_text())["people"]]
    assert names == ["Ann (1)", "Ann (2)"]


def test_scores_with_labels(scored: Path, tmp_path: Path) -> None:
    written = write_formats([scored / "scores"], ["json"], tmp_path)
    assert [p.name for p in written] == ["clip0.json", "clip1.json"]
    content = json.loads(written[0].read_text())
    kinds = {s["kind"] for s in content["stretches"]}
    assert kinds == {"talking", "label_talking", "label_others"}
    assert content["video"] == "clip0"
    usual = write_formats([scored / "scores"], ["csv"])
    assert usual[0] == scored / "scores" / "report" / "clip0.csv"


def test_labels_of_a_store(scored: Path, tmp_path: Path) -> None:
    written = write_formats([scored / "store"], ["csv", "rttm"], tmp_path)
    assert len(written) == 4
    rows = list(csv.DictReader(written[0].read_text().splitlines()))
    assert {row["kind"] for row in rows} == {"label_talking", "label_others"}
    assert {row["confidence"] for row in rows} == {""}
    talking = [row for row in rows if row["kind"] == "label_talking"]
    assert len(written[1].read_text().splitlines()) == len(talking)


def test_refused(scored: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no results here; give a folder that `quavf run`"):
        write_formats([tmp_path], ["csv"])
    with pytest.raises(ConfigError, match="a store; say where its labels go with --out"):
        write_formats([scored / "store"], ["csv"])
    with pytest.raises(ConfigError, match="not there; say where it is with --store"):
        write_formats([scored / "scores"], ["csv"], store=tmp_path / "gone")
    with pytest.raises(ConfigError, match="no such folder; pass the one that holds"):
        write_formats([scored / "scores"], ["csv"], clips=tmp_path / "gone")
    with pytest.raises(ConfigError, match="format: 'doc'"):
        write_formats([scored / "scores"], ["doc"])
