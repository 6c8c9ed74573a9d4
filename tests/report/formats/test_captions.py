"""Captions, as a browser's own parser reads them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from quavf.report.formats.captions import format_vtt
from quavf.report.formats.timeline import Timeline
from quavf.results.kinds import TALKING
from tests.helpers.timelines import DAY_MS, EMPTY, HARD

pytest.importorskip("webvtt", reason="webvtt-py is not installed")
PARSE = """text => new Promise((resolve, reject) => {
  const video = document.createElement('video'), track = document.createElement('track');
  track.src = URL.createObjectURL(new Blob([text], {type: 'text/vtt'}));
  track.onerror = () => reject('refused');
  track.onload = () => resolve([...track.track.cues].map(cue => {
    const voice = cue.getCueAsHTML().querySelector('span');
    return [cue.startTime, cue.endTime, voice.title, voice.textContent];
  }));
  video.append(track);
  track.track.mode = 'hidden';
})"""


def parse_in_browser(browser: Any, texts: list[str]) -> list[Any]:
    """The cues of each file: start, end, voice, text."""
    page = browser.new_page()
    found = [page.evaluate(PARSE, text) for text in texts]
    page.close()
    return found


def select(timeline: Timeline) -> Timeline:
    talking = tuple(s for s in timeline.stretches if s.kind == TALKING)
    return replace(timeline, stretches=talking, judged=(TALKING,))


def test_a_browser_reads_them(browser: Any) -> None:
    hard = replace(select(HARD), offset_ms=40)
    late = replace(EMPTY, people=HARD.people, judged=HARD.judged, stretches=HARD.stretches[-1:])
    cues, none, of_late = parse_in_browser(
        browser, [format_vtt(t) for t in (hard, select(EMPTY), late)]
    )
    name = 'Zoë "x --> y" <b>&amp; 李 \N{REPLACEMENT CHARACTER}\N{REPLACEMENT CHARACTER}'
    assert cues == [
        [0.04, 0.041, "Person 1", "Person 1 talks to you"],
        [1.04, 2.04, "Person 1", "Person 1 talks to you"],
        [1.54, 4.04, name, f"{name} talks to you"],
        [2.04, 3.04, "Person 1", "Person 1 talks to you"],
    ]
    assert none == []
    assert of_late[0][:2] == [(DAY_MS + 1) / 1000, (DAY_MS + 3_600_000) / 1000]


def test_text() -> None:
    assert format_vtt(EMPTY) == "WEBVTT\n"
    lines = format_vtt(select(HARD)).splitlines()
    assert lines[2:4] == ["00:00:00.000 --> 00:00:00.001", "<v Person 1>Person 1 talks to you</v>"]
    assert "25:00:00.000" in format_vtt(HARD)
