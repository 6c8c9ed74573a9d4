"""Videos that people labelled themselves: the source `own`.

People come from the results of `quavf run`, what they do from label files.
"""

from __future__ import annotations

import logging
import math
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from quavf.core.branches import SPEAKING
from quavf.core.errors import AnnotationError, MediaError
from quavf.core.records import (
    TALKING,
    WEARER,
    ClipIndex,
    ClipRecord,
    Interval,
    Ints,
    MediaFacts,
    Segment,
    TrackRows,
)
from quavf.results.label_file import VERSIONS
from quavf.results.labels import (
    FORMAT,
    SILENT,
    TO_ME,
    LabelledPerson,
    Stretch,
    VideoLabels,
    fingerprint_people,
    fingerprint_video,
    read_csv,
)
from quavf.results.records import PersonBoxes
from quavf.results.video import RESULT_FILE, TABLE_FILE, VideoResult
from quavf.sources.config import MediaOptions, OwnConfig
from quavf.sources.media.clip import open_clip_video
from quavf.utils.files import config_hash, read_json

log = logging.getLogger(__name__)

CONTEXT_S = 30.0  # around labelled time, of which faces are kept, too
LATER = "_later"  # ends the name of the clip that holds the end of a video, to validate on


def index_own(config: OwnConfig) -> ClipIndex:
    """The clips of all label files: one a video, or two where a part is for validation.

    Raises AnnotationError where labels, results and videos do not belong together.
    """
    notes: Counter[str] = Counter()
    results = _find_results([config.runs] if config.runs else [config.labels, config.videos])
    records: list[ClipRecord] = []
    for video in _find_labels(config.labels):
        labels = video.labels.checked
        if not labels.labelled_s:
            notes["label files without a confirmed label"] += 1
            continue
        found = _match(video, results)
        media = _find_media(found, config.videos)
        _check(video, found, media)
        records += _make_records(_add_others(labels, found.result), found, media, config)
    if not records:
        raise AnnotationError(
            f"{config.labels}: no labels; label with `quavf label`, or put the downloaded "
            "*.labels.json here"
        )
    return ClipIndex(_name_apart(records), dict(notes))


@dataclass(frozen=True)
class _Labelled:
    """The labels of one video, and the file they are from."""

    path: Path
    labels: VideoLabels


@dataclass(frozen=True)
class _Result:
    """What `quavf run` found in a video."""

    folder: Path
    result: VideoResult


def _find_labels(folder: Path) -> list[_Labelled]:
    """All labels below a folder; one file for each video. Raises AnnotationError."""
    if not Path(folder).is_dir():
        raise AnnotationError(f"{folder}: no such folder")
    found: list[_Labelled] = []
    for path in sorted(Path(folder).rglob("*.json")):
        if VERSIONS not in path.parts and _is_label_file(path):
            found.append(_Labelled(path, VideoLabels.read(path)))
    tables = (path for path in sorted(Path(folder).rglob("*.csv")) if path.name != TABLE_FILE)
    found += [_Labelled(path, labels) for path in tables for labels in read_csv(path)]
    by_video: dict[str, _Labelled] = {}
    for one in found:
        other = by_video.setdefault(_identify(one.labels), one)
        if other is not one:
            raise AnnotationError(
                f"{one.path}: labels {one.labels.video}, as {other.path} does; keep one of them"
            )
    return found


def _is_label_file(path: Path) -> bool:
    """Whether a JSON file says that it is one of labels; its content may still be damaged."""
    with path.open("rb") as file:
        return FORMAT.encode() in file.read(200)


def _identify(labels: VideoLabels) -> str:
    return labels.fingerprint or labels.video


def _find_results(folders: Iterable[Path]) -> list[_Result]:
    paths = {path.parent.resolve() for f in folders for path in Path(f).rglob(RESULT_FILE)}
    return [_Result(path, VideoResult.read(path)) for path in sorted(paths)]


def _match(video: _Labelled, results: Sequence[_Result]) -> _Result:
    """The result that labels are of: beside them, or of the same people, or of the same name."""
    labels = video.labels
    beside = [r for r in results if r.folder == video.path.parent.resolve()]
    same = [r for r in results if labels.run and fingerprint_people(r.result) == labels.run]
    named = [r for r in results if r.result.video.name == labels.video]
    for found in (beside, same, named):
        if len(found) == 1 or (found is same and found):
            return found[0]
    places = ", ".join(str(r.folder) for r in named[:3])
    raise AnnotationError(
        f"{video.path}: {labels.video} has {'several results: ' + places if named else 'no result'}"
        "; name the folder of `quavf run`'s output with --runs"
    )


def _find_media(found: _Result, videos: Path) -> Path:
    """The video file of a result: where it was, or by its name."""
    path = found.result.video
    if path.is_file():
        return path
    others = sorted(Path(videos).rglob(path.name))
    if len(others) != 1:
        raise AnnotationError(
            f"{found.folder}: there are {len(others) or 'no'} files called {path.name} below "
            f"{videos}; give a folder that holds this run's video alone"
        )
    return others[0]


def _check(video: _Labelled, found: _Result, media: Path) -> None:
    """Raise AnnotationError if labels are of another file, or of other people."""
    labels = video.labels
    if labels.fingerprint and labels.fingerprint != fingerprint_video(media):
        raise AnnotationError(f"{video.path}: its labels are of another file than {media}")
    if labels.run and labels.run != fingerprint_people(found.result):
        raise AnnotationError(
            f"{video.path}: its labels are of another run, whose people have other numbers than "
            f"those in {found.folder}"
        )
    known = {p.number for p in found.result.persons}
    for person in labels.people:
        missing = [p.found for p in person.list_parts() if p.found not in known]
        if missing and person.stretches:
            raise AnnotationError(
                f"{video.path}: person {person.number}: {found.folder} has no person {missing[0]}"
            )
    if options := _read_media_options(found.folder):
        raise AnnotationError(
            f"{found.folder}: was made with {options}, which stores cannot follow; convert the "
            "video, and run and label it again"
        )


def _read_media_options(folder: Path) -> dict[str, Any]:
    """How the run read the file, where it was not as usual."""
    path = folder / "run.json"
    if not path.is_file():
        return {}
    media = read_json(path).get("config", {}).get("video", {}).get("media", {})
    usual = MediaOptions()
    return {k: v for k, v in media.items() if v != getattr(usual, k, None)}


def _make_records(
    labels: VideoLabels, found: _Result, media: Path, config: OwnConfig
) -> list[ClipRecord]:
    """One clip for training and, of the end of the labelled time, one for validation."""
    try:
        fps = open_clip_video(media, found.result.fps).clock.fps
    except MediaError as error:
        raise AnnotationError(str(error)) from None
    name = re.sub(r"[^A-Za-z0-9_-]+", "_", media.stem).strip("_-")[:80] or "video"
    cut_s = _find_cut(labels, config.val)
    parts = [(name, "train", 0.0, cut_s), (name + LATER, "val", cut_s, math.inf)]
    return [
        _make_record(clip, split, part, found, media, fps, config.every)
        for clip, split, start_s, end_s in parts
        if (part := _cut(labels, start_s, end_s)).labelled_s
    ]


def _add_others(labels: VideoLabels, result: VideoResult) -> VideoLabels:
    """The labels with the people that a table does not name: they are there, whatever they do."""
    known = {part.found for person in labels.people for part in person.list_parts()}
    others = (LabelledPerson(p.number) for p in result.persons if p.number not in known)
    return replace(labels, people=(*labels.people, *others))


def _find_cut(labels: VideoLabels, share: float) -> float:
    """The time after which a share of the labels lies, in seconds; infinite for none."""
    if not share:
        return math.inf
    stretches = [s for p in labels.people for s in p.stretches]
    edges = sorted({edge for s in stretches for edge in (s.start_s, s.end_s)})
    left = share * labels.labelled_s
    for start_s, end_s in reversed(list(pairwise(edges))):
        n = sum(s.start_s <= start_s and s.end_s >= end_s for s in stretches)
        if n * (end_s - start_s) >= left:
            return end_s - left / n
        left -= n * (end_s - start_s)
    return 0.0


def _cut(labels: VideoLabels, start_s: float, end_s: float) -> VideoLabels:
    """The labels between two times."""

    def inside(stretches: Iterable[Stretch]) -> tuple[Stretch, ...]:
        cut = ((max(s.start_s, start_s), min(s.end_s, end_s), s) for s in stretches)
        return tuple(replace(s, start_s=a, end_s=b) for a, b, s in cut if b > a)

    people = (replace(p, stretches=inside(p.stretches)) for p in labels.people)
    return replace(labels, people=tuple(people))


def _make_record(
    clip: str,
    split: str,
    labels: VideoLabels,
    found: _Result,
    media: Path,
    fps: Fraction,
    every: int,
) -> ClipRecord:
    result = found.result
    n_frames = math.ceil(result.duration_s * fps) + 1
    times = [t for p in labels.people for s in p.stretches for t in (s.start_s, s.end_s)]
    near = (min(times) - CONTEXT_S, max(times) + CONTEXT_S)
    segments, speaking, unlabelled = [], [], [Interval(WEARER, 0, n_frames)]
    tracks: dict[int, tuple[TrackRows, ...]] = {}
    for person in labels.people:
        pairs = [(s.label, _to_segment(person.number, s, fps)) for s in person.stretches]
        pairs = [(label, segment) for label, segment in pairs if segment.n_frames > 0]
        own = [segment for _, segment in pairs]
        segments += own
        speaking += [
            Interval(person.number, s.start_frame, s.last_frame)
            for label, s in pairs
            if label != SILENT
        ]
        unlabelled += _list_gaps(person.number, own, n_frames)
        rows = _list_boxes(person, result, fps, near)
        if rows is not None:
            tracks[person.number] = (rows,)
    what = [labels.to_json(), str(fps), every, split, fingerprint_people(result)]
    return ClipRecord(
        clip=clip,
        split=split,
        media=media,
        segments=tuple(segments),
        tracks=tracks,
        fingerprint=config_hash(what),
        speaking=tuple(sorted(speaking)),
        every=every,
        facts=MediaFacts(fps=fps),
        unlabelled={TALKING: tuple(unlabelled), SPEAKING: tuple(unlabelled)},
    )


def _to_segment(person: int, stretch: Stretch, fps: Fraction) -> Segment:
    """The frames that begin within a stretch."""
    first, end = (math.ceil(float(t * fps) - 1e-6) for t in (stretch.start_s, stretch.end_s))
    return Segment(person, first, end - 1, int(stretch.label == TO_ME))


def _list_gaps(person: int, segments: Sequence[Segment], n_frames: int) -> list[Interval]:
    """The stretches of a person between segments, whose label nobody knows."""
    gaps, start = [], 0
    for segment in sorted(segments, key=lambda s: s.start_frame):
        if segment.start_frame > start:
            gaps.append(Interval(person, start, segment.start_frame - 1))
        start = max(start, segment.last_frame + 1)
    if start <= n_frames:
        gaps.append(Interval(person, start, n_frames))
    return gaps


def _list_boxes(
    person: LabelledPerson, result: VideoResult, fps: Fraction, near: tuple[float, float]
) -> TrackRows | None:
    """The boxes of a labelled person near labelled time, by frame; None without any."""
    frames, boxes = [], []
    for part in person.list_parts():
        own = result.boxes.get(part.found)
        if own is None:
            continue
        inside = (own.time_s >= max(part.start_s, near[0])) & (
            own.time_s < min(part.end_s, near[1])
        )
        frames.append(_to_frames(own, fps)[inside])
        boxes.append(own.box[inside])
    if not sum(map(len, frames)):
        return None
    frame, first = np.unique(np.concatenate(frames), return_index=True)
    box = np.concatenate(boxes)[first]
    return TrackRows(frame, np.concatenate([box[:, :2], box[:, 2:] - box[:, :2]], axis=1))


def _to_frames(boxes: PersonBoxes, fps: Fraction) -> Ints:
    """(N,) the frame whose start is nearest to each picture's time."""
    frames: Ints = np.floor(boxes.time_s * float(fps) + 0.5 + 1e-6).astype(np.int64)
    return frames


def _name_apart(records: Sequence[ClipRecord]) -> list[ClipRecord]:
    """The records with names that differ: videos in different folders may share one."""
    taken: Counter[str] = Counter()
    named = []
    for record in records:
        taken[record.clip] += 1
        number = taken[record.clip]
        named.append(replace(record, clip=f"{record.clip}-{number}") if number > 1 else record)
    return named
