"""Prepare a raw video as one clip of a store.

The file is decoded twice: to find the faces, and to cut them. Persons are known only at the end,
after tracks are joined and short ones dropped, and holding all pictures until then would take too
much memory. The second pass takes a tenth of the time (docs/reference/raw_video.md).
"""

from __future__ import annotations

import hashlib
import logging
import re
from array import array
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, fields
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from quavf.core.clock import TICKS_PER_SECOND, Clock
from quavf.core.errors import MediaError, StoreError
from quavf.core.records import Floats, Ints
from quavf.core.semantics import FIXED
from quavf.core.windows import WindowConfig
from quavf.faces.appearance import DESCRIPTOR
from quavf.faces.config import DetectorOptions
from quavf.faces.detect import open_detector
from quavf.faces.patches import FOLLOW_SCORE
from quavf.faces.search import FaceObservations, FaceSearch
from quavf.faces.tracker import PersonTrack, track_persons
from quavf.sources.media import Samples
from quavf.sources.video import VideoFile, is_silent, open_video_file
from quavf.store import ClipStore, ClipWriter, Manifest, StoreConfig
from quavf.utils.files import config_hash, replace_file
from quavf.utils.memory import release_memory
from quavf.utils.progress import show_progress
from quavf.utils.threads import map_ahead
from quavf.video.config import VideoConfig
from quavf.video.cut import CropRequests, render_faces
from quavf.video.prepared import PreparedVideo

log = logging.getLogger(__name__)

SEARCH_FORMAT = 3  # of saved searches (2: with camera motion; 3: with cues)
SAVED_NAMES = {"appearance": "looks", "camera_motion": "pans"}  # in saved searches
SAVE_EVERY_S = 30.0  # of video: an interrupted search loses at most this much


def prepare_video(
    path: Path,
    store: Path,
    config: VideoConfig | None = None,
    windows: WindowConfig | None = None,
) -> PreparedVideo:
    """Find, track and cut the faces of a video, and store them and the sound as one clip.

    `windows` are those of the visual branch that will score the crops. Finished stages are
    skipped; an interrupted search continues. Raises MediaError when the file is not a video.
    """
    config, windows = config or VideoConfig(), windows or WindowConfig()
    file = open_video_file(Path(path))
    target = ClipStore.create(Path(store), StoreConfig("video", FIXED.name, "grown"))
    work = _Preparation(file, target, config, windows)
    if not target.is_current(work.clip, work.fingerprint):
        work.write()
    return work.read()


def video_fingerprint(path: Path, config: VideoConfig, windows: WindowConfig) -> str:
    """Fingerprint of a video file and the settings that its clip depends on.

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
    """A safe and stable clip id from the name and location of a video file."""
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
        with self.store.write_clip(self.clip) as writer:
            silence = _SilenceDetector()
            n_samples = writer.add_sound_chunks(silence.watch(self.file.sound()))
            silent = n_samples is not None and silence.is_silent
            _save(
                writer.folder / "tracks.npz",
                pictures=pictures,
                numbers=numbers,
                cuts=found.cuts,
                silent=np.array(silent),
                **_flatten(tracks),
            )
            prepared = self._load(writer.folder)
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
        return self._load(self.store.folder(self.clip))

    def _load(self, folder: Path) -> PreparedVideo:
        path = folder / "tracks.npz"
        try:
            with np.load(path) as content:
                arrays = {name: content[name] for name in content.files}
            return PreparedVideo(
                store=self.store,
                clip=self.clip,
                file=self.file,
                config=self.config,
                windows=self.windows,
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

    def _search(self) -> tuple[FaceObservations, Floats, Ints]:
        """First pass: the faces of all pictures, and the times and numbers of the pictures."""
        options = DetectorOptions(min_score=min(FOLLOW_SCORE, self.config.search.min_score))
        search = FaceSearch(open_detector(self.config.search.detector, options), self.config.search)
        done_s, times, numbers, complete = self._resume(search)
        if complete:
            return search.observations(), np.array(times), np.array(numbers, np.int64)
        step = TICKS_PER_SECOND / self.config.search.look_rate
        looked, saved_s, done, total = -1, done_s, 0, int(self.file.declared_s or 0)
        with show_progress("Finding faces", total, unit="s of video", inner="pictures") as bar:
            for frame in self.file.pictures():
                second = int(frame.time_s)
                if frame.time_s <= done_s:
                    looked = int(frame.ticks.start // step)
                    continue
                bar.advance(second - done, 1)
                done = second
                times.append(frame.time_s)
                numbers.append(frame.number)
                if int((frame.ticks.stop - 1) // step) > looked and len(frame.ticks):
                    looked = int((frame.ticks.stop - 1) // step)
                    search.step(frame)
                if frame.time_s - saved_s > SAVE_EVERY_S:
                    saved_s = frame.time_s
                    self._save_search(search.observations(), times, numbers)
                    release_memory()
            bar.advance(max(total - done, 0))
        found = search.observations()
        self._save_search(found, times, numbers, complete=True)
        return found, np.array(times), np.array(numbers, np.int64)

    def _save_search(
        self,
        found: FaceObservations,
        times: list[float],
        numbers: list[int],
        complete: bool = False,
    ) -> None:
        _save(
            self._search_path,
            pictures=np.array(times),
            numbers=np.array(numbers),
            complete=np.array(complete),
            format=np.array(SEARCH_FORMAT),
            **{SAVED_NAMES.get(name, name): column for name, column in vars(found).items()},
        )

    def _resume(self, search: FaceSearch) -> tuple[float, list[float], list[int], bool]:
        """Load an earlier search: its end, picture times and numbers, and whether it finished."""
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
            found = FaceObservations(
                **{
                    f.name: arrays[SAVED_NAMES.get(f.name, f.name)]
                    for f in fields(FaceObservations)
                }
            )
            assert found.appearance.shape == (len(found), DESCRIPTOR)
        except (OSError, ValueError, KeyError, TypeError, AssertionError):
            log.warning("%s: cannot be read; searching from the start", self._search_path)
            return -1.0, [], [], False
        search.resume(found)
        return (times[-1] if times else -1.0), times, numbers, complete

    def _cut(self, writer: ClipWriter, video: PreparedVideo) -> Counter[str]:
        """Second pass: cut the crops of all persons."""
        requests = CropRequests.of(video.schedules.values())
        confidences = array("d")
        notes: Counter[str] = Counter()
        total = int(video.duration_s)
        with show_progress("Cutting faces", total, unit="s of video", inner="pictures") as bar:
            second = 0
            pictures = self.file.pictures() if len(requests.tick) else ()
            for frame, faces in map_ahead(partial(render_faces, requests), pictures):
                if frame.time_s // SAVE_EVERY_S > second // SAVE_EVERY_S:
                    release_memory()
                bar.advance(int(frame.time_s) - second, 1)
                second = int(frame.time_s)
                for face in faces:
                    if face is None:
                        notes["boxes outside the picture"] += 1
                    else:
                        writer.add_crop(
                            face.person, face.tick, face.time_s, face.geometry, face.jpeg
                        )
                        confidences.append(face.score)
            bar.advance(max(total - second, 0))
        writer.add_confidences(confidences)
        notes.update(self.file.notes)
        return notes


@dataclass
class _SilenceDetector:
    """Tells whether a sound that passes through it is silent throughout."""

    is_silent: bool = True

    def watch(self, chunks: Iterable[Samples]) -> Iterator[Samples]:
        for chunk in chunks:
            self.is_silent = self.is_silent and is_silent(chunk)
            yield chunk


def _flatten(tracks: list[PersonTrack]) -> dict[str, Any]:
    """All tracks as plain arrays, with a column of person numbers."""
    person = [np.full(len(t.times), k) for k, t in enumerate(tracks, 1)]
    return {
        "person": np.concatenate([*person, np.empty(0, np.int64)]).astype(np.int64),
        "times": np.concatenate([*(t.times for t in tracks), np.empty(0)]),
        "boxes": np.concatenate([*(t.boxes for t in tracks), np.empty((0, 4))]),
        "scores": np.concatenate([*(t.scores for t in tracks), np.empty(0)]),
        "pieces": np.concatenate([*(t.scenes for t in tracks), np.empty(0, np.int64)]),
    }


def _persons(arrays: dict[str, Any]) -> tuple[PersonTrack, ...]:
    columns = [arrays[name] for name in ("times", "boxes", "scores", "pieces")]
    numbers = np.unique(arrays["person"])
    return tuple(PersonTrack(*(c[arrays["person"] == n] for c in columns)) for n in numbers)


def _save(path: Path, **arrays: Any) -> None:
    with replace_file(path) as temporary, temporary.open("wb") as file:
        np.savez_compressed(file, **arrays)
