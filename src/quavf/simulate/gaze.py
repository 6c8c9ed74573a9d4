"""Gaze: whom everybody looks at in each frame, given who speaks to whom."""

from __future__ import annotations

import numpy as np

from quavf.core.records import Ints
from quavf.simulate.config import GazeConfig
from quavf.simulate.conversation import GROUP, Conversation, Utterance

AWAY = -2  # looking at nobody


def draw_gaze(
    conversation: Conversation,
    config: GazeConfig,
    rng: np.random.Generator,
    n_frames: int,
    fps: float,
) -> Ints:
    """Draw (people, frames) gaze targets: a person or AWAY. Row 0 is the wearer's."""
    rows = [
        _draw_person_gaze(p, conversation, config, rng, n_frames, fps)
        for p in range(conversation.n_partners + 1)
    ]
    return np.stack(rows)


def _draw_person_gaze(
    person: int,
    conversation: Conversation,
    config: GazeConfig,
    rng: np.random.Generator,
    n_frames: int,
    fps: float,
) -> Ints:
    row = np.full(n_frames, AWAY, dtype=np.int64)
    starts = _find_turn_starts(person, conversation)
    now, end = 0.0, n_frames / fps
    while now < end:
        target = _draw_target(person, conversation, config, rng, now)
        mean = config.dwell_away_s if target == AWAY else config.dwell_person_s
        until = now + float(rng.gamma(2.0, mean / 2.0))
        for start in starts:  # a new turn may redirect the gaze shortly before or after its start
            if now + 0.1 < start < until and rng.random() < config.p_reorient:
                until = start + float(rng.uniform(-0.1, 0.45))
                break
        until = max(until, now + 0.2)
        row[int(now * fps) : int(until * fps)] = target
        now = until
    return row


def _find_turn_starts(person: int, conversation: Conversation) -> list[float]:
    floor = conversation.find_floor(person)
    turns = (u for u in conversation.utterances if u.speaker in floor)
    return [u.start_s for u in turns if not u.backchannel or u.speaker == person]


def _draw_target(
    person: int,
    conversation: Conversation,
    config: GazeConfig,
    rng: np.random.Generator,
    now: float,
) -> int:
    floor = [p for p in conversation.find_floor(person) if p != person]
    own, other = _find_current_utterances(person, conversation, now)
    if own is not None and own.addressee == GROUP:
        return _draw_person(rng, floor, None, 0.0, config.p_speaker_group)
    if own is not None:
        chances = config.p_speaker_addressee, config.p_speaker_others
        return _draw_person(rng, floor, own.addressee, *chances)
    if other is not None:
        chances = config.p_listener_speaker, config.p_listener_others
        return _draw_person(rng, floor, other.speaker, *chances)
    everyone = [p for p in range(conversation.n_partners + 1) if p != person]
    return _draw_person(rng, everyone, None, 0.0, config.p_idle_person)


def _find_current_utterances(
    person: int, conversation: Conversation, now: float
) -> tuple[Utterance | None, Utterance | None]:
    """The person's own utterance at or just after a time, and the one they listen to."""
    floor = conversation.find_floor(person)
    current = [
        u
        for u in conversation.utterances
        if u.start_s - 0.25 <= now < u.end_s and u.speaker in floor
    ]
    own = [u for u in current if u.speaker == person]
    others = [u for u in current if u.speaker != person and not u.backchannel]
    return (own[-1] if own else None), (others[-1] if others else None)


def _draw_person(
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
