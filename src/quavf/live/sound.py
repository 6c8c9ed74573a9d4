"""Sound as it comes: put at the time of its stamps, and heard step by step."""

from __future__ import annotations

import math
from fractions import Fraction

import av
import numpy as np

from quavf.core.clock import SAMPLE_RATE
from quavf.core.errors import MediaError
from quavf.core.records import Array
from quavf.cues.grid import RATE
from quavf.cues.tracks import sound_levels
from quavf.cues.voice import STEP_S, STEP_SAMPLES, VoiceDetector

FULL_SCALE = 32768
STRAY_S = 1 / 30  # sound that strays from its stamps by more is put right
START_S = 0.01  # the same at the start, where it costs nothing
LONGEST_FILL_S = 1.0  # a longer gap is unknown, not silence
RATES = (4_000, 384_000)  # samples a second
N_STEPS = max(round(1 / RATE / STEP_S), 1)  # of a tick
KEPT_STEPS = 1024  # 33 s


class LiveSound:
    """Hears sound in blocks of any size; `tick` gives the cues of a tick of the grid.

    Steps of 32 ms lie on one raster from time 0 of the stamps on, whatever the blocks.
    """

    def __init__(self, detector: VoiceDetector) -> None:
        self._detector = detector
        self._resampler: av.AudioResampler | None = None
        self._rate = 0
        self._stamp_s = math.nan  # where the next block should begin
        self._next = 0  # number of the next sample at 16 kHz, from time 0
        self._n_cut = 0  # samples of 16 kHz still to be removed
        self._waiting = np.empty(0, np.int16)  # of the step that is not full yet
        self._first = 0  # number of the first kept step
        self._steps: list[tuple[float, float]] = []  # voice and level of each kept step
        self.heard_s = self.missing_s = self.late_s = 0.0

    @property
    def has_begun(self) -> bool:
        return not math.isnan(self._stamp_s)

    @property
    def end_s(self) -> float:
        """To where the sound has been heard; minus infinity before it begins."""
        return (self._first + len(self._steps)) * STEP_S if self.has_begun else -math.inf

    @property
    def first_tick(self) -> int:
        """The tick of the first kept step."""
        return math.ceil(self._first * STEP_S * RATE)

    @property
    def last_tick(self) -> float:
        """The last tick that has been heard whole; minus infinity before the sound begins."""
        if not self.has_begun:
            return -math.inf
        tick = math.floor((self.end_s - N_STEPS * STEP_S) * RATE + 0.5) + 1
        while not self._steps_of(tick).stop <= self._first + len(self._steps):
            tick -= 1
        return tick

    def take(self, samples: Array, time_s: float, rate: int) -> None:
        """Hear a block (N,) or (N, channels) that begins at `time_s`."""
        mono = to_mono(samples)
        if not RATES[0] <= rate <= RATES[1]:
            raise MediaError(f"audio: {rate} samples a second, expected {RATES[0]} to {RATES[1]}")
        if not len(mono):
            return
        if rate != self._rate:
            self._flush()
            self._rate = rate
        if not self.has_begun:
            self._begin(time_s)
        self._put_right(time_s - self._stamp_s)
        self._stamp_s += len(mono) / rate
        self.heard_s += len(mono) / rate
        self._hear(self._resample(mono))

    def finish(self) -> None:
        """Hear what is left, filled up with silence to a whole step."""
        self._flush()
        if len(self._waiting):
            level = sound_levels(self._waiting.astype(np.float32) / FULL_SCALE)[-1]
            self._step(np.pad(self._waiting, (0, STEP_SAMPLES - len(self._waiting))))
            self._steps[-1] = self._steps[-1][0], float(level)
            self._waiting = np.empty(0, np.int16)

    def tick(self, tick: int) -> tuple[float, float]:
        """Voice and level of a tick, the highest of its steps; NaN: not known."""
        rows = [step - self._first for step in self._steps_of(tick)]
        found = [self._steps[row] for row in rows if 0 <= row < len(self._steps)]
        if not found:
            return math.nan, math.nan
        voice, level = (np.fmax.reduce(column) for column in zip(*found, strict=True))
        return float(voice), float(level)

    @staticmethod
    def _steps_of(tick: int) -> range:
        """The steps that belong to a tick."""
        first = round((tick - 0.5) / RATE / STEP_S)
        return range(first, first + N_STEPS)

    def _begin(self, time_s: float) -> None:
        self._stamp_s = time_s
        self._next = round(time_s * SAMPLE_RATE)
        self._first = self._next // STEP_SAMPLES
        self._waiting = np.zeros(self._next - self._first * STEP_SAMPLES, np.int16)

    def _put_right(self, stray_s: float) -> None:
        """Fill a gap before the next block, or cut what is there already."""
        if abs(stray_s) <= (STRAY_S if self._steps or len(self._waiting) else START_S):
            return
        self._flush()
        self._stamp_s += stray_s
        if stray_s < 0:
            self.late_s -= stray_s
            self._n_cut += round(-stray_s * SAMPLE_RATE)
            return
        self.missing_s += stray_s
        if stray_s <= LONGEST_FILL_S:
            self._hear(np.zeros(round(stray_s * SAMPLE_RATE), np.int16))
            return
        self.finish()
        end = round(self._stamp_s * SAMPLE_RATE)
        n_unknown = end // STEP_SAMPLES - self._first - len(self._steps)
        self._steps += [(math.nan, math.nan)] * min(n_unknown, KEPT_STEPS)
        self._first = end // STEP_SAMPLES - len(self._steps)
        self._waiting = np.zeros(end % STEP_SAMPLES, np.int16)
        self._detector.reset()

    def _resample(self, mono: Array) -> Array:
        """16-bit samples at 16 kHz of the next mono samples."""
        if self._rate == SAMPLE_RATE:
            return _to_int16(mono)
        if self._resampler is None:
            self._resampler = av.AudioResampler(format="s16", layout="mono", rate=SAMPLE_RATE)
        frame = av.AudioFrame.from_ndarray(mono[None], "s16" if _is_int(mono) else "flt", "mono")
        frame.sample_rate, frame.time_base = self._rate, Fraction(1, self._rate)
        return _join(self._resampler.resample(frame))

    def _flush(self) -> None:
        """Hear what the resampler holds back."""
        if self._resampler is not None:
            self._hear(_join(self._resampler.resample(None)))
            self._resampler = None

    def _hear(self, samples: Array) -> None:
        n_cut = min(self._n_cut, len(samples))
        self._n_cut -= n_cut
        samples = np.concatenate([self._waiting, samples[n_cut:]])
        n_whole = len(samples) // STEP_SAMPLES * STEP_SAMPLES
        self._waiting = samples[n_whole:]
        if n_whole:
            self._step(samples[:n_whole])

    def _step(self, samples: Array) -> None:
        """Hear whole steps."""
        heard = np.asarray(samples / FULL_SCALE, np.float32)
        levels = sound_levels(heard)
        voice = self._detector.step(heard)
        self._steps += zip(voice.tolist(), levels.tolist(), strict=True)
        n_old = max(len(self._steps) - 2 * KEPT_STEPS, 0) and len(self._steps) - KEPT_STEPS
        self._first += n_old
        del self._steps[:n_old]


def to_mono(samples: Array) -> Array:
    """(N,) the mean of all channels of (N,) or (N, channels), float32 or int16."""
    samples = np.asarray(samples)
    if samples.ndim > 2 or samples.dtype not in (np.int16, np.float32, np.float64):
        raise MediaError(
            f"audio: {samples.dtype} of shape {samples.shape}; expected int16 or float32 of shape "
            "(N,) or (N, channels)"
        )
    if samples.ndim == 2 and samples.shape[1] > 1:
        mean = samples.mean(axis=1, dtype=np.float64)
        samples = np.round(mean).astype(np.int16) if _is_int(samples) else mean
    mono = samples.reshape(-1)
    if _is_int(mono):
        return np.ascontiguousarray(mono)
    return np.nan_to_num(mono).clip(-1, 1).astype(np.float32)


def _is_int(samples: Array) -> bool:
    return samples.dtype == np.int16


def _to_int16(mono: Array) -> Array:
    if _is_int(mono):
        return mono
    return np.round(mono * FULL_SCALE).clip(-FULL_SCALE, FULL_SCALE - 1).astype(np.int16)


def _join(pieces: list[av.AudioFrame]) -> Array:
    parts: list[Array] = [piece.to_ndarray().reshape(-1) for piece in pieces]
    return np.concatenate([*parts, np.empty(0, np.int16)])
