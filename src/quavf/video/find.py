"""First pass over a raw video: find the faces of all pictures. Interrupted searches continue."""

from __future__ import annotations

import logging
import os
from collections import Counter, deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, fields
from pathlib import Path

import numpy as np

from quavf.core.clock import TICKS_PER_SECOND
from quavf.core.records import Floats, Ints
from quavf.faces.appearance import DESCRIPTOR
from quavf.faces.config import DetectorOptions, SearchConfig
from quavf.faces.detect import FaceDetector, open_detector
from quavf.faces.follow import FaceFollower
from quavf.faces.patches import FOLLOW_SCORE
from quavf.faces.search import FaceObservations, FaceSearch, Scan, ScanTimer, scan_picture
from quavf.sources.media.file import VideoFile
from quavf.sources.media.pictures import Frame
from quavf.utils.arrays import load_arrays, save_arrays
from quavf.utils.memory import release_memory
from quavf.utils.progress import show_progress

log = logging.getLogger(__name__)

# Of saved searches (2: camera motion; 3: cues; 4: notes; 5: sharpened lips; 6: tilted heads)
SEARCH_FORMAT = 6
SAVED_NAMES = {"appearance": "looks", "camera_motion": "pans"}  # in saved searches
SAVE_EVERY_S = 30.0  # of video: an interrupted search loses at most this much
AHEAD_BYTES = 64_000_000  # of decoded pictures that wait while one is scanned
MOST_AHEAD = 20  # pictures


@dataclass(frozen=True)
class FoundFaces:
    """The faces of a video, and its pictures."""

    faces: FaceObservations
    pictures: Floats  # (P,) time of each decoded picture, s
    numbers: Ints  # (P,) its number in the file
    notes: Counter[str]  # what was repaired or left out, see `VideoFile`


@dataclass(frozen=True)
class Look:
    """A decoded picture on its way to the search."""

    frame: Frame
    is_searched: bool
    scan: Future[Scan] | None = None


@dataclass
class FaceFinder:
    """Finds the faces of a video and saves them as `path`; continues a search saved there."""

    file: VideoFile
    config: SearchConfig
    path: Path
    follower: FaceFollower | None = None
    times: list[float] = field(default_factory=list)
    numbers: list[int] = field(default_factory=list)
    notes: Counter[str] = field(default_factory=Counter)

    def run(self) -> FoundFaces:
        search = FaceSearch(self._open_detector(1), self.config, self.follower)
        if not self._resume(search):
            self._search(search)
        numbers = np.array(self.numbers, np.int64)
        return FoundFaces(search.observations(), np.array(self.times), numbers, self.notes)

    def _open_detector(self, n_threads: int) -> FaceDetector:
        options = DetectorOptions(min(FOLLOW_SCORE, self.config.min_score), n_threads)
        return open_detector(self.config.detector, options)

    def _search(self, search: FaceSearch) -> None:
        saved_s = done_s = self.times[-1] if self.times else -1.0
        done, total = 0, int(self.file.declared_s or 0)
        scanner = self._open_detector(max((os.cpu_count() or 1) // 2, 1))
        looks = scan_ahead(self.file.pictures(), scanner, self.config, done_s)
        with show_progress("Finding faces", total, unit="s of video", inner="pictures") as bar:
            for look in looks:
                frame = look.frame
                second = int(frame.time_s)
                bar.advance(second - done, 1)
                done = second
                self.times.append(frame.time_s)
                self.numbers.append(frame.number)
                if look.is_searched:
                    search.step(frame, look.scan.result() if look.scan else None)
                if frame.time_s - saved_s > SAVE_EVERY_S:
                    saved_s = frame.time_s
                    self._save(search.observations())
                    release_memory()
            bar.advance(max(total - done, 0))
        self.notes = Counter(self.file.picture_notes)
        self._save(search.observations(), complete=True)

    def _save(self, found: FaceObservations, complete: bool = False) -> None:
        save_arrays(
            self.path,
            pictures=np.array(self.times),
            numbers=np.array(self.numbers),
            complete=np.array(complete),
            notes=np.array([*self.notes], np.str_),
            note_counts=np.array([*self.notes.values()], np.int64),
            format=np.array(SEARCH_FORMAT),
            **{SAVED_NAMES.get(name, name): column for name, column in vars(found).items()},
        )

    def _resume(self, search: FaceSearch) -> bool:
        """Load what an earlier search has found; returns whether it was finished."""
        if not self.path.is_file():
            return False
        try:
            arrays = load_arrays(self.path)
            if int(arrays.pop("format", 1)) != SEARCH_FORMAT:
                log.warning("%s: saved by another version; searching from the start", self.path)
                return False
            times, numbers = arrays.pop("pictures").tolist(), arrays.pop("numbers").tolist()
            complete = bool(arrays.pop("complete"))
            counts = arrays.pop("note_counts").tolist()
            notes = Counter(dict(zip(arrays.pop("notes").tolist(), counts, strict=True)))
            found = FaceObservations(
                **{
                    f.name: arrays[SAVED_NAMES.get(f.name, f.name)]
                    for f in fields(FaceObservations)
                }
            )
            n_columns = len(self.follower.columns) if self.follower else 0
            assert found.appearance.shape == (len(found), DESCRIPTOR)
            assert found.cues.shape == (len(found), n_columns)
        except (OSError, ValueError, KeyError, TypeError, AssertionError):
            log.warning("%s: cannot be read; searching from the start", self.path)
            return False
        search.resume(found)
        self.times, self.numbers, self.notes = times, numbers, notes
        return complete


def scan_ahead(
    frames: Iterable[Frame], detector: FaceDetector, config: SearchConfig, after_s: float
) -> Iterator[Look]:
    """The pictures later than `after_s`, with scans of whole pictures running ahead in a thread."""
    looks = _choose_looks(frames, config, after_s)
    with ThreadPoolExecutor(1) as pool:
        waiting: deque[Look] = deque()
        try:
            for look, is_scanned in looks:
                if is_scanned:
                    scan = pool.submit(scan_picture, detector, look.frame, config.scan_height)
                    look = Look(look.frame, True, scan)
                waiting.append(look)
                width, height = look.frame.size
                if len(waiting) > min(MOST_AHEAD, AHEAD_BYTES // (width * height * 3 // 2)):
                    yield waiting.popleft()
            while waiting:
                yield waiting.popleft()
        finally:
            for look in waiting:
                if look.scan is not None:
                    look.scan.cancel()


def _choose_looks(
    frames: Iterable[Frame], config: SearchConfig, after_s: float
) -> Iterator[tuple[Look, bool]]:
    """Each picture later than `after_s`, and whether it is scanned."""
    step = TICKS_PER_SECOND / config.look_rate
    timer, looked = ScanTimer(config.scan_rate), -1
    for frame in frames:
        if frame.time_s <= after_s:
            looked = int(frame.ticks.start // step)
            continue
        last = int((frame.ticks.stop - 1) // step)
        is_searched = last > looked and len(frame.ticks) > 0
        looked = last if is_searched else looked
        yield Look(frame, is_searched), is_searched and timer.is_due(frame.time_s)
