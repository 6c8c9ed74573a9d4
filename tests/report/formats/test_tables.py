"""The table and the JSON file, read by Arrow and by the standard library."""

from __future__ import annotations

import io
import json

from pyarrow import csv

from quavf.report.formats.tables import COLUMNS, format_csv, format_json
from quavf.report.formats.timeline import write_one_line
from tests.helpers.timelines import EMPTY, HARD


def test_table() -> None:
    table = csv.read_csv(io.BytesIO(format_csv(HARD).encode()))
    assert table.column_names == list(COLUMNS)
    rows = table.to_pylist()
    assert len(rows) == len(HARD.stretches)
    assert {row["video"] for row in rows} == {HARD.video.name}
    assert rows[1] == {
        "video": HARD.video.name,
        "person": 1,
        "name": HARD.people[1],
        "kind": "speaking",
        "start_s": 0.5,
        "end_s": 2.5,
        "confidence": 0.8123,
    }
    assert rows[4]["confidence"] is None
    assert rows[-1]["name"] == write_one_line(HARD.people[2])
    assert format_csv(EMPTY) == ",".join(COLUMNS) + "\n"


def test_json() -> None:
    content = json.loads(format_json(HARD))
    assert content["format"] == 1
    assert content["video"] == HARD.video.name
    assert content["people"][1] == {"person": 2, "name": HARD.people[2]}
    assert len(content["stretches"]) == len(HARD.stretches)
    assert content["stretches"][-1]["end_s"] == 90000.0
    assert json.loads(format_json(EMPTY))["stretches"] == []
