"""Faces found picture by picture become persons: ByteTrack, then broken tracks joined.

Both go by where faces would lie had the camera not turned (`Found.steady_boxes`): a turn of the
wearer's head moves faces further from one look to the next than people move themselves.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from quavf.core.records import Array, Floats, Ints
from quavf.faces.config import TrackConfig
from quavf.faces.search import Found, alike

LOST_FRAMES = 30  # 1/30 s: ByteTrack keeps a track that is not found for so long
EXACT_S = 1e-6  # times that differ by less are one
NEAR = 2.0  # face sizes: a face that comes back so near is the same, if it looks alike
NEAR_GAP_S = 3.0
NEAR_ALIKE = 0.5
FAR_ALIKE = 0.92  # anywhere in the picture, or after a camera cut: it must look this much alike,
FAR_MARGIN = 0.05  # and more so than anyone else by this
SIZE_RATIO = 2.5  # faces that differ more in size are not the same after a moment


@dataclass(frozen=True)
class PersonTrack:
    """Where one person's face was found: `times` (N,) ascending, `boxes` (N, 4), `scores` (N,) of
    the detector, `pieces` (N,): times of one piece are of one scene and can be interpolated."""

    times: Floats
    boxes: Floats
    scores: Floats
    pieces: Ints

    def at(self, times: Floats, max_gap_s: float) -> tuple[Floats, Floats]:
        """Boxes (T, 4) and detector scores (T,) at any times, NaN where the face is not seen.

        Interpolated between two finds of one piece that are at most `max_gap_s` apart.
        """
        boxes, scores = np.full((len(times), 4), np.nan), np.full(len(times), np.nan)
        if not len(self.times):
            return boxes, scores
        right = np.searchsorted(self.times, times - EXACT_S)
        right = np.minimum(right, len(self.times) - 1)
        exact = np.abs(self.times[right] - times) <= EXACT_S
        left = np.where(exact, right, np.maximum(right - 1, 0))
        gap = self.times[right] - self.times[left]
        between = (self.times[left] < times) & (times < self.times[right])
        between &= (self.pieces[left] == self.pieces[right]) & (gap <= max_gap_s + EXACT_S)
        seen = exact | between
        left, right, gap = left[seen], right[seen], gap[seen]
        part = (times[seen] - self.times[left]) / np.where(gap > 0, gap, 1.0)
        part = np.where(gap > 0, part, 0.0)[:, None]
        boxes[seen] = (1 - part) * self.boxes[left] + part * self.boxes[right]
        scores[seen] = np.minimum(self.scores[left], self.scores[right])
        return boxes, scores


@dataclass(eq=False)
class _Piece:
    """One unbroken track: rows of `Found`."""

    rows: Ints
    scene: int
    start_s: float
    end_s: float
    first_box: Floats  # steady
    last_box: Floats
    look: Floats  # mean description, NaN where there is none


def track_persons(found: Found, config: TrackConfig, look_rate: float) -> list[PersonTrack]:
    """The persons of a video, numbered 1, 2, ... in this order: by first appearance."""
    pieces = [_piece(found, rows, scene) for rows, scene in _byte_tracks(found, look_rate)]
    groups = join(pieces, config)
    step_s = 1 / look_rate  # a face found once is there for a step
    kept = [g for g in groups if sum(p.end_s - p.start_s + step_s for p in g) > config.min_length]
    tracks = []
    for group in sorted(kept, key=lambda g: (g[0].start_s, g[0].first_box[0])):
        rows = np.concatenate([piece.rows for piece in group])
        # A piece after a gap within a scene may be bridged; one after a cut may not.
        scenes = np.repeat([piece.scene for piece in group], [len(p.rows) for p in group])
        tracks.append(PersonTrack(found.times[rows], found.boxes[rows], found.scores[rows], scenes))
    return tracks


def _byte_tracks(found: Found, look_rate: float) -> list[tuple[Ints, int]]:
    """Rows of each track and the scene that it is in; cuts end all tracks."""
    import supervision
    from trackers import BIoU, ByteTrackTracker

    tracker = ByteTrackTracker(
        lost_track_buffer=LOST_FRAMES,
        frame_rate=look_rate,
        track_activation_threshold=0.5,
        minimum_consecutive_frames=1,
        minimum_iou_threshold=0.1,
        iou=BIoU(buffer_ratio=0.5),
        high_conf_det_threshold=0.5,
    )
    members: dict[tuple[int, int], list[int]] = {}
    boxes = found.steady_boxes
    scene_of = np.searchsorted(found.cuts, found.times, side="right")
    scene = 0
    for rows in np.split(np.arange(len(found)), np.flatnonzero(np.diff(found.times)) + 1):
        if not len(rows):
            continue
        if scene_of[rows[0]] != scene:
            tracker.reset()
            scene = int(scene_of[rows[0]])
        seen = supervision.Detections(
            xyxy=boxes[rows], confidence=found.scores[rows], data={"row": rows}
        )
        tracked = tracker.update(seen, timestamp=float(found.times[rows[0]]))
        if tracked.tracker_id is None or not len(tracked):
            continue
        for number, row in zip(tracked.tracker_id, np.asarray(tracked.data["row"]), strict=True):
            if number >= 0:
                members.setdefault((scene, int(number)), []).append(int(row))
    used = {row for rows in members.values() for row in rows}
    tracks = []
    for (scene, _), own in sorted(members.items()):
        birth = _birth(found, boxes, min(own), used)
        if birth is not None:
            used.add(birth)
            own.append(birth)
        tracks.append((np.array(sorted(own)), scene))
    return tracks


def _birth(found: Found, boxes: Floats, first: int, used: set[int]) -> int | None:
    """The row that began a track: ByteTrack numbers a track at its second face only.

    `boxes` (N, 4) are steady.
    """
    time = found.times[first]
    before = np.flatnonzero(found.times < time)
    if not len(before) or np.any((found.cuts > found.times[before[-1]]) & (found.cuts <= time)):
        return None
    same_look = before[found.times[before] == found.times[before[-1]]]
    size = float(np.max(boxes[first, 2:] - boxes[first, :2]))
    best, shortest = None, size
    for row in same_look.tolist():
        distance = float(np.abs(boxes[row] - boxes[first]).max())
        if row not in used and distance < shortest:
            best, shortest = row, distance
    return best


def _piece(found: Found, rows: Ints, scene: int) -> _Piece:
    looks, ends = found.looks[rows], found.steady_boxes[rows[[0, -1]]]
    known = ~np.isnan(looks)
    total = np.where(known, looks, 0).sum(axis=0)
    return _Piece(
        rows=rows,
        scene=scene,
        start_s=float(found.times[rows[0]]),
        end_s=float(found.times[rows[-1]]),
        first_box=ends[0],
        last_box=ends[1],
        look=np.where(known.any(axis=0), total / np.maximum(known.sum(axis=0), 1), np.nan),
    )


def join(pieces: Sequence[_Piece], config: TrackConfig) -> list[list[_Piece]]:
    """Pieces of one person together, each group by time; best matches first.

    A piece goes on from one that ended before it: near where it ended and soon, if it looks fairly
    alike; anywhere within `join_gap`, if it looks very much alike and nobody else does.
    """
    groups = [[piece] for piece in sorted(pieces, key=lambda p: p.start_s)]
    while True:
        pair = _best_pair(groups, config)
        if pair is None:
            return groups
        first, second = pair
        first.extend(second)
        groups = [group for group in groups if group is not second]


def _best_pair(
    groups: list[list[_Piece]], config: TrackConfig
) -> tuple[list[_Piece], list[_Piece]] | None:
    n = len(groups)
    likeness = np.full((n, n), -np.inf)
    near = np.zeros((n, n), bool)
    ends = np.array([group[-1].end_s for group in groups])
    starts = np.array([group[0].start_s for group in groups])
    gaps = starts[None, :] - ends[:, None]
    for i, j in np.argwhere((gaps > 0) & (gaps <= config.join_gap)):
        before, after = groups[i][-1], groups[j][0]
        likeness[i, j] = alike_groups(groups[i], groups[j])
        near[i, j] = _is_near(before, after)
    score = np.where(near, np.maximum(likeness, NEAR_ALIKE) + 1, likeness)
    score[near & (likeness < NEAR_ALIKE)] = -np.inf
    score[~near & (likeness < FAR_ALIKE)] = -np.inf
    if not n or not np.isfinite(score.max()):
        return None
    for flat in np.argsort(score, axis=None)[::-1]:
        i, j = np.unravel_index(int(flat), score.shape)
        if not np.isfinite(score[i, j]):
            return None
        if near[i, j] or _stands_out(likeness, int(i), int(j), groups):
            return groups[i], groups[j]
    return None


def _stands_out(likeness: Array, i: int, j: int, groups: list[list[_Piece]]) -> bool:
    """Whether no person other than i looks almost as much like j.

    Rivals that could be the same person as i (never seen at once) do not count.
    """
    for k in range(len(groups)):
        if k in (i, j) or likeness[k, j] < likeness[i, j] - FAR_MARGIN:
            continue
        if any(a.start_s < b.end_s and b.start_s < a.end_s for a in groups[i] for b in groups[k]):
            return False
    return True


def alike_groups(a: Sequence[_Piece], b: Sequence[_Piece]) -> float:
    """Mean likeness of all pairs that can be compared; 0 when none can."""
    values = [alike(p.look, q.look) for p in a for q in b]
    known = [v for v in values if not np.isnan(v)]
    return float(np.mean(known)) if known else 0.0


def _is_near(before: _Piece, after: _Piece) -> bool:
    """Whether a track starts soon after and near to where another one ended, in one scene."""
    if before.scene != after.scene or after.start_s - before.end_s > NEAR_GAP_S:
        return False
    sizes = [float(np.sqrt(np.prod(b[2:] - b[:2]))) for b in (before.last_box, after.first_box)]
    if max(sizes) > SIZE_RATIO * min(sizes):
        return False
    centres = [(box[:2] + box[2:]) / 2 for box in (before.last_box, after.first_box)]
    return float(np.linalg.norm(centres[1] - centres[0])) <= NEAR * max(sizes)
