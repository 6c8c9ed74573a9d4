"""Where everybody looks, frame by frame, given who speaks to whom."""

from __future__ import annotations

import numpy as np

from quavf.core.records import Ints
from quavf.simulate.config import GazeConfig
from quavf.simulate.conversation import GROUP, Conversation, Utterance

AWAY = -2  # looking at nobody


def look(
    talk: Conversation, config: GazeConfig, rng: np.random.Generator, n_frames: int, fps: float
) -> Ints:
    """(people, frames) int: the person looked at, or AWAY; row 0 is the wearer's."""
    rows = [_person(p, talk, config, rng, n_frames, fps) for p in range(talk.n_partners + 1)]
    return np.stack(rows)


def _person(
    person: int,
    talk: Conversation,
    config: GazeConfig,
    rng: np.random.Generator,
    n_frames: int,
    fps: float,
) -> Ints:
    row = np.full(n_frames, AWAY, dtype=np.int64)
    starts = _turn_starts(person, talk)
    now, end = 0.0, n_frames / fps
    while now < end:
        target = _choose(person, talk, config, rng, now)
        mean = config.dwell_away_s if target == AWAY else config.dwell_person_s
        until = now + float(rng.gamma(2.0, mean / 2.0))
        for start in starts:  # a new turn breaks off a look, a little before or after it starts
            if now + 0.1 < start < until and rng.random() < config.p_reorient:
                until = start + float(rng.uniform(-0.1, 0.45))
                break
        until = max(until, now + 0.2)
        row[int(now * fps) : int(until * fps)] = target
        now = until
    return row


def _turn_starts(person: int, talk: Conversation) -> list[float]:
    floor = talk.floor_of(person)
    turns = (u for u in talk.utterances if u.speaker in floor)
    return [u.start_s for u in turns if not u.backchannel or u.speaker == person]


def _choose(
    person: int,
    talk: Conversation,
    config: GazeConfig,
    rng: np.random.Generator,
    now: float,
) -> int:
    floor = [p for p in talk.floor_of(person) if p != person]
    own, other = _current(person, talk, now)
    if own is not None and own.addressee == GROUP:
        return _draw(rng, floor, None, 0.0, config.p_speaker_group)
    if own is not None:
        chances = config.p_speaker_addressee, config.p_speaker_others
        return _draw(rng, floor, own.addressee, *chances)
    if other is not None:
        chances = config.p_listener_speaker, config.p_listener_others
        return _draw(rng, floor, other.speaker, *chances)
    everyone = [p for p in range(talk.n_partners + 1) if p != person]
    return _draw(rng, everyone, None, 0.0, config.p_idle_person)


def _current(
    person: int, talk: Conversation, now: float
) -> tuple[Utterance | None, Utterance | None]:
    """What the person says (or is about to say) at a time, and what they hear."""
    floor = talk.floor_of(person)
    heard = [u for u in talk.utterances if u.start_s - 0.25 <= now < u.end_s and u.speaker in floor]
    own = [u for u in heard if u.speaker == person]
    others = [u for u in heard if u.speaker != person and not u.backchannel]
    return (own[-1] if own else None), (others[-1] if others else None)


def _draw(
    rng: np.random.Generator,
    people: list[int],
    main: int | None,
    p_main: float,
    p_others: float,
) -> int:
    others = [p for p in people if p != main]
    draw = float(rng.random())
    if main is not None and draw < p_main:
        return main
    if others and draw < p_main + p_others:
        return others[int(rng.integers(len(others)))]
    return AWAY
