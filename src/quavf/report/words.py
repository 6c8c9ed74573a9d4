"""A result in plain words: a headline, details, and one line per person."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from quavf.results.records import Moment
from quavf.results.video import VideoResult

SMALL_NUMBERS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
LEAST_S = 1.0  # of speech to others, and of looks, that is worth a mention
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
        details = (*_other_words(result), _closest(result), *_truth_words(result))
        return Summary(_silent_headline(len(result.persons)), details, "None.")
    details = (_total_words(result), *_other_words(result), *_truth_words(result))
    return Summary(_headline(result, talkers), tuple(d for d in details if d))


def describe_person(result: VideoResult, number: int) -> str:
    """Describe what a person did, in a full sentence."""
    own = result.moments_of(number)
    parts = [f"talked to you for {_format_amount(own)}" if own else "did not talk to you"]
    to_others_s, looked_s = _to_others_s(result, number), _looked_s(result, number)
    if to_others_s:
        parts.append(f"spoke to others for {format_length(to_others_s)}")
    if looked_s:
        parts.append(f"looked at you for {format_length(looked_s)}")
    return ", ".join(parts)


def describe_briefly(result: VideoResult, number: int) -> str:
    """Describe what a person did, for the line under the name."""
    own = result.moments_of(number)
    to_others_s = _to_others_s(result, number)
    if own and to_others_s:
        return f"{_format_amount(own)}; {format_length(to_others_s)} to others"
    if to_others_s:
        return f"spoke to others for {format_length(to_others_s)}"
    return _format_amount(own) if own else "did not talk to you"


def _to_others_s(result: VideoResult, number: int) -> float:
    """How long a person spoke outside the moments; 0 if too short to mention, or not judged."""
    spoken, own = result.speaking_of(number), result.moments_of(number)
    seconds = measure_union_s(spoken) - measure_overlap_s(spoken, own)
    return seconds if seconds >= LEAST_S else 0.0


def _looked_s(result: VideoResult, number: int) -> float:
    """How long a person looked at the wearer; 0 if too short to mention, or not judged."""
    seconds = measure_union_s(result.looking_of(number))
    return seconds if seconds >= LEAST_S else 0.0


def _other_words(result: VideoResult) -> tuple[str, ...]:
    """Name who spoke to others, most first; or who looked at the wearer if nobody spoke."""
    spoke = _rank(result, _to_others_s)
    if spoke:
        return (_list_people(result, spoke, "spoke for", ", to others"),)
    looked = _rank(result, _looked_s)
    if looked and not result.moments:
        return (_list_people(result, looked, "looked at you for", ""),)
    return ()


def _rank(result: VideoResult, measure: Callable[[VideoResult, int], float]) -> dict[int, float]:
    """The persons with a length, s, the longest first."""
    lengths = {p.number: measure(result, p.number) for p in result.persons}
    return dict(sorted(((n, s) for n, s in lengths.items() if s), key=lambda x: (-x[1], x[0])))


def _list_people(result: VideoResult, lengths: dict[int, float], verb: str, tail: str) -> str:
    """`Person 1 spoke for 30 s, to others, and person 3 for 4 s.`"""
    (first, seconds), *others = [*lengths.items()][:MANY_TALKERS]
    who = _name(result, first, capital=True) if len(result.persons) > 1 else "They"
    words = f"{who} {verb} {format_length(seconds)}{tail}"
    more = [f"{_name(result, number)} for {format_length(s)}" for number, s in others]
    hidden = len(lengths) - len(others) - 1
    if hidden:
        more.append(f"{_count(hidden)} more for less")
    if more:
        *before, last = more
        words += "".join(f", {one}" for one in before) + f", and {last}"
    return f"{words}."


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
    who = _name(result, first, capital=True)
    if n_persons == 1:
        alone = "One person, who" if who == f"Person {first}" else who
        return f"{alone} talked to you for {amount}."
    people = f"{_count(n_persons, capital=True)} people."
    if len(talkers) < MANY_TALKERS:
        words = f"{people} {who} talked to you for {amount}"
        if len(talkers) == 2:
            second = _name(result, talkers[1])
            words += f", {second} for {_format_amount(result.moments_of(talkers[1]))}"
        return words + "."
    many = "All of them" if len(talkers) == n_persons else f"{_count(len(talkers), capital=True)}"
    return f"{people} {many} talked to you, most of all {_name(result, first)}: {amount}."


def _name(result: VideoResult, number: int, capital: bool = False) -> str:
    """A person's name within a sentence, or at its start."""
    name = next((p.name for p in result.persons if p.number == number), "")
    return name or f"{'Person' if capital else 'person'} {number}"


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
    who = f"{_name(result, number)}, " if len(result.persons) > 1 else ""
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
