"""Turn-taking: who speaks when, and to whom. Times are seconds from the start of the clip."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from quavf.core.records import WEARER
from quavf.simulate.config import TalkConfig

GROUP = -1  # addressee of an utterance for everybody in the conversation

MIN_TURN_S, MAX_TURN_S = 0.5, 12.0
BACKCHANNEL_S = (0.25, 0.6)


@dataclass(frozen=True)
class Utterance:
    """A stretch of one person's speech to one addressee."""

    speaker: int
    addressee: int  # a person, or GROUP
    start_s: float
    end_s: float
    backchannel: bool = False

    @property
    def to_wearer(self) -> bool:
        """Whether it addresses the camera wearer, alone or as one of the group."""
        return self.speaker != WEARER and self.addressee in (WEARER, GROUP)


@dataclass(frozen=True)
class Conversation:
    """All utterances of a clip. `floors`: the people of each conversation, the wearer's first."""

    n_partners: int
    floors: tuple[tuple[int, ...], ...]
    utterances: tuple[Utterance, ...]  # ordered by start

    def find_floor(self, person: int) -> tuple[int, ...]:
        """The people in the same conversation, including the person."""
        return next(floor for floor in self.floors if person in floor)


def draw_conversation(config: TalkConfig, rng: np.random.Generator, seconds: float) -> Conversation:
    """Draw a conversation of the wearer and some partners that lasts `seconds`."""
    low, high = config.partners
    n = int(rng.integers(low, high + 1))
    floors: tuple[tuple[int, ...], ...] = (tuple(range(n + 1)),)
    if n >= 3 and rng.random() < config.p_schism:
        pair = sorted(int(p) for p in rng.choice(np.arange(1, n + 1), 2, replace=False))
        rest = tuple(p for p in range(n + 1) if p not in pair)
        floors = (rest, tuple(pair))
    utterances: list[Utterance] = []
    for floor in floors:
        utterances += _Floor(config, rng, floor).draw_utterances(seconds)
    return Conversation(n, floors, tuple(sorted(utterances, key=lambda u: (u.start_s, u.speaker))))


class _Floor:
    """A conversational floor: people who take turns speaking."""

    def __init__(
        self, config: TalkConfig, rng: np.random.Generator, members: tuple[int, ...]
    ) -> None:
        self.config, self.rng, self.members = config, rng, members
        talkativeness = {p: float(np.exp(rng.normal(0, 0.35))) for p in members}
        if WEARER in talkativeness:
            talkativeness[WEARER] *= config.wearer_share
        self.talkativeness = talkativeness

    def draw_utterances(self, seconds: float) -> list[Utterance]:
        """Draw turns and back-channels until `seconds` have passed."""
        config, rng = self.config, self.rng
        utterances: list[Utterance] = []
        free_from = dict.fromkeys(self.members, 0.0)
        speaker = self._draw_speaker(self.members)
        addressee = self._draw_addressee(speaker, None)
        now = float(rng.uniform(0.0, 1.0))
        while now < seconds - MIN_TURN_S:
            length = config.turn_median_s * float(np.exp(rng.normal(0, config.turn_sigma)))
            start = max(now, free_from[speaker] + 0.1)
            end = min(start + float(np.clip(length, MIN_TURN_S, MAX_TURN_S)), seconds)
            if end - start < MIN_TURN_S:
                break
            turn = Utterance(speaker, addressee, start, end)
            utterances.append(turn)
            free_from[speaker] = end
            utterances += self._draw_backchannels(turn, free_from)
            gap = float(rng.normal(config.gap_mean_s, config.gap_sd_s))
            if rng.random() < config.p_silence:
                gap += float(rng.exponential(config.silence_mean_s))
            now = end + max(gap, -0.45 * (end - start), -0.9)
            speaker, addressee = self._draw_next(turn)
        return utterances

    def _draw_next(self, turn: Utterance) -> tuple[int, int]:
        """Draw the next speaker and addressee."""
        config, rng = self.config, self.rng
        if rng.random() < config.p_continue:
            if rng.random() < config.p_keep_addressee:
                return turn.speaker, turn.addressee
            return turn.speaker, self._draw_addressee(turn.speaker, None)
        others = tuple(p for p in self.members if p != turn.speaker)
        answers = turn.addressee != GROUP and rng.random() < config.p_answer
        speaker = turn.addressee if answers else self._draw_speaker(others)
        return speaker, self._draw_addressee(speaker, turn.speaker)

    def _draw_addressee(self, speaker: int, previous: int | None) -> int:
        config, rng = self.config, self.rng
        others = tuple(p for p in self.members if p != speaker)
        if len(others) == 1:
            return others[0]
        if previous is not None and rng.random() < config.p_reply_to_previous:
            return previous
        if rng.random() < config.p_group:
            return GROUP
        return others[int(rng.integers(len(others)))]

    def _draw_speaker(self, people: tuple[int, ...]) -> int:
        weights = np.array([self.talkativeness[p] for p in people])
        return people[int(self.rng.choice(len(people), p=weights / weights.sum()))]

    def _draw_backchannels(self, turn: Utterance, free_from: dict[int, float]) -> list[Utterance]:
        length, rng, found = turn.end_s - turn.start_s, self.rng, []
        for person in self.members:
            chance = self.config.p_backchannel
            if turn.addressee not in (person, GROUP):
                chance /= 3
            at, short = turn.start_s + length * rng.uniform(0.4, 0.9), rng.uniform(*BACKCHANNEL_S)
            if person == turn.speaker or length < 1.2 or rng.random() >= chance:
                continue
            if at < free_from[person] + 0.2 or at + short > turn.end_s:
                continue
            free_from[person] = at + short
            found.append(Utterance(person, turn.speaker, at, at + short, backchannel=True))
        return found
