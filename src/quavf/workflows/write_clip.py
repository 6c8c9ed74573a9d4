"""Write one clip into a store: cut from its video, or from pictures that are cropped already."""

from __future__ import annotations

import logging
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from quavf.core.clock import SAMPLE_RATE, Clock
from quavf.core.errors import MediaError
from quavf.core.records import (
    CROP_SIZE,
    READY_MADE,
    ClipRecord,
    CropGeometry,
    CroppedClip,
    Track,
    TrackRows,
)
from quavf.core.semantics import Semantics, get_semantics
from quavf.faces.crop import (
    crop_geometry,
    decode_jpeg,
    encode_jpeg,
    is_too_large,
    render_crop,
)
from quavf.faces.track import build_track, has_negative_size, merge_tracks
from quavf.sources.media.clip import ClipVideo
from quavf.sources.media.pictures import Frame
from quavf.sources.wav import read_beside
from quavf.store import ClipStore, ClipWriter, Manifest
from quavf.utils.threads import map_ahead, read_ahead
from quavf.workflows.fit import find_banner, open_fitting, scale_tracks

log = logging.getLogger(__name__)

BANNER = "videos with a banner on the left, boxes moved to the right by its width"
OWN_SOUND = "clips without a usable file of sound, heard by their video's own"

Notes = Counter[str]
Requests = dict[int, list[tuple[int, CropGeometry]]]  # by frame: person and crop


def write_clip(store: ClipStore, fingerprint: str, record: ClipRecord | CroppedClip) -> int:
    """Write a clip's crops, sound and labels; return how many pictures were read.

    `fingerprint` goes into the manifest. Raises MediaError if the clip's media cannot be read.
    """
    if isinstance(record, CroppedClip):
        return _copy_crops(store, fingerprint, record)
    return _cut_crops(store, fingerprint, record)


def _cut_crops(store: ClipStore, fingerprint: str, record: ClipRecord) -> int:
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
            _describe(
                record,
                clock=video.clock,
                n_samples=n_samples,
                n_crops=writer.n_crops,
                frame_size=video.size,
                fingerprint=fingerprint,
                config_hash=store.config.hash,
                notes=dict(notes),
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


def _describe(record: ClipRecord | CroppedClip, **rest: Any) -> Manifest:
    """The manifest of a clip: the labels of its record, and `rest`, the other fields."""
    return Manifest(
        clip=record.clip,
        split=record.split,
        segments=record.segments,
        speaking=record.speaking,
        looking=record.looking,
        unlabelled=record.unlabelled,
        **rest,
    )


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


def _copy_crops(store: ClipStore, fingerprint: str, record: CroppedClip) -> int:
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
            _describe(
                record,
                clock=clock,
                n_samples=None if samples is None else len(samples),
                n_crops=writer.n_crops,
                frame_size=None if record.geometry else (CROP_SIZE, CROP_SIZE),
                fingerprint=fingerprint,
                config_hash=store.config.hash,
                notes=dict(notes),
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
