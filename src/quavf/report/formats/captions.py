"""WebVTT captions, which players and browsers show over the video."""

from __future__ import annotations

from quavf.report.formats.timeline import Timeline, write_one_line
from quavf.results.kinds import KINDS


def format_vtt(timeline: Timeline) -> str:
    """The text of a .vtt file: `Person 1 talks to you`, each spoken by the person's voice.

    Times are those of players, which may start before the first picture.
    """
    import webvtt

    captions = []
    for stretch in timeline.list_joined():
        name = _escape(timeline.people[stretch.person])
        text = f"<v {name}>{name} {_escape(KINDS[stretch.kind])}</v>"
        start_ms, end_ms = (t + timeline.offset_ms for t in (stretch.start_ms, stretch.end_ms))
        captions.append(webvtt.Caption(_format_time(start_ms), _format_time(end_ms), text))
    content: str = webvtt.WebVTT(captions=captions).content
    return content if content.endswith("\n") else f"{content}\n"


def _escape(text: str) -> str:
    line = write_one_line(text)
    return line.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _format_time(time_ms: int) -> str:
    """`HH:MM:SS.mmm`, with as many hours as there are."""
    seconds, milliseconds = divmod(time_ms, 1000)
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours:02d}:{minutes:02d}:{seconds:02d}.{milliseconds:03d}"
