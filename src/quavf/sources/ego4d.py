"""Ego4D audio-visual annotations (`av_train.json`, `av_val.json`) as clip records.

Format: https://ego4d-data.org/docs/data/annotations-schemas/ (AV benchmark); the talking-to-me
label: a `social_segments_talking` item is positive if and only if its `target` is not null.
Looking at me: every `social_segments_looking` item is positive, whatever its `is_at_me`. Speaking:
the `voice_segments` of every person and of the wearer.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import NoneType
from typing import Any

import numpy as np

from quavf.core.errors import AnnotationError
from quavf.core.names import is_safe_name
from quavf.core.records import (
    WEARER,
    ClipIndex,
    ClipRecord,
    Floats,
    Interval,
    Intervals,
    Segment,
    TrackRows,
)
from quavf.core.semantics import Semantics, get_semantics
from quavf.sources.config import Ego4dConfig
from quavf.sources.facts import read_facts
from quavf.utils.files import config_hash, read_json, read_text

log = logging.getLogger(__name__)

ANNOTATION_FILES = {"train": "av_train.json", "val": "av_val.json"}
SPLIT_FILES = {"train": ("train",), "val": ("val", "valid"), "test": ("test",)}
MEDIA_SUFFIXES = (".mp4", ".MP4", ".mov", ".mkv", ".webm", ".avi")
MAX_COORDINATE = 1e6  # pixels, frames: beyond it a box is a typing error, not a face
MAX_PERSON = 10**9  # so that every id fits into the store's columns
TRACK_KEYS = ("frame", "x", "y", "width", "height")


@dataclass
class Ego4dIndex:
    """All annotated clips, in file order, with counts of their faults."""

    records: list[ClipRecord] = field(default_factory=list)
    clips: set[str] = field(default_factory=set)  # every annotated id, in a split or not
    notes: Counter[str] = field(default_factory=Counter)


def read_ego4d(
    annotations: Path,
    clips: Path,
    splits: Path | None,
    semantics: Semantics,
    size: tuple[int, int] | None = None,
) -> Ego4dIndex:
    """Every annotated clip of the train and val splits, with labels and one track a person.

    `splits` is a folder of id lists (`train.txt`, `val.txt` or `valid.txt`, `test.txt`, also
    `.list`); without it the annotation file decides the split. `size` is that of the annotated
    pictures, if the annotations do not say it. Raises AnnotationError naming file
    and field; faults of real data are corrected or dropped, and counted in `notes`.
    """
    split_of = read_splits(splits) if splits is not None else None
    index = Ego4dIndex()
    found = [p for p in (annotations / name for name in ANNOTATION_FILES.values()) if p.is_file()]
    if not found:
        names = " or ".join(ANNOTATION_FILES.values())
        raise AnnotationError(f"{annotations}: no {names} here; pass the folder that holds them")
    for split, name in ANNOTATION_FILES.items():
        if annotations / name in found:
            for raw in _clips(annotations / name):
                chosen = split if split_of is None else split_of
                _add_clip(index, raw, chosen, clips, semantics, size)
    if split_of is not None:
        _note_unknown(index, split_of, splits)
    return index


def index_ego4d(config: Ego4dConfig) -> ClipIndex:
    """The clips that the options of `quavf prepare ego4d` select. See `read_ego4d`."""
    semantics, splits = get_semantics(config.semantics), config.splits
    folder = Path(splits) if splits else None
    index = read_ego4d(Path(config.annotations), Path(config.clips), folder, semantics, config.size)
    records = [_keep_every(record, config.every) for record in index.records]
    return ClipIndex(records, dict(index.notes), config.semantics)


def _keep_every(record: ClipRecord, every: int) -> ClipRecord:
    """Keep more faces of a clip, under another fingerprint."""
    if not every:
        return record
    return replace(record, every=every, fingerprint=config_hash([record.fingerprint, every]))


def read_splits(folder: Path) -> dict[str, str]:
    """Clip id to split, from lists with one id a line. Raises AnnotationError."""
    split_of: dict[str, str] = {}
    for split, stems in SPLIT_FILES.items():
        for path in (folder / f"{stem}{end}" for stem in stems for end in (".txt", ".list")):
            if not path.is_file():
                continue
            for clip in _lines(path):
                if split_of.setdefault(clip, split) != split:
                    raise AnnotationError(
                        f"{path}: clip {clip} is in {split!r} and in {split_of[clip]!r}; "
                        "keep it in one split"
                    )
    if not split_of:
        raise AnnotationError(
            f"{folder}: no clip ids in train.txt, val.txt (valid.txt) or test.txt (or .list)"
        )
    return split_of


def _lines(path: Path) -> list[str]:
    try:
        return read_text(path).split()
    except (OSError, UnicodeDecodeError) as error:
        raise AnnotationError(
            f"{path}: cannot be read ({error}); expected a text file with one clip id a line"
        ) from None


def _clips(path: Path) -> Iterator[dict[str, Any]]:
    content = read_json(path)
    for v, video in enumerate(_get(content, "videos", list, path)):
        where = f"{path}: videos[{v}]"
        for c, raw in enumerate(_get(video, "clips", list, where)):
            _get(raw, "clip_uid", str, f"{where}.clips[{c}]")
            about = video.get("video_metadata")
            yield {**raw, "_where": f"{path}: clip {_short(raw['clip_uid'])}", "_video": about}


def _add_clip(
    index: Ego4dIndex,
    raw: dict[str, Any],
    split_of: str | dict[str, str],
    media_folder: Path,
    semantics: Semantics,
    size: tuple[int, int] | None,
) -> None:
    clip, where, about = raw["clip_uid"], raw.pop("_where"), raw.pop("_video")
    if not is_safe_name(clip):
        raise AnnotationError(
            f"{where}: this clip_uid cannot name a file; use at most 200 letters, digits, _ - ."
            " (as in Ego4D's own ids)"
        )
    if clip in index.clips:
        raise AnnotationError(f"{where}: this clip is annotated twice; remove one of them")
    split = split_of if isinstance(split_of, str) else split_of.get(clip)
    index.clips.add(clip)
    if split is None:
        index.notes["clips not in any split list"] += 1
        return
    notes: Counter[str] = Counter()
    segments = tuple(_segments(raw, where, notes))
    tracks = _tracks(raw, where, semantics, notes)
    speaking = _read_speaking(raw, where, semantics, notes)
    looking = _read_looking(raw, where, notes)
    people = {segment.person for segment in segments if segment.person != WEARER}
    notes["people who are labelled but have no track"] += len(people - set(tracks))
    for note, count in sorted((+notes).items()):
        log.warning("clip %s: %s: %d", clip, note, count)
    media = media_path(media_folder, clip)
    index.records.append(
        ClipRecord(
            clip,
            split,
            media,
            segments,
            tracks,
            config_hash(raw if size is None else [raw, size]),
            dict(+notes),
            speaking=speaking,
            looking=looking,
            facts=read_facts(raw, about, size),
        )
    )


def _segments(raw: dict[str, Any], where: str, notes: Counter[str]) -> Iterator[Segment]:
    """Every labelled segment of a known person; person 0 (the wearer) and -1 (unknown) included."""
    for s, item in enumerate(_get(raw, "social_segments_talking", list, where)):
        at = f"{where}: social_segments_talking[{s}]"
        start = _get(item, "start_frame", (int, float), at)
        last = _get(item, "end_frame", (int, float), at)
        if item.get("person") is None:
            notes["segments without a person"] += 1
            continue
        person = parse_person(item["person"])
        if person is None:
            notes["segments whose person is not a number"] += 1
        elif not 0 <= start <= last < MAX_COORDINATE:  # also false for NaN
            notes["segments that end before they start, or lie outside of any clip"] += 1
        else:
            yield Segment(person, int(start), int(last), int(item.get("target") is not None))


def _read_speaking(
    raw: dict[str, Any], where: str, semantics: Semantics, notes: Counter[str]
) -> Intervals:
    """The voice segments of all persons; None if there is none, which is no label.

    The wearer's stand among `persons`, in `camera_wearer` or in both.
    """
    found: set[Interval] = set()
    owners: list[tuple[str, int | None, Any]] = [
        (f"persons[{p}]", p, person) for p, person in enumerate(raw["persons"])
    ]
    if isinstance(raw.get("camera_wearer"), dict):
        owners.append(("camera_wearer", None, raw["camera_wearer"]))
    for name, position, person in owners:
        own = parse_person(person.get("person_id"))
        if position is None or _is_wearer(position, person, own, semantics):
            own = WEARER
        if own is None or person.get("voice_segments") is None:
            continue
        items = _get(person, "voice_segments", list, f"{where}: {name}")
        spans = _spans(items, f"{where}: {name}.voice_segments", notes, "voice segments")
        found |= {Interval(own, *span) for span, _ in spans}
    return tuple(sorted(found)) or None


def _read_looking(raw: dict[str, Any], where: str, notes: Counter[str]) -> Intervals:
    """Who looks at the wearer; None where no social segment of any kind is annotated."""
    kind, key = "looking segments", "social_segments_looking"
    if raw.get(key) is None:
        return None
    items, found = _get(raw, key, list, where), set()
    for span, item in _spans(items, f"{where}: {key}", notes, kind):
        person = parse_person(item.get("person"))
        if person is None:
            notes[f"{kind} without the number of a person"] += 1
        else:
            found.add(Interval(person, *span))
    return tuple(sorted(found)) if items or raw["social_segments_talking"] else None


def _spans(
    items: list[Any], where: str, notes: Counter[str], kind: str
) -> Iterator[tuple[tuple[int, int], dict[str, Any]]]:
    """First and last frame of each item, with the item; unusable ones are counted."""
    for s, item in enumerate(items):
        start = _get(item, "start_frame", (int, float, NoneType), f"{where}[{s}]")
        last = _get(item, "end_frame", (int, float, NoneType), f"{where}[{s}]")
        if start is None or last is None or not 0 <= start <= last < MAX_COORDINATE:
            notes[f"{kind} that end before they start, or lie outside of any clip"] += 1
        else:
            yield (int(start), int(last)), item


def _tracks(
    raw: dict[str, Any], where: str, semantics: Semantics, notes: Counter[str]
) -> dict[int, tuple[TrackRows, ...]]:
    tracks: dict[int, tuple[TrackRows, ...]] = {}
    for p, person in enumerate(_get(raw, "persons", list, where)):
        at = f"{where}: persons[{p}]"
        person_id = parse_person(_get(person, "person_id", (str, int), at))
        if person_id is None:
            notes["persons whose id is not a number"] += 1
            continue
        if _is_wearer(p, person, person_id, semantics):
            continue
        for t, path in enumerate(_get(person, "tracking_paths", list, at)):
            rows = _get(path, "track", list, f"{at}.tracking_paths[{t}]")
            values = _track_rows(rows, notes)
            track = TrackRows(values[:, 0].astype(np.int64), values[:, 1:])
            tracks[person_id] = (*tracks.get(person_id, ()), track)
    return tracks


def _is_wearer(
    position: int, person: dict[str, Any], person_id: int | None, semantics: Semantics
) -> bool:
    if semantics.wearer_by_position:
        return position == 0
    return bool(person.get("camera_wearer")) or person_id == WEARER


def _track_rows(rows: list[Any], notes: Counter[str]) -> Floats:
    """(N, 5): frame, x, y, width, height; rows that are not such numbers are dropped, counted."""
    values = np.full((len(rows), len(TRACK_KEYS)), np.nan)
    for r, row in enumerate(rows):
        try:
            values[r] = [float(row[key]) for key in TRACK_KEYS]
        except (TypeError, KeyError, ValueError, OverflowError):
            continue
    usable = np.isfinite(values).all(axis=1) & (np.abs(values) < MAX_COORDINATE).all(axis=1)
    usable &= values[:, 0] >= 0
    notes["track rows without five usable numbers"] += int((~usable).sum())
    return np.asarray(values[usable])


def parse_person(value: Any) -> int | None:
    """The number in an id such as 3, "3" or "'3'"; None when there is none."""
    try:
        number = int(str(value).strip(" '\""))
    except ValueError:
        return None
    return number if abs(number) < MAX_PERSON else None


def media_path(folder: Path, clip: str) -> Path:
    """The file of a clip, with any suffix of a video; the .mp4 that should be there if none is."""
    paths = (folder / f"{clip}{suffix}" for suffix in MEDIA_SUFFIXES)
    return next((path for path in paths if path.is_file()), folder / f"{clip}.mp4")


def _get(item: Any, key: str, kind: type | tuple[type, ...], where: object) -> Any:
    """item[key]; raises AnnotationError that says where, and what was expected and found."""
    if not isinstance(item, dict):
        raise AnnotationError(f"{where}: expected an object with {key!r}, found {_short(item)}")
    if key not in item:
        raise AnnotationError(f"{where}: {key!r} is missing; is this an Ego4D AV annotation file?")
    kinds = kind if isinstance(kind, tuple) else (kind,)
    if not isinstance(item[key], kinds) or isinstance(item[key], bool):
        names = " or ".join(k.__name__ for k in kinds)
        raise AnnotationError(f"{where}: {key!r} should be {names}, found {_short(item[key])}")
    return item[key]


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _note_unknown(index: Ego4dIndex, split_of: dict[str, str], folder: Path | None) -> None:
    """Count listed clips that no annotation knows; the test split has none by design."""
    unknown = sorted(
        clip for clip, split in split_of.items() if split != "test" and clip not in index.clips
    )
    if unknown:
        index.notes["clips in a split list without annotations"] += len(unknown)
        log.warning(
            "%s: %d clips have no annotations: %s", folder, len(unknown), first_few(unknown)
        )


def first_few(names: Iterable[object], n: int = 3) -> str:
    """The first few names, for a message."""
    names = list(names)
    return ", ".join(map(str, names[:n])) + (", ..." if len(names) > n else "")
