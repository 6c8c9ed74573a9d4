"""Rendering of frames and face crops from a clip's world.

Each head is drawn once per frame into its own patch, which is pasted into the whole frame or only
into the surroundings of a face.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import ceil

import cv2
import numpy as np

from quavf.core.records import WEARER, Array, Floats, Image
from quavf.simulate.head import FACE, Mesh, join_meshes
from quavf.simulate.person import PersonModel
from quavf.simulate.raster import FAR, clear_below_table, paste_patch, rasterise_mesh, shade_pixels
from quavf.simulate.room import render_room
from quavf.simulate.scene import compute_axes
from quavf.simulate.world import ClipWorld

Window = tuple[int, int, int, int]  # x1, y1, x2, y2

JAW_DROP = 0.012  # metres, mouth wide open
NEAREST = 0.15  # metres from the camera; closer objects are not drawn
MARGIN = 16  # pixels rendered around a window, for the blur


@dataclass(frozen=True)
class Camera:
    """The wearer's camera in one frame."""

    place: Floats  # (3,)
    turn: Floats  # (3, 3) columns: right, down, ahead
    focal: float
    centre: tuple[float, float]

    def project(self, points: Floats) -> Floats:
        """Project world points (N, 3) to (N, 3): x, y in pixels, depth in metres."""
        local = (points - self.place) @ self.turn
        depth = np.maximum(local[:, 2], 1e-3)
        x = self.centre[0] + self.focal * local[:, 0] / depth
        y = self.centre[1] + self.focal * local[:, 1] / depth
        return np.column_stack([x, y, local[:, 2]])


@dataclass(frozen=True)
class Patch:
    """A layer of the picture: (h, w, 4) premultiplied BGR and alpha, and its corner."""

    pixels: Image
    left: int
    top: int


@dataclass(frozen=True)
class PlacedMesh:
    """A mesh in the world: positions of its vertices (V, 3) and its orientation (3, 3)."""

    mesh: Mesh
    placed: Floats
    turn: Floats


@dataclass(frozen=True)
class DrawStyle:
    """How to draw a mesh: `pose` (see `raster`), level of the skin pyramid, supersampling."""

    pose: Array
    level: int = 0
    zoom: float = 1.0


NO_FACE = np.zeros(5)


class ClipRenderer:
    """Renders the frames of one clip."""

    def __init__(self, world: ClipWorld) -> None:
        self.world = world
        picture = world.config.picture
        self.size = (picture.width, picture.height)
        seated = world.scene.table is not None
        heights = world.scene.places[:, 2]
        drops = heights - (0.4 if seated else 0.1)
        self.table: Array | None = None
        if world.scene.table is not None:
            x, y, radius, high = world.scene.table
            self.table = np.array([x, y, radius, high])
        people = zip(world.appearances, drops, strict=True)
        self.people = [PersonModel(person, float(drop)) for person, drop in people]
        self.passer = PersonModel(world.passer_appearance, 1.0)
        rng = world.key.create_rng("picture")
        grain = rng.normal(0, world.noise, (picture.height + 64, picture.width + 64, 1))
        grain = np.repeat(np.round(grain), 3, axis=2)
        self.lighter = np.maximum(grain, 0).astype(np.uint8)
        self.darker = np.maximum(-grain, 0).astype(np.uint8)
        self.shifts = rng.integers(0, 64, (world.n_frames, 2))
        self._heads: dict[int, Patch | None] = {}
        self._frame = -1
        self._camera = 0, self._locate_camera(0)

    def get_camera(self, frame: int) -> Camera:
        """The camera of a frame, cached."""
        if self._camera[0] != frame:
            self._camera = frame, self._locate_camera(frame)
        return self._camera[1]

    def _locate_camera(self, frame: int) -> Camera:
        motion, (width, height) = self.world.motion, self.size
        turn = compute_axes(motion.turns[WEARER, frame], facing=False)
        focal, centre = self.world.scene.focal_px, (width / 2, height / 2)
        return Camera(motion.heads[WEARER, frame], turn, focal, centre)

    def project_face(self, person: int, frame: int) -> Floats:
        """Project a face from hairline to chin: (N, 3) x, y in pixels and depth."""
        model = self.people[person]
        points = model.face.copy()
        points[:, 1] += JAW_DROP * self.world.faces[person, frame, 1] * model.face_jaw
        return self.get_camera(frame).project(self._place_on_head(points, person, frame))

    def _place_on_head(self, points: Floats, person: int, frame: int) -> Floats:
        motion = self.world.motion
        turn = compute_axes(motion.turns[person, frame], facing=True)
        return np.asarray(points @ turn.T + motion.heads[person, frame])

    def render(self, frame: int, window: Window | None = None) -> Image:
        """Render the frame, or the part of it in `window`: (H, W, 3) BGR."""
        width, height = self.size
        window = window or (0, 0, width, height)
        x1, y1 = max(window[0] - MARGIN, 0), max(window[1] - MARGIN, 0)
        x2, y2 = min(window[2] + MARGIN, width), min(window[3] + MARGIN, height)
        camera, world = self.get_camera(frame), self.world
        view = (camera.place, camera.turn)
        picture = render_room(world.room, world.scene, view, (x1, y1, x2, y2), camera.centre)
        order = sorted(range(1, len(self.people)), key=lambda p: -self._depth(p, frame))
        for person in order:
            torso = self._draw_torso(person, frame, (x1, y1, x2, y2))
            for patch in (torso, self._get_head(person, frame)):
                if patch is not None:
                    paste_patch(patch.pixels, picture, patch.left - x1, patch.top - y1)
        passer = self._draw_passer(frame, (x1, y1, x2, y2))
        if passer is not None:
            paste_patch(passer.pixels, picture, passer.left - x1, passer.top - y1)
        picture = self._blur_motion(picture, frame)
        dx, dy = self.shifts[frame]
        part = (slice(y1 + dy, y2 + dy), slice(x1 + dx, x2 + dx))
        noisy = cv2.subtract(cv2.add(picture, self.lighter[part]), self.darker[part])
        inside = np.asarray(noisy, dtype=np.uint8)[
            window[1] - y1 : window[3] - y1, window[0] - x1 : window[2] - x1
        ]
        return np.ascontiguousarray(inside)

    def _depth(self, person: int, frame: int) -> float:
        motion = self.world.motion
        away = motion.heads[person, frame] - motion.heads[WEARER, frame]
        return float(np.linalg.norm(away))

    def measure_motion_blur(self, frame: int) -> Floats:
        """Measure how far the picture moves while the shutter is open: (2,) pixels."""
        turns = self.world.motion.turns[WEARER]
        before, after = turns[max(frame - 1, 0)], turns[min(frame + 1, len(turns) - 1)]
        speed = (after - before)[:2] / 2  # radians a frame
        share = self.world.blur_ms / 1000 * float(self.world.fps)
        return np.asarray(self.world.scene.focal_px * share * np.array([speed[0], speed[1]]))

    def _blur_motion(self, picture: Image, frame: int) -> Image:
        wide, high = (
            1 + 2 * min(round(abs(v) / 2), MARGIN - 1) for v in self.measure_motion_blur(frame)
        )
        if wide == high == 1:
            return picture
        return np.asarray(cv2.blur(picture, (wide, high)))

    def _get_head(self, person: int, frame: int) -> Patch | None:
        if frame != self._frame:
            self._frame, self._heads = frame, {}
        if person not in self._heads:
            self._heads[person] = self._draw_head(person, frame)
        return self._heads[person]

    def _draw_head(self, person: int, frame: int) -> Patch | None:
        model, world = self.people[person], self.world
        depth = self._depth(person, frame)
        size_px = world.scene.focal_px * 2 * model.appearance.height / max(depth, NEAREST)
        mesh = model.head if size_px > 110 else model.small
        drop = JAW_DROP * world.faces[person, frame, 1]
        bent = mesh.vertices.copy()
        bent[:, 1] += drop * mesh.jaw
        parts = [(mesh, bent)]
        for hand in world.hands[person]:
            if 0 <= hand.phase_at(frame) <= 1:
                parts.append((model.hand, model.place_hand(hand.offset, hand.phase_at(frame))))
        lids, mouth, wide = world.faces[person, frame]
        right, down = world.motion.eyes[person, frame]
        pose = np.array([right, down, lids, mouth, wide])
        whole = join_meshes([m for m, _ in parts]) if len(parts) > 1 else mesh
        points = np.concatenate([p for _, p in parts])
        placed = self._place_on_head(points, person, frame)
        turn = compute_axes(world.motion.turns[person, frame], facing=True)
        level = int(np.clip(np.log2(260 / max(size_px, 1)), 0, 3))
        zoom = float(np.clip(105 / max(size_px, 1), 1, 3))  # supersample small faces
        limits = (0, 0, *self.size)
        solid = PlacedMesh(whole, placed, turn)
        return self._draw_mesh(solid, frame, model, DrawStyle(pose, level, zoom), limits)

    def _draw_torso(self, person: int, frame: int, limits: Window) -> Patch | None:
        model, world = self.people[person], self.world
        azimuth = world.scene.bodies[person]
        turn = compute_axes(np.array([azimuth, 0.0, 0.0]), facing=True)
        placed = model.torso.vertices @ turn.T + world.motion.heads[person, frame]
        style = DrawStyle(NO_FACE, zoom=0.5)  # torsos have little detail
        return self._draw_mesh(PlacedMesh(model.torso, placed, turn), frame, model, style, limits)

    def _draw_passer(self, frame: int, limits: Window) -> Patch | None:
        placed = self._place_passer(frame)
        if placed is None:
            return None
        turn = compute_axes(np.array([self.world.scene.bodies[WEARER], 0.0, 0.0]), facing=False)
        solid = PlacedMesh(self.passer.torso, placed, turn)
        return self._draw_mesh(solid, frame, self.passer, DrawStyle(NO_FACE, zoom=0.5), limits)

    def _place_passer(self, frame: int) -> Floats | None:
        """Vertex positions of a passer-by, 0.65 m in front of the wearer; None if there is none."""
        world = self.world
        for event in world.passers:
            if 0 <= event.phase_at(frame) <= 1:
                side = event.offset[2] * (2 * event.phase_at(frame) - 1) * 1.1
                turn = compute_axes(np.array([world.scene.bodies[WEARER], 0.0, 0.0]), facing=False)
                place = world.motion.heads[WEARER, frame] + turn @ np.array([side, -0.35, 0.65])
                return np.asarray(self.passer.torso.vertices @ turn.T + place)
        return None

    def find_passer_columns(self, frame: int) -> tuple[float, float] | None:
        """Find the first and last picture column that a passer-by hides, if any."""
        placed = self._place_passer(frame)
        if placed is None:
            return None
        points = self.get_camera(frame).project(placed)
        if points[:, 2].min() < NEAREST:
            return None
        return float(points[:, 0].min()), float(points[:, 0].max())

    def _draw_mesh(
        self, solid: PlacedMesh, frame: int, model: PersonModel, style: DrawStyle, limits: Window
    ) -> Patch | None:
        """Draw the part of a mesh that lies inside `limits`."""
        camera = self.get_camera(frame)
        points = camera.project(solid.placed)
        if points[:, 2].min() < NEAREST:
            return None
        left, top = (int(v) // 2 * 2 for v in np.maximum(points[:, :2].min(axis=0) - 3, limits[:2]))
        right, bottom = (int(v) for v in np.minimum(points[:, :2].max(axis=0) + 4, limits[2:]))
        if right <= left or bottom <= top:
            return None
        right, bottom = right + right % 2, bottom + bottom % 2  # even, so that half sizes are whole
        corner, size = np.array([left, top]), (right - left, bottom - top)
        shape = (ceil(size[1] * style.zoom), ceil(size[0] * style.zoom))
        scale = np.array([shape[1], shape[0]]) / size
        points[:, :2] = (points[:, :2] - corner + 0.5) * scale - 0.5
        buffer = np.empty((*shape, 9), np.float32)
        buffer[..., 0] = FAR
        mesh = solid.mesh
        normals = mesh.normals @ (camera.turn.T @ solid.turn).T
        rasterise_mesh(points, normals, mesh.attributes, mesh.face, mesh.triangles, buffer)
        if self.table is not None and mesh is model.torso:
            lens = (np.array(camera.centre) - corner + 0.5) * scale - 0.5
            numbers = np.array([camera.focal * scale[0], *lens])
            clear_below_table(buffer, camera.place, camera.turn, numbers, self.table)
        pixels = np.empty((*shape, 4), np.uint8)
        light = self._compute_lighting(solid.placed, camera)
        pose = style.pose.astype(np.float32)
        shade_pixels(buffer, model.skin[style.level], model.palette, pose, light, pixels)
        return Patch(self._resize_patch(pixels, size, style.zoom), left, top)

    def render_face_mask(self, person: int, frame: int) -> tuple[Array, int, int] | None:
        """Render the mask (h, w) of a person's face without occluders, and return its corner.

        The face is the skin from hairline to chin. Returns None if it is behind the camera.
        """
        model = self.people[person]
        bent = model.head.vertices.copy()
        bent[:, 1] += JAW_DROP * self.world.faces[person, frame, 1] * model.head.jaw
        points = self.get_camera(frame).project(self._place_on_head(bent, person, frame))
        if points[:, 2].min() < NEAREST:
            return None
        corner = points[:, :2].min(axis=0).astype(int) - 1
        size = points[:, :2].max(axis=0).astype(int) + 2 - corner
        points[:, :2] -= corner
        buffer = np.empty((size[1], size[0], 9), np.float32)
        buffer[..., 0] = FAR
        mesh = model.head
        rasterise_mesh(points, mesh.normals, mesh.attributes, mesh.face, mesh.triangles, buffer)
        mask = (buffer[..., 0] < FAR) & (buffer[..., 7] == FACE)
        mask &= (buffer[..., 8] > 2) & (buffer[..., 3] < 0.5)
        return mask, int(corner[0]), int(corner[1])

    def _resize_patch(self, pixels: Image, size: tuple[int, int], zoom: float) -> Image:
        """Resize a patch to frame pixels and blur it like the lens."""
        out: Array = pixels
        if zoom > 1:
            way = cv2.INTER_AREA if zoom > 1.7 else cv2.INTER_LINEAR
            out = cv2.resize(pixels, size, interpolation=way)
        elif zoom < 1:
            out = cv2.resize(pixels, size, interpolation=cv2.INTER_LINEAR)
        soft = max(self.world.focus_px, 0.45 if zoom == 1 else 0.0)
        if soft > 0.3 and zoom >= 1:
            out = cv2.GaussianBlur(out, (0, 0), soft, borderType=cv2.BORDER_REPLICATE)
        return np.ascontiguousarray(out, dtype=np.uint8)

    def _compute_lighting(self, placed: Floats, camera: Camera) -> Floats:
        """Lighting for the shader, (4, 3): direction to the lamp in camera axes, then colours."""
        room = self.world.room
        way = room.lamp - placed.mean(axis=0)
        way = (way / (np.linalg.norm(way) + 1e-9)) @ camera.turn
        return np.vstack([way, room.light]).astype(np.float32)


@dataclass(frozen=True)
class RenderedFace:
    """A face and its surroundings, rendered without the rest of the frame."""

    frame: int
    person: int
    region: Image  # (h, w, 3) BGR pixels of the expanded box
    box: Floats  # (4,) xyxy, the face
    expanded: Window  # the box expanded to twice its size, clipped to the frame


def render_faces(
    renderer: ClipRenderer, boxes: dict[int, tuple[Array, Floats]]
) -> Iterator[RenderedFace]:
    """Render the surroundings of every box, frame by frame, without rendering whole frames.

    `boxes`: by person, frames (N,) and boxes (N, 4) xyxy. The pixels equal those of the frame
    before video compression.
    """
    boxes_by_frame: dict[int, list[tuple[int, Floats]]] = {}
    for person, (frames, places) in boxes.items():
        for frame, box in zip(frames, places, strict=True):
            boxes_by_frame.setdefault(int(frame), []).append((person, box))
    for frame in sorted(boxes_by_frame):
        for person, box in boxes_by_frame[frame]:
            expanded = expand_box(box, renderer.size)
            if expanded[2] > expanded[0] and expanded[3] > expanded[1]:
                yield RenderedFace(frame, person, renderer.render(frame, expanded), box, expanded)


def expand_box(box: Floats, size: tuple[int, int]) -> Window:
    """Expand a box by half its size on each side, in whole pixels, clipped to the frame."""
    x1, y1, x2, y2 = (float(v) for v in box)
    w, h = (x2 - x1) / 2, (y2 - y1) / 2
    return (
        max(int(x1 - w), 0),
        max(int(y1 - h), 0),
        min(int(x2 + w), size[0]),
        min(int(y2 + h), size[1]),
    )
