"""What the wearer's microphone hears: voices in a room, that follow their heads."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from quavf.core.clock import SAMPLE_RATE
from quavf.core.errors import QuavfError
from quavf.core.records import WEARER, Array, Floats
from quavf.simulate.config import SoundConfig
from quavf.simulate.scene import Motion, Scene
from quavf.simulate.voices import Speech, Voice, draw_voice, synthesise

BEARINGS = 12  # room responses are computed for so many directions of a head
TAIL_S = 1.2  # longest response
PLAUSIBLE_ABSORPTION = (0.05, 0.95)
MOUTH_TO_EAR_M = 0.18


@dataclass(frozen=True)
class Heard:
    """The sound of a clip and what is known about it."""

    sound: Floats  # float32 mono in [-1, 1]
    snr_db: float  # speech at 1 m over noise and babble
    direct_db: Floats  # (people, BEARINGS) direct over reverberant energy; NaN for the wearer
    clean: Floats  # (people,) level of each voice at the microphone, decibels of full scale


def hear(
    scene: Scene,
    motion: Motion,
    speech: list[Speech],
    voices: list[Voice],
    config: SoundConfig,
    rng: np.random.Generator,
    fps: float,
) -> Heard:
    """Mix what everybody says with babble and noise."""
    n = int(motion.n_frames / fps * SAMPLE_RATE)
    rt60 = rng.uniform(*config.rt60_s)
    full = 10 ** (config.speech_db / 20)
    total = np.zeros(n)
    direct_db = np.full((scene.n_people, BEARINGS), np.nan)
    levels = np.full(scene.n_people, -np.inf)
    for person in range(scene.n_people):
        dry = voices[person].gain * _dry(speech, person, n)
        if person == WEARER:
            wet = _own_voice(dry, config, scene, rt60, rng)
        else:
            responses, direct_db[person] = room_responses(scene, motion, person, config, rt60)
            wet = _wet(dry, responses, motion.turns[person, :, 0], fps)
        levels[person] = _level(wet)
        total += full * wet
    snr = rng.uniform(*config.snr_db)
    share = rng.uniform(*config.babble_share)
    noise = np.sqrt(1 - share) * _noise(n, rng) + np.sqrt(share) * _babble(n, rng, rt60)
    total += full * 10 ** (-snr / 20) * noise
    total = np.tanh(total)  # a microphone's limiter: inaudible below a third of full scale
    return Heard(total.astype(np.float32), float(snr), direct_db, levels + config.speech_db)


def _dry(speech: list[Speech], person: int, n: int) -> Floats:
    dry = np.zeros(n)
    for said in speech:
        if said.utterance.speaker == person:
            start = int(said.utterance.start_s * SAMPLE_RATE)
            sound = said.sound[: max(n - start, 0)]
            dry[start : start + len(sound)] += sound
    return dry


def _level(sound: Floats) -> float:
    """Decibels of the speaking parts; -inf for silence."""
    power = sound**2
    if power.max() <= 0:
        return float("-inf")
    return float(10 * np.log10(power[power > 0.01 * power.max()].mean()))


def room_responses(
    scene: Scene, motion: Motion, person: int, config: SoundConfig, rt60: float
) -> tuple[Floats, Floats]:
    """(BEARINGS, samples) from a mouth to the microphone, and direct over reverberant energy, dB.

    Row k is for a head at azimuth 2 pi k / BEARINGS. The direct sound of an averted head also
    loses its high notes. One at 1 m that faces the microphone has a direct gain of about 1.
    """
    pra = _pyroomacoustics()
    mouth = _at_ease(motion.heads[person].mean(axis=0) - np.array([0, 0, 0.07]), scene.size)
    ear = _at_ease(motion.heads[WEARER].mean(axis=0), scene.size)
    absorption = np.clip(_absorption(scene.size, rt60), *PLAUSIBLE_ABSORPTION)
    order = int(np.clip(rt60 * 343 / scene.size.min() * 0.7, 6, 22))
    room = pra.ShoeBox(
        scene.size, fs=SAMPLE_RATE, materials=pra.Material(float(absorption)), max_order=order
    )
    room.add_microphone(ear)
    for k in range(BEARINGS):
        way = pra.directivities.DirectionVector(360.0 * k / BEARINGS, 90.0, degrees=True)
        pattern = pra.directivities.CardioidFamily(way, p=config.directivity)
        room.add_source(mouth, directivity=pattern)
    room.compute_rir()
    distance = float(np.linalg.norm(mouth - ear))
    arrival = int(distance / 343 * SAMPLE_RATE) + pra.constants.get("frac_delay_length") // 2
    length = min(max(len(r) for r in room.rir[0]), int(TAIL_S * SAMPLE_RATE))
    responses = np.zeros((BEARINGS, length))
    ratios = np.zeros(BEARINGS)
    split = arrival + int(0.0025 * SAMPLE_RATE)
    to_ear = np.arctan2(*(ear - mouth)[[1, 0]])
    for k, raw in enumerate(room.rir[0]):
        response = np.asarray(raw[:length])
        averted = 0.5 - 0.5 * np.cos(2 * np.pi * k / BEARINGS - to_ear)
        direct = _dull(response[:split], averted, config.averted_cutoff_hz)
        late = response[split:]
        ratios[k] = 10 * np.log10((direct**2).sum() / max((late**2).sum(), 1e-12))
        responses[k, : len(response)] = np.concatenate([direct, late])
    return responses, ratios


def _pyroomacoustics() -> Any:
    try:
        import pyroomacoustics
    except ImportError:
        raise QuavfError("simulating needs room acoustics: pip install 'quavf[simulate]'") from None
    pyroomacoustics.constants.set("num_threads", 1)
    return pyroomacoustics


def _at_ease(spot: Floats, size: Floats) -> Floats:
    return np.clip(spot, 0.1, size - 0.1)


def _absorption(size: Floats, rt60: float) -> float:
    """Share of energy that a wall takes, by Sabine's formula."""
    volume = float(np.prod(size))
    area = 2 * float(size[0] * size[1] + size[1] * size[2] + size[0] * size[2])
    return 0.161 * volume / (area * rt60)


def _dull(direct: Floats, averted: float, cutoff_hz: float) -> Floats:
    """The direct sound with its high notes turned down, as the head is `averted` (0 to 1)."""
    spectrum = np.fft.rfft(direct)
    hz = np.fft.rfftfreq(len(direct), 1 / SAMPLE_RATE)
    gain = 1 / np.sqrt(1 + averted * (hz / cutoff_hz) ** 2)
    return np.fft.irfft(spectrum * gain, len(direct))


def _wet(dry: Floats, responses: Floats, azimuths: Floats, fps: float) -> Floats:
    """A voice in the room: each sample leaves in the direction of the head at that time."""
    from scipy.signal import oaconvolve

    n = len(dry)
    at = np.arange(0, n, 160)
    unwrapped = np.unwrap(azimuths)
    bearing = np.interp(at / SAMPLE_RATE * fps, np.arange(len(azimuths)) + 0.5, unwrapped)
    bearing = np.interp(np.arange(n), at, bearing) / (2 * np.pi) * BEARINGS
    wet = np.zeros(n)
    for k in range(BEARINGS):
        away = np.abs((bearing - k + BEARINGS / 2) % BEARINGS - BEARINGS / 2)
        part = dry * np.clip(1 - away, 0, 1)
        if part.any():
            wet += oaconvolve(part, responses[k])[:n]
    return wet


def _own_voice(
    dry: Floats, config: SoundConfig, scene: Scene, rt60: float, rng: np.random.Generator
) -> Floats:
    """The wearer's voice: close, with more bass, and a little of the room."""
    from scipy.signal import lfilter, oaconvolve

    boomy = lfilter([1.0], [1.0, -0.55], dry) * 0.6
    near = 10 ** (config.wearer_db / 20)
    tail = rng.standard_normal(int(rt60 * SAMPLE_RATE))
    tail *= np.exp(-6.9 * np.arange(len(tail)) / SAMPLE_RATE / rt60)
    tail *= 0.5 / np.sqrt((tail**2).sum())
    return np.asarray(near * boomy + oaconvolve(dry, tail)[: len(dry)])


def _noise(n: int, rng: np.random.Generator) -> Floats:
    """Ventilation and handling: noise that falls off by some 4 dB an octave, unit RMS."""
    spectrum = np.fft.rfft(rng.standard_normal(n))
    hz = np.fft.rfftfreq(n, 1 / SAMPLE_RATE)
    spectrum *= 1 / np.maximum(hz, 40.0) ** rng.uniform(0.4, 0.9)
    spectrum[hz < 40] = 0
    noise = np.fft.irfft(spectrum, n)
    return np.asarray(noise / np.sqrt((noise**2).mean()))


def _babble(n: int, rng: np.random.Generator, rt60: float) -> Floats:
    """Half a dozen people who talk elsewhere, reverberant, unit RMS."""
    from scipy.signal import oaconvolve

    total = np.zeros(n)
    for _ in range(6):
        voice = draw_voice(rng, "train", bool(rng.random() < 0.5), 3.0)
        at = 0
        while at < n:
            sound, _ = synthesise(_chatter(rng), voice, voice.words_per_minute)
            sound = sound[: n - at]
            total[at : at + len(sound)] += voice.gain * sound
            at += len(sound) + int(rng.exponential(0.6) * SAMPLE_RATE)
    tail = rng.standard_normal(int(rt60 * SAMPLE_RATE))
    tail *= np.exp(-6.9 * np.arange(len(tail)) / SAMPLE_RATE / rt60)
    total = oaconvolve(total, tail)[:n]
    return np.asarray(total / max(np.sqrt((total**2).mean()), 1e-9))


def _chatter(rng: np.random.Generator) -> str:
    from quavf.simulate.voices import CLAUSES

    return " ".join(str(rng.choice(CLAUSES)) for _ in range(3))


def fit(array: Array, n: int) -> Array:
    """The first n samples, or all and silence after."""
    return np.pad(array, (0, max(n - len(array), 0)))[:n]
