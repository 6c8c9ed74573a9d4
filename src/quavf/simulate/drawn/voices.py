"""The sound of a drawn scene: synthetic voices in a room."""

from __future__ import annotations

import itertools

import numpy as np

from quavf.clock import Clock
from quavf.records import WEARER, Floats
from quavf.simulate.drawn.scene import Scene, Turn

CLIP_RATE = 48_000  # Hz, sound of the clips
VOWELS_HZ = ((730, 1090, 2440), (270, 2290, 3010), (530, 1840, 2480), (570, 840, 2410))


def _voice(rng: np.random.Generator, turn: Turn, pitch_hz: float) -> Floats:
    """One utterance at CLIP_RATE from its first onset, levelled: pulses through formants."""
    edges = ((turn.onsets_s - turn.onsets_s[0]) * CLIP_RATE).astype(int)
    sound = np.zeros(edges[-1] + CLIP_RATE // 10)
    for start, end in itertools.pairwise(edges):
        n = end - start + CLIP_RATE // 20
        f0 = pitch_hz * rng.uniform(0.9, 1.15) * np.linspace(1.04, 0.95, n)
        pulses = np.diff(np.floor(np.cumsum(f0) / CLIP_RATE), prepend=0.0)
        source = (pulses + 0.015 * rng.standard_normal(n)) * np.hanning(n)
        hz = np.fft.rfftfreq(n, 1 / CLIP_RATE)
        formants = rng.choice(VOWELS_HZ)
        gain = sum(1 / (1 + ((hz - f) / (60 + 0.06 * f)) ** 2) for f in formants)
        gain = (gain + 0.03) / (1 + (hz / 3500) ** 2)
        sound[start : start + n] += np.fft.irfft(np.fft.rfft(source) * gain, n)
    levelled: Floats = 0.08 * sound / np.sqrt(np.mean(sound**2))
    return levelled


def _through_room(rng: np.random.Generator, sound: Floats, is_facing: bool) -> Floats:
    """The voice at the wearer's ear: aimed elsewhere it is duller, quieter, and echoes more."""
    n = len(sound) + CLIP_RATE // 4
    cutoff_hz = rng.uniform(2200, 9000) if is_facing else rng.uniform(800, 2800)
    low_pass = 1 / (1 + (np.fft.rfftfreq(n, 1 / CLIP_RATE) / cutoff_hz) ** 1.5)
    tail = rng.standard_normal(CLIP_RATE // 4) * np.exp(-np.linspace(0, 6, CLIP_RATE // 4))
    wet = rng.uniform(0.05, 0.3) if is_facing else rng.uniform(0.3, 0.7)
    echo = wet * np.fft.rfft(tail / np.linalg.norm(tail), n)
    gain = np.exp(rng.normal(0.0 if is_facing else -0.35, 0.3))
    heard: Floats = gain * np.fft.irfft(np.fft.rfft(sound, n) * (1 + echo) * low_pass, n)
    return heard


def mix(scene: Scene) -> Floats:
    """All voices over a faint hiss, (n,) at CLIP_RATE."""
    rng = scene.rng(3)
    n = Clock(scene.clock.fps, CLIP_RATE).frame_to_sample(len(scene.sway))
    mixed = 0.0015 * rng.standard_normal(n)
    for turn in scene.turns:
        pitch_hz = 120.0 if turn.speaker == WEARER else scene.actors[turn.speaker - 1].pitch_hz
        is_facing = WEARER in (turn.speaker, turn.addressee)
        sound = _through_room(rng, _voice(rng, turn, pitch_hz), is_facing)
        start = int(turn.onsets_s[0] * CLIP_RATE)
        mixed[start : start + len(sound)] += sound[: n - start]
    return np.clip(mixed, -1, 1)
