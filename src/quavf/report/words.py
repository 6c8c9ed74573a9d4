"""A result in plain words: a headline, details, and one line per person."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from quavf.results.video import Moment, VideoResult

SMALL_NUMBERS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
MANY_TALKERS = 3  # from so many on, the headline names only the one who talked most


@dataclass(frozen=True)
class Summary:
    """`headline`: one or two sentences; `details`: more sentences; `nothing`: why no moments."""

    headline: str
    details: tuple[str, ...] = ()
    nothing: str = ""

    @property
    def text(self) -> str:
        return " ".join((self.headline, *self.details))


def summarise(result: VideoResult) -> Summary:
    """Say who talked to the camera wearer, how long and how often; no details if nobody did."""
    if not result.persons:
        return Summary("No face was found in this video.", nothing="No faces, so no moments.")
    talkers = _rank_talkers(result)
    if not talkers:
        details = (_closest(result), *_truth_words(result))
        return Summary(_silent_headline(len(result.persons)), details, "None.")
    details = (_total_words(result), *_truth_words(result))
    return Summary(_headline(result, talkers), tuple(d for d in details if d))


def describe_person(result: VideoResult, number: int) -> str:
    """Describe what a person did, in a full sentence."""
    own = result.moments_of(number)
    return f"talked to you for {_format_amount(own)}" if own else "did not talk to you"


def describe_briefly(result: VideoResult, number: int) -> str:
    """Describe what a person did, for the line under the name."""
    own = result.moments_of(number)
    return _format_amount(own) if own else "did not talk to you"


def format_length(seconds: float) -> str:
    """Format a length as 4.2 s, 12 s, 2 min 5 s or 1 h 3 min."""
    if round(seconds, 1) < 10:
        return f"{seconds:.1f}".removesuffix(".0") + " s"
    whole = int(seconds + 0.5)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min" + (f" {whole % 60} s" if whole % 60 else "")
    minutes = int(seconds / 60 + 0.5)
    return f"{minutes // 60} h" + (f" {minutes % 60} min" if minutes % 60 else "")


def measure_union_s(stretches: Iterable[Moment]) -> float:
    """Length of the union of stretches: overlaps count once."""
    total, reached = 0.0, -np.inf
    for one in sorted(stretches, key=lambda m: m.start_s):
        total += max(0.0, one.end_s - max(one.start_s, reached))
        reached = max(reached, one.end_s)
    return float(total)


def measure_overlap_s(a: Sequence[Moment], b: Sequence[Moment]) -> float:
    """Length of the time that stretches of `a` and of `b` share."""
    return measure_union_s(a) + measure_union_s(b) - measure_union_s([*a, *b])


def _rank_talkers(result: VideoResult) -> list[int]:
    """The numbers of those who talked to the wearer, most first."""
    totals = {p.number: measure_union_s(result.moments_of(p.number)) for p in result.persons}
    return sorted((n for n, s in totals.items() if s > 0), key=lambda n: (-totals[n], n))


def _headline(result: VideoResult, talkers: list[int]) -> str:
    n_persons, first = len(result.persons), talkers[0]
    amount = _format_amount(result.moments_of(first))
    if n_persons == 1:
        return f"One person, who talked to you for {amount}."
    people = f"{_count(n_persons, capital=True)} people."
    if len(talkers) < MANY_TALKERS:
        words = f"{people} Person {first} talked to you for {amount}"
        if len(talkers) == 2:
            words += f", person {talkers[1]} for {_format_amount(result.moments_of(talkers[1]))}"
        return words + "."
    who = "All of them" if len(talkers) == n_persons else f"{_count(len(talkers), capital=True)}"
    return f"{people} {who} talked to you, most of all person {first}: {amount}."


def _silent_headline(n_persons: int) -> str:
    if n_persons == 1:
        return "One person is in view, and did not talk to you."
    return f"{_count(n_persons, capital=True)} people are in view. Nobody talked to you."


def _format_amount(moments: Sequence[Moment]) -> str:
    n = len(moments)
    count = "one moment" if n == 1 else f"{n:,} moments"
    return f"{format_length(measure_union_s(moments))} in {count}"


def _total_words(result: VideoResult) -> str:
    total = measure_union_s(result.moments)
    longest = max(result.moments, key=lambda m: m.length_s)
    share = total / max(result.duration_s, total)
    who = "That is" if len({m.person for m in result.moments}) == 1 else "Someone talked to you for"
    words = f"{who} {_percent(share)} of the {format_length(result.duration_s)}"
    if len(result.moments) == 1:
        return f"{words}, beginning at {format_clock(longest.start_s)}."
    return (
        f"{words}; the longest moment, {format_length(longest.length_s)}, "
        f"begins at {format_clock(longest.start_s)}."
    )


def _closest(result: VideoResult) -> str:
    """The highest score, for readers who wonder whether the threshold is too high."""
    best: tuple[float, int, float] | None = None
    for number, rows in result.scores.items():
        if len(rows) and not np.isnan(rows.fused).all():
            row = int(np.nanargmax(rows.fused))
            candidate = (float(rows.fused[row]), number, float(rows.time_s[row]))
            best = candidate if best is None else max(best, candidate)
    if best is None:
        return "Nobody could be scored."
    score, number, time_s = best
    who = f"person {number}, " if len(result.persons) > 1 else ""
    return (
        f"The highest score is {_percent(score)} ({who}at {format_clock(time_s)}); "
        f"a moment needs {_percent(result.threshold)} for a while."
    )


def _truth_words(result: VideoResult) -> tuple[str, ...]:
    if result.truth is None:
        return ()
    labelled = found = claimed = 0.0
    for number in {m.person for m in (*result.truth, *result.moments)}:
        truth, own = result.truth_of(number), result.moments_of(number)
        labelled += measure_union_s(truth)
        claimed += measure_union_s(own)
        found += measure_overlap_s(truth, own)
    if labelled <= 0:
        return ("The labels say that nobody talked to you.",)
    share, extra = found / labelled, claimed - found
    part = "all" if share > 0.995 else "none" if share < 0.005 else _percent(share)
    words = f"The labels mark {format_length(labelled)}: quavf found {part} of it"
    if extra >= 0.05:
        return (f"{words}, and {format_length(extra)} that they do not mark.",)
    return (f"{words}, and nothing else.",)


def format_clock(seconds: float) -> str:
    """Format a time as 0:04, 12:30 or 1:02:03."""
    whole = int(seconds)
    if whole < 3600:
        return f"{whole // 60}:{whole % 60:02d}"
    return f"{whole // 3600}:{whole // 60 % 60:02d}:{whole % 60:02d}"


def _count(n: int, capital: bool = False) -> str:
    word = SMALL_NUMBERS[n] if n < len(SMALL_NUMBERS) else f"{n:,}"
    return word.capitalize() if capital else word


def _percent(share: float) -> str:
    percent = share * 100
    return "under 1 %" if 0 < percent < 0.5 else f"{percent:.0f} %"
