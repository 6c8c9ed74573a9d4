"""One time axis for all streams of a file, whose time stamps may jump, pause or start again.

All packets are read once, without decoding. Where the times of pictures and sound jump together,
the recording was joined or paused: the parts follow one another, and stay in step. Where one
stream alone jumps away from the others, its stamps are damaged, and it goes on without a gap.
"""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

import numpy as np
from av.container import InputContainer

from quavf.core.records import Array, Floats, Ints
from quavf.sources.media.container import (
    FIRST_PACKETS,
    TIMES_MAY_JUMP,
    can_decode,
    is_encrypted,
    read_packets,
)

LONGEST_PAUSE_S = 3600.0  # a longer one is a jump of the time stamps
LONGEST_BROADCAST_PAUSE_S = 10.0  # as players read formats whose times may start again
SMALLEST_RESTART_S = 0.5  # times that go back by less are jitter
SAME_JUMP_S = 1.0  # jumps of two streams that differ by less belong together
IN_LINE_S = 10.0  # streams that are no further apart agree
PACKETS_AHEAD = 8  # that may return from a stray time stamp
FALLBACK_BASE = Fraction(1, 90_000)

STRAY = "time stamps that stray, ignored"
JOINED = "jumps in the times of pictures and sound, closed"
ALONE = "jumps in the times of one stream, closed"

Shifts = list[tuple[int, int | None]]  # from packet number on: stamps later by so much; None: none


@dataclass(frozen=True)
class Timeline:
    """The corrections that bring the time stamps of a file's packets to one axis.

    Args:
        shifts: By stream, in units of its time base.
        n_packets: By stream.
        ends_s: By stream, where its last packet ends as stamped; missing without time stamps.
        encrypted: Streams whose content is protected.
        notes: What was corrected, counted.
    """

    shifts: Mapping[int, Shifts] = field(default_factory=dict)
    n_packets: Mapping[int, int] = field(default_factory=dict)
    ends_s: Mapping[int, float] = field(default_factory=dict)
    encrypted: frozenset[int] = frozenset()
    notes: Mapping[str, int] = field(default_factory=dict)

    @property
    def is_plain(self) -> bool:
        """Whether all time stamps are used as they are."""
        return not any(self.shifts.values())

    def repair(self, packets: Iterable[Any]) -> Iterator[Any]:
        """The packets of a file, from its start, with corrected time stamps."""
        if self.is_plain:
            yield from packets
            return
        numbers: Counter[int] = Counter()
        current: dict[int, int] = {}
        changes = {index: dict(own) for index, own in self.shifts.items()}
        for packet in packets:
            index = packet.stream_index
            shift = changes.get(index, {}).get(numbers[index], current.get(index, 0))
            numbers[index] += 1
            if shift is None:
                packet.pts = packet.dts = None
            else:
                current[index] = shift
                packet.pts = None if packet.pts is None else packet.pts + shift
                packet.dts = None if packet.dts is None else packet.dts + shift
            yield packet


@dataclass
class _Stamps:
    """The time stamps of one stream's packets, in seconds."""

    base: Fraction
    is_video: bool
    order: Ints  # (N,) position among all packets of the file
    times: Floats  # (N,) decoding time; NaN: unknown
    durations: Floats  # (N,) 0: unknown
    ends_s: float | None  # where the last packet ends

    @property
    def step_s(self) -> float:
        """The usual time from one packet to the next."""
        steps = np.diff(self.times[np.isfinite(self.times)])
        steps = steps[steps > 0]
        return float(np.median(steps)) if len(steps) else 0.0


@dataclass(frozen=True)
class _Jump:
    stream: int
    packet: int
    order: int
    before_s: float  # where the stream would have gone on
    after_s: float

    @property
    def size_s(self) -> float:
        return self.after_s - self.before_s


def read_timeline(container: InputContainer, streams: Sequence[Any]) -> Timeline:
    """The timeline of some streams of a container; reads all packets."""
    usable = [stream for stream in streams if can_decode(stream)]
    columns: dict[int, array[float]] = {stream.index: array("d") for stream in usable}
    encrypted: set[int] = set()
    for order, packet in enumerate(read_packets(container, usable, Counter()) if usable else ()):
        rows = columns.get(packet.stream_index)
        if rows is not None and (packet.size or packet.pts is not None):  # else: end of stream
            time = packet.dts if packet.dts is not None else packet.pts
            time, pts = (np.nan if t is None else t for t in (time, packet.pts))
            rows.extend((order, time, pts, packet.duration or 0))
            if len(rows) <= 4 * FIRST_PACKETS and is_encrypted(packet):
                encrypted.add(packet.stream_index)
    stamps = {stream.index: _stamps(stream, columns[stream.index]) for stream in usable}
    broadcast = bool(int(container.format.flags) & TIMES_MAY_JUMP)
    limit_s = LONGEST_BROADCAST_PAUSE_S if broadcast else LONGEST_PAUSE_S
    shifts, notes = find_shifts(stamps, limit_s)
    return Timeline(
        shifts=shifts,
        n_packets={index: len(own.order) for index, own in stamps.items()},
        ends_s={i: own.ends_s for i, own in stamps.items() if own.ends_s is not None},
        encrypted=frozenset(encrypted),
        notes=dict(notes),
    )


def _stamps(stream: Any, column: array[float]) -> _Stamps:
    rows: Array = np.array(column).reshape(-1, 4)
    base = Fraction(stream.time_base or FALLBACK_BASE)
    order, times, durations = rows[:, 0].astype(np.int64), rows[:, 1], rows[:, 3]
    ends = rows[:, 2] + durations
    end_s = float(np.nanmax(ends) * base) if np.isfinite(ends).any() else None
    unit = float(base)
    return _Stamps(base, stream.type == "video", order, times * unit, durations * unit, end_s)


def find_shifts(
    stamps: Mapping[int, _Stamps], limit_s: float
) -> tuple[dict[int, Shifts], Counter[str]]:
    """The corrections of all streams, and what they correct, counted.

    Times may go forward by up to `limit_s`: a pause.
    """
    notes: Counter[str] = Counter()
    found: dict[int, Shifts] = {index: [] for index in stamps}
    jumps: list[_Jump] = []
    for index, own in stamps.items():
        stray = _find_stray(own, limit_s)
        found[index] += [(int(packet), None) for packet in stray]
        notes[STRAY] += len(stray)
        own.times[stray] = np.nan
        jumps += _find_jumps(index, own, limit_s)
    changes = _close_jumps(sorted(jumps, key=lambda jump: jump.order), stamps, notes)
    changes += _align_starts(stamps, notes)
    for index, own in stamps.items():
        total_s = 0.0
        for packet, change_s in sorted((p, c) for i, p, c in changes if i == index):
            total_s += change_s
            found[index].append((packet, round(total_s / own.base)))
        found[index].sort(key=lambda shift: shift[0])
    return found, +notes


def _find_jumps(index: int, own: _Stamps, limit_s: float) -> list[_Jump]:
    known = np.flatnonzero(np.isfinite(own.times))
    times, durations = own.times[known], own.durations[known]
    expected = times[:-1] + np.where(durations > 0, durations, own.step_s)[:-1]
    sizes = times[1:] - expected
    rows = np.flatnonzero((sizes < -SMALLEST_RESTART_S) | (sizes > limit_s))
    return [
        _Jump(
            index,
            int(known[k + 1]),
            int(own.order[known[k + 1]]),
            float(expected[k]),
            float(times[k + 1]),
        )
        for k in rows
    ]


def _find_stray(own: _Stamps, limit_s: float) -> Ints:
    """The packets whose time jumps away, while the next ones go on as if it had not."""
    stray: list[int] = []
    for jump in _find_jumps(0, own, limit_s):
        if jump.packet in stray:
            continue
        after = own.times[jump.packet + 1 : jump.packet + 1 + PACKETS_AHEAD]
        late_s = after - jump.before_s
        back = np.flatnonzero((late_s >= 0) & (late_s <= SAME_JUMP_S + PACKETS_AHEAD * own.step_s))
        if len(back):
            stray += range(jump.packet, jump.packet + 1 + int(back[0]))
    return np.array(stray, np.int64)


def _close_jumps(
    jumps: list[_Jump], stamps: Mapping[int, _Stamps], notes: Counter[str]
) -> list[tuple[int, int, float]]:
    """(stream, packet, change in seconds) that close the jumps, in their order in the file."""
    changes: list[tuple[int, int, float]] = []
    shift_s = dict.fromkeys(stamps, 0.0)
    left = list(jumps)
    while left:
        jump = left.pop(0)
        partners = [other for other in left if _belongs(other, jump, shift_s)]
        partners = list({other.stream: other for other in reversed(partners)}.values())
        if not partners and _in_line(jump, stamps, shift_s):
            continue
        together = [jump, *partners]
        lead = next((j for j in together if stamps[j.stream].is_video), jump)
        for member in together:
            changes.append((member.stream, member.packet, -lead.size_s))
            shift_s[member.stream] -= lead.size_s
            if member is not jump:
                left.remove(member)
        notes[JOINED if partners or len(stamps) == 1 else ALONE] += 1
    return changes


def _belongs(other: _Jump, jump: _Jump, shift_s: Mapping[int, float]) -> bool:
    """Whether two streams jump together: by as much, and at the same time."""
    before_s = jump.before_s + shift_s[jump.stream]
    other_s = other.before_s + shift_s[other.stream]
    return (
        other.stream != jump.stream
        and abs(other.size_s - jump.size_s) <= SAME_JUMP_S
        and abs(other_s - before_s) <= IN_LINE_S
    )


def _in_line(jump: _Jump, stamps: Mapping[int, _Stamps], shift_s: Mapping[int, float]) -> bool:
    """Whether a jump brings a stream to where another one is: it had a gap, or overlaps."""
    after_s = jump.after_s + shift_s[jump.stream]
    for index, own in stamps.items():
        row = int(np.searchsorted(own.order, jump.order)) - 1
        near = own.times[max(row, 0) : row + 2]
        if index != jump.stream and len(near):
            gaps_s = np.abs(near + shift_s[index] - after_s)
            if bool((gaps_s[np.isfinite(gaps_s)] <= IN_LINE_S).any()):
                return True
    return False


def _align_starts(
    stamps: Mapping[int, _Stamps], notes: Counter[str]
) -> list[tuple[int, int, float]]:
    """Let streams begin together that are further apart than any pause."""
    first = {i: own.times[np.isfinite(own.times)][:1] for i, own in stamps.items()}
    starts = {index: float(time[0]) for index, time in first.items() if len(time)}
    videos = [index for index in starts if stamps[index].is_video]
    changes = []
    for index, start_s in starts.items():
        if videos and abs(start_s - starts[videos[0]]) > LONGEST_PAUSE_S:
            changes.append((index, 0, starts[videos[0]] - start_s))
            notes[ALONE] += 1
    return changes
