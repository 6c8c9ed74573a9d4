"""The layout of the scene, and the motion of heads, eyes and camera.

World axes: x east, y north, z up, in metres, with the origin in a corner of the room. Angles are in
radians; azimuth is measured from x towards y. Head and camera axes: x right, y down; z points along
the view (camera) or into the head (head), so a head that faces the camera squarely has the camera's
orientation.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import cos, hypot, sin

import numpy as np

from quavf.core.records import WEARER, Floats, Ints
from quavf.simulate.config import GazeConfig, PictureConfig
from quavf.simulate.conversation import Conversation
from quavf.simulate.gaze import AWAY

TABLE_HEIGHT = 0.74


@dataclass(frozen=True)
class Scene:
    """The room and the people's positions in it; index 0 is the wearer."""

    size: Floats  # (3,) of the room, metres
    places: Floats  # (people, 3) centre of the head at rest
    bodies: Floats  # (people,) azimuth of the chest
    table: Floats | None  # (4,) x, y of the centre, radius, height; None: everybody stands
    focal_px: float

    @property
    def n_people(self) -> int:
        return len(self.places)


@dataclass(frozen=True)
class SceneMotion:
    """Positions and orientations by frame."""

    heads: Floats  # (people, frames, 3) centre of the head; row 0: the camera
    turns: Floats  # (people, frames, 3) azimuth, pitch (up), roll; row 0: the camera
    eyes: Floats  # (people, frames, 2) right and down, relative to the head
    gaze: Ints  # (people, frames) person looked at, or AWAY

    @property
    def n_frames(self) -> int:
        return int(self.heads.shape[1])


def draw_scene(
    conversation: Conversation, config: PictureConfig, rng: np.random.Generator
) -> Scene:
    """Draw a room with people who sit at a table or stand."""
    size = np.array([rng.uniform(4.5, 8.0), rng.uniform(4.5, 8.0), rng.uniform(2.4, 3.2)])
    seated = bool(rng.random() < 0.65)
    ahead = rng.uniform(-np.pi, np.pi)
    middle = size[:2] / 2 + rng.uniform(-0.4, 0.4, 2)
    wearer = middle - 0.9 * np.array([np.cos(ahead), np.sin(ahead)])
    angles = _draw_angles(conversation, config.spread_deg, rng)
    distances = rng.uniform(*config.distance_m, conversation.n_partners)
    spots: list[Floats] = [wearer]
    for angle, distance in zip(angles, distances, strict=True):
        toward = np.array([np.cos(ahead + angle), np.sin(ahead + angle)])
        spots.append(_find_spot(wearer, toward, float(distance), size))
    flat = np.stack(spots)
    height = rng.normal(1.2 if seated else 1.6, 0.05 if seated else 0.08, len(flat))
    places = np.column_stack([flat, np.clip(height, 1.05, 1.85)])
    table = None
    if seated:
        reach = float(np.median(distances))
        toward = np.array([np.cos(ahead), np.sin(ahead)])
        half = max(0.3, 0.45 * reach - 0.1)
        table = np.array([*(wearer + toward * (0.3 + half)), half, TABLE_HEIGHT])
    fov = np.radians(rng.uniform(*config.fov_deg))
    bodies = _draw_bodies(conversation, flat, rng)
    bodies[WEARER] = ahead
    return Scene(size, places, bodies, table, config.width / 2 / float(np.tan(fov / 2)))


def _draw_angles(conversation: Conversation, widest_deg: float, rng: np.random.Generator) -> Floats:
    """Draw the partners' angles from the wearer's forward axis, with gaps between neighbours."""
    n = conversation.n_partners
    most = np.radians(widest_deg)
    gap = min(2 * most / n, np.radians(30.0))
    slack = 2 * most - gap * (n - 1)
    edges = np.sort(rng.uniform(0, max(slack, 0.0), n))
    angles = -most + edges + gap * np.arange(n)
    order = rng.permutation(n)
    if len(conversation.floors) > 1:  # people in the second conversation stand together
        apart = set(conversation.floors[1])
        order = np.array(sorted(range(n), key=lambda i: (i + 1) in apart))
        if rng.random() < 0.5:
            order = order[::-1]
    placed = np.empty(n)
    placed[order] = angles
    return placed


def _find_spot(start: Floats, toward: Floats, distance: float, size: Floats) -> Floats:
    """Find the point at a distance from `start`, or a closer one if the room is too small."""
    for way in (distance, 0.8 * distance, 0.6 * distance, 0.7):
        spot = start + way * toward
        if np.all(spot > 0.4) and np.all(spot < size[:2] - 0.4):
            return spot
    return np.clip(start + 0.7 * toward, 0.3, size[:2] - 0.3)


def _draw_bodies(conversation: Conversation, spots: Floats, rng: np.random.Generator) -> Floats:
    """Draw chest azimuths: roughly towards the other people in the conversation."""
    bodies = np.zeros(len(spots))
    for person in range(len(spots)):
        others = [p for p in conversation.find_floor(person) if p != person]
        to = spots[others].mean(axis=0) - spots[person]
        bodies[person] = np.arctan2(to[1], to[0]) + rng.normal(0, np.radians(15.0))
    return bodies


def draw_motion(
    scene: Scene,
    gaze: Ints,
    config: tuple[GazeConfig, PictureConfig],
    rng: np.random.Generator,
    fps: float,
) -> SceneMotion:
    """Draw the motion of heads, eyes and camera that follow `gaze` (people, frames)."""
    gaze_config, picture = config
    n_people, n_frames = gaze.shape
    heads = np.empty((n_people, n_frames, 3))
    turns = np.empty((n_people, n_frames, 3))
    aims = np.empty((n_people, n_frames, 2))
    for person in range(n_people):
        sway = draw_smooth_noise(rng, n_frames, 3, 1.2 * fps) * np.array([0.015, 0.015, 0.006])
        lean = draw_smooth_noise(rng, n_frames, 3, 6.0 * fps) * np.array([0.03, 0.03, 0.01])
        heads[person] = scene.places[person] + sway + lean
        aims[person] = _draw_aims(person, scene, gaze[person], rng)
        gain = gaze_config.wearer_gain if person == WEARER else gaze_config.head_gain
        gain = float(np.clip(gain + rng.normal(0, gaze_config.head_gain_sd), 0.2, 1.0))
        turns[person] = _draw_head_turns(person, scene, aims[person], gain, gaze_config, rng, fps)
    jitter = draw_smooth_noise(rng, n_frames, 3, 0.15 * fps) * np.radians(picture.camera_jitter_deg)
    turns[WEARER] += jitter
    tilt_deg = rng.uniform(0.0, 8.0)  # smart glasses point slightly downwards
    turns[WEARER, :, 1] -= np.radians(tilt_deg)
    heads[WEARER] += 0.08 * compute_forward(turns[WEARER])
    # the eyes cover the rest of the gaze shift; a head's right is towards smaller azimuths
    right = _wrap_angle(aims[..., 0] - turns[..., 0])
    down = -(aims[..., 1] - turns[..., 1])
    eyes = np.stack([np.clip(right, -0.6, 0.6), np.clip(down, -0.4, 0.4)], axis=-1)
    return SceneMotion(heads, turns, eyes, gaze)


def _draw_aims(person: int, scene: Scene, gaze: Ints, rng: np.random.Generator) -> Floats:
    """Draw (frames, 2) azimuth and pitch of a person's gaze target."""
    aims = np.empty((len(gaze), 2))
    here = scene.places[person]
    changes = np.flatnonzero(np.diff(gaze, prepend=-99))
    for start, end in zip(changes, [*changes[1:], len(gaze)], strict=True):
        target = int(gaze[start])
        if target == AWAY:
            wide = 20.0 if person == WEARER else 35.0
            aims[start:end, 0] = scene.bodies[person] + rng.normal(0, np.radians(wide))
            aims[start:end, 1] = np.radians(rng.normal(-10.0, wide / 3))
            continue
        to = scene.places[target] - here
        aims[start:end, 0] = np.arctan2(to[1], to[0])
        aims[start:end, 1] = np.arctan2(to[2], np.hypot(to[0], to[1]))
    return aims


def _draw_head_turns(
    person: int,
    scene: Scene,
    aims: Floats,
    gain: float,
    gaze_config: GazeConfig,
    rng: np.random.Generator,
    fps: float,
) -> Floats:
    """Draw (frames, 3) head angles: a smooth, noisy turn part of the way to the target."""
    n_frames = len(aims)
    body = scene.bodies[person]
    away = np.clip(_wrap_angle(aims[:, 0] - body), -1.6, 1.6)
    goal = np.column_stack([gain * away, gain * aims[:, 1]])
    path = _pursue(goal, gaze_config.head_tau_s * fps * float(np.exp(rng.normal(0, 0.2))))
    wander = draw_smooth_noise(rng, n_frames, 3, 0.8 * fps) * np.radians(gaze_config.head_noise_deg)
    if person == WEARER:
        wander *= 0.3
    turns = np.column_stack([body + path[:, 0], path[:, 1], np.zeros(n_frames)])
    return np.asarray(turns + wander * np.array([1.0, 0.7, 0.7]))


def _pursue(goal: Floats, tau: float) -> Floats:
    """Follow `goal` (frames, k) with critical damping and a time constant of `tau` frames."""
    path = np.empty_like(goal)
    at, speed = goal[0].copy(), np.zeros(goal.shape[1])
    rate = min(1.0 / max(tau, 1.0), 0.7)
    for frame, aim in enumerate(goal):
        speed += rate * rate * (aim - at) - 2 * rate * speed
        at = at + speed
        path[frame] = at
    return np.asarray(path)


def draw_smooth_noise(
    rng: np.random.Generator, n_frames: int, columns: int, width: float
) -> Floats:
    """Draw (frames, columns) noise of unit variance, correlated over about `width` frames."""
    half = max(int(2.5 * width), 1)
    kernel = np.exp(-0.5 * (np.arange(-half, half + 1) / max(width, 0.3)) ** 2)
    kernel /= np.sqrt((kernel**2).sum())
    white = rng.standard_normal((n_frames + 2 * half, columns))
    return np.column_stack([np.convolve(w, kernel, mode="valid") for w in white.T])


def compute_forward(turns: Floats) -> Floats:
    """Unit forward vectors (..., 3) from angles (..., 3): azimuth, pitch, roll."""
    azimuth, pitch = turns[..., 0], turns[..., 1]
    flat = np.cos(pitch)
    return np.stack([flat * np.cos(azimuth), flat * np.sin(azimuth), np.sin(pitch)], axis=-1)


def compute_axes(turn: Floats, *, facing: bool) -> Floats:
    """World axes (3, 3), as columns x, y, z, of a camera or, if `facing`, of a head."""
    azimuth, pitch, roll = (float(v) for v in turn)
    sign = -1.0 if facing else 1.0  # a head's z points into the head
    ca, sa, cp, sp = cos(azimuth), sin(azimuth), cos(pitch), sin(pitch)
    x, y, z = sign * cp * ca, sign * cp * sa, sign * sp  # ahead
    flat = hypot(x, y)
    rx, ry = y / flat, -x / flat  # right: ahead x up
    dx, dy, dz = -z * ry, z * rx, x * ry - y * rx  # down: ahead x right
    c, s = cos(roll), sin(roll)
    return np.array(
        [
            [c * rx + s * dx, c * dx - s * rx, x],
            [c * ry + s * dy, c * dy - s * ry, y],
            [s * dz, c * dz, z],
        ]
    )


def measure_face_angles(head: Floats, turn: Floats, camera: Floats) -> tuple[float, float]:
    """Yaw and pitch in degrees of a face relative to the camera; (0, 0) is frontal.

    Positive yaw turns the face to the right of the picture, positive pitch upwards.
    """
    to = compute_axes(turn, facing=True).T @ (camera - head)
    flat = np.hypot(to[0], to[2])
    return float(np.degrees(np.arctan2(-to[0], -to[2]))), float(np.degrees(np.arctan2(to[1], flat)))


def _wrap_angle(angle: Floats) -> Floats:
    return np.asarray((angle + np.pi) % (2 * np.pi) - np.pi)
