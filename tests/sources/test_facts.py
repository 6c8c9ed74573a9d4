from __future__ import annotations

from fractions import Fraction
from typing import Any

import pytest

from quavf.core.records import MediaFacts
from quavf.sources.facts import read_facts


def label(start_s: Any, end_s: Any, start: Any, end: Any) -> dict[str, Any]:
    return {"start_time": start_s, "end_time": end_s, "start_frame": start, "end_frame": end}


@pytest.mark.parametrize(
    ("labels", "fps"),
    [
        ([], None),
        ([label(0.4, 7.6, 12, 228)], 30),
        ([label(2.0, 4.0, 50, 100), label(10.0, 11.0, 250, 275)], 25),
        ([label(100.0, 200.0, 2997, 5994)], Fraction(30_000, 1001)),
        ([label(2.0, 4.0, 50, 200)], None),  # they disagree
        ([label(0.5, 0.9, 15, 27)], None),  # too early to tell
        ([label("2.0", None, 60, "x")], None),
        ([label(True, float("nan"), 60, 90)], None),
        ("nonsense", None),
    ],
)
def test_rate(labels: Any, fps: Any) -> None:
    assert read_facts({"social_segments_talking": labels}).fps == fps


def test_rate_of_voice_segments() -> None:
    person = {"voice_segments": [label(3.0, 6.0, 60, 120)]}
    assert read_facts({"persons": [person, None]}).fps == 20


def test_size_and_length() -> None:
    raw = {"clip_start_sec": 10, "clip_end_sec": 310.5, "width": 1920, "height": 1080}
    assert read_facts(raw) == MediaFacts(None, 300.5, (1920, 1080))
    about = {"display_resolution_width": 1440, "display_resolution_height": 1080}
    assert read_facts({}, about).size == (1440, 1080)
    assert read_facts(raw, about, (640, 480)).size == (640, 480)
    assert read_facts({"clip_start_sec": 5, "clip_end_sec": 5}) == MediaFacts()
