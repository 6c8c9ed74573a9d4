"""AVA's rows as clip records, faults and all."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from quavf.core.errors import AnnotationError, ConfigError
from quavf.core.records import ClipRecord, Interval
from quavf.sources.ava import find_rate, index_ava
from quavf.sources.config import AvaConfig
from tests.helpers.ava_files import SILENT, SPEAKS, UNHEARD, row, write_rows

BOX = (0.25, 0.5, 0.5, 0.75)


def read(tmp_path: Path, rows: list[str], **options: Any) -> tuple[ClipRecord, dict[str, int]]:
    path = write_rows(tmp_path / "val.csv", rows)
    index = index_ava(AvaConfig(tmp_path / "videos", val=path, **options))
    (record,) = index.records
    assert isinstance(record, ClipRecord)
    return record, index.notes


def talk(entity: str, first: int, labels: list[str], fps: float = 25) -> list[str]:
    return [row("m", (first + k) / fps, BOX, label, entity) for k, label in enumerate(labels)]


def test_a_movie(tmp_path: Path) -> None:
    """Entity a from 900.4 s: silent, speaks, is not heard; b later, with a gap."""
    rows = talk("m:a", 22510, [SILENT] * 2 + [SPEAKS] * 3 + [UNHEARD] * 2)
    rows += talk("m:b", 22600, [SPEAKS] * 4) + talk("m:b", 22650, [SPEAKS, "?"])
    record, notes = read(tmp_path, rows)
    assert (record.clip, record.split) == ("m", "val")
    assert record.media == tmp_path / "videos" / "m.mp4"
    assert record.facts.fps == 25
    assert (record.facts.timed, record.facts.relative) == (True, True)
    assert (record.start_s, record.end_s) == (900.0, 22651 / 25 + 1)
    assert (record.segments, record.looking, record.every) == ((), None, 1)
    assert {p: [t.frames.tolist() for t in own] for p, own in record.tracks.items()} == {
        1: [list(range(10, 17))],
        2: [[100, 101, 102, 103], [150, 151]],
    }
    np.testing.assert_allclose(record.tracks[1][0].xywh, [(0.25, 0.5, 0.25, 0.25)] * 7)
    assert record.speaking == (
        Interval(1, 12, 14),
        Interval(2, 100, 103),
        Interval(2, 150, 150),
    )
    assert record.unlabelled == {
        "talking": (Interval(1, 10, 16), Interval(2, 100, 151)),
        "speaking": (Interval(0, 0, 151), Interval(2, 151, 151)),
    }
    assert record.rows is not None
    assert record.rows.text[0] == rows[0]
    assert record.rows.person.tolist() == [1] * 7 + [2] * 6
    assert record.rows.frame.tolist() == [*range(10, 17), *range(100, 104), 150, 151]
    assert record.notes == {"rows without a known label": 1}
    assert notes == {}


def test_files_that_start_later(tmp_path: Path) -> None:
    rows = talk("m:a", 22510, [SILENT] * 7) + talk("m:a", 22480, [SILENT])
    record, _ = read(tmp_path, rows, start=900.0)
    assert record.start_s == 0.0
    assert record.end_s == pytest.approx(22516 / 25 - 900 + 1)
    assert record.tracks[1][0].frames.tolist() == list(range(10, 17))
    assert record.notes == {"rows of a time before the video file starts": 1}


def test_folders_headers_and_ids_that_start_with_a_dash(tmp_path: Path) -> None:
    write_rows(tmp_path / "train" / "a.csv", talk("m:a", 0, [SILENT]))
    header = "video_id,frame_timestamp,entity_box_x1,y1,x2,y2,label,entity_id,label_id,instance_id"
    line = row("-x", 1, BOX, SPEAKS, "-x:0") + ",1,-x:0:0"
    write_rows(tmp_path / "val.csv", [header, line, ""])
    config = AvaConfig(tmp_path, train=tmp_path / "train", val=tmp_path / "val.csv")
    records: list[Any] = index_ava(config).records
    assert [(r.clip, r.split, r.media.name) for r in records] == [
        ("_-x", "val", "-x.mp4"),
        ("m", "train", "m.mp4"),
    ]
    assert records[0].rows.text == (row("-x", 1, BOX, SPEAKS, "-x:0"),)


def test_faults_are_counted(tmp_path: Path) -> None:
    rows = talk("m:a", 0, [SILENT] * 3)
    rows += [row("m", 0.04, BOX, SILENT, "m:a"), "m,0.12,a,b,c,d,NOT_SPEAKING,m:a", "m,1"]
    rows += ["m,nan,0,0,1,1,NOT_SPEAKING,m:a", "m,0.16,0.5,0.5,0.4,0.6,NOT_SPEAKING,m:a"]
    record, notes = read(tmp_path, rows)
    assert notes == {"rows without eight fields, a time and an entity": 2}
    assert record.notes == {
        "rows of an entity at the time of another row of it": 1,
        "rows without a usable box, scored by their neighbours": 2,
    }
    assert record.rows is not None
    assert record.rows.frame.tolist() == [0, 1, 2, 1, 3, 4], "every row is kept"
    assert record.tracks[1][0].frames.tolist() == [0, 1, 1, 2]


@pytest.mark.parametrize("fps", ["24000/1001", "24", "25", "30000/1001", "30", "50"])
def test_rate_of_rounded_times(fps: str) -> None:
    rate = Fraction(fps)
    frames = np.concatenate([np.arange(7000, 7050), np.arange(8000, 8030), np.arange(8040, 8080)])
    times = np.round(frames / float(rate), 2)
    found = find_rate(times, np.array([1] * 50 + [2] * 70))
    assert abs(float(found / rate) - 1) < 0.002
    numbers = np.round(times * float(found)).astype(int)
    assert len(set(numbers)) == len(frames), "each row has its own frame"


def test_rate_of_few_rows() -> None:
    assert find_rate(np.array([1.0, 1.03, 9.0]), np.array([1, 1, 1])) == 25


def test_mistakes(tmp_path: Path) -> None:
    def index(**options: Any) -> None:
        index_ava(AvaConfig(tmp_path, **options))

    with pytest.raises(AnnotationError, match="give --train, --val or --test"):
        index()
    with pytest.raises(AnnotationError, match="no such file or folder; pass AVA's CSV file"):
        index(val=tmp_path / "x")
    with pytest.raises(AnnotationError, match=r"no CSV file in it; unpack ava_activespeaker"):
        index(val=tmp_path)
    path = write_rows(tmp_path / "v.csv", ["nothing"])
    with pytest.raises(AnnotationError, match="no row with the fields video_id, frame_timestamp"):
        index(val=path)
    write_rows(path, talk("m:a", 0, [SILENT]))
    with pytest.raises(AnnotationError, match="video m occurs in two files or splits"):
        index(val=path, test=path)
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(AnnotationError, match="not a CSV file"):
        index(val=path)
    write_rows(path, [row("a/b", 1, BOX, SILENT, "e")])
    with pytest.raises(AnnotationError, match="this video_id cannot name a file"):
        index(val=path)
    for name, value in (("start", -1.0), ("every", 0)):
        with pytest.raises(ConfigError, match=name):
            index(**{name: value})
