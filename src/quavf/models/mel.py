"""Whisper's log-mel spectrogram in NumPy, and the shapes of the audio branch's input."""

from __future__ import annotations

from functools import cache

import numpy as np

from quavf.core.clock import SAMPLE_RATE
from quavf.core.records import Floats
from quavf.core.windows import WINDOW_SAMPLES

N_MELS = 80
N_FRAMES = 3000  # of the spectrogram of 30 s
N_FFT = 400  # samples, 25 ms
HOP = 160  # samples, 10 ms
AT_ONCE = 500  # frames transformed together, to bound memory

# Slaney's mel scale: linear up to 1 kHz, which is mel 15, then 27 mels to a factor of 6.4.
LINEAR_HZ, LINEAR_MEL, LOG_STEP = 1000.0, 15.0, np.log(6.4) / 27


def log_mel(samples: Floats) -> Floats:
    """Log-mel spectrogram: samples (B, N <= 480000) float in [-1, 1] -> (B, 80, 3000), float32.

    Shorter sounds are padded with silence. Source: Radford et al. 2022, section 2.2.
    """
    return np.stack([_log_mel(np.asarray(one, np.float32)) for one in samples])


def _log_mel(samples: Floats) -> Floats:
    """samples (N,) -> (80, 3000)."""
    samples = np.pad(samples, (0, WINDOW_SAMPLES - len(samples)))
    samples = np.pad(samples, N_FFT // 2, mode="reflect")
    steps = np.arange(N_FFT, dtype=np.float32) * np.float32(2 * np.pi / N_FFT)
    window = np.float32(0.5) - np.float32(0.5) * np.cos(steps)  # periodic Hann, rounded as torch's
    frames = np.lib.stride_tricks.sliding_window_view(samples, N_FFT)[::HOP]  # (3001, 400)
    mel = np.empty((N_MELS, N_FRAMES))
    for first in range(0, N_FRAMES, AT_ONCE):
        part = slice(first, first + AT_ONCE)
        spectrum = np.fft.rfft(frames[part] * window)  # (n, 201)
        mel[:, part] = mel_filters() @ (np.abs(spectrum) ** 2).T
    log = np.log10(np.maximum(mel, 1e-10))
    log = np.maximum(log, log.max() - 8.0)
    return np.asarray((log + 4.0) / 4.0, np.float32)


@cache
def mel_filters() -> Floats:
    """(80, 201) triangles on Slaney's mel scale up to 8 kHz, each of unit area."""
    edges = _mel_to_hz(np.linspace(0.0, _hz_to_mel(SAMPLE_RATE / 2), N_MELS + 2))  # (82,)
    bins = np.linspace(0.0, SAMPLE_RATE / 2, N_FFT // 2 + 1)  # (201,)
    width, distance = np.diff(edges)[:, None], edges[:, None] - bins  # (81, 1), (82, 201)
    rising, falling = -distance[:-2] / width[:-1], distance[2:] / width[1:]  # (80, 201)
    triangles = np.maximum(0.0, np.minimum(rising, falling))
    return np.asarray(triangles * (2.0 / (edges[2:] - edges[:-2]))[:, None])


def _hz_to_mel(hz: float) -> float:
    return LINEAR_MEL + float(np.log(hz / LINEAR_HZ) / LOG_STEP)  # above 1 kHz


def _mel_to_hz(mel: Floats) -> Floats:
    linear, steep = mel * LINEAR_HZ / LINEAR_MEL, LINEAR_HZ * np.exp((mel - LINEAR_MEL) * LOG_STEP)
    return np.asarray(np.where(mel < LINEAR_MEL, linear, steep))
