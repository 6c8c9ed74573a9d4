"""When people speak and look at the wearer, and how long a person was judged without cues."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from quavf.core.branches import FUSED, LOOKING, SPEAKING
from quavf.core.records import Floats
from quavf.results.config import MomentsConfig
from quavf.results.moments import find_moments
from quavf.results.records import Moment, PersonScores
from quavf.results.video import VideoResult

EVEN = MomentsConfig(threshold=0.5, margin=0.1)  # speaking and looking are more likely than not
UNREAD_SHARE = 0.2  # of a person's scores; less without cues is not worth a note
UNREAD_S = 1.0


def find_stretches(
    result: VideoResult, column: str, step_s: float, config: MomentsConfig
) -> tuple[Moment, ...] | None:
    """The stretches of all persons in which a score column says yes; None: nobody was judged.

    Gaps and lengths as for moments, the threshold is one half.
    """
    even = replace(config, threshold=EVEN.threshold, margin=EVEN.margin)
    found: list[Moment] = []
    judged = False
    for person, rows in result.scores.items():
        values = rows.columns.get(column)
        if values is None or np.isnan(values).all():
            continue
        judged = True
        found += find_moments(person, rows.time_s, values, step_s, even)
    if not judged:
        return None
    whole = [replace(m, end_s=min(m.end_s, result.duration_s)) for m in found]
    return tuple(sorted(whole, key=lambda m: (m.start_s, m.person)))


def add_stretches(result: VideoResult, step_s: float, config: MomentsConfig) -> VideoResult:
    """The result with the stretches in which people speak, and look at the wearer."""
    found = {name: find_stretches(result, name, step_s, config) for name in (SPEAKING, LOOKING)}
    return replace(result, speaking=found[SPEAKING], looking=found[LOOKING])


def describe_unread(result: VideoResult, step_s: float) -> list[str]:
    """One note about the people whose face could not be read for a good part of the time.

    Empty if every face was read, or no branch reads cues.
    """
    parts = []
    for person, rows in sorted(result.scores.items()):
        unread = _find_unread(rows)
        if unread.mean() >= UNREAD_SHARE and unread.sum() * step_s >= UNREAD_S:
            parts.append(f"person {person} ({unread.mean() * 100:.0f} % of the time)")
    if not parts:
        return []
    *first, last = parts
    who = f"{', '.join(first)} and {last}" if first else last
    return [
        "Lips and gaze could not be read, because the face was too small (under about 35 pixels), "
        f"turned away or covered: {who}. The other branches judge alone there."
    ]


def _find_unread(rows: PersonScores) -> Floats:
    """(N,) 1 where a row has a score, but nothing tells where the face looks.

    Looks are judged wherever a face is read, speech only where there is sound.
    """
    if LOOKING not in rows.columns or not len(rows):
        return np.zeros(max(len(rows), 1))
    scored = ~np.isnan(rows.columns.get(FUSED, np.full(len(rows), np.nan)))
    return np.asarray(scored & np.isnan(rows.columns[LOOKING]), float)
