"""EasyCom's sessions as clip records: one clip for each piece of a minute.

Format: https://github.com/facebookresearch/EasyComDataset (README). A person talks to the wearer if
the target of the speech is the wearer, participant 2, or the whole group. Who looks at the wearer
follows from the tracked poses of the heads, see `quavf.sources.poses`.
"""

from __future__ import annotations

import json
import logging
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np

from quavf.core.branches import LOOKING
from quavf.core.errors import AnnotationError
from quavf.core.records import (
    TALKING,
    WEARER,
    ClipIndex,
    ClipRecord,
    Floats,
    Interval,
    Ints,
    MediaFacts,
    Segment,
    TrackRows,
)
from quavf.sources.config import EasyComConfig
from quavf.sources.ego4d import MAX_COORDINATE, parse_person
from quavf.sources.folders import explain_unreadable
from quavf.sources.poses import Looks, Pose, Poses, find_looks
from quavf.sources.targets import parse_target
from quavf.utils.files import config_hash

log = logging.getLogger(__name__)

WEARS_GLASSES = 2  # participant
SPLIT_OF = {
    **dict.fromkeys((1, 2, 3, 5, 6, 7, 8, 9), "train"),
    **dict.fromkeys((4, 12), "val"),
    **dict.fromkeys((10, 11), "test"),
}
FPS = Fraction(20)
SIZE = (1920, 1080)  # of the pictures that the boxes are on
LONGEST_GAP = 5  # frames without a box that are filled
PIECE_FRAMES = 1200
FOLDERS = {
    "boxes": "Face_Bounding_Boxes",
    "speech": "Speech_Transcriptions",
    "poses": "Tracked_Poses",
    "video": "Video_Compressed",
    "sound": "Glasses_Microphone_Array_Audio",
}
SESSION, PIECE = re.compile(r"Session_(\d{1,4})"), re.compile(r"\d\d-\d\d-\d{3}")
POINTER = b"version https://git-lfs"
BOX_KEYS = ("x1", "y1", "x2", "y2")
PLACE_KEYS = ("Position_X", "Position_Y", "Position_Z")
TURN_KEYS = ("Quaternion_X", "Quaternion_Y", "Quaternion_Z", "Quaternion_W")

Notes = Counter[str]


def index_easycom(config: EasyComConfig) -> ClipIndex:
    """The pieces that the options of `quavf prepare easycom` select.

    Raises AnnotationError where the files are not there; faults within them are counted.
    """
    root = Path(config.root)
    main = root / "Main" if (root / "Main").is_dir() else root
    boxes = main / FOLDERS["boxes"]
    if not boxes.is_dir():
        raise AnnotationError(
            f"{root}: no Main/{boxes.name} in it; pass the folder of the EasyCom dataset"
        )
    notes: Notes = Counter()
    records = []
    for session, split in _list_sessions(boxes, notes):
        for piece in _list_pieces(main, session, notes):
            record = _Piece(main, session, piece, split, config).read(notes)
            records += [record] if record is not None else []
    if not records:
        raise AnnotationError(f"{boxes}: no Session_<number>/<mm-ss-SSS>.json that can be used")
    return ClipIndex(records, dict(+notes))


def _list_sessions(boxes: Path, notes: Notes) -> list[tuple[str, str]]:
    """Folder and split of each session, by number."""
    with explain_unreadable(boxes):
        matches = [SESSION.fullmatch(path.name) for path in boxes.iterdir() if path.is_dir()]
    numbers = sorted(int(match[1]) for match in matches if match)
    notes["folders that are not named Session_<number>"] += len(matches) - len(numbers)
    notes["sessions of no split, left out"] += sum(n not in SPLIT_OF for n in numbers)
    return [(f"Session_{n}", SPLIT_OF[n]) for n in numbers if n in SPLIT_OF]


def _list_pieces(main: Path, session: str, notes: Notes) -> list[str]:
    """The names of the pieces of a session that have face boxes."""
    found = {}
    for kind in ("boxes", "speech"):
        folder = main / FOLDERS[kind] / session
        with explain_unreadable(folder):
            names = {path.stem for path in folder.glob("*.json")}
        found[kind] = {name for name in names if PIECE.fullmatch(name)}
        notes["files that are not named <mm-ss-SSS>.json"] += len(names) - len(found[kind])
    notes["pieces with speech but without face boxes, left out"] += len(
        found["speech"] - found["boxes"]
    )
    return sorted(found["boxes"])


@dataclass(frozen=True)
class _Piece:
    """One piece of a session, to be read."""

    main: Path
    session: str
    name: str
    split: str
    config: EasyComConfig

    @property
    def clip(self) -> str:
        return f"{self.session}_{self.name}"

    def path(self, kind: str, suffix: str = ".json") -> Path:
        return self.main / FOLDERS[kind] / self.session / f"{self.name}{suffix}"

    def read(self, index_notes: Notes) -> ClipRecord | None:
        """The record; None, counted, if its boxes cannot be read."""
        notes: Notes = Counter()
        raw, boxes_sum = self._load("boxes", notes)
        if raw is None:
            log.warning("clip %s is left out: %s cannot be read", self.clip, self.path("boxes"))
            index_notes["pieces whose face boxes cannot be read, left out"] += 1
            return None
        tracks = _read_tracks(raw, notes)
        speech = _read_speech(self._load("speech", notes)[0], notes)
        looks = self._read_looks(tracks, notes)
        for note, count in sorted((+notes).items()):
            log.warning("clip %s: %s: %d", self.clip, note, count)
        sound = self.path("sound", ".wav")
        labels = [repr(speech.segments), repr(speech.unlabelled)]
        options = [self.config.channels, self.config.every]
        size = sound.stat().st_size if sound.is_file() else None
        return ClipRecord(
            clip=self.clip,
            split=self.split,
            media=self.path("video", ".mp4"),
            segments=speech.segments,
            tracks=tracks,
            fingerprint=config_hash([boxes_sum, *labels, *options, size]),
            notes=dict(+notes),
            speaking=speech.speaking,
            looking=looks.looking,
            every=self.config.every,
            facts=MediaFacts(FPS, size=None if _lie_beyond(tracks) else SIZE, banner=True),
            unlabelled={TALKING: speech.unlabelled, LOOKING: looks.unlabelled},
            sound=sound if sound.is_file() else None,
            channels=tuple(self.config.channels),
        )

    def _load(self, kind: str, notes: Notes) -> tuple[list[Any] | None, str]:
        """The list in a file and the sum of its bytes; None, counted, if there is none."""
        path = self.path(kind)
        if not path.is_file():
            notes[f"pieces without {FOLDERS[kind]}"] += 1
            return None, ""
        with explain_unreadable(path):
            data = path.read_bytes()
        if data.startswith(POINTER):
            raise AnnotationError(
                f"{path}: is a Git LFS pointer, not the file itself; run `git lfs pull` in the "
                "dataset's folder"
            )
        content, is_text = _parse_json(data)
        notes["files with bytes that are no UTF-8, replaced"] += not is_text
        if isinstance(content, dict):  # MATLAB writes a list of one as the one
            content = [content]
        if not isinstance(content, list):
            notes[f"files of {FOLDERS[kind]} that are not a list in JSON"] += 1
            content = None
        return content, sha256(data).hexdigest()

    def _read_looks(self, tracks: dict[int, tuple[TrackRows, ...]], notes: Notes) -> Looks:
        raw, _ = self._load("poses", notes)
        seen = {
            person: np.concatenate([part.frames for part in parts])
            for person, parts in tracks.items()
        }
        poses = None if raw is None else _read_poses(raw, notes)
        return find_looks(poses, seen, self.config.look_angle, PIECE_FRAMES, notes)


def _parse_json(data: bytes) -> tuple[Any, bool]:
    """The content, None if it is no JSON, and whether the bytes are UTF-8."""
    try:
        text, is_text = data.decode("utf-8-sig"), True
    except UnicodeDecodeError:
        text, is_text = data.decode(errors="replace"), False
    try:
        return json.loads(text), is_text
    except (ValueError, RecursionError):
        return None, is_text


def _person(value: Any) -> int | None:
    """The person of a participant's number: 0 for the one with the glasses."""
    if isinstance(value, bool):
        return None
    number = parse_person(int(value) if isinstance(value, float) and value == value else value)
    if number is None or number < 1:
        return None
    return WEARER if number == WEARS_GLASSES else number


def _frame(value: Any) -> int | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return int(value) if 0 <= value < MAX_COORDINATE else None  # also false for NaN


def _rows(raw: list[Any], notes: Notes) -> Iterator[tuple[int, dict[str, Any]]]:
    """Frame as the file counts and entry of each participant of each frame."""
    for item in raw:
        frame = _frame(item.get("Frame_Number")) if isinstance(item, dict) else None
        people = item.get("Participants") if isinstance(item, dict) else None
        if isinstance(people, dict):  # MATLAB writes a list of one as the one
            people = [people]
        if frame is None or not isinstance(people, list):
            notes["frames without a number or a list of participants"] += 1
            continue
        for entry in people:
            if isinstance(entry, dict):
                yield frame, entry


def _numbers(entry: dict[str, Any], keys: tuple[str, ...]) -> list[float] | None:
    values = [entry.get(key) for key in keys]
    if any(isinstance(v, bool) or not isinstance(v, int | float) for v in values):
        return None
    found = [float(value) for value in values]  # type: ignore[arg-type]
    return found if np.isfinite(found).all() else None


def _read_tracks(raw: list[Any], notes: Notes) -> dict[int, tuple[TrackRows, ...]]:
    """Boxes of each person but the wearer; the first frame has the number 1."""
    rows: dict[int, list[tuple[int, list[float]]]] = {}
    for number, entry in _rows(raw, notes):
        person, corners = _person(entry.get("Participant_ID")), _numbers(entry, BOX_KEYS)
        if person is None or corners is None or max(map(abs, corners)) > MAX_COORDINATE:
            notes["boxes without a participant or four numbers"] += 1
        elif person == WEARER:
            notes["boxes of the wearer"] += 1
        elif number < 1:
            notes["boxes of a frame before the first"] += 1
        elif corners[2] <= corners[0] or corners[3] <= corners[1]:
            notes["boxes without a size"] += 1
        else:
            rows.setdefault(person, []).append((number - 1, corners))
    return {person: _split_track(own) for person, own in sorted(rows.items())}


def _split_track(rows: list[tuple[int, list[float]]]) -> tuple[TrackRows, ...]:
    """One track for each stretch without a long gap, so that only short ones are filled."""
    rows = sorted(rows, key=lambda row: row[0])
    frames: Ints = np.array([frame for frame, _ in rows])
    boxes: Floats = np.array([box for _, box in rows])  # (N, 4) xyxy
    xywh = np.column_stack([boxes[:, :2], boxes[:, 2:] - boxes[:, :2]])
    cuts = np.flatnonzero(np.diff(frames) > LONGEST_GAP) + 1
    parts = zip(np.split(frames, cuts), np.split(xywh, cuts), strict=True)
    return tuple(TrackRows(*part) for part in parts)


def _lie_beyond(tracks: dict[int, tuple[TrackRows, ...]]) -> bool:
    """Whether a face is beyond the usual picture: then the boxes are on pictures with a banner."""
    xywh = [part.xywh for parts in tracks.values() for part in parts]
    return any(bool((boxes[:, 0] + boxes[:, 2] / 2 > SIZE[0]).any()) for boxes in xywh)


@dataclass(frozen=True)
class _Speech:
    segments: tuple[Segment, ...] = ()
    speaking: tuple[Interval, ...] | None = None
    unlabelled: tuple[Interval, ...] = ()  # speech whose target is not known


def _read_speech(raw: list[Any] | None, notes: Notes) -> _Speech:
    """Read who speaks, and to whom; frames are numbered from 1, the last one is included."""
    if raw is None:
        return _Speech()
    segments, unlabelled = [], []
    speaking: set[Interval] = set()
    for item in raw:
        entry = item if isinstance(item, dict) else {}
        person = _person(entry.get("Participant_ID"))
        start, last = _frame(entry.get("Start_Frame")), _frame(entry.get("End_Frame"))
        if person is None or start is None or last is None or not max(start, 1) <= last:
            notes["speech without a participant, or that ends before it starts"] += 1
            continue
        start, last = max(start - 1, 0), last - 1
        speaking.add(Interval(person, start, last))
        if person == WEARER:
            continue
        target = parse_target(entry.get("Target_of_Speech"))
        if target is None:
            notes["speech whose target cannot be read, not labelled"] += 1
            unlabelled.append(Interval(person, start, last))
        else:
            segments.append(Segment(person, start, last, int(target.includes(WEARS_GLASSES))))
    return _Speech(tuple(segments), tuple(sorted(speaking)), tuple(unlabelled))


def _read_poses(raw: list[Any], notes: Notes) -> Poses:
    """Where each person's head is and points at each frame that has a usable pose."""
    first = min((n for n, _ in _rows(raw, Counter())), default=0)
    offset = first if first in (0, 1) else 1
    poses: Poses = {}
    for number, entry in _rows(raw, notes):
        person = _person(entry.get("Participant_ID"))
        place, turn = _numbers(entry, PLACE_KEYS), _numbers(entry, TURN_KEYS)
        if person is None or place is None or turn is None or not any(turn):
            notes["poses without a participant or seven usable numbers"] += 1
        elif entry.get("isUpSideDown"):
            notes["poses that are upside down"] += 1
        elif number >= offset:
            poses.setdefault(person, {})[number - offset] = Pose(tuple(place), tuple(turn))
    return poses
