"""Who sits in a drawn clip, who talks to whom, and how everyone moves."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from quavf.clock import MODEL_FPS, Clock
from quavf.errors import ConfigError
from quavf.records import WEARER, Floats

SKIN = ((241, 200, 168), (224, 172, 130), (186, 128, 90), (141, 92, 62), (250, 218, 190))
HAIR = ((40, 28, 22), (92, 58, 32), (168, 122, 66), (120, 118, 116), (134, 58, 34))
SHIRT = ((66, 104, 150), (150, 72, 66), (84, 128, 92), (196, 164, 92), (104, 88, 140))
ASPECT = 0.76  # half width of a face over its half height
Colour = tuple[int, int, int]


@dataclass(frozen=True)
class DrawnConfig:
    """What to draw; everything else follows from `seed`."""

    n_clips: int = 8
    seconds: float = 12.0  # of a clip
    width: int = 640
    height: int = 360
    fps: Fraction = MODEL_FPS
    seed: int = 0
    n_test_segments: int = 4
    with_audio: bool = True

    def __post_init__(self) -> None:
        sizes_fit = min(self.width, self.height) >= 64 and not (self.width | self.height) % 2
        rules = {
            "n_clips of 2 or more (one to train, one to validate)": self.n_clips >= 2,
            "seconds between 1 and 3600": 1 <= self.seconds <= 3600,
            "width and height that are even and 64 or more": sizes_fit,
            "fps between 5 and 120": 5 <= self.fps <= 120,
            "seed and n_test_segments of 0 or more": min(self.seed, self.n_test_segments) >= 0,
        }
        for rule, is_met in rules.items():
            if not is_met:
                raise ConfigError(f"cannot draw {self}; give {rule}")


@dataclass(frozen=True)
class Turn:
    """One utterance; syllable i lasts from `onsets_s[i]` to `onsets_s[i + 1]`."""

    speaker: int
    addressee: int  # WEARER or a partner
    onsets_s: Floats  # (M + 1,)


@dataclass(frozen=True)
class Actor:
    """One partner: a fixed look and, per frame, a pose."""

    skin: Colour
    hair: Colour
    shirt: Colour
    light: float  # 1 in full light; the colours are dimmed already
    is_long_haired: bool
    blur_px: float
    pitch_hz: float
    radius: float  # half height of the face, pixels
    centres: Floats  # (N, 2) pixels
    yaw: Floats  # (N,) radians, 0 faces the wearer, positive turns to the right of the picture
    mouth: Floats  # (N,) 0 closed to 1 open

    def box(self, frame: int) -> Floats:
        """The face without hair and ears, (4,) xyxy."""
        reach = np.array([ASPECT, 1.0]) * self.radius
        return np.concatenate([self.centres[frame] - reach, self.centres[frame] + reach])


@dataclass(frozen=True)
class Scene:
    """A conversation of `actors` (person i + 1 is `actors[i]`), seen by a swaying camera."""

    turns: tuple[Turn, ...]
    actors: tuple[Actor, ...]
    sway: Floats  # (N, 2) pixels
    clock: Clock
    width: int
    seeds: tuple[int, ...]  # of the random streams for background, sound and annotation noise

    def rng(self, purpose: int) -> np.random.Generator:
        return np.random.default_rng([*self.seeds, purpose])

    def frames_of(self, turn: Turn) -> tuple[int, int]:
        """First and last frame, inside the clip."""
        first, last = (int(turn.onsets_s[i] * self.clock.fps) for i in (0, -1))
        return first, min(last, len(self.sway) - 1)


def clip_scene(config: DrawnConfig, index: int) -> Scene:
    seeds = (config.seed, 0, index)
    rng = np.random.default_rng(seeds)
    n_partners = int(rng.integers(2, 4))
    turns = list(_take_turns(rng, n_partners, config.seconds))
    return stage(rng, config, seeds, turns, n_partners)


def _take_turns(rng: np.random.Generator, n_partners: int, seconds: float) -> Iterator[Turn]:
    """Utterances of 2 to 4 s (shorter in clips under 10 s); the first two have both labels."""
    scale = min(1.0, seconds / 10)
    start, speaker = rng.uniform(0.1, 0.3) * scale, WEARER
    is_at_wearer = [bool(label) for label in rng.permutation(2)]
    for turn in itertools.count():
        end = min(start + rng.uniform(2, 4) * scale, seconds - 0.05)
        if end - start < 1.2 * scale:
            return
        partners = [p for p in range(1, n_partners + 1) if p != speaker]
        wearer_speaks = turn >= 2 and speaker != WEARER and rng.random() < 0.5
        speaker = WEARER if wearer_speaks else int(rng.choice(partners))
        at_wearer = is_at_wearer[turn] if turn < 2 else not wearer_speaks and rng.random() < 0.5
        others = [p for p in range(1, n_partners + 1) if p != speaker]
        addressee = WEARER if at_wearer else int(rng.choice(others))
        yield Turn(speaker, addressee, syllables(rng, start, end))
        start = end + rng.uniform(-0.1, 0.5) * scale


def syllables(rng: np.random.Generator, start_s: float, end_s: float) -> Floats:
    """About four syllables a second, with an edge at either end."""
    lengths = rng.uniform(0.6, 1.4, max(2, round(4 * (end_s - start_s))))
    edges: Floats = np.concatenate([[0.0], np.cumsum(lengths)])
    scaled: Floats = start_s + edges * ((end_s - start_s) / edges[-1])
    return scaled


def _drift(rng: np.random.Generator, n: int, period: float) -> Floats:
    """Smooth noise (n,) of about unit variance that changes over `period` steps."""
    kernel = np.hanning(max(3, int(2 * period) + 2))
    noise = rng.standard_normal(n + len(kernel) - 1)
    return np.convolve(noise, kernel / np.linalg.norm(kernel), "valid")


def stage(
    rng: np.random.Generator,
    config: DrawnConfig,
    seeds: tuple[int, ...],
    turns: list[Turn],
    n_partners: int,
) -> Scene:
    clock = Clock(Fraction(config.fps))
    n = max(clock.s_to_frame(Fraction(config.seconds)), 1)
    period = 1.5 * float(config.fps)
    sway = np.stack([_drift(rng, n, period), _drift(rng, n, period)], axis=1)
    sway *= (0.012 * config.width, 0.012 * config.height)
    leaving = int(rng.integers(1, n_partners + 1)) if rng.random() < 0.2 else 0
    actors = []
    for person in range(1, n_partners + 1):
        x = (person - 0.5 + rng.uniform(-0.12, 0.12)) / n_partners * config.width
        spot = np.array([x, rng.uniform(0.40, 0.48) * config.height])
        bob = np.stack([_drift(rng, n, period / 2), _drift(rng, n, period / 2)], axis=1)
        centres = spot + sway + bob * 0.006 * config.height
        if person == leaving:  # walks out at the nearer border
            goal = -spot[0] if x < config.width / 2 else config.width - spot[0]
            centres[:, 0] += 1.4 * goal * np.clip(np.linspace(-1.5, 1, n), 0, 1)
        actors.append(_cast(rng, config.height, person, turns, (centres, clock)))
    return Scene(tuple(turns), tuple(actors), sway, clock, config.width, seeds)


def _cast(
    rng: np.random.Generator,
    height: int,
    person: int,
    turns: list[Turn],
    path: tuple[Floats, Clock],
) -> Actor:
    """A person with a look of their own; one in three is small, blurred or dark."""
    centres, clock = path
    trouble = rng.choice(["small", "blurred", "dark"]) if rng.random() < 0.34 else ""
    radius = height * (rng.uniform(0.055, 0.075) if trouble == "small" else rng.uniform(0.15, 0.2))
    light = rng.uniform(0.16, 0.26) if trouble == "dark" else rng.uniform(0.85, 1.0)
    skin, hair, shirt = (shade(tuple(rng.choice(p)), light) for p in (SKIN, HAIR, SHIRT))
    yaw, mouth = _pose(rng, person, turns, len(centres), clock)
    return Actor(
        skin=skin,
        hair=hair,
        shirt=shirt,
        light=light,
        is_long_haired=bool(rng.random() < 0.5),
        blur_px=0.18 * radius if trouble == "blurred" else 0.0,
        pitch_hz=rng.uniform(95, 230),
        radius=radius,
        centres=centres,
        yaw=yaw,
        mouth=mouth,
    )


def _pose(
    rng: np.random.Generator, person: int, turns: list[Turn], n: int, clock: Clock
) -> tuple[Floats, Floats]:
    """Head turn (n,) and mouth opening (n,): speakers face their addressee, listeners anyone."""
    yaw, mouth = np.zeros(n), np.zeros(n)
    hold = max(1, int(1.2 * clock.fps))
    for start in range(0, n, hold):
        yaw[start : start + hold] = rng.choice([0.0, rng.uniform(-1, 1)], p=[0.3, 0.7])
    times = np.arange(n) / float(clock.fps)
    for turn in turns:
        if turn.speaker == person:
            side = np.sign(turn.addressee - person)  # persons sit in order of their number
            target = (
                rng.normal(0, 0.06) if turn.addressee == WEARER else side * rng.uniform(0.55, 1)
            )
            yaw[(times >= turn.onsets_s[0] - 0.15) & (times <= turn.onsets_s[-1] + 0.1)] = target
            for start, end in itertools.pairwise(turn.onsets_s):
                phase = np.clip((times - start) / (end - start), 0, 1)
                mouth += np.sin(np.pi * phase) * rng.uniform(0.5, 1.0)
    kernel = np.hanning(int(0.3 * clock.fps) + 3)
    pad = len(kernel) // 2
    smooth = np.convolve(np.pad(yaw, pad, "edge"), kernel / kernel.sum(), "valid")[:n]
    return smooth + 0.03 * _drift(rng, n, 0.7 * float(clock.fps)), np.minimum(mouth, 1.0)


def shade(colour: tuple[int, ...], factor: float) -> Colour:
    red, green, blue = (int(min(255, c * factor)) for c in colour)
    return red, green, blue
