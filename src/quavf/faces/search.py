"""Find the faces of a video: scan whole pictures once a second, and follow known faces in between.

Scanning a whole picture finely enough for small faces takes about 100 ms. Searching the patch
around a known face takes 3 ms and finds it at a better scale. New faces are therefore found within
a second, and known ones ten times a second.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import cv2
import numpy as np

from quavf.core.records import Floats, Image
from quavf.faces.camera import estimate_shift
from quavf.faces.config import SearchConfig
from quavf.faces.detect import Detections, FaceDetector, suppress_overlaps

PATCH_GROWTH = 3.0  # side of the patch around a known face, over the face's
PATCH_SHARE = 0.3  # of the picture's height: the patch's shortest side, room for small fast faces
PATCH_FACE = 48  # pixels of the face in the patch, where the detector works best
LONGEST_PATCH = 384  # pixels, whatever the face
FOLLOW_SCORE = 0.3  # detector's score for a face where one was known; new ones need more
BORDER = 0.02  # of a patch: a face this close to its border is cut off by it
OVERLAP = 0.4  # boxes that overlap more are one face
KNOWN_FOR_S = 1.0  # how long to look for a face that is not found again
MISSED_S = 0.15  # a face not seen for so long triggers a scan
HUES, SATURATIONS = 12, 4
DESCRIPTOR = 2 * HUES * SATURATIONS  # length of an appearance descriptor
SCENE_BINS = 4  # of each colour
TIME, BOX, SCORE, MOTION, N_NUMBERS = 0, slice(1, 5), 5, slice(6, 8), 8  # columns of a face


class View(Protocol):
    """A picture that is decoded as far as needed."""

    @property
    def time_s(self) -> float: ...

    @property
    def size(self) -> tuple[int, int]: ...

    def rgb(self, region: tuple[int, int, int, int], size: tuple[int, int]) -> Image:
        """A region (x1, y1, x2, y2) brought to `size` (width, height)."""
        ...

    def sketch(self) -> Image: ...

    def grey(self) -> Image: ...


@dataclass
class FaceObservations:
    """All faces found in a video, in order of time."""

    times: Floats  # (N,) s
    boxes: Floats  # (N, 4)
    scores: Floats  # (N,) the detector's
    appearance: Floats  # (N, DESCRIPTOR) NaN: not measured
    camera_motion: Floats  # (N, 2) x, y by which camera turns moved the picture since the start
    cuts: Floats  # (C,) times of camera cuts, s

    def __len__(self) -> int:
        return len(self.times)

    @property
    def steady_boxes(self) -> Floats:
        """(N, 4) the boxes as they would be if the camera had not turned."""
        return np.asarray(self.boxes - np.tile(self.camera_motion, 2))


@dataclass(eq=False)
class _KnownFace:
    box: Floats  # as last seen, shifted with the camera since
    seen_s: float
    speed: Floats  # (4,) pixels per second of each side, without the camera's motion
    reported: bool = False  # as lost


class FaceSearch:
    """Searches the pictures of one video in order; `observations` returns the faces so far."""

    def __init__(self, detector: FaceDetector, config: SearchConfig) -> None:
        self.detector, self.config = detector, config
        self._rows = array("d")  # the columns of each face in turn
        self._appearance: dict[int, Floats] = {}  # by row, where it was measured
        self._cuts: list[float] = []
        self._known: list[_KnownFace] = []
        self._scanned_s = -np.inf
        self._scene: Floats | None = None
        self._grey: Image | None = None
        self._motion = np.zeros(2)

    def step(self, view: View) -> int:
        """Find the faces of one picture and return their number."""
        shift = self._shift(view)
        if self._is_cut(view):
            self._cuts.append(view.time_s)
            self._known, self._scanned_s = [], -np.inf
        else:
            self._follow_camera(shift)
        scan = view.time_s - self._scanned_s >= 1 / self.config.scan_rate - 1e-6
        scan = scan or self._lost_one(view.time_s)
        faces = self._search_patches(view)
        n_before = len(self._rows) // N_NUMBERS
        if scan:
            self._scanned_s = view.time_s
            width, height = view.size
            scan_height = min(self.config.scan_height, height)
            scan_size = max(round(width * scan_height / height), 1), scan_height
            picture = view.rgb((0, 0, width, height), scan_size)
            faces = _merge([faces, self._scan(view, picture)])
            scale = scan_height / height
            for k, box in enumerate(faces.boxes):
                self._appearance[n_before + k] = describe_appearance(picture, box * scale).astype(
                    np.float32
                )
        for box, score in zip(faces.boxes, faces.scores, strict=True):
            self._rows.extend([view.time_s, *box, score, *self._motion])
        self._remember(faces.boxes, view.time_s)
        return len(faces)

    def observations(self) -> FaceObservations:
        """The faces found so far."""
        rows = np.array(self._rows).reshape(-1, N_NUMBERS)
        appearance = np.full((len(rows), DESCRIPTOR), np.nan, np.float32)
        for k, descriptor in self._appearance.items():
            appearance[k] = descriptor
        times, boxes, scores, motion = (rows[:, c] for c in (TIME, BOX, SCORE, MOTION))
        return FaceObservations(
            times, boxes, scores, appearance, motion, np.array(self._cuts, float)
        )

    def resume(self, found: FaceObservations) -> None:
        """Continue an interrupted search."""
        columns = found.times, found.boxes, found.scores, found.camera_motion
        self._rows = array("d", np.column_stack(columns).ravel())
        described = np.flatnonzero(~np.isnan(found.appearance).all(axis=1))
        self._appearance = {int(k): found.appearance[k] for k in described}
        self._cuts = found.cuts.tolist()
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

    def _scan(self, view: View, picture: Image) -> Detections:
        scale = view.size[1] / picture.shape[0]
        return _filter_by_score(
            _to_picture(self.detector.detect(picture), scale, (0, 0)), self.config.min_score
        )

    def _search_patches(self, view: View) -> Detections:
        parts = []
        for known in self._known:
            box = known.box + known.speed * (view.time_s - known.seen_s)
            region, scale = search_patch(box, view.size)
            if region[2] - region[0] < 16 or region[3] - region[1] < 16:
                continue
            wide, high = region[2] - region[0], region[3] - region[1]
            size = max(round(wide * scale), 16), max(round(high * scale), 16)
            faces = self.detector.detect(view.rgb(region, size))
            faces = _to_picture(faces, wide / size[0], region[:2])
            parts.append(_filter_by_score(_drop_cut_off(faces, region, view.size), FOLLOW_SCORE))
        return _merge(parts)

    def _remember(self, boxes: Floats, time_s: float) -> None:
        """Keep the faces to follow: those just found, and for a while those that were missed."""
        left = list(self._known)
        known: list[_KnownFace] = []
        for box in boxes:
            before = _nearest(box, left, time_s)
            speed = np.zeros(4)
            if before is not None:
                left.remove(before)
                speed = np.tile(_centre(box) - _centre(before.box), 2) / (time_s - before.seen_s)
            known.append(_KnownFace(box, time_s, speed))
        known += [k for k in left if time_s - k.seen_s < KNOWN_FOR_S]
        self._known = known


def search_patch(box: Floats, size: tuple[int, int]) -> tuple[tuple[int, int, int, int], float]:
    """Region (x1, y1, x2, y2) of the picture to search around a face, and its scale."""
    side = float(np.max(box[2:] - box[:2]))
    half = max(PATCH_GROWTH * side, PATCH_SHARE * size[1]) / 2
    centre = (box[:2] + box[2:]) / 2
    low = np.clip(np.floor(centre - half), 0, size).astype(int)
    high = np.clip(np.ceil(centre + half), 0, size).astype(int)
    scale = min(PATCH_FACE / max(side, 1.0), LONGEST_PATCH / (2 * half), 2.0)
    return (int(low[0]), int(low[1]), int(high[0]), int(high[1])), scale


def scene_colours(sketch: Image) -> Floats:
    """(64,) share of the picture's samples in each bin of a coarse colour histogram."""
    coarse = sketch.reshape(-1, 3).astype(np.int64) * SCENE_BINS // 256
    index = (coarse[:, 0] * SCENE_BINS + coarse[:, 1]) * SCENE_BINS + coarse[:, 2]
    shares: Floats = np.bincount(index, minlength=SCENE_BINS**3) / len(index)
    return shares


def describe_appearance(picture: Image, box: Floats) -> Floats:
    """(DESCRIPTOR,) colours of a face with its hair, and of the clothes below it.

    Two histograms of hue and saturation, square roots of shares: their dot products are
    Bhattacharyya coefficients. NaN where less than half of a part is inside the picture.
    """
    x1, y1, x2, y2 = box
    w, h = x2 - x1, y2 - y1
    face = (x1 - 0.15 * w, y1 - 0.3 * h, x2 + 0.15 * w, y2)
    chest = (x1 - 0.4 * w, y2 + 0.25 * h, x2 + 0.4 * w, y2 + 1.1 * h)
    return np.concatenate([_colours(picture, part) for part in (face, chest)])


def similarity(a: Floats, b: Floats) -> float:
    """Similarity of two descriptors, 0 to 1; NaN when they have no part in common."""
    halves = np.stack([a * b]).reshape(2, -1).sum(axis=1)  # NaN for a part that one lacks
    there = halves[~np.isnan(halves)]
    return float(there.mean()) if len(there) else float("nan")


def _colours(picture: Image, part: Sequence[float]) -> Floats:
    height, width = picture.shape[:2]
    x1, y1, x2, y2 = (round(float(side)) for side in part)
    area = max(x2 - x1, 1) * max(y2 - y1, 1)
    x1, y1, x2, y2 = max(x1, 0), max(y1, 0), min(x2, width), min(y2, height)
    if (x2 - x1) * (y2 - y1) < area / 2 or x2 - x1 < 2 or y2 - y1 < 2:
        return np.full(HUES * SATURATIONS, np.nan)
    hsv = cv2.cvtColor(picture[y1:y2, x1:x2], cv2.COLOR_RGB2HSV)
    counts: Any = cv2.calcHist([hsv], [0, 1], None, [HUES, SATURATIONS], [0, 180, 0, 256])
    return np.asarray(np.sqrt(counts.ravel() / counts.sum()))


def _to_picture(faces: Detections, scale: float, corner: Sequence[int]) -> Detections:
    offset = np.array([*corner, *corner], float)
    return Detections(faces.boxes * scale + offset, faces.scores)


def _drop_cut_off(
    faces: Detections, region: tuple[int, int, int, int], size: tuple[int, int]
) -> Detections:
    """Drop faces cut off by the region's border, unless the picture ends there too."""
    margin = BORDER * min(region[2] - region[0], region[3] - region[1])
    low = np.where(np.array(region[:2]) > 0, np.array(region[:2]) + margin, -np.inf)
    high = np.where(np.array(region[2:]) < size, np.array(region[2:]) - margin, np.inf)
    whole = np.all((faces.boxes[:, :2] >= low) & (faces.boxes[:, 2:] <= high), axis=1)
    return Detections(faces.boxes[whole], faces.scores[whole])


def _filter_by_score(faces: Detections, min_score: float) -> Detections:
    keep = faces.scores >= min_score
    return Detections(faces.boxes[keep], faces.scores[keep])


def _merge(parts: Sequence[Detections]) -> Detections:
    """Keep the best of several detections of one face."""
    if not parts:
        return Detections.none()
    boxes = np.concatenate([p.boxes for p in parts])
    scores = np.concatenate([p.scores for p in parts])
    kept = suppress_overlaps(boxes, scores, OVERLAP)
    return Detections(boxes[kept], scores[kept])


def _centre(box: Floats) -> Floats:
    return np.asarray((box[:2] + box[2:]) / 2)


def _nearest(box: Floats, known: Sequence[_KnownFace], time_s: float) -> _KnownFace | None:
    """The known face closest to a box, within 1.5 face sizes of where it is expected."""
    best, shortest = None, float(np.max(box[2:] - box[:2])) * 1.5
    for candidate in known:
        expected = candidate.box + candidate.speed * (time_s - candidate.seen_s)
        distance = float(np.linalg.norm(_centre(box) - _centre(expected)))
        if distance < shortest:
            best, shortest = candidate, distance
    return best
