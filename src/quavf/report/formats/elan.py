"""ELAN annotation files (.eaf), with a tier for each person and what the person does."""

from __future__ import annotations

import mimetypes
import os
from pathlib import Path
from typing import Any

from quavf.report.formats.timeline import Timeline, describe_confidence, write_one_line
from quavf.results.kinds import KINDS

UNKNOWN_TYPE = "unknown"  # as ELAN writes it


def format_elan(timeline: Timeline, target: Path) -> str:
    """The text of an .eaf file (EAF 2.8) that will be at `target`, with the video linked.

    Tiers are called `Person 1 talks to you`; their participant is the person, their type the kind.
    The value of an annotation is its confidence.
    """
    from pympi import Elan

    eaf = Elan.Eaf(author="quavf")
    _link_video(eaf, timeline, target)
    tiers = timeline.list_tiers()
    for kind in dict.fromkeys(tier.kind for tier in tiers):
        eaf.add_linguistic_type(KINDS[kind])
    for tier in tiers:
        eaf.add_tier(tier.name, KINDS[tier.kind], part=tier.person)
        for s in tier.stretches:
            eaf.add_annotation(tier.name, s.start_ms, s.end_ms, describe_confidence(s))
    if tiers:  # a file without any keeps the empty tier that ELAN starts with
        eaf.remove_tier("default")
        eaf.remove_linguistic_type("default-lt")
    _sort_time_slots(eaf)
    eaf.add_property("lastUsedAnnotationId", len(eaf.annotations))
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{Elan.to_string(eaf)}\n'


def _link_video(eaf: Any, timeline: Timeline, target: Path) -> None:
    """Link the video by its path, and by the way from the file's folder, which may move with it.

    ELAN reads the paths as they are, without percent signs for special characters. A clip's name
    that is not a file is not linked.
    """
    kind = mimetypes.guess_type(timeline.video.name)[0]
    if kind is None and not timeline.video.is_file():
        return
    video = Path(os.path.normpath(Path.cwd() / timeline.video))
    way = os.path.relpath(video, target.parent)
    eaf.add_linked_file(
        f"file://{write_one_line(video.as_posix())}",
        write_one_line(f"./{Path(way).as_posix()}"),
        kind or UNKNOWN_TYPE,
        timeline.offset_ms or None,
    )


def _sort_time_slots(eaf: Any) -> None:
    """Number the time slots by time, as the format asks for; the library numbers them by use."""
    order = sorted(eaf.timeslots, key=lambda slot: (eaf.timeslots[slot], int(slot[2:])))
    names = {slot: f"ts{number}" for number, slot in enumerate(order, 1)}
    eaf.timeslots = {names[slot]: eaf.timeslots[slot] for slot in order}
    for aligned, *_ in eaf.tiers.values():
        for key, (start, end, *rest) in aligned.items():
            aligned[key] = (names[start], names[end], *rest)
