"""Conversations, gaze and labels; needs only numpy."""

from __future__ import annotations

import hashlib
from itertools import pairwise

import numpy as np
import pytest

from quavf.core.errors import ConfigError
from quavf.simulate.config import PRESETS, GazeConfig, SimulateConfig, SoundConfig, TalkConfig
from quavf.simulate.conversation import GROUP, Utterance, draw_conversation
from quavf.simulate.gaze import draw_gaze


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


@pytest.mark.parametrize(
    ("speaker", "addressee", "expected"),
    [(1, 0, True), (1, GROUP, True), (1, 2, False), (0, 1, False), (0, GROUP, False)],
)
def test_group_includes_the_wearer(speaker: int, addressee: int, expected: bool) -> None:
    assert Utterance(speaker, addressee, 0.0, 1.0).to_wearer is expected


@pytest.mark.parametrize("preset", PRESETS)
def test_utterances_of_a_person_do_not_overlap(preset: str) -> None:
    for seed in range(20):
        talk = draw_conversation(PRESETS[preset]().talk, rng(seed), 60.0)
        for person in range(talk.n_partners + 1):
            mine = [u for u in talk.utterances if u.speaker == person]
            assert all(a.end_s <= b.start_s for a, b in pairwise(mine))
        assert all(0 <= u.start_s < u.end_s <= 60.0 for u in talk.utterances)
        assert all(u.addressee != u.speaker for u in talk.utterances)


def test_a_split_conversation_stays_split() -> None:
    config = TalkConfig(partners=(4, 4), p_schism=1.0)
    talk = draw_conversation(config, rng(), 60.0)
    assert sorted(p for floor in talk.floors for p in floor) == [0, 1, 2, 3, 4]
    apart = talk.floors[1]
    assert 0 not in apart
    said = [u for u in talk.utterances if u.speaker in apart]
    assert said
    assert all(u.addressee in apart for u in said)


def test_gaze_alone_does_not_reveal_the_addressee() -> None:
    """On `table`, people also look at the wearer while talking to others, and vice versa."""
    world = PRESETS["table"]()
    seen: dict[tuple[bool, bool], int] = {}
    for seed in range(15):
        talk = draw_conversation(world.talk, rng(seed), 60.0)
        gaze = draw_gaze(talk, world.gaze, rng(seed), 1800, 30.0)
        for u in talk.utterances:
            if u.speaker and not u.backchannel:
                at_wearer = gaze[u.speaker, int((u.start_s + u.end_s) * 15)] == 0
                key = (u.to_wearer, bool(at_wearer))
                seen[key] = seen.get(key, 0) + 1
    to_me = seen[True, True] / (seen[True, True] + seen[True, False])
    to_others = seen[False, True] / (seen[False, True] + seen[False, False])
    assert 0.3 < to_me < 0.75
    assert 0.02 < to_others < 0.3


def test_gaze_follows_the_configured_probabilities() -> None:
    config = GazeConfig(p_speaker_addressee=1.0, p_speaker_others=0.0, p_reorient=1.0)
    talk = draw_conversation(
        TalkConfig(partners=(2, 2), p_group=0.0, p_backchannel=0.0), rng(), 120.0
    )
    gaze = draw_gaze(talk, config, rng(), 3600, 30.0)
    hits = [
        gaze[u.speaker, int((u.start_s + 0.8) * 30)] == u.addressee
        for u in talk.utterances
        if u.end_s - u.start_s > 1.0
    ]
    assert np.mean(hits) > 0.85


@pytest.mark.parametrize(
    "make",
    [
        lambda: TalkConfig(p_group=1.5),
        lambda: SoundConfig(snr_db=(20.0, 3.0)),
        lambda: SimulateConfig(preset="opera"),
        lambda: SimulateConfig(seconds=0.2),
        lambda: SimulateConfig(clips=0),
        lambda: SimulateConfig(val_share=0.7, test_share=0.7),
        lambda: SimulateConfig(seed=-1),
    ],
)
def test_invalid_settings_are_rejected(make: object) -> None:
    with pytest.raises(ConfigError):
        make()  # type: ignore[operator]


@pytest.mark.parametrize(
    ("clips", "expected"), [(1, (1, 0, 0)), (3, (1, 1, 1)), (20, (12, 4, 4)), (5, (3, 1, 1))]
)
def test_clips_are_divided_into_splits(clips: int, expected: tuple[int, int, int]) -> None:
    assert tuple(SimulateConfig(clips=clips).count_clips().values()) == expected


@pytest.mark.parametrize(
    ("preset", "turns", "gaze"),
    [
        ("clean", "1b474b039b0e7a63", "b09b1e8ec10f0e95"),
        ("table", "f356345e09baeae2", "b3fedf0324f6f684"),
        ("party", "8355e3fa15893d14", "293d29d37053eaeb"),
    ],
)
def test_a_seed_always_draws_the_same_conversation(preset: str, turns: str, gaze: str) -> None:
    """Changing the random stream would change every published world."""
    world = PRESETS[preset]()
    talk = draw_conversation(world.talk, rng(7), 60.0)
    targets = draw_gaze(talk, world.gaze, rng(8), 1800, 30.0)
    rows = [(u.speaker, u.addressee, round(u.start_s, 6), u.backchannel) for u in talk.utterances]
    assert hashlib.sha256(repr(rows).encode()).hexdigest()[:16] == turns
    assert hashlib.sha256(targets.astype("<i8").tobytes()).hexdigest()[:16] == gaze
