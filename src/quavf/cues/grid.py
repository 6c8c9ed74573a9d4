"""The cues of all people of a clip on one time grid, as the cues branch reads them.

A tick of the grid is 1/15 s. `NaN` is a missing value: a face that is not there, or that the face
mesh cannot read. The rule of three factors (lips move, a voice is heard, the face is turned to the
camera) is computed here too: the network corrects it and falls back on it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache

import numpy as np

from quavf.core.clock import SAMPLE_RATE
from quavf.core.records import Array, Floats, Ints
from quavf.cues.tracks import FaceCues, SoundCues
from quavf.cues.voice import STEP_S

RATE = 15  # ticks per second
LIPS_S = 0.5  # lips are judged by their motion this far before and after
VOICE_S = 0.27  # a voice counts this far before and after
STEADY_S = 1.0  # of the slower measures
LOUD_S = 10.0  # the level is compared with the loudest sound this far before and after
LIPS_MOVE = 0.03  # standard deviation of the lip opening at which lips move with p = 0.5 ...
LIPS_SCALE = 0.01  # ... and by how much it takes to change that
FACING_DEG = 20.0  # where the eyes look, from the camera, at which exp(-1/2) of the trust is left
TRUST_S = 0.5  # a judgement holds this far from a face that the mesh can read
STRETCH_S = 60.0  # of a clip that is judged at once, to bound memory
CONTEXT_S = 30.0  # read before and after each stretch
LOGIT_LIMIT = 6.0  # of the rule's logits
ALL = None  # look-ahead of the offline form: the whole clip

COLUMNS = (
    "lip_opening",
    "mouth_width",
    "yaw",
    "pitch",
    "roll",
    "eye_opening",
    "confidence",
    "face_size",
    "x",
    "y",
    "gaze_yaw",
)
"""Columns of `CueGrid.faces`; units as in `quavf.cues.tracks`."""
LIP, WIDTH, YAW, PITCH, ROLL, EYES, CONFIDENCE, SIZE, X, Y, GAZE = range(len(COLUMNS))


@dataclass(frozen=True)
class CueGrid:
    """Cues of P people over T ticks, NaN where missing."""

    faces: Floats  # (P, T, len(COLUMNS))
    voice: Floats  # (T,) probability that somebody is heard to speak
    level_db: Floats  # (T,) dB of full scale

    def __post_init__(self) -> None:
        assert self.faces.ndim == 3, self.faces.shape
        assert self.faces.shape[2] == len(COLUMNS), self.faces.shape
        assert self.voice.shape == self.level_db.shape == self.faces.shape[1:2], self.voice.shape

    @property
    def n_people(self) -> int:
        return int(self.faces.shape[0])

    @property
    def n_ticks(self) -> int:
        return int(self.faces.shape[1])

    @property
    def is_seen(self) -> Array:
        """(P, T) whether a face is there."""
        return ~np.isnan(self.faces[:, :, SIZE])

    @property
    def is_read(self) -> Array:
        """(P, T) whether the face mesh could read it."""
        return ~np.isnan(self.faces[:, :, LIP])

    @property
    def is_near_read(self) -> Array:
        """(P, T) whether the face mesh could read it within `TRUST_S`: what is said then holds."""
        near = rolling_mean(self.is_read.astype(float), reach(TRUST_S))
        return np.asarray(np.nan_to_num(near) > 0)

    @property
    def is_heard(self) -> Array:
        """(T,) whether there is sound; without it, only looks can be judged."""
        return ~np.isnan(self.level_db)

    def cut(self, start: int, stop: int) -> CueGrid:
        """The ticks from `start` to `stop`."""
        return CueGrid(self.faces[:, start:stop], self.voice[start:stop], self.level_db[start:stop])

    def take(self, people: Array) -> CueGrid:
        """The people of an index array or a mask."""
        return replace(self, faces=self.faces[people])

    def mirror(self) -> CueGrid:
        """The cues of the mirrored picture."""
        faces = self.faces.copy()
        faces[:, :, [YAW, ROLL, GAZE]] *= -1
        faces[:, :, X] = 1 - faces[:, :, X]
        return replace(self, faces=faces)


@dataclass(frozen=True)
class Rule:
    """The rule's three factors and products, each (P, T) in [0, 1], NaN where not known."""

    lips: Floats  # lips move
    voice: Floats  # a voice is heard
    facing: Floats  # the face is turned to the camera

    @property
    def speaking(self) -> Floats:
        return self.lips * self.voice

    @property
    def to_me(self) -> Floats:
        return self.lips * self.voice * self.facing


def apply_rule(grid: CueGrid, look_ahead: int | None = ALL) -> Rule:
    """Judge by three factors, with at most `look_ahead` ticks of the future."""
    motion = rolling_std(grid.faces[:, :, LIP], reach(LIPS_S), look_ahead)
    lips = sigmoid((motion - LIPS_MOVE) / LIPS_SCALE)
    voice = rolling_max(grid.voice, reach(VOICE_S), look_ahead)
    facing = face_camera(look_yaw(grid, look_ahead))
    return Rule(lips, np.broadcast_to(np.nan_to_num(voice), lips.shape), facing)


def face_camera(yaw: Floats) -> Floats:
    """How far a yaw, degrees, counts as facing the camera, in [0, 1]."""
    return np.asarray(np.exp(-0.5 * (yaw / FACING_DEG) ** 2))


def look_yaw(grid: CueGrid, look_ahead: int | None = ALL) -> Floats:
    """(P, T) where the eyes look, degrees from the camera; the head's yaw where eyes are not read.

    The eyes are read a few times a second, so their mean over ±0.5 s counts.
    """
    gaze = rolling_mean(grid.faces[:, :, GAZE], reach(LIPS_S), look_ahead)
    return np.asarray(grid.faces[:, :, YAW] + np.nan_to_num(gaze))


def reach(seconds: float) -> int:
    """Ticks that a time spans."""
    return round(seconds * RATE)


class Rolling:
    """Means and deviations of values (..., T) around each tick, without NaN.

    Several windows of the same values share their sums.
    """

    def __init__(self, values: Floats, look_ahead: int | None = ALL) -> None:
        unknown = np.isnan(values)
        self._known = np.where(unknown, 0.0, values)
        self._n_ticks, self._look_ahead = values.shape[-1], look_ahead
        self._sums, self._counts = _sum_up(self._known), _sum_up(~unknown)

    @cached_property
    def _squares(self) -> Floats:
        return _sum_up(self._known**2)

    def mean(self, half: int) -> Floats:
        """Mean over `half` ticks before and after, (..., T); NaN where all are."""
        first, end = _window(self._n_ticks, half, self._look_ahead)
        total, count = (s[..., end] - s[..., first] for s in (self._sums, self._counts))
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.asarray(total / count)

    def std(self, half: int, at_least: int = 3) -> Floats:
        """Standard deviation over `half` ticks before and after, (..., T).

        NaN where fewer than `at_least` values are known.
        """
        first, end = _window(self._n_ticks, half, self._look_ahead)
        sums = self._sums, self._squares, self._counts
        total, square, count = (s[..., end] - s[..., first] for s in sums)
        with np.errstate(invalid="ignore", divide="ignore"):
            mean = total / count
            spread = np.sqrt(np.maximum(square / count - mean**2, 0.0))
        return np.where(count >= at_least, spread, np.nan)


def rolling_mean(values: Floats, half: int, look_ahead: int | None = ALL) -> Floats:
    """See `Rolling.mean`."""
    return Rolling(values, look_ahead).mean(half)


def rolling_std(
    values: Floats, half: int, look_ahead: int | None = ALL, at_least: int = 3
) -> Floats:
    """See `Rolling.std`."""
    return Rolling(values, look_ahead).std(half, at_least)


def rolling_max(values: Floats, half: int, look_ahead: int | None = ALL) -> Floats:
    """Highest value within `half` ticks before and after, (..., T); NaN where none is known."""
    after = half if look_ahead is None else min(half, look_ahead)
    filled = np.where(np.isnan(values), -np.inf, values)
    pads = [(0, 0)] * (values.ndim - 1) + [(half, after)]
    padded = np.pad(filled, pads, constant_values=-np.inf)
    windows = np.lib.stride_tricks.sliding_window_view(padded, half + 1 + after, axis=-1)
    highest = windows.max(axis=-1)
    return np.where(np.isinf(highest), np.nan, highest)


@lru_cache(maxsize=64)
def _window(n_ticks: int, half: int, look_ahead: int | None) -> tuple[Ints, Ints]:
    """(T,) first tick of the window [t - half, t + min(half, look_ahead)], and the one after it."""
    after = half if look_ahead is None else min(half, look_ahead)
    ticks = np.arange(n_ticks)
    return np.maximum(ticks - half, 0), np.minimum(ticks + after + 1, n_ticks)


def _sum_up(values: Array) -> Floats:
    """(..., T + 1) sums of the values (..., T) before each tick."""
    sums = np.zeros((*values.shape[:-1], values.shape[-1] + 1))
    np.cumsum(values, axis=-1, dtype=float, out=sums[..., 1:])
    return sums


def sigmoid(values: Floats) -> Floats:
    """Logistic function."""
    return np.asarray(1.0 / (1.0 + np.exp(-np.clip(values, -40, 40))))


def logit(values: Floats, limit: float = LOGIT_LIMIT) -> Floats:
    """Log-odds of probabilities, within plus or minus `limit`."""
    edge = float(sigmoid(np.array(-limit)))
    clipped = np.clip(values, edge, 1 - edge)
    return np.asarray(np.log(clipped / (1 - clipped)))


def nearest_ticks(times_s: Floats, n_ticks: int) -> Ints:
    """(T,) the row of ascending times nearest to each tick, -1 where none is within 1.5 ticks."""
    ticks = np.arange(n_ticks) / RATE
    if not len(times_s):
        return np.full(n_ticks, -1)
    after = np.searchsorted(times_s, ticks).clip(0, len(times_s) - 1)
    before = np.maximum(after - 1, 0)
    rows = np.where(
        np.abs(times_s[before] - ticks) <= np.abs(times_s[after] - ticks), before, after
    )
    return np.where(np.abs(times_s[rows] - ticks) <= 1.5 / RATE, rows, -1)


def count_ticks(faces: FaceCues, n_samples: int | None) -> int:
    """Ticks from the start of a clip to the last of its faces and its sound."""
    last_s = float(faces.time_s.max()) if len(faces) else 0.0
    return int(max(last_s, (n_samples or 0) / SAMPLE_RATE) * RATE) + 1


@dataclass(frozen=True)
class Stretch:
    """A stretch of a clip and its surroundings: the cues of the people who are seen there."""

    people: Ints  # (P,)
    ticks: slice  # of the clip
    grid: CueGrid  # of the people, with the surroundings
    inner: slice  # the stretch's own ticks in the grid


def split_clip(faces: FaceCues, sound: SoundCues, n_ticks: int) -> Iterator[Stretch]:
    """The stretches of a clip in which somebody is seen."""
    step, context = reach(STRETCH_S), reach(CONTEXT_S)
    for start in range(0, n_ticks, step):
        end = min(start + step, n_ticks)
        outer = range(max(start - context, 0), min(end + context, n_ticks))
        near = (faces.time_s >= outer.start / RATE) & (faces.time_s <= outer.stop / RATE)
        people = np.unique(faces.person[near])
        if len(people):
            inner = slice(start - outer.start, end - outer.start)
            grid = build_grid(faces, sound, people, outer)
            yield Stretch(people, slice(start, end), grid, inner)


def find_judged(faces: FaceCues, sound: SoundCues, n_samples: int | None) -> dict[int, Array]:
    """By person, (T,) the ticks of a clip at which cues tell whether the person talks."""
    n_ticks = count_ticks(faces, n_samples)
    judged = {int(person): np.zeros(n_ticks, bool) for person in np.unique(faces.person)}
    for part in split_clip(faces, sound, n_ticks):
        here = part.grid.is_near_read & part.grid.is_heard
        for person, row in zip(part.people.tolist(), here, strict=True):
            judged[person][part.ticks] = row[part.inner]
    return judged


def build_grid(faces: FaceCues, sound: SoundCues, people: Ints, ticks: range) -> CueGrid:
    """The cues of some people on the ticks of a stretch of a clip.

    A face is taken from the nearest time within 1.5 ticks, the sound from the loudest step within
    half a tick.
    """
    n_ticks = len(ticks)
    start_s = ticks.start / RATE
    grid = np.full((len(people), n_ticks, len(COLUMNS)), np.nan)
    values = np.stack([faces[name] for name in COLUMNS], axis=1)
    for k, person in enumerate(people):
        own = np.flatnonzero(faces.person == person)
        rows = nearest_ticks(faces.time_s[own] - start_s, n_ticks)
        grid[k, rows >= 0] = values[own[rows[rows >= 0]]]
    voice = _sample_sound(sound.voice, ticks)
    return CueGrid(grid, voice, _sample_sound(sound.level_db, ticks))


def _sample_sound(steps: Floats, ticks: range) -> Floats:
    """(T,) the highest of the sound's steps (S,) of 32 ms in each tick; NaN where there is none."""
    at = np.arange(ticks.start, ticks.stop) / RATE
    first = np.maximum(np.round((at - 0.5 / RATE) / STEP_S), 0).astype(int)
    n_steps = max(round(1 / RATE / STEP_S), 1)
    rows = first[:, None] + np.arange(n_steps)  # (T, steps of a tick)
    padded = np.append(steps, np.nan)
    found = padded[np.minimum(rows, len(steps))]
    return np.asarray(np.fmax.reduce(found, axis=1))
