"""Find the faces of a video: scan whole pictures once a second, and follow known faces in between.

Scanning a whole picture finely enough for small faces takes about 100 ms. A known face is followed
by a mesh of it, which also reads its lips and where it looks; where the mesh sees nothing, the
detector searches the patch around the face, which takes 3 ms and finds it at a better scale. New
faces are therefore found within a second, and known ones fifteen times a second.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from quavf.core.records import Floats, Image, Ints
from quavf.faces.appearance import DESCRIPTOR, describe_appearance, scene_colours
from quavf.faces.camera import estimate_shift
from quavf.faces.config import SearchConfig
from quavf.faces.detect import Detections, FaceDetector, suppress_overlaps
from quavf.faces.follow import (
    SMALLEST_FOLLOWED,
    FaceFollower,
    KnownFace,
    LookFaces,
    box_side,
    confirm_faces,
    follow_faces,
    meet_faces,
)
from quavf.faces.patches import (
    OVERLAP,
    View,
    box_overlaps,
    filter_by_score,
    merge_faces,
    search_around,
    to_picture,
)
from quavf.faces.turned import ENOUGH, count_turns

KNOWN_FOR_S = 1.0  # how long to look for a face that is not found again
STEADY_S = 0.1  # over which a face's speed is averaged
CROWD, CROWD_S = 6, 0.1  # of more small faces than this, each is searched this rarely
MISSED_S = 0.15  # a face not seen for so long triggers a scan
TIME, BOX, SCORE, MOTION, N_NUMBERS = 0, slice(1, 5), 5, slice(6, 8), 8  # columns of a face


@dataclass
class FaceObservations:
    """All faces found in a video, in order of time."""

    times: Floats  # (N,) s
    boxes: Floats  # (N, 4)
    scores: Floats  # (N,) the detector's
    appearance: Floats  # (N, DESCRIPTOR) NaN: not measured
    camera_motion: Floats  # (N, 2) x, y by which camera turns moved the picture since the start
    cuts: Floats  # (C,) times of camera cuts, s
    cues: Floats = field(default_factory=lambda: np.empty((0, 0)))  # (N, columns of the follower)
    turns: Ints = field(default_factory=lambda: np.zeros(4, np.int64))  # see `count_turns`

    def __len__(self) -> int:
        return len(self.times)

    @property
    def steady_boxes(self) -> Floats:
        """(N, 4) the boxes as they would be if the camera had not turned."""
        return np.asarray(self.boxes - np.tile(self.camera_motion, 2))


@dataclass(frozen=True)
class Scan:
    """A whole picture as it was searched."""

    picture: Image  # RGB, shrunk
    scale: float  # of the picture, over the video's
    faces: Detections  # in pixels of the video; with scores from `FOLLOW_SCORE`
    turns: Ints = field(default_factory=lambda: np.zeros(4, np.int64))  # see `count_turns`

    @classmethod
    def of(cls, detector: FaceDetector, picture: Image, scale: float) -> Scan:
        """Search a whole picture that was shrunk by `scale`."""
        found = detector.detect(picture)
        return cls(picture, scale, to_picture(found, 1 / scale, (0, 0)), count_turns(found))


@dataclass
class ScanTimer:
    """Decides at which looks whole pictures are scanned: the first one, then `rate` a second."""

    rate: float
    period: int = -1  # of the last look

    def is_due(self, time_s: float) -> bool:
        """Whether a new period has begun since the last call; call it once for each look."""
        before, self.period = self.period, int(time_s * self.rate + 1e-6)
        return self.period != before


class FaceSearch:
    """Searches the pictures of one video in order; `observations` returns the faces so far.

    Without a `follower`, the detector alone follows faces, and there are no cues.
    """

    def __init__(
        self, detector: FaceDetector, config: SearchConfig, follower: FaceFollower | None = None
    ) -> None:
        self.detector, self.config, self.follower = detector, config, follower
        self._n_columns = len(follower.columns) if follower else 0
        self._rows = array("d")  # the columns of each face in turn
        self._cues = array("f")  # the same of the follower's
        self._appearance: dict[int, Floats] = {}  # by row, where it was measured
        self._cuts: list[float] = []
        self._known: list[KnownFace] = []
        self._timer = ScanTimer(config.scan_rate)
        self._scene: Floats | None = None
        self._grey: Image | None = None
        self._motion = np.zeros(2)
        self._turns: Ints = np.zeros(4, np.int64)

    def step(self, view: View, scan: Scan | None = None) -> int:
        """Find the faces of one picture and return their number.

        `scan` is the picture's, if it was made ahead; otherwise it is made when needed.
        """
        shift = self._shift(view)
        is_due = self._timer.is_due(view.time_s)
        if self._is_cut(view):
            self._cuts.append(view.time_s)
            self._known, is_due = [], True
        else:
            self._follow_camera(shift)
        is_due = self._lost_one(view.time_s) or is_due
        if scan is None and is_due:
            scan = scan_picture(self.detector, view, self.config.scan_height)
        faces = self._find(view, scan)
        if scan is not None:
            if self._turns.sum() < ENOUGH:
                self._turns += scan.turns
            n_before = len(self._rows) // N_NUMBERS
            for k, box in enumerate(faces.boxes):
                self._appearance[n_before + k] = describe_appearance(
                    scan.picture, box * scan.scale
                ).astype(np.float32)
        for box, score in zip(faces.boxes, faces.scores, strict=True):
            self._rows.extend([view.time_s, *box, score, *self._motion])
        self._cues.extend(faces.cues.ravel().tolist())
        self._remember(faces, view.time_s)
        return len(faces)

    def observations(self) -> FaceObservations:
        """The faces found so far."""
        rows = np.array(self._rows).reshape(-1, N_NUMBERS)
        appearance = np.full((len(rows), DESCRIPTOR), np.nan, np.float32)
        for k, descriptor in self._appearance.items():
            appearance[k] = descriptor
        times, boxes, scores, motion = (rows[:, c] for c in (TIME, BOX, SCORE, MOTION))
        cues = np.array(self._cues, np.float32).reshape(len(rows), self._n_columns)
        cuts = np.array(self._cuts, float)
        turns = self._turns.copy()
        return FaceObservations(times, boxes, scores, appearance, motion, cuts, cues, turns)

    def resume(self, found: FaceObservations) -> None:
        """Continue an interrupted search."""
        columns = found.times, found.boxes, found.scores, found.camera_motion
        self._rows = array("d", np.column_stack(columns).ravel())
        self._cues = array("f", found.cues.ravel().tolist())
        described = np.flatnonzero(~np.isnan(found.appearance).all(axis=1))
        self._appearance = {int(k): found.appearance[k] for k in described}
        self._cuts = found.cuts.tolist()
        self._turns = found.turns.copy()
        if len(found):
            self._motion = found.camera_motion[-1]

    def _shift(self, view: View) -> Floats:
        """(2,) pixels by which the picture moved since the last one."""
        grey = view.grey()
        before, self._grey = self._grey, grey
        if before is None:
            return np.zeros(2)
        return estimate_shift(before, grey) * view.size / grey.shape[::-1]

    def _follow_camera(self, shift: Floats) -> None:
        """Shift the known faces as the camera moved the picture."""
        self._motion = self._motion + shift
        for known in self._known:
            known.box = known.box + np.tile(shift, 2)

    def _is_cut(self, view: View) -> bool:
        scene = scene_colours(view.sketch())
        before, self._scene = self._scene, scene
        if before is None:
            return False
        return bool(np.abs(scene - before).sum() / 2 > self.config.cut_change)

    def _lost_one(self, time_s: float) -> bool:
        """Whether a known face was just lost; each loss counts once."""
        lost = [k for k in self._known if time_s - k.seen_s > MISSED_S and not k.reported]
        for known in lost:
            known.reported = True
        return bool(lost)

    def _find(self, view: View, scan: Scan | None) -> LookFaces:
        """The faces of one picture: followed ones first, then those that the detector finds."""
        followed, others = self._follow(view, is_checked=scan is not None)
        others = _thin_crowd(others, view.time_s)
        parts = [search_around(self.detector, view, k.expected_box(view.time_s)) for k in others]
        by_patch = sum(len(part) for part in parts)
        if scan is not None:
            parts.append(filter_by_score(scan.faces, self.config.min_score))
        found, rows = merge_faces(parts)
        if len(followed) and len(found):
            free = box_overlaps(found.boxes, followed.boxes).max(axis=1) <= OVERLAP
            found, rows = Detections(found.boxes[free], found.scores[free]), rows[free]
        if self.follower is None:
            n = len(found)
            new = LookFaces(found.boxes, found.scores, np.empty((n, 0)), np.full((n, 4), np.nan))
        else:
            new = meet_faces(self.follower, view, found, self.config.min_score)
            new.shifts[rows >= by_patch] = np.nan  # first seen closely at the next look
        return followed.join(new)

    def _follow(self, view: View, is_checked: bool) -> tuple[LookFaces, list[KnownFace]]:
        """Faces that the mesh follows to this picture, and the known faces that it does not.

        When checked, a face counts only if the detector sees it too: so nothing but a face is
        followed for longer than the time between two scans.
        """
        can = [k for k in self._known if k.shift is not None] if self.follower else []
        others = [k for k in self._known if k not in can]
        if self.follower is None or not can:
            return LookFaces.none(self._n_columns), others
        faces, seen = follow_faces(self.follower, view, can)
        lost = [k for k, is_seen in zip(can, seen, strict=True) if not is_seen]
        if is_checked:
            near = [search_around(self.detector, view, box) for box in faces.boxes[seen]]
            faces, confirmed = confirm_faces(faces, merge_faces(near)[0])
            seen = seen & confirmed
        for known, is_seen in zip(can, seen, strict=True):
            known.shift = known.shift if is_seen else None
        faces = faces.take(seen)
        rows = suppress_overlaps(faces.boxes, faces.scores, OVERLAP)
        return faces.take(rows), others + lost

    def _remember(self, faces: LookFaces, time_s: float) -> None:
        """Keep the faces to follow: those just found, and for a while those that were missed."""
        left = list(self._known)
        known: list[KnownFace] = []
        for box, score, shift in zip(faces.boxes, faces.scores, faces.shifts, strict=True):
            before = _nearest(box, left, time_s)
            speed = np.zeros(4)
            if before is not None:
                left.remove(before)
                passed_s = time_s - before.seen_s
                speed = np.tile(_centre(box) - _centre(before.box), 2) / passed_s
                speed = before.speed + min(passed_s / STEADY_S, 1.0) * (speed - before.speed)
            by_mesh = None if np.isnan(shift).any() else shift
            known.append(KnownFace(box, time_s, speed, float(score), by_mesh))
        known += [k for k in left if time_s - k.seen_s < KNOWN_FOR_S]
        self._known = known


def scan_picture(detector: FaceDetector, view: View, height: int) -> Scan:
    """Search a whole picture, shrunk to a height; independent of earlier pictures."""
    return Scan.of(detector, *shrink_picture(view, height))


def shrink_picture(view: View, height: int) -> tuple[Image, float]:
    """A whole picture, of a height at most, and its scale."""
    full = view.size
    height = min(height, full[1])
    picture = view.rgb((0, 0, *full), (max(round(full[0] * height / full[1]), 1), height))
    return picture, height / full[1]


def _thin_crowd(known: list[KnownFace], time_s: float) -> list[KnownFace]:
    """The known faces to search now: of many small ones, those not seen for `CROWD_S`."""
    small = [k for k in known if box_side(k.box) < SMALLEST_FOLLOWED]
    if len(small) <= CROWD:
        return known
    return [k for k in known if k not in small or time_s - k.seen_s > CROWD_S]


def _centre(box: Floats) -> Floats:
    return np.asarray((box[:2] + box[2:]) / 2)


def _nearest(box: Floats, known: Sequence[KnownFace], time_s: float) -> KnownFace | None:
    """The known face closest to a box, within 1.5 face sizes of where it is expected."""
    best, shortest = None, float(box_side(box)) * 1.5
    for candidate in known:
        distance = float(np.linalg.norm(_centre(box) - _centre(candidate.expected_box(time_s))))
        if distance < shortest:
            best, shortest = candidate, distance
    return best
