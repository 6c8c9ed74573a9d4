"""Find who looks at the wearer, by where heads are and point.

A head points along the Z axis of its pose, which is forward in EasyCom's markers (its microphones
lie at +X left, +Y up, +Z forward). Eyes are not tracked: a person whose head points within some
angle of the wearer's head counts as looking at the wearer.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from quavf.core.records import WEARER, Array, Floats, Interval, Intervals, Ints

FEWEST_FRAMES = 20  # with a face and a pose, to tell that a pose points backwards
BACKWARDS = "persons whose pose points away from the camera that sees their face, turned round"


@dataclass(frozen=True)
class Pose:
    """Where a head is, m, and how it is turned, as a quaternion x, y, z, w."""

    place: tuple[float, ...]
    turn: tuple[float, ...]


Poses = dict[int, dict[int, Pose]]  # by person, then frame


@dataclass(frozen=True)
class Looks:
    """When each person looks at the wearer, and when nobody knows."""

    looking: Intervals
    unlabelled: tuple[Interval, ...] = ()


def find_looks(
    poses: Poses | None,
    seen: Mapping[int, Ints],
    angle_deg: float,
    n_frames: int,
    notes: Counter[str],
) -> Looks:
    """Looks of the persons in `poses` and of those whose faces are `seen`, by frames of the faces.

    A frame is not labelled where a pose of the person or of the wearer is missing. A pose that
    mostly points away while the camera sees the face is turned round. None without `poses`.
    """
    if poses is None:
        return Looks(None)
    ends = [max(frames) + 1 for frames in poses.values()]
    ends += [int(frames.max()) + 1 for frames in seen.values() if len(frames)]
    n_frames = max([n_frames, *ends])
    wearer = _to_arrays(poses.get(WEARER, {}), n_frames)[0]  # (T, 3)
    looking: list[Interval] = []
    unlabelled: list[Interval] = []
    for person in sorted({*poses, *seen} - {WEARER}):
        places, ahead = _to_arrays(poses.get(person, {}), n_frames)
        angles = _measure_angles(wearer - places, ahead)  # (T,) NaN: not known
        faces = np.isin(np.arange(n_frames), seen.get(person, [])) & ~np.isnan(angles)
        if faces.sum() >= FEWEST_FRAMES and np.median(angles[faces]) > 90:
            notes[BACKWARDS] += 1
            angles = 180 - angles
        looking += list_runs(person, angles <= angle_deg)
        unlabelled += list_runs(person, np.isnan(angles))
    return Looks(tuple(looking), tuple(unlabelled))


def _to_arrays(poses: Mapping[int, Pose], n_frames: int) -> tuple[Floats, Floats]:
    """(T, 3) places and directions ahead, NaN where there is no pose."""
    places, ahead = np.full((2, n_frames, 3), np.nan)
    if poses:
        frames = np.array([*poses])
        places[frames] = [pose.place for pose in poses.values()]
        ahead[frames] = turn_ahead(np.array([pose.turn for pose in poses.values()]))
    return places, ahead


def turn_ahead(quaternions: Floats) -> Floats:
    """(N, 3) unit vectors along the Z axis of poses (N, 4) x, y, z, w."""
    unit = quaternions / np.linalg.norm(quaternions, axis=1, keepdims=True)
    x, y, z, w = unit.T
    return np.stack([2 * (x * z + w * y), 2 * (y * z - w * x), 1 - 2 * (x**2 + y**2)], axis=1)


def _measure_angles(one: Floats, other: Floats) -> Floats:
    """(T,) degrees between vectors (T, 3); NaN where one is missing or of no length."""
    lengths = np.linalg.norm(one, axis=1) * np.linalg.norm(other, axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        cosines = np.where(lengths > 0, (one * other).sum(axis=1) / lengths, np.nan)
    return np.asarray(np.degrees(np.arccos(np.clip(cosines, -1, 1))))


def list_runs(person: int, mask: Array) -> list[Interval]:
    """The stretches of a mask (T,) as intervals of a person."""
    edges = np.flatnonzero(np.diff(mask.astype(int), prepend=0, append=0))
    pairs = zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True)
    return [Interval(person, start, stop - 1) for start, stop in pairs]
