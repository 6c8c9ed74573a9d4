"""What the face mesh and the voice detector report of a scene: lips, angles, sound, and errors.

The amplitudes and errors were fitted to what the shipped networks report on rendered clips, whose
truth is known, and on real faces (docs/experiments/talk.md).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from quavf.core.records import Array, Floats
from quavf.cues.grid import (
    COLUMNS,
    CONFIDENCE,
    EYES,
    LIP,
    PITCH,
    RATE,
    ROLL,
    SIZE,
    WIDTH,
    YAW,
    CueGrid,
    X,
    Y,
)
from quavf.cues.mesh import HEAD_CONFIDENCE
from quavf.cues.tracks import LEAST_CONFIDENCE
from quavf.simulate.cue_scenes import CueScene
from quavf.simulate.scene import draw_smooth_noise

SYLLABLE_S = 0.19
FILL_DB = -100.0  # digital silence
P_NO_TRACK = 0.04  # share of clips without a sound track


@dataclass(frozen=True)
class Mouth:
    """Articulation of one voice over T ticks."""

    opening: Floats  # (T,) 0: closed
    width: Floats  # (T,) change of the mouth's width
    loudness: Floats  # (T,) 0: no sound, about 1: a stressed syllable


def observe(scene: CueScene, rng: np.random.Generator) -> CueGrid:
    """Cues of a scene, as the networks would report them."""
    mouths = [draw_mouth(row, rng) for row in scene.lips]
    habits = _Habits.draw(scene.n_ticks, rng)
    faces = np.stack(
        [_observe_face(scene, p, mouth, habits, rng) for p, mouth in enumerate(mouths)]
    )
    voice, level = _observe_sound(scene, mouths, rng)
    return CueGrid(faces.astype(np.float32), voice, level)


def draw_mouth(speaking: Array, rng: np.random.Generator) -> Mouth:
    """Articulate the ticks (T,) at which somebody speaks: syllables, words and short pauses."""
    n_ticks = len(speaking)
    fine = 4 * n_ticks
    opening, loudness = np.zeros(fine), np.zeros(fine)
    amplitude = 0.12 * float(np.exp(rng.normal(0, 0.55)))
    closes = rng.uniform(0.0, 0.5)
    edges = np.flatnonzero(np.diff(speaking.astype(int), prepend=0, append=0))
    for start, end in zip(edges[::2], edges[1::2], strict=True):
        knots, opens, loud = _draw_syllables(start / RATE, end / RATE, closes, rng)
        inside = np.arange(4 * start, 4 * end)
        opening[inside] = np.interp(inside / (4 * RATE), knots, opens) * amplitude
        loudness[inside] = np.interp(inside / (4 * RATE), knots, loud)
    width = draw_smooth_noise(rng, fine, 1, 6.0)[:, 0] * (opening > 0) * rng.uniform(0.01, 0.05)
    shift = int(rng.integers(-2, 3))  # sound and picture are never quite in step
    return Mouth(
        np.roll(opening, shift)[::4],
        width[::4],
        np.maximum.reduceat(loudness, np.arange(0, fine, 4)),
    )


def _draw_syllables(
    start_s: float, end_s: float, closes: float, rng: np.random.Generator
) -> tuple[Floats, Floats, Floats]:
    """Times, openings and loudness of the syllables of one stretch of speech."""
    n = int((end_s - start_s) / SYLLABLE_S) + 2
    lengths = np.clip(SYLLABLE_S * np.exp(rng.normal(0, 0.35, n)), 0.08, 0.6)
    pauses = np.where(rng.random(n) < 0.07, rng.uniform(0.12, 0.5, n), 0.0)
    ends = start_s + np.cumsum(lengths + pauses)
    peaks = np.clip(rng.gamma(3.0, 1 / 3.0, n), 0.15, 2.5)
    valleys = peaks * np.where(rng.random(n) < closes, 0.0, rng.uniform(0.1, 0.6, n))
    valleys = np.where(pauses > 0, 0.05, valleys)
    stress = np.clip(rng.normal(1.0, 0.25, n), 0.3, 1.6)
    middle = ends - lengths / 2
    knots = np.concatenate([[start_s], *np.stack([ends - lengths, middle, ends], axis=1)])
    opens = np.concatenate([[0.0], *np.stack([np.roll(valleys, 1), peaks, valleys], axis=1)])
    quiet = np.where(pauses > 0, 0.0, 0.5)
    loud = np.concatenate(
        [[0.5], *np.stack([np.where(pauses > 0, 0.0, 0.5), stress, quiet], axis=1)]
    )
    return knots, opens, loud


def _observe_face(
    scene: CueScene, person: int, mouth: Mouth, habits: _Habits, rng: np.random.Generator
) -> Floats:
    """(T, len(COLUMNS)) what the mesh reports of one face."""
    n, size = scene.n_ticks, scene.size[person]
    yaw, pitch, roll = scene.angles[person].T
    small = (80.0 / np.maximum(np.nan_to_num(size, nan=80.0), 12.0)) ** 0.7 * habits.sharpness
    picture = bool(scene.pictures[person])
    if picture:  # the camera shakes, and compression comes and goes
        small = small * np.exp(rng.uniform(np.log(0.3), np.log(2.0)))
    evidence = habits.draw_evidence(np.nan_to_num(size), yaw, rng)
    doubt = 1 / (1 + np.exp(np.clip(evidence, -20, 20)))  # (T,) 0: the mesh is sure
    out = np.full((n, len(COLUMNS)), np.nan)
    shaky = 0.8 * small + 9 * doubt
    out[:, YAW] = yaw * rng.uniform(0.8, 1.15) * (1 - 0.4 * doubt) + rng.normal(0, 4.0)
    out[:, YAW] += rng.standard_normal(n) * shaky
    out[:, PITCH] = pitch * rng.uniform(0.7, 1.15) + rng.normal(-5, 6.0)
    out[:, PITCH] += rng.standard_normal(n) * shaky
    out[:, ROLL] = roll + rng.normal(0, 2.0) + rng.standard_normal(n) * 0.5 * shaky
    idle_open, idle_wide = draw_idle_lips(n, rng)
    if picture:
        idle_open, idle_wide = (np.full(n, idle.max()) for idle in (idle_open, idle_wide))
    stretch = 1 / np.clip(np.cos(np.radians(out[:, YAW])), 0.35, 1.0)
    turned = small * (1 + (np.abs(yaw) / 40) ** 2) * (1 + 2 * doubt)
    white = rng.standard_normal(n) * 0.007 * turned
    slow = draw_smooth_noise(rng, n, 1, 4.0)[:, 0] * 0.005 * turned
    moved = np.abs(np.diff(yaw, prepend=yaw[:1])) * 0.002  # a turning head disturbs the lips
    lip = (mouth.opening + idle_open) * stretch + white + slow
    out[:, LIP] = np.abs(lip + moved * rng.standard_normal(n))
    smile = mouth.width + idle_wide
    out[:, WIDTH] = (rng.normal(0.62, 0.06) + smile) + rng.standard_normal(n) * 0.008 * turned
    blinks = np.convolve(rng.random(n) < 0.02 * (not picture), [0.5, 1.0, 0.3], mode="same")
    out[:, EYES] = np.clip(rng.normal(0.28, 0.06) * (1 - 0.8 * blinks), 0.02, 0.6)
    out[:, CONFIDENCE] = 1 - doubt
    for column in (LIP, WIDTH, EYES):
        out[doubt > 1 - LEAST_CONFIDENCE, column] = np.nan
    for column in (YAW, PITCH, ROLL):
        out[doubt > 1 - HEAD_CONFIDENCE, column] = np.nan
    out[:, SIZE] = size * np.exp(rng.standard_normal(n) * 0.01)
    out[:, X], out[:, Y] = scene.place[person].T
    return _lose_faces(out, habits, rng)


@dataclass(frozen=True)
class _Habits:
    """How well the mesh reads the faces of one clip."""

    sharpness: float  # of lips and angles: scale of their jitter
    smallest: float  # pixels: face that is read half of the time
    widest: float  # degrees: yaw of a face that is read half of the time
    blurred: Array  # (T,) whether the whole picture is blurred
    every: int  # ticks between faces

    @classmethod
    def draw(cls, n_ticks: int, rng: np.random.Generator) -> _Habits:
        """Draw a camera, its pictures and how densely faces were stored."""
        blurred = np.zeros(n_ticks, bool)
        rate = float(rng.choice([0.0, 0.1, 0.6], p=[0.5, 0.3, 0.2]))
        for start in rng.integers(0, n_ticks, int(rng.poisson(rate * n_ticks / RATE))):
            blurred[start : start + int(rng.uniform(1, 10))] = True
        return cls(
            sharpness=float(np.exp(rng.normal(0, 0.35))),
            smallest=float(np.exp(rng.uniform(np.log(28), np.log(80)))),
            widest=float(rng.uniform(46, 72)),
            blurred=blurred,
            every=int(rng.choice([1, 1, 1, 1, 1, 2, 3, 7])),
        )

    def draw_evidence(self, size: Floats, yaw: Floats, rng: np.random.Generator) -> Floats:
        """(T,) log-odds that the mesh gives to a face."""
        by_size = 5 * np.log2(np.maximum(size, 1.0) / self.smallest)
        by_yaw = 0.3 * (self.widest - np.abs(yaw))
        wander = 1.5 * draw_smooth_noise(rng, len(size), 1, 5.0)[:, 0]
        evidence = np.minimum(np.minimum(by_size, by_yaw), 9.0) + wander
        for _ in range(int(rng.poisson(0.04 * len(size) / RATE))):  # a hand before the face
            start = int(rng.integers(len(size)))
            evidence[start : start + 1 + int(rng.exponential(0.7) * RATE)] -= 9.0
        return np.asarray(evidence - 8.0 * self.blurred)


def _lose_faces(out: Floats, habits: _Habits, rng: np.random.Generator) -> Floats:
    """Drop what the detector misses, and what a store does not hold."""
    n = len(out)
    gone = np.isnan(out[:, SIZE])
    for _ in range(int(rng.poisson(0.02 * n / RATE))):
        start = int(rng.integers(n))
        gone[start : start + 1 + int(rng.exponential(1.2) * RATE)] = True
    out[gone | (np.arange(n) % habits.every != 0)] = np.nan
    return out


def draw_idle_lips(n_ticks: int, rng: np.random.Generator) -> tuple[Floats, Floats]:
    """Opening and widening (T,) of lips that move without speech."""
    opening, wide = np.zeros(n_ticks), np.zeros(n_ticks)
    opening += float(rng.choice([0.0, 0.01, 0.03, 0.08, 0.18], p=[0.35, 0.3, 0.2, 0.1, 0.05]))
    opening += np.maximum(draw_smooth_noise(rng, n_ticks, 1, 2.0 * RATE)[:, 0], 0) * 0.01
    n_acts = int(rng.poisson(rng.choice([0.02, 0.06, 0.3], p=[0.6, 0.3, 0.1]) * n_ticks / RATE))
    for _ in range(n_acts):
        start, kind = int(rng.integers(n_ticks)), rng.random()
        length = int(rng.uniform(0.4, 3.0) * RATE) + 2
        part = slice(start, min(start + length, n_ticks))
        time = np.arange(part.stop - part.start) / RATE
        shape = np.sin(np.pi * np.linspace(0, 1, len(time))) if len(time) else time
        if kind < 0.3:  # a smile
            wide[part] += 0.08 * rng.uniform(0.3, 1.5) * shape
            opening[part] += rng.uniform(0, 0.15) * shape
        elif kind < 0.55:  # chewing
            beat = 0.5 - 0.5 * np.cos(2 * np.pi * rng.uniform(1.0, 2.2) * time)
            opening[part] += rng.uniform(0.02, 0.12) * beat * shape
        elif kind < 0.65:  # a yawn
            opening[part] += rng.uniform(0.3, 0.8) * shape
        else:  # lips part, are licked or pressed
            opening[part] += rng.uniform(0.02, 0.15) * shape
    return opening, wide


def _observe_sound(
    scene: CueScene, mouths: list[Mouth], rng: np.random.Generator
) -> tuple[Floats, Floats]:
    """Speech probability and level, dB of full scale, (T,) each."""
    n = scene.n_ticks
    if rng.random() < P_NO_TRACK:
        return np.full(n, np.nan), np.full(n, np.nan)
    wearer, offscreen = (draw_mouth(row, rng) for row in (scene.wearer, scene.offscreen))
    heard = np.atleast_1d(scene.speaking.any(axis=1))  # (P,) lips of a muted scene make no sound
    voices = [
        _power(mouth.loudness, rng.normal(-1, 4)) * audible
        for mouth, audible in zip(mouths, heard, strict=True)
    ]
    near = _power(wearer.loudness, rng.uniform(4, 16))
    far = _power(offscreen.loudness, rng.normal(0, 4))
    speech = np.sum([*voices, near, far], axis=0)
    if not speech.any() and rng.random() < 0.5:  # digital silence
        return np.full(n, 0.002), np.full(n, FILL_DB)
    snr_db = float(rng.uniform(-2, 40))
    hum = draw_smooth_noise(rng, n, 1, RATE)[:, 0] * rng.uniform(0.5, 3.0)
    noise = 10 ** ((-snr_db + hum) / 10)
    level = float(rng.uniform(-48, -14)) + 10 * np.log10(speech + noise + 1e-9)
    return _detect_voice(speech, noise, rng), np.maximum(level, FILL_DB)


def _power(loudness: Floats, level_db: float) -> Floats:
    """Power (T,) of a voice at a level relative to the usual one."""
    return np.where(loudness > 0, 10 ** ((level_db + 12 * (loudness - 1)) / 10), 0.0)


def _detect_voice(speech: Floats, noise: Floats, rng: np.random.Generator) -> Floats:
    """Probability (T,) that a voice detector gives to speech in noise."""
    n = len(speech)
    ratio_db = 10 * np.log10(speech + 1e-9) - 10 * np.log10(noise + 1e-9)
    held = np.maximum.reduce([ratio_db, np.roll(ratio_db, 1), np.roll(ratio_db, -1)])
    evidence = np.clip((held + rng.uniform(-6, 4)) * 0.6, -6, 6)
    evidence += draw_smooth_noise(rng, n, 1, 2.0)[:, 0] * rng.uniform(0.3, 1.5)
    probability = 1 / (1 + np.exp(-evidence))
    if rng.random() < 0.25:  # babble or singing
        alarm = np.clip(
            rng.uniform(0.0, 0.9) + 0.25 * draw_smooth_noise(rng, n, 1, 6.0)[:, 0], 0, 1
        )
        probability = np.maximum(probability, alarm)
    return np.asarray(np.clip(probability, 0.001, 0.999))
