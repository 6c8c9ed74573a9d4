"""Praat TextGrids, with an interval tier for each person and what the person does."""

from __future__ import annotations

from pathlib import Path

from quavf.report.formats.timeline import Timeline, describe_confidence
from quavf.utils.files import replace_file


def write_textgrid(timeline: Timeline, target: Path) -> None:
    """Write a TextGrid with the tiers that ELAN gets; an interval's text is its confidence."""
    from pympi import Praat

    end_s = timeline.end_ms / 1000
    grid = Praat.TextGrid(xmin=0.0, xmax=end_s)
    for tier in timeline.list_tiers():
        intervals = grid.add_tier(tier.name.replace('"', '""'))
        for s in tier.stretches:
            text = describe_confidence(s)
            intervals.add_interval(s.start_ms / 1000, s.end_ms / 1000, text, check=False)
    if not grid.tiers:  # Praat opens no file without tiers
        grid.add_tier("nobody")
    with replace_file(target) as temporary:
        grid.to_file(temporary)
