"""Ego4D's looking-at-me challenge test set: face pictures of the tracks of a video, without sound.

`<root>/<video>/<track>/<frame>_<unique id>.jpg`, as the challenge's baseline reads them; names
without a frame number, `<unique id>.jpg`, are taken in order, one track after the other.
"""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import numpy as np

from quavf.core.errors import AnnotationError
from quavf.core.names import is_safe_name
from quavf.core.records import ClipIndex, CroppedClip, SourceRows
from quavf.sources.folders import explain_unreadable, list_folders
from quavf.utils.files import config_hash

PICTURE = re.compile(r"(?:(?P<frame>[0-9]{1,7})_)?(?P<unique>[^/]+)\.jpe?g", re.IGNORECASE)
PAUSE_FRAMES = 60  # between tracks whose frames are not known, so that nobody sees the other
NO_TRACK = "folders without <track>/<picture>.jpg, left out"
UNNUMBERED = "tracks whose pictures have no frame number, taken in order"
SAME_FRAME = "pictures of a frame that another picture shows, scored like it"
OTHER_FILES = "files in <video>/<track> that are not named <frame>_<unique id>.jpg"


def read_lam(root: Path) -> ClipIndex:
    """All videos below `root`, by name. Raises AnnotationError when there is none."""
    root = Path(root)
    if not root.is_dir():
        raise AnnotationError(f"{root}: no such folder; pass .../videos_challenge")
    folders = list_folders(root)
    for folder in folders:
        if not is_safe_name(folder.name):
            raise AnnotationError(f"{folder}: this name cannot be a video id; rename the folder")
    videos = [video for video in map(_read_video, folders) if video is not None]
    if not videos:
        raise AnnotationError(
            f"{root}: no <video>/<track>/<picture>.jpg in it; pass .../videos_challenge"
        )
    notes = {NO_TRACK: len(folders) - len(videos)} if len(videos) < len(folders) else {}
    return ClipIndex(videos, notes, framing="face")


def _read_video(folder: Path) -> CroppedClip | None:
    """The pictures of a video; persons are its tracks, from 1, in the order of their names."""
    notes: Counter[str] = Counter()
    faces: dict[int, dict[int, Path]] = {}
    persons: list[int] = []
    frames: list[int] = []
    names: list[str] = []
    start = 0  # of the next track without frame numbers
    tracks = sorted((path for path in list_folders(folder)), key=_natural)
    for person, track in enumerate(tracks, 1):
        pictures = _list_pictures(track, start, notes)
        own: dict[int, Path] = {}
        for frame, unique, path in pictures:
            notes[SAME_FRAME] += frame in own
            own.setdefault(frame, path)
            persons.append(person)
            frames.append(frame)
            names.append(f"{track.name}/{unique}")
        if own:
            faces[person] = own
            start = max(start, max(own) + 1 + PAUSE_FRAMES)
    if not names:
        return None
    sizes = [(n, f) for n, f in zip(names, frames, strict=True)]
    paths = [path for own in faces.values() for path in own.values()]
    return CroppedClip(
        clip=folder.name,
        split="test",
        faces=faces,
        sound=None,
        fingerprint=config_hash([sizes, [path.stat().st_size for path in paths]]),
        notes=dict(+notes),
        rows=SourceRows(np.array(persons), np.array(frames), tuple(names)),
    )


def _list_pictures(track: Path, start: int, notes: Counter[str]) -> list[tuple[int, str, Path]]:
    """Frame, unique id and file of each picture of a track, by frame."""
    with explain_unreadable(track):
        paths = sorted(track.iterdir(), key=_natural)
    matches = [(PICTURE.fullmatch(path.name), path) for path in paths if path.is_file()]
    notes[OTHER_FILES] += len(paths) - sum(match is not None for match, _ in matches)
    found = [(match, path) for match, path in matches if match is not None]
    if found and all(match["frame"] for match, _ in found):
        return sorted((int(m["frame"]), m["unique"], path) for m, path in found)
    notes[UNNUMBERED] += bool(found)
    return [(start + k, path.stem, path) for k, (_, path) in enumerate(found)]


def _natural(path: Path) -> list[tuple[int, str]]:
    """Sort key: numbers within a name by their value."""
    parts = re.split(r"(\d+)", path.name)
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in parts]
