"""Compute the cues of every clip of a store."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np

from quavf.core.errors import ConfigError
from quavf.core.records import Array, Floats, Ints
from quavf.cues.iris import GazeReader
from quavf.cues.lips import read_lips
from quavf.cues.mesh import FaceMesh
from quavf.cues.tracks import (
    CUE_COLUMNS,
    CUE_SETTINGS,
    GAZE_EVERY_S,
    LEAST_CONFIDENCE,
    FaceCues,
    SoundCues,
    cut_crop_square,
    frame_box,
    measure_faces,
    sound_levels,
    with_places,
)
from quavf.cues.voice import STEP_S, VoiceDetector
from quavf.faces.follow import box_side
from quavf.store import ClipStore, CropReader
from quavf.utils.files import config_hash
from quavf.utils.parallel import EngineConfig, run_each
from quavf.utils.progress import show_progress
from quavf.utils.threads import map_ahead
from quavf.workflows.clip_rows import PartialRows, compute_rows, decode_crop, repeat_if_replaced
from quavf.workflows.config import MESH_RUNTIMES

CHUNK = 256  # crops between two reports of progress
BATCH = 8  # crops of a thread's turn
LIKELY = 0.5  # probability of speech from which a step counts as voice in the summary


@dataclass(frozen=True)
class CuesSummary:
    """Cues of a store."""

    clips: int
    faces: int
    read: int  # faces whose geometry the mesh gives
    sound_s: float
    voice_s: float  # with a voice
    without_sound: int  # clips


def compute_cues(
    store: Path, engine: EngineConfig | None = None, runtime: str = "auto"
) -> CuesSummary:
    """Compute the cues of each face and of the sound of every clip of a store.

    They are written beside the clips, in `cues.parquet` and `cues_sound.parquet`. Clips that have
    them are skipped; an interrupted run resumes. `runtime` of the face mesh: openvino, or auto for
    ONNX Runtime. Raises ConfigError for any other, or if OpenVINO is not installed.
    """
    if runtime not in MESH_RUNTIMES:
        raise ConfigError(f"runtime: {runtime!r} is not one of {', '.join(MESH_RUNTIMES)}")
    clips = ClipStore.open(Path(store))
    work, names = _Computing(clips, runtime), clips.clips()
    missing = [clip for clip in names if not clips.has_cues(clip)]
    with show_progress("Reading cues", len(names), inner="faces") as bar:
        bar.advance(len(names) - len(missing))
        work.report = lambda n_faces: bar.advance(0, n_faces)
        for _ in run_each(work, missing, engine):
            bar.advance(1)
    return _summarise(clips)


class _Computing:
    """Computes cues of clips with networks that are opened once in each process."""

    def __init__(self, store: ClipStore, runtime: str = "auto") -> None:
        self.store, self.runtime = store, runtime
        self.report: Callable[[int], None] = lambda n_faces: None

    def __reduce__(self) -> tuple[type[_Computing], tuple[Any, ...]]:
        return _Computing, (self.store, self.runtime)

    @cached_property
    def mesh(self) -> FaceMesh:
        return FaceMesh(runtime=self.runtime)

    @cached_property
    def gaze(self) -> GazeReader:
        return GazeReader(runtime=self.runtime)

    @cached_property
    def voice(self) -> VoiceDetector:
        return VoiceDetector()

    def __call__(self, clip: str) -> None:
        repeat_if_replaced(self.store, clip, partial(self._compute, clip))

    def _compute(self, clip: str, fingerprint: str) -> None:
        faces = _ClipFaces(self.store, clip, self.mesh, self.gaze, self.report)
        key = config_hash([CUE_SETTINGS, fingerprint])
        parts = PartialRows(self.store.folder(clip), "cues", key)
        cues = faces.cues(parts)
        self.store.write_cues(clip, cues, self._sound(clip), fingerprint)
        parts.remove()

    def _sound(self, clip: str) -> SoundCues:
        n_samples = self.store.manifest(clip).n_samples or 0
        samples = self.store.sound(clip, 0, n_samples) if n_samples else np.empty(0, np.float32)
        return SoundCues(self.voice.run(samples.astype(np.float32)), sound_levels(samples))


class _ClipFaces:
    """Computes the cues of the crops of one clip."""

    def __init__(
        self,
        store: ClipStore,
        clip: str,
        mesh: FaceMesh,
        gaze: GazeReader,
        report: Callable[[int], None],
    ) -> None:
        self.mesh, self.gaze, self.report = mesh, gaze, report
        self.faces, self.frame_size = store.faces(clip), store.manifest(clip).frame_size
        self.reader = CropReader(store, clip, self.faces)
        self.framing = store.config.framing
        self.reads_eyes = choose_gaze_rows(self.faces.person, self.faces.time_s)

    def cues(self, parts: PartialRows) -> FaceCues:
        """The cues of all crops; parts of them are kept in `parts` on the way."""
        values = compute_rows(len(self.faces), CHUNK, self._chunk, parts, (len(CUE_COLUMNS),))
        self.reader.close()
        places = with_places(values, self._boxes(range(len(self.faces))), self.frame_size)
        return FaceCues(self.faces.person, self.faces.frame, self.faces.time_s, places)

    def _chunk(self, rows: range) -> Floats:
        batches = (rows[k : k + BATCH] for k in range(0, len(rows), BATCH))
        files = ((batch, [self.reader.read(row) for row in batch]) for batch in batches)
        found = np.concatenate(list(map_ahead(self._batch, files)))
        self.report(len(rows))
        return found

    def _batch(self, batch: tuple[range, list[bytes]]) -> Floats:
        squares = [
            cut_crop_square(
                decode_crop(self.reader, row, data), self.faces.geometry(row), self.framing
            )
            for row, data in zip(*batch, strict=True)
        ]
        rows, pictures = batch[0], np.stack(squares)
        mesh = self.mesh.run(pictures)
        wanted = self.reads_eyes[rows.start : rows.stop] & (mesh.confidence >= LEAST_CONFIDENCE)
        gaze = np.full((len(rows), 2), np.nan)
        gaze[wanted] = self.gaze.read(pictures[wanted], mesh.points[wanted])
        boxes = self._boxes(rows)
        lips = read_lips(self.mesh, pictures, mesh, box_side(boxes))
        return measure_faces(mesh, boxes, gaze, lips)

    def _boxes(self, rows: range) -> Floats:
        """(N, 4) face boxes in the frame; NaN where it is not known."""
        boxes = [frame_box(self.faces.geometry(row)) for row in rows]
        return np.stack(boxes) if boxes else np.empty((0, 4))


def choose_gaze_rows(person: Ints, time_s: Floats) -> Array:
    """Mask (N,) of the first row of each person in each stretch of `GAZE_EVERY_S`."""
    stretches = np.stack([person, np.floor(time_s / GAZE_EVERY_S + 1e-6)], axis=1)  # (N, 2)
    chosen = np.zeros(len(person), bool)
    chosen[np.unique(stretches, axis=0, return_index=True)[1]] = True
    return chosen


def _summarise(store: ClipStore) -> CuesSummary:
    n_faces = n_read = n_steps = n_voice = without_sound = 0
    names = store.clips()
    for clip in names:
        faces, sound = store.cues(clip), store.sound_cues(clip)
        n_faces, n_read = (
            n_faces + len(faces),
            n_read + int((faces["confidence"] >= LEAST_CONFIDENCE).sum()),
        )
        n_steps, n_voice = n_steps + len(sound), n_voice + int((sound.voice >= LIKELY).sum())
        without_sound += not len(sound)
    return CuesSummary(
        clips=len(names),
        faces=n_faces,
        read=n_read,
        sound_s=n_steps * STEP_S,
        voice_s=n_voice * STEP_S,
        without_sound=without_sound,
    )
