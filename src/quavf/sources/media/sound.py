"""The sound of a media file: the track that counts, in step with the pictures."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import numpy.typing as npt

from quavf.core.clock import SAMPLE_RATE, TICKS_PER_SECOND
from quavf.core.errors import MediaError
from quavf.core.records import Array
from quavf.sources.media.container import (
    can_decode,
    decode,
    is_default,
    open_container,
    read_packets,
)
from quavf.sources.media.timeline import Timeline, read_timeline

Samples = npt.NDArray[np.int16]

SILENT = 4  # of 32768: sound that never gets louder is silence
TICK_S = 1 / TICKS_PER_SECOND  # sound that strays from its stamps by more is put right
START_S = 0.01  # the same at the start, where it costs nothing
SILENCE_S = 60.0  # of silence that is made at once
ANTIPHASE = -0.5  # correlation of two channels under which their sum loses over half
DECIDING_S = 2.0  # of audible sound, before the mix of its channels is decided

UNKNOWN = "clips whose sound is damaged or of an unknown kind"
PASSED_OVER = "sound tracks that cannot be decoded, passed over"
SEVERAL = "sound tracks to choose from; number {} is used"
SILENT_TRACK = "silent sound tracks, passed over for an audible one"
OPPOSITE = "clips whose left and right channel cancel each other, not summed"
GAPS = "gaps in the sound, filled with silence"
OVERLAPS = "overlaps in the sound, cut"
EARLY = "clips whose sound starts before their pictures, cut"


@dataclass(frozen=True)
class SoundFormat:
    """How samples come out: 16 bit, of this rate and number of channels (1 or 2).

    `picked` channels of the file, from 1, are averaged into one; default: all.
    """

    rate: int = SAMPLE_RATE
    channels: int = 1
    picked: tuple[int, ...] = ()

    @property
    def layout(self) -> str:
        return "mono" if self.channels == 1 else "stereo"


@dataclass(frozen=True)
class SoundTrack:
    """A sound track of a file: its stream's index, its codec's name, rate and channels."""

    stream: int
    codec: str
    rate: int
    channels: int


def is_silent(samples: Array) -> bool:
    """Whether 16-bit samples are silent."""
    return not samples.size or max(int(samples.max()), -int(samples.min())) <= SILENT


def read_sound(path: Path, notes: Counter[str], channels: tuple[int, ...] = ()) -> Samples | None:
    """(N,) 16-bit mono samples at 16 kHz of a file of sound; None when there is none.

    They are the mean of some `channels`, from 1, or of all. Raises MediaError when the file cannot
    be opened or lacks one of the channels.
    """
    with open_container(path) as container:
        timeline = read_timeline(container, container.streams.audio)
    track = choose_track(path, timeline, None, notes)
    if track is None:
        return None
    if max(channels, default=0) > track.channels:
        raise MediaError(
            f"{path}: has {track.channels} channels, but channel {max(channels)} is asked for"
        )
    form = SoundFormat(picked=channels)
    pieces = [p[0] for p in read_track(path, track, timeline, None, form, notes)]
    return np.concatenate(pieces) if pieces else None


def choose_track(
    path: Path, timeline: Timeline, number: int | None, notes: Counter[str]
) -> SoundTrack | None:
    """The track that players choose: the default one, or the first; not a silent one.

    `number` (from 1) names one instead. Raises MediaError if that one cannot be decoded.
    """
    with open_container(path) as container:
        streams = list(container.streams.audio)
        usable = [s for s in streams if can_decode(s) and s.index not in timeline.encrypted]
        n_unknown = len(streams) - len(usable)
        usable = [s for s in usable if timeline.n_packets.get(s.index)]
        numbers = {s.index: k for k, s in enumerate(streams, 1)}
        ordered = [s.index for s in sorted(usable, key=lambda s: (not is_default(s), s.index))]
        tracks = {s.index: _describe(s) for s in usable}
    if number is not None:
        found = [index for index in ordered if numbers[index] == number]
        if not found:
            choice = ", ".join(str(numbers[index]) for index in sorted(ordered)) or "none"
            raise MediaError(
                f"{path}: audio_track: no sound track {number} that can be decoded; there is: "
                f"{choice}"
            )
        return tracks[found[0]]
    _count(notes, PASSED_OVER if ordered else UNKNOWN, n_unknown)
    if len(ordered) < 2:
        return tracks[ordered[0]] if ordered else None
    chosen = _first_audible(path, ordered, timeline, notes)
    notes[SEVERAL.format(numbers[chosen])] += len(ordered)
    return tracks[chosen]


def _describe(stream: Any) -> SoundTrack:
    codec = stream.codec_context
    layout = getattr(codec, "layout", None)
    channels = layout.nb_channels if layout is not None else 1
    return SoundTrack(stream.index, codec.codec.canonical_name, codec.sample_rate or 0, channels)


def _first_audible(path: Path, ordered: list[int], timeline: Timeline, notes: Counter[str]) -> int:
    """The first track with something to hear; else the first that decodes, or the first."""
    decodable: list[int] = []
    for index in ordered:
        n_frames = 0
        for frame in _frames(path, index, timeline, Counter()):
            n_frames += 1
            if not is_silent(_mix(frame)):
                _count(notes, SILENT_TRACK, len(decodable))
                _count(notes, PASSED_OVER, ordered.index(index) - len(decodable))
                return index
        decodable += [index] if n_frames else []
    return (decodable or ordered)[0]


def _count(notes: Counter[str], what: str, n: int) -> None:
    """Count something, unless there is none of it."""
    if n:
        notes[what] += n


def _mix(frame: av.AudioFrame) -> Array:
    """The samples of a frame, all channels, as 16 bits."""
    engine = av.AudioResampler(format="s16", layout=frame.layout.name, rate=frame.sample_rate)
    frame.pts = None
    pieces: list[Array] = [piece.to_ndarray().ravel() for piece in engine.resample(frame)]
    return np.concatenate(pieces) if pieces else np.empty(0, np.int16)


def _frames(path: Path, index: int, timeline: Timeline, notes: Counter[str]) -> Iterator[Any]:
    with open_container(path) as container:
        packets = read_packets(container, container.streams[index], notes)
        yield from decode(timeline.repair(packets), notes)


def read_track(
    path: Path,
    track: SoundTrack,
    timeline: Timeline,
    start: Fraction | None,
    form: SoundFormat,
    notes: Counter[str],
) -> Iterator[Samples]:
    """The samples (channels, N) of a track from the time `start` on, or from its own start.

    In mono as `ffmpeg -ac 1` makes them (to 1 LSB), but kept in step with the pictures: damaged
    packets, gaps and a late start become silence; overlaps and what precedes the pictures are cut.
    """
    tolerance_s = TICK_S if timeline.is_plain else START_S
    writer = _InStep(form, start, tolerance_s, notes)
    frames = _frames(path, track.stream, timeline, notes)
    if form.picked:
        frames = (_pick_channels(frame, form.picked) for frame in frames)
    for frame in _keep_audible(frames, notes) if form.channels == 1 else frames:
        yield from writer.take(frame)
    yield from writer.finish()


class _InStep:
    """Puts decoded sound at the time of its stamps."""

    def __init__(
        self, form: SoundFormat, start: Fraction | None, tolerance_s: float, notes: Counter[str]
    ) -> None:
        self.form, self.tolerance_s, self.notes = form, tolerance_s, notes
        self.start_s = None if start is None else float(start)
        self.read_s = 0.0  # time up to which sound has come
        self.n_cut = 0  # samples still to be removed
        self.begun = False  # some sound has passed
        self.resampler = _Resampler(form)

    def take(self, frame: Any) -> Iterator[Samples]:
        if frame.pts is not None:
            time_s = float(frame.pts * frame.time_base)
            self.start_s = time_s if self.start_s is None else self.start_s
            yield from self._adjust(time_s - self.start_s - self.read_s)
        self.read_s += frame.samples / frame.sample_rate
        yield from self._cut(self.resampler.samples(frame))

    def _adjust(self, gap_s: float) -> Iterator[Samples]:
        """Fill a gap before the next frame, or cut what came too early."""
        if abs(gap_s) <= (self.tolerance_s if self.begun else START_S):
            return
        yield from self._cut(self.resampler.flush())
        self.read_s += gap_s
        if gap_s > 0:
            _count(self.notes, GAPS, gap_s > TICK_S)
            n_samples = round(gap_s * self.form.rate)
            piece = round(SILENCE_S * self.form.rate)
            for first in range(0, n_samples, piece):
                n = min(piece, n_samples - first)
                yield from self._cut([np.zeros((self.form.channels, n), np.int16)])
        elif self.begun:
            _count(self.notes, OVERLAPS, -gap_s > TICK_S)
            self.n_cut += round(-gap_s * self.form.rate)
        else:
            _count(self.notes, EARLY, -gap_s > TICK_S and not self.n_cut)
            self.n_cut = round(-gap_s * self.form.rate)

    def finish(self) -> Iterator[Samples]:
        return self._cut(self.resampler.flush())

    def _cut(self, pieces: Iterable[Samples]) -> Iterator[Samples]:
        for piece in pieces:
            self.begun = True
            n_cut = min(self.n_cut, piece.shape[1])
            self.n_cut -= n_cut
            yield piece[:, n_cut:].astype(np.int16, copy=False)


def _keep_audible(frames: Iterable[Any], notes: Counter[str]) -> Iterator[Any]:
    """The frames; where left and right cancel each other, the right one is inverted.

    Decided by the first seconds in which something is heard; silence before them passes through.
    """
    waiting: list[Any] = []
    sums = np.zeros(3)  # of left * right, left², right²
    heard_s, opposite, decided = 0.0, False, False
    for frame in frames:
        if decided or len(frame.layout.channels) != 2:
            yield _invert_right(frame) if opposite else frame
            continue
        channels = _channels(frame)
        loud = bool(np.abs(channels).max(initial=0) > SILENT / 32_768)
        if not loud and not waiting:
            yield frame
            continue
        waiting.append(frame)
        left, right = channels
        sums += left @ right, left @ left, right @ right
        heard_s += frame.samples / frame.sample_rate
        if heard_s >= DECIDING_S:
            decided, opposite = True, _cancels(sums)
            yield from map(_invert_right, waiting) if opposite else waiting
            waiting = []
    opposite = opposite or (not decided and _cancels(sums))
    yield from map(_invert_right, waiting) if opposite else waiting
    _count(notes, OPPOSITE, opposite)


def _cancels(sums: Array) -> bool:
    both, left, right = sums.tolist()
    return bool(both < ANTIPHASE * np.sqrt(left * right))


def _channels(frame: Any) -> Array:
    """(channels, N) float samples in about [-1, 1] of a frame."""
    data, n = frame.to_ndarray(), len(frame.layout.channels)
    planes = data if data.shape[0] == n else data.reshape(-1, n).T
    if data.dtype.kind == "f":
        return np.asarray(np.nan_to_num(planes), float)
    half = 1 << (8 * data.dtype.itemsize - 1)
    return np.asarray((planes.astype(float) - (half if data.dtype.kind == "u" else 0)) / half)


def _invert_right(frame: Any) -> Any:
    """The frame with its right channel turned upside down; others as they are."""
    if len(frame.layout.channels) != 2:
        return frame
    left, right = _channels(frame)
    return _make_frame(np.stack([left, -right]), "stereo", frame)


def _pick_channels(frame: Any, channels: tuple[int, ...]) -> Any:
    """The mean of some channels, from 1, as a frame of one."""
    planes = _channels(frame)
    rows = [c - 1 for c in channels if c <= len(planes)]  # a damaged stream may lose channels
    mean = planes[rows].mean(axis=0) if rows else np.zeros(planes.shape[1])
    return _make_frame(mean[None], "mono", frame)


def _make_frame(planes: Array, layout: str, like: Any) -> Any:
    """A frame of samples (channels, N) in [-1, 1], at the time of another."""
    data = planes.clip(-1, 1).astype(np.float32)
    made = av.AudioFrame.from_ndarray(data, format="fltp", layout=layout)
    made.sample_rate, made.time_base, made.pts = like.sample_rate, like.time_base, like.pts
    return made


class _Resampler:
    """Brings sound to one form, also where a damaged stream changes its layout."""

    def __init__(self, form: SoundFormat) -> None:
        self._form = form
        self._kind: tuple[str, str, int] | None = None
        self._engine: av.AudioResampler | None = None

    def samples(self, frame: av.AudioFrame) -> list[Samples]:
        kind = (frame.format.name, frame.layout.name, frame.sample_rate)
        pieces = self.flush() if kind != self._kind else []
        if self._engine is None:
            form = self._form
            self._engine = av.AudioResampler(format="s16", layout=form.layout, rate=form.rate)
        self._kind = kind
        frame.pts = None
        return pieces + self._read(frame)

    def flush(self) -> list[Samples]:
        """Return the samples still buffered and reset."""
        pieces = self._read(None) if self._engine else []
        self._engine = None
        return pieces

    def _read(self, frame: av.AudioFrame | None) -> list[Samples]:
        assert self._engine is not None
        found: list[Any] = [piece.to_ndarray() for piece in self._engine.resample(frame)]
        return [
            piece.reshape(-1, self._form.channels).T for piece in found
        ]  # from (1, N * channels)
