"""Sources and faces composed for raw video: a recording becomes one clip of a store.

The file is decoded twice: once to find the faces in it, once to cut them. Persons are known for
sure only at the end (tracks are joined, short ones dropped), and holding the pictures until then
is out of the question; the second pass costs a tenth of the whole (docs/video.md).
"""

from __future__ import annotations

import hashlib
import logging
import re
from array import array
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field, fields
from fractions import Fraction
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from quavf.clock import Clock
from quavf.errors import ConfigError, MediaError, StoreError
from quavf.faces.crop import crop_geometry, crop_regions, encode_jpeg, render_crop
from quavf.faces.detect import DetectorOptions, open_detector
from quavf.faces.search import DESCRIPTOR, LOOK_SCORE, FaceSearch, Found, SearchConfig
from quavf.faces.tracker import PersonTrack, TrackConfig, track_persons
from quavf.files import config_hash, replacing
from quavf.memory import give_back
from quavf.overlap import overlapped
from quavf.progress import progress
from quavf.records import Floats, Ints
from quavf.sources.media import LONGEST_HOLD_S, Samples
from quavf.sources.video import TICKS, Shown, VideoFile, is_silent, open_video_file
from quavf.store import ClipStore, ClipWriter, Manifest, StoreConfig
from quavf.windows import Span, WindowConfig

log = logging.getLogger(__name__)

SEMANTICS = "fixed"
SEARCH_FORMAT = 2  # of saved searches; goes up when they hold something else (2: pans)
SAVE_EVERY_S = 30.0  # of video: an interrupted search loses no more
TICKS_A_SECOND = 30
LONGEST_HOLD_TICKS = int(LONGEST_HOLD_S * TICKS_A_SECOND)


@dataclass(frozen=True)
class VideoConfig:
    """What is cut from a raw video.

    Args:
        rate: Scores a second for each person, 0 to 30; 0: every picture (at most 30 a second).
        search: How faces are looked for.
        track: How faces become persons.
    """

    rate: float = 10.0
    search: SearchConfig = field(default_factory=SearchConfig)
    track: TrackConfig = field(default_factory=TrackConfig)

    def __post_init__(self) -> None:
        if not 0 <= self.rate <= TICKS_A_SECOND:
            raise ConfigError(
                f"rate: {self.rate} is not in 0 to {TICKS_A_SECOND} (the models' own rate); "
                "0 scores every picture"
            )


@dataclass(frozen=True)
class PreparedVideo:
    """What is known of one video beside its crops and sound."""

    store: ClipStore
    clip: str
    file: VideoFile
    config: VideoConfig
    pictures: Floats  # (P,) time of each decoded picture, s
    numbers: Ints  # (P,) its number in the file
    persons: tuple[PersonTrack, ...]  # numbered from 1
    cuts: Floats  # (C,) times of camera cuts, s
    silent: bool  # there is a sound track with nothing to hear on it

    @property
    def notes(self) -> dict[str, int]:
        return self.store.manifest(self.clip).notes

    @property
    def duration_s(self) -> float:
        """To the end of the last picture."""
        if not len(self.pictures):
            return 0.0
        return float(self.pictures[-1] + 1 / self.file.fps)

    def boxes_at(self, person: int, times: Floats) -> tuple[Floats, Floats]:
        """Boxes (T, 4) and detector scores (T,), NaN where the person is not seen."""
        return self.persons[person - 1].at(times, self.config.track.max_gap)

    def shown_at(self, ticks: Ints) -> Ints:
        """(T,) which of `pictures` is on screen at each tick; -1 for none."""
        first = first_ticks(self.pictures)
        rows = np.searchsorted(first, ticks, side="right") - 1
        if not len(first):
            return np.full(len(ticks), -1)
        held = (rows >= 0) & (ticks - first[np.maximum(rows, 0)] < LONGEST_HOLD_TICKS)
        return np.where(held & (ticks <= first[-1]), rows, -1)

    def boxes_of(self, person: int, ticks: Ints) -> tuple[Floats, Floats]:
        """The same on the pictures that are on screen at `ticks` (T,)."""
        rows = self.shown_at(ticks)
        boxes, scores = self.boxes_at(person, self.pictures[rows])
        boxes[rows < 0], scores[rows < 0] = np.nan, np.nan
        return boxes, scores

    def scored_ticks(self, person: int) -> Ints:
        """(S,) the ticks at which a person gets a score: where the face is seen."""
        ticks = scored_ticks(self.pictures, self.config.rate)
        boxes, _ = self.boxes_of(person, ticks)
        return np.asarray(ticks[~np.isnan(boxes[:, 0])], np.int64)

    def wanted_ticks(self, person: int, windows: WindowConfig) -> Ints:
        """(W,) the ticks whose crops those scores need, ascending."""
        centres = self.scored_ticks(person)
        slots = (centres[:, None] + windows.offsets(TICKS)).ravel()
        slots = np.union1d(slots[slots >= 0], centres)
        boxes, _ = self.boxes_of(person, slots)
        return np.asarray(slots[~np.isnan(boxes[:, 0])], np.int64)

    def spans(self, person: int) -> list[tuple[Span, Ints]]:
        """Each scene that a person is scored in, with its scored ticks; windows stay inside."""
        ticks = self.scored_ticks(person)
        edges = [0, *(TICKS.s_to_frame(Fraction(float(c))) for c in self.cuts), 1 << 60]
        found = []
        for start, end in pairwise(edges):
            inside = ticks[(ticks >= start) & (ticks < end)]
            if len(inside):
                found.append((Span(person, start, end - 1), inside))
        return found


def scored_ticks(pictures: Floats, rate: float) -> Ints:
    """(S,) the ticks to score of a video whose pictures come at these times (P,): `rate` a second,
    or with 0 each that begins a picture."""
    if not len(pictures):
        return np.empty(0, np.int64)
    first = first_ticks(pictures)
    if not rate:
        return np.unique(first)
    step = Fraction(TICKS_A_SECOND) / Fraction(rate).limit_denominator(1000)
    n = int(first[-1] / step) + 1
    ticks = np.unique([(k * step + Fraction(1, 2)).__floor__() for k in range(n)])
    return np.asarray(ticks[ticks <= first[-1]], np.int64)


def first_ticks(pictures: Floats) -> Ints:
    """(P,) the tick at which each picture appears: the nearest to its time (P,)."""
    return np.asarray(np.floor(pictures * TICKS_A_SECOND + 0.5 + 1e-6), np.int64)


def prepare_video(
    path: Path,
    store: Path,
    config: VideoConfig | None = None,
    windows: WindowConfig | None = None,
) -> PreparedVideo:
    """Find, track and cut the faces of a video, and its sound, into one clip of a store.

    `windows` are those of the visual branch that will look at the crops. Done stages are skipped,
    an interrupted search goes on where it was. Raises MediaError when the file is no video.
    """
    config, windows = config or VideoConfig(), windows or WindowConfig()
    file = open_video_file(Path(path))
    target = ClipStore.create(Path(store), StoreConfig("video", SEMANTICS, "grown"))
    work = _Preparation(file, target, config, windows)
    if not target.has(work.clip, work.fingerprint):
        work.write()
    return work.read()


def video_fingerprint(path: Path, config: VideoConfig, windows: WindowConfig) -> str:
    """Tells whether a video was cut from the same file with the same settings.

    Raises MediaError when the file is missing.
    """
    how = [asdict(config), windows.n_slots, windows.stride, SEARCH_FORMAT]
    return config_hash([_media(Path(path)), *how])


def _media(path: Path) -> list[Any]:
    try:
        state = path.stat()
    except OSError as error:
        reason = "no such file" if isinstance(error, FileNotFoundError) else error.strerror
        raise MediaError(f"{path}: {reason}") from None
    return [str(path.resolve()), state.st_size, state.st_mtime_ns]


def clip_id(path: Path) -> str:
    """A safe and stable name for a video's clip: of its file's name and place."""
    stem = re.sub(r"[^A-Za-z0-9_-]+", "_", path.stem).strip("_-")[:60] or "video"
    return f"{stem}-{hashlib.sha256(str(path.resolve()).encode()).hexdigest()[:8]}"


@dataclass
class _Preparation:
    file: VideoFile
    store: ClipStore
    config: VideoConfig
    windows: WindowConfig

    def __post_init__(self) -> None:
        self.clip = clip_id(self.file.path)
        self.search_key = config_hash([_media(self.file.path), asdict(self.config.search)])
        self.fingerprint = video_fingerprint(self.file.path, self.config, self.windows)

    def write(self) -> None:
        found, pictures, numbers = self._search()
        tracks = track_persons(found, self.config.track, self.config.search.look_rate)
        with self.store.writing(self.clip) as writer:
            heard = _Heard()
            n_samples = writer.add_sound_pieces(heard.listening(self.file.sound()))
            silent = n_samples is not None and heard.is_silent
            _save(
                writer.folder / "tracks.npz",
                pictures=pictures,
                numbers=numbers,
                cuts=found.cuts,
                silent=np.array(silent),
                **_flat(tracks),
            )
            prepared = self._prepared(writer.folder)
            notes = self._cut(writer, prepared)
            writer.finish(
                Manifest(
                    clip=self.clip,
                    split="test",
                    clock=Clock(),
                    segments=(),
                    n_samples=n_samples,
                    n_crops=writer.n_crops,
                    frame_size=self.file.size,
                    fingerprint=self.fingerprint,
                    config_hash=self.store.config.hash,
                    notes=dict(+notes),
                )
            )

    def read(self) -> PreparedVideo:
        return self._prepared(self.store.folder(self.clip))

    def _prepared(self, folder: Path) -> PreparedVideo:
        path = folder / "tracks.npz"
        try:
            with np.load(path) as content:
                arrays = {name: content[name] for name in content.files}
            return PreparedVideo(
                store=self.store,
                clip=self.clip,
                file=self.file,
                config=self.config,
                pictures=arrays["pictures"],
                numbers=arrays["numbers"],
                persons=_persons(arrays),
                cuts=arrays["cuts"],
                silent=bool(arrays["silent"]),
            )
        except (OSError, ValueError, KeyError) as error:
            raise StoreError(
                f"{path}: cannot be read ({error}); delete the clip's folder and prepare again"
            ) from None

    @property
    def _search_path(self) -> Path:
        return self.store.path / "search" / f"{self.clip}.{self.search_key}.npz"

    def _search(self) -> tuple[Found, Floats, Ints]:
        """First pass: the faces of all pictures, and the pictures' times and numbers."""
        options = DetectorOptions(min_score=min(LOOK_SCORE, self.config.search.min_score))
        search = FaceSearch(open_detector(self.config.search.detector, options), self.config.search)
        done_s, times, numbers, complete = self._resume(search)
        if complete:
            return search.found(), np.array(times), np.array(numbers, np.int64)
        step = TICKS_A_SECOND / self.config.search.look_rate
        looked, saved_s, done, total = -1, done_s, 0, int(self.file.declared_s or 0)
        with progress("Finding faces", total, unit="s of video", inner="pictures") as bar:
            for shown in self.file.pictures():
                second = int(shown.time_s)
                if shown.time_s <= done_s:
                    looked = int(shown.ticks.start // step)
                    continue
                bar.advance(second - done, 1)
                done = second
                times.append(shown.time_s)
                numbers.append(shown.number)
                if int((shown.ticks.stop - 1) // step) > looked and len(shown.ticks):
                    looked = int((shown.ticks.stop - 1) // step)
                    search.step(shown)
                if shown.time_s - saved_s > SAVE_EVERY_S:
                    saved_s = shown.time_s
                    self._save_search(search.found(), times, numbers)
                    give_back()
            bar.advance(max(total - done, 0))
        found = search.found()
        self._save_search(found, times, numbers, complete=True)
        return found, np.array(times), np.array(numbers, np.int64)

    def _save_search(
        self, found: Found, times: list[float], numbers: list[int], complete: bool = False
    ) -> None:
        _save(
            self._search_path,
            pictures=np.array(times),
            numbers=np.array(numbers),
            complete=np.array(complete),
            format=np.array(SEARCH_FORMAT),
            **vars(found),
        )

    def _resume(self, search: FaceSearch) -> tuple[float, list[float], list[int], bool]:
        """What an earlier search has found: until when, its pictures, and whether it is all."""
        if not self._search_path.is_file():
            return -1.0, [], [], False
        try:
            with np.load(self._search_path) as content:
                arrays = {name: content[name] for name in content.files}
            if int(arrays.pop("format", 1)) != SEARCH_FORMAT:
                log.warning(
                    "%s: saved by another version; searching from the start", self._search_path
                )
                return -1.0, [], [], False
            times, numbers = arrays.pop("pictures").tolist(), arrays.pop("numbers").tolist()
            complete = bool(arrays.pop("complete"))
            found = Found(**arrays)
            assert found.looks.shape == (len(found), DESCRIPTOR)
        except (OSError, ValueError, KeyError, TypeError, AssertionError):
            log.warning("%s: cannot be read; searching from the start", self._search_path)
            return -1.0, [], [], False
        search.resume(found)
        return (times[-1] if times else -1.0), times, numbers, complete

    def _cut(self, writer: ClipWriter, video: PreparedVideo) -> Counter[str]:
        """Second pass: the crops of all persons."""
        wanted = _wanted(video, self.windows)
        confidences = array("d")
        notes: Counter[str] = Counter()
        total = int(video.duration_s)
        with progress("Cutting faces", total, unit="s of video", inner="pictures") as bar:
            second = 0
            pictures = self.file.pictures() if len(wanted.tick) else ()
            for shown, cut in overlapped(partial(_cut_faces, wanted), pictures):
                if shown.time_s // SAVE_EVERY_S > second // SAVE_EVERY_S:
                    give_back()
                bar.advance(int(shown.time_s) - second, 1)
                second = int(shown.time_s)
                for face in cut:
                    if face is None:
                        notes["boxes outside the picture"] += 1
                    else:
                        writer.add_crop(face.person, face.tick, face.time_s, face.where, face.jpeg)
                        confidences.append(face.score)
            bar.advance(max(total - second, 0))
        writer.add_confidences(confidences)
        notes.update(self.file.notes)
        return notes


@dataclass
class _Heard:
    """Whether a sound that goes by has anything to hear in it."""

    is_silent: bool = True

    def listening(self, pieces: Iterable[Samples]) -> Iterator[Samples]:
        for piece in pieces:
            self.is_silent = self.is_silent and is_silent(piece)
            yield piece


@dataclass(frozen=True)
class _CutFace:
    person: int
    tick: int
    score: float  # the detector's
    where: tuple[list[float], Sequence[int], Sequence[int]]  # box, region, picture part
    jpeg: bytes

    @property
    def time_s(self) -> float:
        return self.tick / TICKS_A_SECOND


@dataclass(frozen=True)
class _Wanted:
    """The faces to cut, a row each, by tick and person."""

    tick: Ints  # (N,)
    person: Ints  # (N,)
    box: Floats  # (N, 4)
    score: Floats  # (N,) the detector's

    def rows(self, ticks: range) -> range:
        """Those of a stretch of ticks."""
        return range(*np.searchsorted(self.tick, [ticks.start, ticks.stop]).tolist())


def _wanted(video: PreparedVideo, windows: WindowConfig) -> _Wanted:
    found = [_Wanted(*(np.empty((0, *shape)) for shape in ((), (), (4,), ())))]
    for person in range(1, len(video.persons) + 1):
        ticks = video.wanted_ticks(person, windows)
        found.append(_Wanted(ticks, np.full(len(ticks), person), *video.boxes_of(person, ticks)))
    names = [f.name for f in fields(_Wanted)]
    columns = {name: np.concatenate([getattr(part, name) for part in found]) for name in names}
    order = np.lexsort([columns["person"], columns["tick"]])
    return _Wanted(**{name: column[order] for name, column in columns.items()})


def _cut_faces(wanted: _Wanted, shown: Shown) -> tuple[Shown, list[_CutFace | None]]:
    """The faces of one picture, by tick; None where the box lies outside."""
    return shown, [
        _cut_face(
            shown,
            int(wanted.tick[row]),
            int(wanted.person[row]),
            wanted.box[row],
            float(wanted.score[row]),
        )
        for row in wanted.rows(shown.ticks)
    ]


def _cut_face(shown: Shown, tick: int, person: int, box: Floats, score: float) -> _CutFace | None:
    region = crop_regions(box[None], shown.size)[0]
    geometry = crop_geometry(region, shown.size)
    if geometry is None:
        return None
    jpeg = encode_jpeg(render_crop(shown.bgr(geometry.region), geometry))
    return _CutFace(person, tick, score, (box.tolist(), geometry.region, geometry.picture), jpeg)


def _flat(tracks: list[PersonTrack]) -> dict[str, Any]:
    """All tracks as plain arrays, with a column that tells the person."""
    person = [np.full(len(t.times), k) for k, t in enumerate(tracks, 1)]
    return {
        "person": np.concatenate([*person, np.empty(0, np.int64)]).astype(np.int64),
        "times": np.concatenate([*(t.times for t in tracks), np.empty(0)]),
        "boxes": np.concatenate([*(t.boxes for t in tracks), np.empty((0, 4))]),
        "scores": np.concatenate([*(t.scores for t in tracks), np.empty(0)]),
        "pieces": np.concatenate([*(t.pieces for t in tracks), np.empty(0, np.int64)]),
    }


def _persons(arrays: dict[str, Any]) -> tuple[PersonTrack, ...]:
    columns = [arrays[name] for name in ("times", "boxes", "scores", "pieces")]
    numbers = np.unique(arrays["person"])
    return tuple(PersonTrack(*(c[arrays["person"] == n] for c in columns)) for n in numbers)


def _save(path: Path, **arrays: Any) -> None:
    with replacing(path) as temporary, temporary.open("wb") as file:
        np.savez_compressed(file, **arrays)
