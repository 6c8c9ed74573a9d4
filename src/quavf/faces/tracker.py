"""Track faces: ByteTrack makes tracklets, and tracklets of one person are joined.

Both use boxes with the camera's motion removed (`FaceObservations.steady_boxes`): when the wearer
turns the head, faces move further between two pictures than people move by themselves.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from quavf.core.records import Array, Floats, Ints
from quavf.faces.appearance import similarity
from quavf.faces.byte_track import ByteTracker
from quavf.faces.config import TrackConfig
from quavf.faces.search import FaceObservations

EXACT_S = 1e-6  # times that differ by less are equal
NEAR = 2.0  # face sizes: a face that reappears this close, and looks similar, is the same
NEAR_GAP_S = 3.0
NEAR_SIMILARITY = 0.5
FAR_SIMILARITY = 0.92  # similarity needed elsewhere in the picture or after a camera cut, and
FAR_MARGIN = 0.05  # its lead over anyone else
SIZE_RATIO = 2.5  # ratio above which two faces are not the same shortly after


@dataclass(frozen=True)
class PersonTrack:
    """Where one person's face was found."""

    times: Floats  # (N,) ascending, s
    boxes: Floats  # (N, 4)
    scores: Floats  # (N,) the detector's
    scenes: Ints  # (N,) between camera cuts; boxes are interpolated within one scene only
    rows: Ints = field(default_factory=lambda: np.empty(0, np.int64))  # (N,) of the observations

    def at(self, times: Floats, max_gap_s: float) -> tuple[Floats, Floats]:
        """Boxes (T, 4) and detector scores (T,) at any times, NaN where the face is not seen.

        Interpolated between two observations in one scene that are at most `max_gap_s` apart.
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
        between &= (self.scenes[left] == self.scenes[right]) & (gap <= max_gap_s + EXACT_S)
        seen = exact | between
        left, right, gap = left[seen], right[seen], gap[seen]
        part = (times[seen] - self.times[left]) / np.where(gap > 0, gap, 1.0)
        part = np.where(gap > 0, part, 0.0)[:, None]
        boxes[seen] = (1 - part) * self.boxes[left] + part * self.boxes[right]
        scores[seen] = np.minimum(self.scores[left], self.scores[right])
        return boxes, scores


@dataclass(eq=False)
class Tracklet:
    """One unbroken track of a face."""

    rows: Ints  # of `FaceObservations`
    scene: int
    start_s: float
    end_s: float
    first_box: Floats  # steady
    last_box: Floats
    appearance: Floats  # (DESCRIPTOR,) mean, NaN where none was measured


def track_persons(
    found: FaceObservations, config: TrackConfig, look_rate: float
) -> list[PersonTrack]:
    """The persons of a video in order of first appearance; person 1 comes first."""
    tracklets = [_tracklet(found, rows, scene) for rows, scene in _byte_tracks(found, look_rate)]
    groups = join_tracklets(tracklets, config)
    step_s = 1 / look_rate  # a face found once counts for one step
    kept = [g for g in groups if sum(p.end_s - p.start_s + step_s for p in g) > config.min_length]
    tracks = []
    for group in sorted(kept, key=lambda g: (g[0].start_s, g[0].first_box[0])):
        rows = np.concatenate([tracklet.rows for tracklet in group])
        scenes = np.repeat([tracklet.scene for tracklet in group], [len(p.rows) for p in group])
        seen = found.times[rows], found.boxes[rows], found.scores[rows]
        tracks.append(PersonTrack(*seen, scenes, rows))
    return tracks


def _byte_tracks(found: FaceObservations, look_rate: float) -> list[tuple[Ints, int]]:
    """Rows and scene of each ByteTrack track; camera cuts end all tracks."""
    tracker = ByteTracker(look_rate)
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
        numbers = tracker.update(float(found.times[rows[0]]), boxes[rows], found.scores[rows])
        for number, row in zip(numbers.tolist(), rows.tolist(), strict=True):
            if number >= 0:
                members.setdefault((scene, number), []).append(row)
    used = {row for rows in members.values() for row in rows}
    tracks = []
    for (scene, _), own in sorted(members.items()):
        birth = _find_birth(found, boxes, min(own), used)
        if birth is not None:
            used.add(birth)
            own.append(birth)
        tracks.append((np.array(sorted(own)), scene))
    return tracks


def _find_birth(found: FaceObservations, boxes: Floats, first: int, used: set[int]) -> int | None:
    """The row before a track's first one: ByteTrack numbers a track only from its second face.

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


def _tracklet(found: FaceObservations, rows: Ints, scene: int) -> Tracklet:
    descriptors, ends = found.appearance[rows], found.steady_boxes[rows[[0, -1]]]
    known = ~np.isnan(descriptors)
    total = np.where(known, descriptors, 0).sum(axis=0)
    return Tracklet(
        rows=rows,
        scene=scene,
        start_s=float(found.times[rows[0]]),
        end_s=float(found.times[rows[-1]]),
        first_box=ends[0],
        last_box=ends[1],
        appearance=np.where(known.any(axis=0), total / np.maximum(known.sum(axis=0), 1), np.nan),
    )


def join_tracklets(tracklets: Sequence[Tracklet], config: TrackConfig) -> list[list[Tracklet]]:
    """Group the tracklets by person, each group in order of time; the best matches join first.

    A tracklet continues an earlier one if it starts soon after and near its end and looks fairly
    similar, or within `join_gap` anywhere if it looks very similar and nobody else does.
    """
    groups = [[tracklet] for tracklet in sorted(tracklets, key=lambda p: p.start_s)]
    while True:
        pair = _best_pair(groups, config)
        if pair is None:
            return groups
        first, second = pair
        first.extend(second)
        groups = [group for group in groups if group is not second]


def _best_pair(
    groups: list[list[Tracklet]], config: TrackConfig
) -> tuple[list[Tracklet], list[Tracklet]] | None:
    n = len(groups)
    similarities = np.full((n, n), -np.inf)
    near = np.zeros((n, n), bool)
    ends = np.array([group[-1].end_s for group in groups])
    starts = np.array([group[0].start_s for group in groups])
    gaps = starts[None, :] - ends[:, None]
    for i, j in np.argwhere((gaps > 0) & (gaps <= config.join_gap)):
        before, after = groups[i][-1], groups[j][0]
        similarities[i, j] = group_similarity(groups[i], groups[j])
        near[i, j] = _is_near(before, after)
    score = np.where(near, np.maximum(similarities, NEAR_SIMILARITY) + 1, similarities)
    score[near & (similarities < NEAR_SIMILARITY)] = -np.inf
    score[~near & (similarities < FAR_SIMILARITY)] = -np.inf
    if not n or not np.isfinite(score.max()):
        return None
    for flat in np.argsort(score, axis=None)[::-1]:
        i, j = np.unravel_index(int(flat), score.shape)
        if not np.isfinite(score[i, j]):
            return None
        if near[i, j] or _stands_out(similarities, int(i), int(j), groups):
            return groups[i], groups[j]
    return None


def _stands_out(similarities: Array, i: int, j: int, groups: list[list[Tracklet]]) -> bool:
    """Whether nobody but i looks almost as similar to j.

    Rivals that may be the same person as i, never seen at the same time, do not count.
    """
    for k in range(len(groups)):
        if k in (i, j) or similarities[k, j] < similarities[i, j] - FAR_MARGIN:
            continue
        if any(a.start_s < b.end_s and b.start_s < a.end_s for a in groups[i] for b in groups[k]):
            return False
    return True


def group_similarity(a: Sequence[Tracklet], b: Sequence[Tracklet]) -> float:
    """Mean similarity of all comparable pairs; 0 when there are none."""
    values = [similarity(p.appearance, q.appearance) for p in a for q in b]
    known = [v for v in values if not np.isnan(v)]
    return float(np.mean(known)) if known else 0.0


def _is_near(before: Tracklet, after: Tracklet) -> bool:
    """Whether a tracklet starts soon after and near the end of another, in one scene."""
    if before.scene != after.scene or after.start_s - before.end_s > NEAR_GAP_S:
        return False
    sizes = [float(np.sqrt(np.prod(b[2:] - b[:2]))) for b in (before.last_box, after.first_box)]
    if max(sizes) > SIZE_RATIO * min(sizes):
        return False
    centres = [(box[:2] + box[2:]) / 2 for box in (before.last_box, after.first_box)]
    return float(np.linalg.norm(centres[1] - centres[0])) <= NEAR * max(sizes)
