"""The stretches as a table (CSV) and as plain values (JSON)."""

from __future__ import annotations

import csv
import io
import json
from typing import Any

from quavf.core.names import printable
from quavf.report.formats.timeline import Timeline, write_one_line

FORMAT = 1  # of the JSON file
COLUMNS = ("video", "person", "name", "kind", "start_s", "end_s", "confidence")


def list_rows(timeline: Timeline) -> list[dict[str, Any]]:
    """One row for each stretch, by start; the confidence of a label is None."""
    return [
        {
            "person": s.person,
            "kind": s.kind,
            "start_s": s.start_ms / 1000,
            "end_s": s.end_ms / 1000,
            "confidence": None if s.confidence is None else round(s.confidence, 4),
        }
        for s in timeline.stretches
    ]


def format_csv(timeline: Timeline) -> str:
    """The text of a table with the columns `COLUMNS`; a missing confidence is empty."""
    file = io.StringIO()
    writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
    writer.writeheader()
    video = printable(timeline.video.name)
    for row in list_rows(timeline):
        name = write_one_line(timeline.people[row["person"]])
        times = {key: f"{row[key]:.3f}" for key in ("start_s", "end_s")}
        writer.writerow({"video": video, "name": name, **row, **times})
    return file.getvalue()


def format_json(timeline: Timeline) -> str:
    """The text of a JSON object: the video, its people, and `stretches` as in the table."""
    content = {
        "format": FORMAT,
        "video": printable(timeline.video.name),
        "duration_s": timeline.duration_ms / 1000,
        "judged": list(timeline.judged),
        "people": [{"person": n, "name": name} for n, name in timeline.people.items()],
        "stretches": list_rows(timeline),
    }
    return json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
