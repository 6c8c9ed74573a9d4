"""Prepare a raw video as one clip of a store.

The file is decoded to find the faces, and a second time to cut those that a network shall see as
pictures. Persons are known only at the end, after tracks are joined and short ones dropped, and
holding all pictures until then would take too much memory. Where the cues of all faces can be read,
a few key pictures are enough, for thumbnails.
"""

from __future__ import annotations

import hashlib
import logging
import os
import re
from array import array
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from quavf.core.clock import Clock
from quavf.core.errors import MediaError, StoreError
from quavf.core.records import Array, Ints
from quavf.core.semantics import FIXED
from quavf.core.windows import WindowConfig
from quavf.cues.grid import find_judged
from quavf.cues.tracks import CUE_COLUMNS, FaceCues, with_places
from quavf.cues.voice import VoiceDetector
from quavf.faces.follow import FaceFollower, box_side
from quavf.faces.search import FaceObservations
from quavf.faces.tracker import PersonTrack, track_persons
from quavf.faces.turned import suggest_turn
from quavf.sources.config import MediaOptions
from quavf.sources.media.container import refuse_url
from quavf.sources.media.file import VideoFile, open_video_file
from quavf.store import ClipStore, ClipWriter, Manifest, StoreConfig
from quavf.store.integrity import check_sum
from quavf.utils.arrays import load_arrays, save_arrays
from quavf.utils.files import config_hash
from quavf.utils.memory import release_memory
from quavf.utils.progress import show_progress
from quavf.utils.threads import map_ahead
from quavf.video.config import VideoConfig
from quavf.video.cut import CropRequests, RenderedFace, cut_samples, render_faces
from quavf.video.find import SAVE_EVERY_S, SEARCH_FORMAT, FaceFinder, FoundFaces
from quavf.video.follow import MeshFollower
from quavf.video.listen import Listener
from quavf.video.prepared import ALL, PreparedVideo
from quavf.video.schedule import N_SAMPLES

log = logging.getLogger(__name__)

TURNED = "faces that are mostly on their side: run again with --turn {}"
READER = 2  # of media: increased when pictures, their times or the sound come out otherwise


def prepare_video(
    path: Path,
    store: Path,
    config: VideoConfig | None = None,
    windows: WindowConfig | None = None,
    cut: str = ALL,
) -> PreparedVideo:
    """Find, track and cut the faces of a video, and store them and the sound as one clip.

    `windows` are those of the visual branch that will score the crops; `cut` says which of the
    faces it scores: ALL, those that cues cannot judge (UNREAD), or NONE. Some crops of each person
    are there anyway. Finished stages are skipped; an interrupted search continues. Raises
    MediaError when the file is not a video.
    """
    config, windows = config or VideoConfig(), windows or WindowConfig()
    file = open_video_file(Path(path), config.media)
    target = ClipStore.create(Path(store), StoreConfig("video", FIXED.name, "grown"))
    work = _Preparation(file, target, config, windows, cut)
    if not target.is_current(work.clip, work.fingerprint):
        work.write()
    return work.read()


def video_fingerprint(
    path: Path, config: VideoConfig, windows: WindowConfig, cut: str = ALL
) -> str:
    """Fingerprint of a video file and the settings that its clip depends on.

    Raises MediaError when the file is missing.
    """
    settings = asdict(config)
    if config.media == MediaOptions():
        del settings["media"]  # as before there were any
    how = [settings, windows.n_slots, windows.stride, cut, SEARCH_FORMAT, READER]
    return config_hash([_media(Path(path)), *how])


def _media(path: Path) -> list[Any]:
    try:
        state = path.stat()
    except OSError as error:
        refuse_url(path)
        reason = "no such file" if isinstance(error, FileNotFoundError) else error.strerror
        raise MediaError(f"{path}: {reason}") from None
    return [str(path.resolve()), state.st_size, state.st_mtime_ns]


def clip_id(path: Path) -> str:
    """A safe and stable clip id from the name and location of a video file."""
    stem = re.sub(r"[^A-Za-z0-9_-]+", "_", path.stem).strip("_-")[:60] or "video"
    return f"{stem}-{hashlib.sha256(os.fsencode(path.resolve())).hexdigest()[:8]}"


@dataclass
class _Preparation:
    file: VideoFile
    store: ClipStore
    config: VideoConfig
    windows: WindowConfig
    cut: str

    def __post_init__(self) -> None:
        self.clip = clip_id(self.file.path)
        how = [asdict(self.config.search), self.config.media.turn, READER]
        self.search_key = config_hash([_media(self.file.path), *how])
        self.fingerprint = video_fingerprint(self.file.path, self.config, self.windows, self.cut)

    def write(self) -> None:
        found = self._find()
        tracks = track_persons(found.faces, self.config.track, self.config.search.look_rate)
        with self.store.write_clip(self.clip) as writer:
            listener = Listener(VoiceDetector() if self.config.search.mesh else None)
            n_samples = writer.add_sound_chunks(listener.watch(self.file.sound()))
            silent = n_samples is not None and listener.is_silent
            judged: dict[int, Array] = {}
            if self.config.search.mesh:
                faces, sound = face_cues(found.faces, tracks, self.file.size), listener.cues()
                writer.add_cues(faces, sound)
                judged = find_judged(faces, sound, n_samples)
            save_arrays(
                writer.folder / "tracks.npz",
                pictures=found.pictures,
                numbers=found.numbers,
                cuts=found.faces.cuts,
                silent=np.array(silent),
                **_flatten(tracks),
            )
            notes = self._cut(writer, self._load(writer.folder, judged))
            notes.update(self.file.file_notes + found.notes + self.file.sound_notes)
            notes.update(self._suggest_turn(found.faces.turns))
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

    def _suggest_turn(self, faces: Ints) -> dict[str, int]:
        """A note if the video seems to be on its side, by its faces (4,), see `count_turns`."""
        degrees = suggest_turn(faces)
        total = (degrees + self.config.media.turn) % 360
        return {TURNED.format(total): 1} if degrees else {}

    def read(self) -> PreparedVideo:
        store, clip = self.store, self.clip
        manifest, path = store.manifest(clip), store.folder(clip) / "tracks.npz"
        check_sum(path, manifest.files.get(path.name))
        judged: dict[int, Array] = {}
        if store.has_cues(clip):
            judged = find_judged(store.cues(clip), store.sound_cues(clip), manifest.n_samples)
        return self._load(store.folder(clip), judged)

    def _load(self, folder: Path, judged: Mapping[int, Array]) -> PreparedVideo:
        path = folder / "tracks.npz"
        try:
            arrays = load_arrays(path)
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
                cut=self.cut,
                judged=judged,
            )
        except (OSError, ValueError, KeyError) as error:
            raise StoreError(
                f"{path}: cannot be read ({error}); delete the clip's folder and prepare again"
            ) from None

    def _find(self) -> FoundFaces:
        path = self.store.path / "search" / f"{self.clip}.{self.search_key}.npz"
        follower: FaceFollower | None = MeshFollower() if self.config.search.mesh else None
        return FaceFinder(self.file, self.config.search, path, follower).run()

    def _cut(self, writer: ClipWriter, video: PreparedVideo) -> Counter[str]:
        """Second pass: cut the crops that a network shall see, and some of everybody else."""
        confidences = array("d")
        notes: Counter[str] = Counter()

        def add(face: RenderedFace | None) -> None:
            if face is None:
                notes["boxes outside the picture"] += 1
            else:
                writer.add_crop(face.person, face.tick, face.time_s, face.geometry, face.jpeg)
                confidences.append(face.score)

        wanted = {person: s.crops for person, s in video.schedules.items() if len(s.crops)}
        shown = set(wanted)
        for face in () if wanted else cut_samples(video, self.file.key_pictures()):
            add(face)
            shown.add(face.person)
        scored = {person: s.scored for person, s in video.schedules.items() if person not in shown}
        wanted |= {person: own.sample(N_SAMPLES) for person, own in scored.items()}
        if wanted:
            self._cut_all(CropRequests.of(wanted), int(video.duration_s), add)
        writer.add_confidences(confidences)
        return notes

    def _cut_all(
        self, requests: CropRequests, total: int, add: Callable[[RenderedFace | None], None]
    ) -> None:
        """Cut faces in one pass over all pictures, `total` s."""
        with show_progress("Cutting faces", total, unit="s of video", inner="pictures") as bar:
            second = 0
            pictures = self.file.pictures()
            for frame, faces in map_ahead(partial(render_faces, requests), pictures):
                if frame.time_s // SAVE_EVERY_S > second // SAVE_EVERY_S:
                    release_memory()
                bar.advance(int(frame.time_s) - second, 1)
                second = int(frame.time_s)
                for face in faces:
                    add(face)
            bar.advance(max(total - second, 0))


def face_cues(
    found: FaceObservations, tracks: Sequence[PersonTrack], size: tuple[int, int]
) -> FaceCues:
    """The cues of tracked persons, numbered from 1, at the times of their looks.

    Of faces too small for the mesh only the size and the place are known.
    """
    ticks = np.array([Clock().s_to_frame(Fraction(float(t))) for t in found.times], np.int64)
    rows = np.concatenate([*(t.rows for t in tracks), np.empty(0, np.int64)])  # (N,)
    person = np.repeat(np.arange(1, len(tracks) + 1), [len(t.rows) for t in tracks])  # (N,)
    _, first = np.unique(np.stack([person, ticks[rows]]), axis=1, return_index=True)  # sorted
    rows, person = rows[first], person[first]
    cues, boxes = found.cues[rows], found.boxes[rows]
    cues[:, CUE_COLUMNS.index("face_size")] = box_side(boxes)
    return FaceCues(person, ticks[rows], found.times[rows], with_places(cues, boxes, size))


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
