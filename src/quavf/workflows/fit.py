"""Compare annotations with the media they are used on, so that no crop comes from a wrong place."""

from __future__ import annotations

from collections import Counter

import numpy as np

from quavf.core.clock import Clock
from quavf.core.errors import MediaError
from quavf.core.records import ClipRecord, Floats, Track
from quavf.sources.media.clip import ClipVideo, open_clip_video

SAME_SHAPE = 0.02  # proportions that differ by less are rounding
OTHER_LENGTH_S = 5.0  # annotations and media differ in length by more than this
OTHER_LENGTH = 0.1  # and by more than this share: they are of different recordings
BEYOND = 1.2  # times the picture's size: boxes that end further out are of a larger picture
TYPING_ERROR = 4.0  # times the picture's size: boxes that end further out mean nothing
MOSTLY_OUTSIDE = 1 / 3  # of a box's area
MANY_BOXES = 0.1  # share of the boxes that makes the difference
FEWEST_BOXES = 3
LATE_S = 1.0  # frames that lie so much behind the end are counted at another rate
SCALED = "clips of another size than annotated, boxes scaled"


def open_fitting(record: ClipRecord, notes: Counter[str]) -> tuple[ClipVideo, Floats]:
    """The media of a clip, and (2,) by how much to scale its boxes: across and down.

    Another frame rate than annotated, or another size of the same shape, is made up for and
    counted. Raises MediaError if the media cannot be those of the annotations.
    """
    video = open_clip_video(record.media, record.facts.fps, timed=record.facts.timed)
    _check_part(record, video)
    if record.facts.fps is None and _ends_late(record, video):
        video = open_clip_video(record.media, Clock().fps)
    _check_length(record, video)
    if record.facts.relative:
        return video, np.array(video.size, float)
    scale = _find_scale(record, video)
    notes[SCALED] += bool((scale != 1).any())
    return video, scale


def _ends_late(record: ClipRecord, video: ClipVideo) -> bool:
    """Whether frames lie behind the media's end that fit in at the models' own rate."""
    last_frame = max((s.last_frame for s in record.segments), default=0)
    end_s = video.file.declared_s
    fps = Clock().fps
    return (
        end_s is not None
        and video.clock.fps < fps
        and last_frame / video.clock.fps > end_s + LATE_S
        and last_frame / fps <= end_s + LATE_S
    )


def _check_length(record: ClipRecord, video: ClipVideo) -> None:
    stated_s, found_s = record.facts.duration_s, video.file.declared_s
    if stated_s is None or found_s is None:
        return
    if abs(found_s - stated_s) > max(OTHER_LENGTH_S, OTHER_LENGTH * stated_s):
        raise MediaError(
            f"{record.media}: lasts {found_s:.1f} s, its annotations are of {stated_s:.1f} s; put "
            "the clip itself there, not the whole video or another one"
        )


def _check_part(record: ClipRecord, video: ClipVideo) -> None:
    """Raise MediaError when the media ends before the part that is annotated."""
    found_s = video.file.declared_s
    if record.start_s and found_s is not None and found_s <= record.start_s:
        raise MediaError(
            f"{record.media}: lasts {found_s:.1f} s, but is annotated from {record.start_s:.1f} s "
            "on; if the files were cut out of longer ones, say from which second with --start"
        )


def find_banner(record: ClipRecord, video: ClipVideo) -> float:
    """Width of the banner on the left of the pictures, pixels; 0 if there is none."""
    stated, (width, height) = record.facts.size, video.size
    if stated is None or not record.facts.banner:
        return 0.0
    return max(width - round(height * stated[0] / stated[1]), 0)


def _find_scale(record: ClipRecord, video: ClipVideo) -> Floats:
    stated, (width, height) = record.facts.size, video.size
    if stated is None:
        _check_boxes(record, video.size)
        return np.ones(2)
    across, down = (width - find_banner(record, video)) / stated[0], height / stated[1]
    if abs(across / down - 1) > SAME_SHAPE:
        raise MediaError(
            f"{record.media}: its pictures are {width}x{height}, the annotated ones "
            f"{stated[0]}x{stated[1]}; use the clip as it was annotated, not turned or cropped"
        )
    return np.array([across, down])


def _check_boxes(record: ClipRecord, size: tuple[int, int]) -> None:
    """Raise MediaError when boxes reach so far out that they are of a larger picture."""
    rows = [part.xywh for parts in record.tracks.values() for part in parts]
    boxes = np.concatenate([*rows, np.empty((0, 4))])
    boxes = boxes[(boxes[:, 2:] > 0).all(axis=1)]
    ends = (boxes[:, :2] + boxes[:, 2:]) / size  # (N, 2) 1: the picture's right or bottom edge
    boxes, ends = (part[(ends <= TYPING_ERROR).all(axis=1)] for part in (boxes, ends))
    inside = np.clip(boxes[:, :2] + boxes[:, 2:], 0, size) - np.clip(boxes[:, :2], 0, size)
    outside = 1 - np.prod(inside, axis=1) / np.prod(boxes[:, 2:], axis=1)
    n_off = int(((ends > BEYOND).any(axis=1) & (outside > MOSTLY_OUTSIDE)).sum())
    if n_off >= max(FEWEST_BOXES, MANY_BOXES * len(boxes)):
        right, bottom = (ends.max(axis=0) * size).round().astype(int).tolist()
        raise MediaError(
            f"{record.media}: its pictures are {size[0]}x{size[1]}, but {n_off} of {len(boxes)} "
            f"annotated boxes lie beyond them (up to {right}x{bottom}); was it made smaller? Give "
            "the annotated size with --frame-size WIDTHxHEIGHT, or use the original"
        )


def scale_tracks(tracks: dict[int, Track], scale: Floats, banner: float = 0.0) -> dict[int, Track]:
    """Tracks by person in another size of the picture; `scale` (2,) across and down.

    They move right by the `banner`, pixels.
    """
    if bool((scale == 1).all()) and not banner:
        return tracks
    edges, shift = np.tile(scale, 2), np.array([banner, 0.0] * 2)
    return {person: Track(t.frames, t.boxes * edges + shift) for person, t in tracks.items()}
