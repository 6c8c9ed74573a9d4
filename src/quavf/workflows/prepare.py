"""Prepare a clip store from a source: annotations and media become crops and sound."""

from __future__ import annotations

import logging
import shutil
import warnings
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from functools import partial
from itertools import compress
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from quavf.core.clock import SAMPLE_RATE, Clock
from quavf.core.errors import MediaError, QuavfError, StoreError
from quavf.core.records import (
    CROP_SIZE,
    READY_MADE,
    ClipRecord,
    CropGeometry,
    CroppedClip,
    Intervals,
    Track,
    TrackRows,
    Unlabelled,
)
from quavf.core.semantics import FIXED, Semantics, get_semantics
from quavf.faces.crop import (
    crop_geometry,
    decode_jpeg,
    encode_jpeg,
    is_too_large,
    render_crop,
)
from quavf.faces.track import build_track, has_negative_size, merge_tracks
from quavf.sources.config import ChallengeConfig, Ego4dConfig
from quavf.sources.media.clip import ClipVideo
from quavf.sources.media.pictures import Frame
from quavf.sources.registry import CHALLENGE, EGO4D, SOURCES
from quavf.sources.wav import read_beside
from quavf.store import ClipStore, ClipWriter, Manifest, StoreConfig
from quavf.utils.failures import describe_failure
from quavf.utils.files import config_hash, write_json
from quavf.utils.parallel import EngineConfig, run_each
from quavf.utils.progress import show_progress
from quavf.utils.threads import map_ahead, read_ahead
from quavf.workflows.fit import find_banner, open_fitting, scale_tracks

log = logging.getLogger(__name__)

ERRORS = "errors"  # folder of the store, for tracebacks of clips that failed
BANNER = "videos with a banner on the left, boxes moved to the right by its width"
OWN_SOUND = "clips without a usable file of sound, heard by their video's own"

Notes = Counter[str]


@dataclass
class PrepareSummary:
    """What a store holds after `prepare`, with counts of what was dropped or corrected."""

    store: Path
    clips: int = 0
    segments: int = 0
    positive_segments: int = 0
    crops: int = 0
    clips_by_split: dict[str, int] = field(default_factory=dict)
    sound_hours: float = 0.0
    notes: dict[str, int] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)  # clip: why it is not in the store
    skipped: int = 0  # finished before this run

    def to_json(self) -> dict[str, Any]:
        """The part that does not depend on how often `prepare` ran."""
        content = {**self.__dict__}
        del content["store"], content["skipped"]
        return content


def prepare_source(
    source: str, store: Path, config: Any, engine: EngineConfig | None = None
) -> PrepareSummary:
    """Put the face crops and the sound of all clips of a source into a store.

    `config` is an instance of the source's config dataclass. Finished clips are skipped, changed
    ones are made again. Clips whose media is missing or unreadable are counted and left out.
    Raises ConfigError when no source has that name, StoreError when no clip is left.
    """
    index = SOURCES.get(source).read_index(config)
    jobs = [_Job(r.clip, _fingerprint(r), r) for r in index.records]
    target = ClipStore.create(Path(store), StoreConfig(source, index.semantics, index.framing))
    with target.lock():
        return _prepare(target, jobs, Counter(index.notes), engine)


def prepare_ego4d(
    annotations: Path,
    clips: Path,
    store: Path,
    semantics: str = FIXED.name,
    splits: Path | None = None,
    engine: EngineConfig | None = None,
    *,
    semantics_name: str | None = None,
) -> PrepareSummary:
    """Cut the face crops and the sound of all clips annotated by Ego4D into a store.

    `annotations` holds `av_train.json` and `av_val.json`, `clips` one `<clip_uid>.mp4` each.
    See `prepare_source`.
    """
    if semantics_name is not None:
        warnings.warn("semantics_name: use semantics", DeprecationWarning, stacklevel=2)
        semantics = semantics_name
    config = Ego4dConfig(Path(annotations), Path(clips), semantics, splits)
    return prepare_source(EGO4D.name, store, config, engine)


def prepare_challenge(
    root: Path, store: Path, engine: EngineConfig | None = None
) -> PrepareSummary:
    """Take the challenge's test segments into a store: pictures as they are, no labels."""
    return prepare_source(CHALLENGE.name, store, ChallengeConfig(Path(root)), engine)


@dataclass(frozen=True)
class _Job:
    """A clip to write; the fingerprint changes when its annotations or media change."""

    clip: str
    fingerprint: str
    record: ClipRecord | CroppedClip

    def __str__(self) -> str:
        return f"clip {self.clip}"


def _fingerprint(record: ClipRecord | CroppedClip) -> str:
    if isinstance(record, CroppedClip):
        return record.fingerprint
    size = record.media.stat().st_size if record.media.is_file() else None
    return config_hash([record.fingerprint, record.split, size])


@dataclass(frozen=True)
class _Outcome:
    """The number of decoded pictures, or why the clip is not in the store."""

    n_frames: int = 0
    error: str = ""


def _write(store: ClipStore, job: _Job) -> _Outcome:
    """Put a clip into the store; what is wrong with a clip is reported, not raised."""
    try:
        if isinstance(job.record, CroppedClip):
            return _Outcome(_write_cropped_clip(store, job.fingerprint, job.record))
        return _Outcome(_write_clip(store, job.fingerprint, job.record))
    except MediaError as error:
        return _Outcome(error=str(error))
    except QuavfError:  # of the store, such as a full disk: no fault of this clip
        raise
    except Exception as error:  # whatever it is: the other clips shall be prepared
        return _Outcome(error=describe_failure(error, store.path / ERRORS / f"{job.clip}.log"))


def _prepare(
    store: ClipStore,
    jobs: list[_Job],
    index_notes: Notes,
    engine: EngineConfig | None,
) -> PrepareSummary:
    """Write all missing clips, then summarise the store."""
    summary = PrepareSummary(store.path)
    known = {job.clip for job in jobs}
    foreign = [clip for clip in store.finished_clips() if clip not in known]
    if foreign:
        raise StoreError(
            f"{store.path}: holds {len(foreign)} clips that this source does not have (the "
            f"first: {foreign[0]}); choose another --store, or delete this one"
        )
    shutil.rmtree(store.path / ERRORS, ignore_errors=True)
    with show_progress("Preparing", len(jobs)) as bar:
        is_current = [store.is_current(job.clip, job.fingerprint) for job in jobs]
        missing = [job for job, current in zip(jobs, is_current, strict=True) if not current]
        summary.skipped = len(jobs) - len(missing)
        _update_intervals(store, compress(jobs, is_current))
        bar.advance(summary.skipped)
        for done in run_each(partial(_write, store), missing, engine):
            clip, outcome = done.item.clip, done.result
            if outcome.error:
                summary.failed[clip] = outcome.error
                if store.has_clip(clip):
                    summary.failed[clip] += " (an older version of this clip is in the store)"
                log.warning("clip %s is left out: %s", clip, summary.failed[clip])
            bar.advance(1, outcome.n_frames)
    summary.failed = dict(sorted(summary.failed.items()))
    return summarise(store, summary, index_notes)


def _update_intervals(store: ClipStore, jobs: Iterable[_Job]) -> None:
    """Label speaking and looking in clips that an earlier version prepared without them.

    Their crops and sound do not depend on these labels.
    """
    for job in jobs:
        manifest, record = store.manifest(job.clip), job.record
        if _intervals(manifest) != _intervals(record):
            store.write_intervals(job.clip, *_intervals(record))


def _intervals(
    holder: Manifest | ClipRecord | CroppedClip,
) -> tuple[Intervals, Intervals, Unlabelled]:
    unlabelled = {kind: stretches for kind, stretches in holder.unlabelled.items() if stretches}
    return holder.speaking, holder.looking, unlabelled


def summarise(store: ClipStore, summary: PrepareSummary, index_notes: Notes) -> PrepareSummary:
    """Count what a store holds; also written to its `summary.json`."""
    notes, by_split = Counter(index_notes), Counter[str]()
    for clip in store.clips():
        manifest = store.manifest(clip)
        labelled = [s for s in manifest.segments if s.person > 0]
        summary.clips += 1
        summary.segments += len(labelled)
        summary.positive_segments += sum(s.label for s in labelled)
        summary.crops += manifest.n_crops
        summary.sound_hours += (manifest.n_samples or 0) / SAMPLE_RATE / 3600
        by_split[manifest.split] += 1
        notes.update(manifest.notes)
        notes["clips without sound"] += manifest.n_samples is None
    if not summary.clips:
        first = next(iter(summary.failed.values()), "the source has none")
        raise StoreError(f"{store.path}: no clip could be prepared ({first})")
    summary.clips_by_split = dict(sorted(by_split.items()))
    summary.notes = dict(sorted((+notes).items()))
    summary.sound_hours = round(summary.sound_hours, 4)
    write_json(store.path / "summary.json", summary.to_json())
    return summary


def _write_clip(store: ClipStore, fingerprint: str, record: ClipRecord) -> int:
    """Decode a clip once and write its crops and sound; return how many pictures were decoded."""
    semantics = get_semantics(store.config.semantics)
    notes: Notes = Counter(record.notes)
    video, scale = open_fitting(record, notes)
    banner = find_banner(record, video)
    notes[BANNER] += bool(banner)
    first = video.clock.s_to_frame(Fraction(record.start_s))
    with store.write_clip(record.clip) as writer:
        tracks = scale_tracks(_tracks(record, semantics, notes), scale, banner)
        requests = _crop_requests(record, tracks, video, notes)
        n_decoded = _write_crops(writer, video, requests, notes, first)
        n_samples = writer.add_sound_chunks(_read_sound(record, video, first, notes))
        if record.rows is not None:
            writer.add_source_rows(record.rows)
        notes += video.notes
        _warn(record.clip, notes - Counter(record.notes), n_samples)
        writer.finish(
            Manifest(
                clip=record.clip,
                split=record.split,
                clock=video.clock,
                segments=record.segments,
                speaking=record.speaking,
                looking=record.looking,
                n_samples=n_samples,
                n_crops=writer.n_crops,
                frame_size=video.size,
                fingerprint=fingerprint,
                config_hash=store.config.hash,
                notes=dict(notes),
                unlabelled=record.unlabelled,
            )
        )
    return n_decoded


def _read_sound(
    record: ClipRecord, video: ClipVideo, first: int, notes: Notes
) -> Iterator[npt.NDArray[np.int16]]:
    """The sound of a clip, from the frame `first` of its media on, in pieces."""
    chunks: Iterable[npt.NDArray[np.int16]] = ()
    beside = None
    if record.sound is not None:
        beside = read_beside(record.sound, record.clip, notes, record.channels)
    if beside is not None:
        chunks = (beside,)
    else:
        notes[OWN_SOUND] += record.channels != ()
        chunks = video.file.sound()
    start = round(first / video.clock.fps * SAMPLE_RATE)
    end = None if record.end_s is None else round(record.end_s * SAMPLE_RATE)
    at = 0
    for chunk in chunks:
        piece = chunk[max(start - at, 0) : None if end is None else max(end - at, 0)]
        at += len(chunk)
        if len(piece):
            yield piece
        if end is not None and at >= end:
            return


def _warn(clip: str, notes: Notes, samples: object) -> None:
    """Log the faults of a clip; those of its annotations were logged when they were read."""
    faults = [f"{note}: {count}" for note, count in sorted(notes.items())]
    for fault in [*faults, *(["no sound"] if samples is None else [])]:
        log.warning("clip %s: %s", clip, fault)


def _tracks(record: ClipRecord, semantics: Semantics, notes: Notes) -> dict[int, Track]:
    """One track per person; unusable rows and tracks are counted."""
    merged: dict[int, Track] = {}
    for person, parts in record.tracks.items():
        if person < 1:
            continue
        track = merge_tracks(list(_usable_tracks(parts, semantics, notes)), semantics)
        if track is not None:
            merged[person] = track
    return merged


def _usable_tracks(
    parts: Iterable[TrackRows], semantics: Semantics, notes: Notes
) -> Iterable[Track]:
    for rows in parts:
        notes["boxes of negative size"] += int(has_negative_size(rows).sum())
        track = build_track(rows, semantics)
        if track is None:
            notes["tracks without a usable box"] += 1
        else:
            yield track


Requests = dict[int, list[tuple[int, CropGeometry]]]  # by frame: person and crop


def _crop_requests(
    record: ClipRecord, tracks: dict[int, Track], video: ClipVideo, notes: Notes
) -> Requests:
    """The crops to cut, by frame: every box of a person inside one of that person's segments.

    With `record.every`, also those of every N-th frame elsewhere.
    """
    requests: Requests = defaultdict(list)
    for person, track in sorted(tracks.items()):
        inside = np.zeros(len(track.frames), bool)
        if record.every:
            inside |= track.frames % record.every == 0
        for s in record.segments:
            if s.person == person:
                inside |= s.covers(track.frames)
        for frame, box in zip(track.frames[inside].tolist(), track.boxes[inside], strict=True):
            geometry = crop_geometry(box, video.size)
            if geometry is None:
                notes["boxes outside the picture"] += 1
            else:
                requests[frame].append((person, geometry))
    return requests


def _write_crops(
    writer: ClipWriter, video: ClipVideo, requests: Requests, notes: Notes, first: int
) -> int:
    """Write the requested faces of a clip that starts with the frame `first` of its media."""
    start_s = float(first / video.clock.fps)
    n_requested, n_pictures = sum(map(len, requests.values())), 0

    def jpegs(numbered: tuple[int, Frame]) -> tuple[int, float, list[bytes]]:
        frame, picture = numbered
        faces = (geometry for _, geometry in requests[frame - first])
        crops = [encode_jpeg(render_crop(picture.bgr(g.region), g)) for g in faces]
        return frame - first, picture.time_s - start_s, crops

    frames = {frame + first for frame in requests}
    for frame, time_s, crops in map_ahead(jpegs, read_ahead(video.pictures(frames, first))):
        n_pictures += 1
        for (person, geometry), jpeg in zip(requests[frame], crops, strict=True):
            writer.add_crop(person, frame, time_s, geometry, jpeg)
    notes["boxes on pictures that are not in the video"] += n_requested - writer.n_crops
    return n_pictures


def _write_cropped_clip(store: ClipStore, fingerprint: str, record: CroppedClip) -> int:
    """Take a clip's pictures and sound as they are; return how many pictures there were."""
    notes: Notes = Counter(record.notes)
    clock = Clock()
    faces = [(person, *item) for person, own in record.faces.items() for item in own.items()]
    with store.write_clip(record.clip) as writer:
        for person, frame, path in faces:
            jpeg = _face_jpeg(_file_bytes(path), notes)
            if jpeg is not None:
                geometry = record.geometry[person][frame] if record.geometry else READY_MADE
                writer.add_crop(person, frame, clock.frame_to_s(frame), geometry, jpeg)
        sound = record.sound
        samples = None if sound is None else read_beside(sound, record.clip, notes)
        if samples is not None:
            writer.add_sound(samples)
        if record.rows is not None:
            writer.add_source_rows(record.rows)
        notes = +notes
        _warn(record.clip, notes, samples)
        writer.finish(
            Manifest(
                clip=record.clip,
                split=record.split,
                clock=clock,
                segments=record.segments,
                speaking=record.speaking,
                looking=record.looking,
                n_samples=None if samples is None else len(samples),
                n_crops=writer.n_crops,
                frame_size=None if record.geometry else (CROP_SIZE, CROP_SIZE),
                fingerprint=fingerprint,
                config_hash=store.config.hash,
                notes=dict(notes),
                unlabelled=record.unlabelled,
            )
        )
    return len(faces)


def _file_bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise MediaError(f"{path}: cannot be read ({error.strerror}); copy it again") from None


def _face_jpeg(data: bytes, notes: Notes) -> bytes | None:
    """The picture's own bytes when it is 224 x 224; else brought to that size; None if damaged."""
    picture = None if is_too_large(data) else decode_jpeg(data)
    if picture is None:
        notes["pictures that cannot be read"] += 1
        return None
    if picture.shape[:2] == (CROP_SIZE, CROP_SIZE):
        return data
    notes["pictures brought to 224 x 224"] += 1
    resized = cv2.resize(picture[..., ::-1], (CROP_SIZE, CROP_SIZE), interpolation=cv2.INTER_LINEAR)
    return encode_jpeg(np.asarray(resized, np.uint8))
