"""The published code's prepared data: face crops and sound of Ego4D's clips.

Below one folder: `faceCrops/<clip>/<person>/<frame>.jpg`, `metaData.json` (where each crop comes
from), `wave/<clip>.wav`, `ttm/<clip>.json` (labels) and `split/train.txt`, `valid.txt`.
"""

from __future__ import annotations

import logging
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

from quavf.core.errors import AnnotationError
from quavf.core.names import is_safe_name
from quavf.core.records import CROP_SIZE, ClipIndex, CropGeometry, CroppedClip, Segment
from quavf.core.semantics import REFERENCE
from quavf.sources.challenge import FACE_NAME
from quavf.sources.config import PublishedConfig
from quavf.sources.ego4d import MAX_COORDINATE, first_few, parse_person, read_splits
from quavf.utils.files import config_hash, read_json

log = logging.getLogger(__name__)

Notes = Counter[str]
Geometry = dict[int, dict[int, CropGeometry]]  # by person, then frame


def index_published(config: PublishedConfig) -> ClipIndex:
    """The clips that the options of `quavf prepare published` select.

    Those of the split lists that have labels. Raises AnnotationError naming file and entry; faults
    of real data are dropped and counted.
    """
    root = Path(config.root)
    meta_path = Path(config.metadata) if config.metadata else root / "metaData.json"
    for path, found in ((root / "faceCrops", Path.is_dir), (meta_path, Path.is_file)):
        if not found(path):
            raise AnnotationError(
                f"{path}: not there; pass the folder of faceCrops, metaData.json, wave, ttm and "
                "split with --root, or a metaData.json from elsewhere with --metadata"
            )
    split_of = read_splits(root / "split")
    metadata = read_json(meta_path)
    if not isinstance(metadata, dict):
        raise AnnotationError(
            f"{meta_path}: expected {{clip: {{person: {{frame: ...}}}}}}, found a "
            f"{type(metadata).__name__}"
        )
    labelled = [clip for clip in split_of if (root / "ttm" / f"{clip}.json").is_file()]
    known = {*labelled, *(clip for clip, split in split_of.items() if split == "test")}
    if missing := [clip for clip in split_of if clip not in known]:
        log.warning("%s: no labels of %d clips: %s", root / "ttm", len(missing), first_few(missing))
    records = [
        _read_clip(root, clip, split_of[clip], meta_path, metadata.get(clip, {}))
        for clip in sorted(labelled)
    ]
    notes = {"clips in a split list without labels": len(missing)} if missing else {}
    return ClipIndex(records, notes, REFERENCE.name)


def _read_clip(root: Path, clip: str, split: str, meta_path: Path, metadata: Any) -> CroppedClip:
    if not is_safe_name(clip):
        raise AnnotationError(f"{root / 'split'}: {clip!r:.60} cannot be a clip id")
    notes: Notes = Counter()
    labels = root / "ttm" / f"{clip}.json"
    segments = _read_segments(labels, notes)
    faces = _find_crops(root / "faceCrops" / clip, notes)
    geometry = _read_geometry(f"{meta_path}: clip {clip}", metadata, faces, notes)
    faces = {
        person: {frame: path for frame, path in own.items() if frame in geometry.get(person, {})}
        for person, own in faces.items()
    }
    sound = root / "wave" / f"{clip}.wav"
    files = [path for own in faces.values() for path in own.values()]
    files += [labels, *([sound] if sound.is_file() else [])]
    sizes = [(str(path.relative_to(root)), path.stat().st_size) for path in files]
    return CroppedClip(
        clip=clip,
        split=split,
        faces=faces,
        sound=sound if sound.is_file() else None,
        fingerprint=config_hash([split, sizes, repr(segments), repr(geometry)]),
        notes=dict(+notes),
        segments=segments,
        geometry=geometry,
    )


def _read_segments(path: Path, notes: Notes) -> tuple[Segment, ...]:
    """The labels of a clip, in file order."""
    items = read_json(path)
    if not isinstance(items, list):
        raise AnnotationError(
            f"{path}: expected a list of segments, found a {type(items).__name__}"
        )
    segments = []
    for index, item in enumerate(items):
        try:
            person, target = parse_person(item["person"]), item["target"]
            start, last = int(item["startFrame"]), int(item["endFrame"])
        except (TypeError, KeyError, ValueError, OverflowError):
            raise AnnotationError(
                f"{path}: segment {index}: expected person, target, startFrame and endFrame, "
                f"found {item!r:.80}"
            ) from None
        if person is None:
            notes["segments whose person is not a number"] += 1
        elif not 0 <= start <= last < MAX_COORDINATE:
            notes["segments that end before they start, or lie outside of any clip"] += 1
        else:
            segments.append(Segment(person, start, last, int(target is not None)))
    return tuple(segments)


def _find_crops(folder: Path, notes: Notes) -> dict[int, dict[int, Path]]:
    """The pictures of a clip by person and frame; other files are counted."""
    faces: dict[int, dict[int, Path]] = {}
    for sub in sorted(folder.iterdir()) if folder.is_dir() else ():
        person = parse_person(sub.name)
        if person is None or person < 1 or not sub.is_dir():
            notes["entries of faceCrops/<clip> that are not named <person>"] += 1
            continue
        for path in sub.iterdir():
            if FACE_NAME.fullmatch(path.name) and path.is_file():
                faces.setdefault(person, {})[int(path.stem)] = path
            else:
                notes["files in faceCrops/<clip>/<person> that are not named <frame>.jpg"] += 1
    return {person: dict(sorted(own.items())) for person, own in sorted(faces.items())}


def _read_geometry(
    where: str, metadata: Any, faces: dict[int, dict[int, Path]], notes: Notes
) -> Geometry:
    """Where the crops come from; those without an entry are counted."""
    geometry: Geometry = {}
    for person, own in faces.items():
        entries = metadata.get(str(person), {}) if isinstance(metadata, dict) else {}
        for frame in own:
            entry = entries.get(str(frame)) if isinstance(entries, dict) else None
            if entry is None:
                notes["pictures without an entry in metaData.json, left out"] += 1
            else:
                found = _parse_geometry(f"{where}: person {person}: frame {frame}", entry)
                geometry.setdefault(person, {})[frame] = found
    return geometry


def _parse_geometry(where: str, entry: Any) -> CropGeometry:
    try:
        left, top, right, bottom = (float(side) for side in entry["origBbox"])
        x1, y1, x2, y2 = (int(side) for side in entry["newBbox"])
        columns, rows = np.reshape([int(end) for end in entry["adjustInfo"]["pad"]], (2, 2))
    except (TypeError, KeyError, ValueError, OverflowError):
        raise _geometry_error(where, entry) from None
    picture = (*_parse_padding(*columns.tolist()), *_parse_padding(*rows.tolist()))
    usable = np.isfinite([left, top, right, bottom]).all() and x1 < x2 and y1 < y2
    if not usable or not (picture[0] < picture[1] and picture[2] < picture[3]):
        raise _geometry_error(where, entry)
    return CropGeometry((left, top, right, bottom), (x1, y1, x2, y2), picture)


def _parse_padding(start: int, end: int) -> tuple[int, int]:
    """The columns (or rows) of a crop that hold the picture; none, (0, 0), for other numbers.

    With padding on the left (at the top) the file has the first column and 224; with padding on the
    right (at the bottom) it has 0 and the width of the padding, not that of the picture.
    """
    if end == CROP_SIZE and 0 <= start < end:
        return start, end
    return (0, CROP_SIZE - end) if start == 0 and 0 < end < CROP_SIZE else (0, 0)


def _geometry_error(where: str, entry: Any) -> AnnotationError:
    return AnnotationError(
        f"{where}: expected origBbox and newBbox (x1, y1, x2, y2) and adjustInfo.pad, found "
        f"{entry!r:.160}"
    )
