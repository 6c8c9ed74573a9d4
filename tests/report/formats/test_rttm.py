"""RTTM, read by the rules of NIST's evaluation plan."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from quavf.report.formats.rttm import format_rttm
from quavf.results.kinds import TALKING
from tests.helpers.timelines import EMPTY, HARD


def read(text: str) -> list[tuple[str, str, float, float, float | None]]:
    """File, speaker, start, end and confidence of each line; no speaker overlaps with itself."""
    rows, ends = [], dict[str, float]()
    for line in text.splitlines():
        kind, file, channel, start, length, words, subtype, name, sure, lookahead = line.split()
        assert (kind, channel, words, subtype, lookahead) == ("SPEAKER", "1", *["<NA>"] * 3)
        assert float(length) > 0
        assert float(start) >= ends.get(name, 0.0)
        ends[name] = round(float(start) + float(length), 3)
        confidence = None if sure == "<NA>" else float(sure)
        rows.append((file, name, float(start), ends[name], confidence))
    return rows


def test_lines() -> None:
    talking = tuple(s for s in HARD.stretches if s.kind == TALKING)
    rows = read(format_rttm(replace(HARD, stretches=talking, judged=(TALKING,))))
    assert rows[1:3] == [
        ("din_ner_'ü'_-->_\"x\"", "Person_1", 1.0, 2.0, 0.9),
        ("din_ner_'ü'_-->_\"x\"", rows[2][1], 1.5, 4.0, 1.0),
    ]
    assert rows[2][1].startswith('Zoë_"x_-->_y"_<b>&amp;_李')
    assert len(rows) == 4


def test_labels_overlap_days_and_nobody() -> None:
    rows = read(format_rttm(replace(HARD, judged=("label_talking", "looking"))))
    assert rows[0][2:] == (1.5, 3.5, None)
    assert rows[1][2:] == (86400.001, 90000.0, 0.25)
    assert format_rttm(EMPTY) == ""
    unnamed = replace(HARD, video=Path(" .mp4"), judged=("looking",))
    assert read(format_rttm(unnamed))[0][0] == "video"
