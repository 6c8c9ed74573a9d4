"""Timelines that are hard to write: overlaps, hostile names, no length, more than a day."""

from __future__ import annotations

from pathlib import Path

from quavf.report.formats.timeline import Stretch, Timeline
from quavf.results.kinds import KINDS, LABEL_TALKING, LOOKING, SPEAKING, TALKING

HOSTILE = 'Zoë "x --> y" <b>&amp; 李\n\N{RIGHT-TO-LEFT OVERRIDE}\0'
DAY_MS = 86_400_000
HARD = Timeline(
    video=Path("/data/din ner 'ü' --> \"x\".mp4"),
    duration_ms=30 * 3_600_000,
    people={1: "Person 1", 2: HOSTILE, 3: "Person 3"},
    judged=tuple(KINDS),
    stretches=(
        Stretch(1, TALKING, 0, 1, 0.5),
        Stretch(1, SPEAKING, 500, 2500, 0.8123456),
        Stretch(1, TALKING, 1000, 2000, 0.9),
        Stretch(2, TALKING, 1500, 4000, 1.0),
        Stretch(1, LABEL_TALKING, 1500, 2500),
        Stretch(1, TALKING, 2000, 3000, 0.7),
        Stretch(1, LABEL_TALKING, 2000, 3500),
        Stretch(2, LOOKING, DAY_MS + 1, DAY_MS + 3_600_000, 0.25),
    ),
)
EMPTY = Timeline(Path("nobody.mp4"), 0, {}, (TALKING,), ())
