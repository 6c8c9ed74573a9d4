"""Ego4D's talking-to-me challenge test set: folders of face pictures and sound.

`<root>/<segment>/face/<frame>.jpg` and `<root>/<segment>/audio/aud.wav`; frame ids are sparse and
count from the segment's start.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from quavf.core.errors import AnnotationError
from quavf.core.names import is_safe_name
from quavf.core.records import ClipIndex, CroppedClip
from quavf.sources.config import ChallengeConfig
from quavf.sources.folders import explain_unreadable, list_folders
from quavf.sources.lam import read_lam
from quavf.utils.files import config_hash

FACE_NAME = re.compile(r"[0-9]{1,9}\.jpe?g", re.IGNORECASE)
NO_FOLDER = "folders without face/, left out"
NO_FACE = "segments without a face picture"
PERSON = 1  # a challenge segment shows one person, without a number


def index_challenge(config: ChallengeConfig) -> ClipIndex:
    """The segments, or videos, that the options of `quavf prepare challenge` select."""
    if config.task == "lam":
        return read_lam(config.root)
    segments = list(read_challenge(config.root))
    notes = Counter({NO_FOLDER: len(list_folders(config.root)) - len(segments)})
    return ClipIndex(segments, dict(+notes), framing="face")


def read_challenge(root: Path) -> Iterator[CroppedClip]:
    """All segments below `root`, by name. Raises AnnotationError when there is none."""
    root = Path(root)
    if not root.is_dir():
        raise AnnotationError(f"{root}: no such folder; pass .../social_test/final_test_data")
    folders = [path for path in list_folders(root) if (path / "face").is_dir()]
    if not folders:
        raise AnnotationError(
            f"{root}: no <segment>/face folder in it; pass .../social_test/final_test_data"
        )
    for folder in folders:
        if not is_safe_name(folder.name):
            raise AnnotationError(f"{folder}: this name cannot be a segment id; rename the folder")
        yield _segment(folder)


def _segment(folder: Path) -> CroppedClip:
    notes: Counter[str] = Counter()
    faces: dict[int, Path] = {}
    with explain_unreadable(folder / "face"):
        found = sorted((folder / "face").iterdir())
    for path in found:
        if not FACE_NAME.fullmatch(path.name) or not path.is_file():
            notes["files in face/ that are not named <frame>.jpg"] += 1
        elif int(path.stem) in faces:
            notes["frames with two pictures"] += 1
        else:
            faces[int(path.stem)] = path
    notes[NO_FACE] += not faces
    sound = folder / "audio" / "aud.wav"
    files = [*faces.values(), *([sound] if sound.is_file() else [])]
    return CroppedClip(
        clip=folder.name,
        split="test",
        faces={PERSON: dict(sorted(faces.items()))},
        sound=sound if sound.is_file() else None,
        fingerprint=config_hash(sorted((path.name, path.stat().st_size) for path in files)),
        notes=dict(+notes),
    )
