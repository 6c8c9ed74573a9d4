"""The wearer's microphone signal: voices in a reverberant room, babble and noise."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from quavf.core.clock import SAMPLE_RATE
from quavf.core.errors import QuavfError
from quavf.core.records import WEARER, Floats
from quavf.simulate.config import SoundConfig
from quavf.simulate.scene import Scene, SceneMotion
from quavf.simulate.voices import Speech, Voice, draw_voice, synthesise_text

BEARINGS = 12  # head directions that room responses are computed for
TAIL_S = 1.2  # longest room response
PLAUSIBLE_ABSORPTION = (0.05, 0.95)


@dataclass(frozen=True)
class Recording:
    """The microphone signal of a clip, with its true levels."""

    sound: Floats  # float32 mono in [-1, 1]
    snr_db: float  # speech at 1 m over noise and babble
    direct_db: Floats  # (people, BEARINGS) direct-to-reverberant ratio; NaN for the wearer
    voice_db: Floats  # (people,) level of each voice at the microphone, dB of full scale


def mix_recording(
    scene: Scene,
    motion: SceneMotion,
    speech: list[Speech],
    voices: list[Voice],
    config: SoundConfig,
    rng: np.random.Generator,
    fps: float,
) -> Recording:
    """Mix everybody's speech with babble and noise."""
    n = int(motion.n_frames / fps * SAMPLE_RATE)
    rt60 = rng.uniform(*config.rt60_s)
    full = 10 ** (config.speech_db / 20)
    total = np.zeros(n)
    direct_db = np.full((scene.n_people, BEARINGS), np.nan)
    levels = np.full(scene.n_people, -np.inf)
    for person in range(scene.n_people):
        dry = voices[person].gain * _join_utterances(speech, person, n)
        if person == WEARER:
            wet = _mix_wearer_voice(dry, config, scene, rt60, rng)
        else:
            responses, direct_db[person] = compute_room_responses(
                scene, motion, person, config, rt60
            )
            wet = _reverberate(dry, responses, motion.turns[person, :, 0], fps)
        levels[person] = _measure_level(wet)
        total += full * wet
    snr = rng.uniform(*config.snr_db)
    share = rng.uniform(*config.babble_share)
    noise = np.sqrt(1 - share) * _draw_noise(n, rng) + np.sqrt(share) * _draw_babble(n, rng, rt60)
    total += full * 10 ** (-snr / 20) * noise
    total = np.tanh(total)  # limiter of the microphone: inaudible below a third of full scale
    return Recording(total.astype(np.float32), float(snr), direct_db, levels + config.speech_db)


def _join_utterances(speech: list[Speech], person: int, n: int) -> Floats:
    dry = np.zeros(n)
    for item in speech:
        if item.utterance.speaker == person:
            start = int(item.utterance.start_s * SAMPLE_RATE)
            sound = item.sound[: max(n - start, 0)]
            dry[start : start + len(sound)] += sound
    return dry


def _measure_level(sound: Floats) -> float:
    """Level in decibels while speaking; -inf for silence."""
    power = sound**2
    if power.max() <= 0:
        return float("-inf")
    return float(10 * np.log10(power[power > 0.01 * power.max()].mean()))


def compute_room_responses(
    scene: Scene, motion: SceneMotion, person: int, config: SoundConfig, rt60: float
) -> tuple[Floats, Floats]:
    """Impulse responses from a mouth to the microphone, and direct-to-reverberant ratios in dB.

    Shapes (BEARINGS, samples) and (BEARINGS,); row k is for a head at azimuth 2 pi k / BEARINGS.
    Turning the head away also attenuates high frequencies of the direct sound. A mouth that faces
    the microphone from 1 m has a direct gain of about 1.
    """
    pra = _load_pyroomacoustics()
    mouth = _keep_inside(motion.heads[person].mean(axis=0) - np.array([0, 0, 0.07]), scene.size)
    ear = _keep_inside(motion.heads[WEARER].mean(axis=0), scene.size)
    absorption = np.clip(_compute_absorption(scene.size, rt60), *PLAUSIBLE_ABSORPTION)
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
        direct = _attenuate_treble(response[:split], averted, config.averted_cutoff_hz)
        late = response[split:]
        ratios[k] = 10 * np.log10((direct**2).sum() / max((late**2).sum(), 1e-12))
        responses[k, : len(response)] = np.concatenate([direct, late])
    return responses, ratios


def _load_pyroomacoustics() -> Any:
    try:
        import pyroomacoustics
    except ImportError:
        raise QuavfError(
            "simulation needs pyroomacoustics: pip install 'quavf[simulate]'"
        ) from None
    pyroomacoustics.constants.set("num_threads", 1)
    return pyroomacoustics


def _keep_inside(spot: Floats, size: Floats) -> Floats:
    return np.clip(spot, 0.1, size - 0.1)


def _compute_absorption(size: Floats, rt60: float) -> float:
    """Share of the energy that a wall absorbs, by Sabine's formula."""
    volume = float(np.prod(size))
    area = 2 * float(size[0] * size[1] + size[1] * size[2] + size[0] * size[2])
    return 0.161 * volume / (area * rt60)


def _attenuate_treble(direct: Floats, averted: float, cutoff_hz: float) -> Floats:
    """Attenuate high frequencies of the direct sound; `averted` runs from 0 (facing) to 1."""
    spectrum = np.fft.rfft(direct)
    hz = np.fft.rfftfreq(len(direct), 1 / SAMPLE_RATE)
    gain = 1 / np.sqrt(1 + averted * (hz / cutoff_hz) ** 2)
    return np.fft.irfft(spectrum * gain, len(direct))


def _reverberate(dry: Floats, responses: Floats, azimuths: Floats, fps: float) -> Floats:
    """Convolve a voice with the room response of the head's direction at each sample."""
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


def _mix_wearer_voice(
    dry: Floats, config: SoundConfig, scene: Scene, rt60: float, rng: np.random.Generator
) -> Floats:
    """Mix the wearer's own voice: close, with more bass and little reverberation."""
    from scipy.signal import lfilter, oaconvolve

    boomy = lfilter([1.0], [1.0, -0.55], dry) * 0.6
    near = 10 ** (config.wearer_db / 20)
    tail = rng.standard_normal(int(rt60 * SAMPLE_RATE))
    tail *= np.exp(-6.9 * np.arange(len(tail)) / SAMPLE_RATE / rt60)
    tail *= 0.5 / np.sqrt((tail**2).sum())
    return np.asarray(near * boomy + oaconvolve(dry, tail)[: len(dry)])


def _draw_noise(n: int, rng: np.random.Generator) -> Floats:
    """Draw ventilation and handling noise: about -4 dB per octave, unit RMS."""
    spectrum = np.fft.rfft(rng.standard_normal(n))
    hz = np.fft.rfftfreq(n, 1 / SAMPLE_RATE)
    spectrum *= 1 / np.maximum(hz, 40.0) ** rng.uniform(0.4, 0.9)
    spectrum[hz < 40] = 0
    noise = np.fft.irfft(spectrum, n)
    return np.asarray(noise / np.sqrt((noise**2).mean()))


def _draw_babble(n: int, rng: np.random.Generator, rt60: float) -> Floats:
    """Draw reverberant babble of six distant speakers, unit RMS."""
    from scipy.signal import oaconvolve

    total = np.zeros(n)
    for _ in range(6):
        voice = draw_voice(rng, "train", bool(rng.random() < 0.5), 3.0)
        at = 0
        while at < n:
            sound, _ = synthesise_text(_draw_chatter(rng), voice, voice.words_per_minute)
            sound = sound[: n - at]
            total[at : at + len(sound)] += voice.gain * sound
            at += len(sound) + int(rng.exponential(0.6) * SAMPLE_RATE)
    tail = rng.standard_normal(int(rt60 * SAMPLE_RATE))
    tail *= np.exp(-6.9 * np.arange(len(tail)) / SAMPLE_RATE / rt60)
    total = oaconvolve(total, tail)[:n]
    return np.asarray(total / max(np.sqrt((total**2).mean()), 1e-9))


def _draw_chatter(rng: np.random.Generator) -> str:
    from quavf.simulate.voices import CLAUSES

    return " ".join(str(rng.choice(CLAUSES)) for _ in range(3))
