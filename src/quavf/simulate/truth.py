"""What is true of a clip, frame by frame, and what annotators and trackers make of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from quavf.core.records import WEARER, Array, Floats
from quavf.simulate.acoustics import BEARINGS, Heard
from quavf.simulate.conversation import GROUP
from quavf.simulate.picture import NEAREST, Painter
from quavf.simulate.scene import face_angles, smooth_noise
from quavf.simulate.world import ClipWorld

NOBODY = -9  # addressee of somebody who is silent
SHORTEST_SEGMENT_S = 0.3
NEW_TRACK_FRAMES = 15  # a longer gap starts a new track


@dataclass(frozen=True)
class TruthTable:
    """One row for each frame and partner, by name; all columns have the same length."""

    columns: dict[str, Array]

    def person(self, person: int) -> dict[str, Array]:
        rows = self.columns["person"] == person
        return {name: column[rows] for name, column in self.columns.items()}


def observe(world: ClipWorld, painter: Painter, heard: Heard) -> TruthTable:
    """The truth of every frame and partner (docs/reference/simulator.md lists the columns)."""
    said = spoken(world)
    parts: list[dict[str, Array]] = []
    for frame in range(world.n_frames):
        parts += frame_truth(world, painter, frame)
    columns = {name: np.array([row[name] for row in parts]) for name in parts[0]}
    person, frame_ = columns["person"], columns["frame"]
    columns["addressee"] = said[person, frame_]
    columns["speaking"] = said[person, frame_] != NOBODY
    columns["to_wearer"] = columns["speaking"] & np.isin(columns["addressee"], (WEARER, GROUP))
    columns["mouth"] = world.faces[person, frame_, 1]
    columns["gaze"] = world.motion.gaze[person, frame_]
    bearing = world.motion.turns[person, frame_, 0] / (2 * np.pi) * BEARINGS
    columns["direct_db"] = heard.direct_db[person, np.round(bearing).astype(int) % BEARINGS]
    noise_db = world.config.sound.speech_db - heard.snr_db
    columns["snr_db"] = heard.clean[person] - noise_db
    return TruthTable(columns)


def spoken(world: ClipWorld) -> Array:
    """(people, frames) the addressee of what each says, NOBODY when silent."""
    said = np.full((world.scene.n_people, world.n_frames), NOBODY)
    for utterance in world.talk.utterances:
        start, end = (round(t * float(world.fps)) for t in (utterance.start_s, utterance.end_s))
        said[utterance.speaker, start:end] = utterance.addressee
    return said


def frame_truth(world: ClipWorld, painter: Painter, frame: int) -> list[dict[str, Any]]:
    motion, camera = world.motion, painter.camera(frame)
    shapes = {p: painter.face_points(p, frame) for p in range(1, world.scene.n_people)}
    blur = float(np.hypot(*painter.smear_px(frame)))
    rows = []
    for person, points in shapes.items():
        head, turn = motion.heads[person, frame], motion.turns[person, frame]
        yaw, pitch = face_angles(head, turn, camera.place)
        box = _box(points)
        height = box[3] - box[1]
        row: dict[str, Any] = {"frame": frame, "person": person}
        row |= dict(zip(("x1", "y1", "x2", "y2"), box, strict=True))
        row |= {"yaw_deg": yaw, "pitch_deg": pitch, "roll_deg": float(np.degrees(turn[2]))}
        row["distance_m"] = float(np.linalg.norm(head - camera.place))
        row["visible"] = _visible(person, shapes, world, painter, frame)
        row["blur_px"] = blur
        row["blur"] = blur / max(height, 1.0)
        row["light"] = _light(world, person, frame)
        rows.append(row)
    return rows


def _box(points: Floats) -> tuple[float, float, float, float]:
    """x1, y1, x2, y2 of face points before the camera; zeros for a face behind it."""
    if points[:, 2].min() < NEAREST:
        return 0.0, 0.0, 0.0, 0.0
    low, high = points[:, :2].min(axis=0), points[:, :2].max(axis=0)
    return float(low[0]), float(low[1]), float(high[0]), float(high[1])


def _visible(
    person: int, shapes: dict[int, Floats], world: ClipWorld, painter: Painter, frame: int
) -> float:
    """The share of the face's points that lie in the frame with nobody before them."""
    points = shapes[person]
    if points[:, 2].min() < NEAREST:
        return 0.0
    x, y = points[:, 0], points[:, 1]
    seen = (x >= 0) & (y >= 0) & (x < painter.size[0]) & (y < painter.size[1])
    for other, front in shapes.items():
        if other == person or front[:, 2].min() < NEAREST:
            continue
        if front[:, 2].mean() < points[:, 2].mean():
            x1, y1, x2, y2 = _box(front)
            wide, high = max(x2 - x1, 0.6 * (y2 - y1)), y2 - y1
            middle = (x1 + x2) / 2
            hidden = (np.abs(x - middle) < 0.7 * wide) & (y > y1 - 0.3 * high)
            shoulders = (np.abs(x - middle) < 1.4 * wide) & (y > y2 + 0.4 * high)
            seen &= ~(hidden | shoulders)
    covered = painter.passer_span(frame)
    if covered is not None:
        seen &= (x < covered[0]) | (x > covered[1])
    share = float(seen.mean())
    for hand in world.hands[person]:
        if 0.1 < hand.phase(frame) < 0.9:
            share *= 0.7
    return share


def _light(world: ClipWorld, person: int, frame: int) -> float:
    """How light the face is, about 0 to 1: its skin under the lamp and the light all around."""
    motion, room = world.motion, world.room
    turn = motion.turns[person, frame]
    to = room.lamp - motion.heads[person, frame]
    ahead = np.array([np.cos(turn[0]), np.sin(turn[0]), 0.0])
    facing = max(float(to @ ahead) / float(np.linalg.norm(to) + 1e-9), 0.0)
    lit = room.light[0] * facing + 0.5 * (room.light[1] + room.light[2])
    return float(np.sqrt(np.clip(np.mean(lit * np.array(world.looks[person].skin)), 0, 1)))


@dataclass(frozen=True)
class Annotation:
    """A clip as annotators and a face tracker have it."""

    segments: list[tuple[int, float, float, int]]  # person, start and end in seconds, label
    tracks: dict[int, list[tuple[Array, Floats]]]  # by person: frames (N,), boxes (N, 4) xyxy


def annotate(world: ClipWorld, table: TruthTable) -> Annotation:
    """Labels and tracks with the mistakes that annotators and trackers make."""
    rng = world.key.stream("truth")
    segments: list[tuple[int, float, float, int]] = []
    for person in range(world.scene.n_people):
        segments += _segments(world, person, rng)
    tracks = {p: _tracks(world, table.person(p), rng) for p in range(1, world.scene.n_people)}
    return Annotation(segments, tracks)


def _segments(
    world: ClipWorld, person: int, rng: np.random.Generator
) -> list[tuple[int, float, float, int]]:
    config, length = world.config.truth, world.n_frames / float(world.fps)
    joined: list[list[float]] = []
    for said in world.talk.utterances:
        if said.speaker != person or said.end_s - said.start_s < SHORTEST_SEGMENT_S:
            continue
        label = int(said.to_wearer)
        if joined and joined[-1][2] == label and said.start_s - joined[-1][1] < config.join_s:
            joined[-1][1] = max(joined[-1][1], said.end_s)
        else:
            joined.append([said.start_s, said.end_s, label])
    out: list[tuple[int, float, float, int]] = []
    free = 0.0
    for first, last, kind in joined:
        start = float(np.clip(first + rng.normal(0, config.edge_sd_s), free, length))
        end = float(np.clip(last + rng.normal(0, config.edge_sd_s), start, length))
        flipped = 1 - kind if rng.random() < config.p_label_flip else kind
        if end - start >= SHORTEST_SEGMENT_S:
            out.append((person, round(start, 3), round(end, 3), int(flipped)))
            free = end
    return out


def _tracks(
    world: ClipWorld, truth: dict[str, Array], rng: np.random.Generator
) -> list[tuple[Array, Floats]]:
    config, n = world.config.truth, world.n_frames
    height = truth["y2"] - truth["y1"]
    kept = (truth["visible"] >= 0.4) & (np.abs(truth["yaw_deg"]) < config.lost_yaw_deg)
    kept &= height >= config.lost_height_px
    fps = float(world.fps)
    for _ in range(int(rng.poisson(config.losses_per_min * n / fps / 60))):
        start = int(rng.integers(n))
        kept[start : start + 1 + int(rng.exponential(config.lost_mean_s) * fps)] = False
    kept &= rng.random(n) >= config.p_gap
    noise = smooth_noise(rng, n, 4, 10.0) * 0.8 + rng.standard_normal((n, 4)) * 0.3
    boxes = np.column_stack([truth[name] for name in ("x1", "y1", "x2", "y2")])
    boxes = boxes + noise * (config.box_noise * height)[:, None]
    frames = np.flatnonzero(kept)
    if not len(frames):
        return []
    cuts = np.flatnonzero(np.diff(frames) > NEW_TRACK_FRAMES) + 1
    return [(part, boxes[part]) for part in np.split(frames, cuts) if len(part) > 3]
