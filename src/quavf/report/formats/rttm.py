"""RTTM (rich transcription time marked): who spoke when, for diarization scoring."""

from __future__ import annotations

import re

from quavf.report.formats.timeline import Timeline

MISSING = "<NA>"


def format_rttm(timeline: Timeline) -> str:
    """One SPEAKER line for each stretch, with its confidence; a speaker's lines do not overlap.

    The file is named by the video, without its ending; blanks in names become `_`. Format: NIST's
    RT-09 evaluation plan, appendix A.
    """
    file = _join_words(timeline.video.stem)
    lines = []
    for s in timeline.list_joined():
        start, length = s.start_ms / 1000, (s.end_ms - s.start_ms) / 1000
        sure = MISSING if s.confidence is None else f"{s.confidence:.4f}"
        name = _join_words(timeline.people[s.person])
        lines.append(
            f"SPEAKER {file} 1 {start:.3f} {length:.3f} {MISSING} {MISSING} {name} {sure} {MISSING}"
        )
    return "".join(f"{line}\n" for line in lines)


def _join_words(text: str) -> str:
    """A name without blanks and control characters; never empty, never a comment (`;`)."""
    name = re.sub(r"[^\x21-\x7e\xa1-\U0010ffff]+", "_", text).strip("_").lstrip(";")
    return "".join(c if c.isprintable() else "_" for c in name) or "video"
