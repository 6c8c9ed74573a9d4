"""The ground truth of a clip by frame, and the noisy annotation derived from it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from quavf.core.records import WEARER, Array, Floats, Interval
from quavf.simulate.acoustics import BEARINGS, Recording
from quavf.simulate.conversation import GROUP
from quavf.simulate.picture import NEAREST, ClipRenderer
from quavf.simulate.scene import draw_smooth_noise, measure_face_angles
from quavf.simulate.world import ClipWorld

NOBODY = -9  # addressee while silent
SHORTEST_SEGMENT_S = 0.3
NEW_TRACK_FRAMES = 15  # a longer gap starts a new track


@dataclass(frozen=True)
class TruthTable:
    """Named columns of equal length, one row per frame and partner."""

    columns: dict[str, Array]

    def select_person(self, person: int) -> dict[str, Array]:
        """The columns of one partner's rows."""
        rows = self.columns["person"] == person
        return {name: column[rows] for name, column in self.columns.items()}


def build_truth_table(world: ClipWorld, renderer: ClipRenderer, recording: Recording) -> TruthTable:
    """Build the truth table; docs/reference/simulator.md lists its columns."""
    addressees = compute_addressees(world)
    rows: list[dict[str, Array]] = []
    for frame in range(world.n_frames):
        rows += measure_frame(world, renderer, frame)
    columns = {name: np.array([row[name] for row in rows]) for name in rows[0]}
    person, frame_ = columns["person"], columns["frame"]
    columns["addressee"] = addressees[person, frame_]
    columns["speaking"] = addressees[person, frame_] != NOBODY
    columns["to_wearer"] = columns["speaking"] & np.isin(columns["addressee"], (WEARER, GROUP))
    columns["mouth"] = world.faces[person, frame_, 1]
    columns["gaze"] = world.motion.gaze[person, frame_]
    bearing = world.motion.turns[person, frame_, 0] / (2 * np.pi) * BEARINGS
    columns["direct_db"] = recording.direct_db[person, np.round(bearing).astype(int) % BEARINGS]
    noise_db = world.config.sound.speech_db - recording.snr_db
    columns["snr_db"] = recording.voice_db[person] - noise_db
    return TruthTable(columns)


def compute_addressees(world: ClipWorld) -> Array:
    """(people, frames) whom each person addresses; NOBODY while silent."""
    addressees = np.full((world.scene.n_people, world.n_frames), NOBODY)
    for utterance in world.conversation.utterances:
        start, end = (round(t * float(world.fps)) for t in (utterance.start_s, utterance.end_s))
        addressees[utterance.speaker, start:end] = utterance.addressee
    return addressees


def list_speaking(world: ClipWorld) -> tuple[Interval, ...]:
    """When each person speaks, the wearer included."""
    return _list_runs(compute_addressees(world) != NOBODY)


def list_looking(world: ClipWorld) -> tuple[Interval, ...]:
    """When each partner looks at the wearer."""
    at_wearer = world.motion.gaze == WEARER  # (people, frames)
    at_wearer[WEARER] = False
    return _list_runs(at_wearer)


def _list_runs(active: Array) -> tuple[Interval, ...]:
    """The runs of true values in each row of (people, frames)."""
    found = []
    for person, row in enumerate(active):
        edges = np.flatnonzero(np.diff(row, prepend=False, append=False))
        starts, ends = edges[::2].tolist(), edges[1::2].tolist()
        found += [Interval(person, s, e - 1) for s, e in zip(starts, ends, strict=True)]
    return tuple(found)


def measure_frame(world: ClipWorld, renderer: ClipRenderer, frame: int) -> list[dict[str, Any]]:
    """Measure every partner's face in one frame: the columns that depend on the picture."""
    motion, camera = world.motion, renderer.get_camera(frame)
    shapes = {p: renderer.project_face(p, frame) for p in range(1, world.scene.n_people)}
    blur = float(np.hypot(*renderer.measure_motion_blur(frame)))
    rows = []
    for person, points in shapes.items():
        head, turn = motion.heads[person, frame], motion.turns[person, frame]
        yaw, pitch = measure_face_angles(head, turn, camera.place)
        box = _bound_face(points)
        height = box[3] - box[1]
        row: dict[str, Any] = {"frame": frame, "person": person}
        row |= dict(zip(("x1", "y1", "x2", "y2"), box, strict=True))
        row |= {"yaw_deg": yaw, "pitch_deg": pitch, "roll_deg": float(np.degrees(turn[2]))}
        row["distance_m"] = float(np.linalg.norm(head - camera.place))
        row["visible"] = _measure_visibility(person, shapes, world, renderer, frame)
        row["blur_px"] = blur
        row["blur"] = blur / max(height, 1.0)
        row["light"] = _measure_light(world, person, frame)
        rows.append(row)
    return rows


def _bound_face(points: Floats) -> tuple[float, float, float, float]:
    """x1, y1, x2, y2 of face points; zeros for a face behind the camera."""
    if points[:, 2].min() < NEAREST:
        return 0.0, 0.0, 0.0, 0.0
    low, high = points[:, :2].min(axis=0), points[:, :2].max(axis=0)
    return float(low[0]), float(low[1]), float(high[0]), float(high[1])


def _measure_visibility(
    person: int, shapes: dict[int, Floats], world: ClipWorld, renderer: ClipRenderer, frame: int
) -> float:
    """Share of the face's points inside the frame that nothing occludes."""
    points = shapes[person]
    if points[:, 2].min() < NEAREST:
        return 0.0
    x, y = points[:, 0], points[:, 1]
    seen = (x >= 0) & (y >= 0) & (x < renderer.size[0]) & (y < renderer.size[1])
    for other, front in shapes.items():
        if other == person or front[:, 2].min() < NEAREST:
            continue
        if front[:, 2].mean() < points[:, 2].mean():
            x1, y1, x2, y2 = _bound_face(front)
            wide, high = max(x2 - x1, 0.6 * (y2 - y1)), y2 - y1
            middle = (x1 + x2) / 2
            hidden = (np.abs(x - middle) < 0.7 * wide) & (y > y1 - 0.3 * high)
            shoulders = (np.abs(x - middle) < 1.4 * wide) & (y > y2 + 0.4 * high)
            seen &= ~(hidden | shoulders)
    covered = renderer.find_passer_columns(frame)
    if covered is not None:
        seen &= (x < covered[0]) | (x > covered[1])
    share = float(seen.mean())
    for hand in world.hands[person]:
        if 0.1 < hand.phase_at(frame) < 0.9:
            share *= 0.7
    return share


def _measure_light(world: ClipWorld, person: int, frame: int) -> float:
    """Brightness of the face, about 0 to 1: its skin under the lamp and the ambient light."""
    motion, room = world.motion, world.room
    turn = motion.turns[person, frame]
    to = room.lamp - motion.heads[person, frame]
    ahead = np.array([np.cos(turn[0]), np.sin(turn[0]), 0.0])
    facing = max(float(to @ ahead) / float(np.linalg.norm(to) + 1e-9), 0.0)
    lit = room.light[0] * facing + 0.5 * (room.light[1] + room.light[2])
    return float(np.sqrt(np.clip(np.mean(lit * np.array(world.appearances[person].skin)), 0, 1)))


@dataclass(frozen=True)
class Annotation:
    """A clip's labels and tracks, as annotators and a face tracker record them."""

    segments: list[tuple[int, float, float, int]]  # person, start s, end s, label
    tracks: dict[int, list[tuple[Array, Floats]]]  # by person: frames (N,), boxes (N, 4) xyxy


def draw_annotation(world: ClipWorld, table: TruthTable) -> Annotation:
    """Draw labels and tracks with the errors of annotators and face trackers."""
    rng = world.key.create_rng("truth")
    segments: list[tuple[int, float, float, int]] = []
    for person in range(world.scene.n_people):
        segments += _draw_segments(world, person, rng)
    tracks = {
        p: _draw_tracks(world, table.select_person(p), rng) for p in range(1, world.scene.n_people)
    }
    return Annotation(segments, tracks)


def _draw_segments(
    world: ClipWorld, person: int, rng: np.random.Generator
) -> list[tuple[int, float, float, int]]:
    config, length = world.config.truth, world.n_frames / float(world.fps)
    joined: list[list[float]] = []
    for turn in world.conversation.utterances:
        if turn.speaker != person or turn.end_s - turn.start_s < SHORTEST_SEGMENT_S:
            continue
        label = int(turn.to_wearer)
        if joined and joined[-1][2] == label and turn.start_s - joined[-1][1] < config.join_s:
            joined[-1][1] = max(joined[-1][1], turn.end_s)
        else:
            joined.append([turn.start_s, turn.end_s, label])
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


def _draw_tracks(
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
    noise = draw_smooth_noise(rng, n, 4, 10.0) * 0.8 + rng.standard_normal((n, 4)) * 0.3
    boxes = np.column_stack([truth[name] for name in ("x1", "y1", "x2", "y2")])
    boxes = boxes + noise * (config.box_noise * height)[:, None]
    frames = np.flatnonzero(kept)
    if not len(frames):
        return []
    cuts = np.flatnonzero(np.diff(frames) > NEW_TRACK_FRAMES) + 1
    return [(part, boxes[part]) for part in np.split(frames, cuts) if len(part) > 3]
