"""Frames and face crops of a clip's world.

Each head is drawn once a frame into a patch of its own, which is pasted wherever it is needed:
into the whole frame, or into the neighbourhood of a face alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import ceil

import cv2
import numpy as np

from quavf.core.records import WEARER, Array, Floats, Image
from quavf.simulate.head import FACE, Mesh, join
from quavf.simulate.person import Person
from quavf.simulate.raster import FAR, hide_below, paste, rasterise, shade
from quavf.simulate.room import backdrop
from quavf.simulate.scene import axes
from quavf.simulate.world import ClipWorld

Window = tuple[int, int, int, int]  # x1, y1, x2, y2

JAW_DROP = 0.012  # metres at a wide open mouth
NEAREST = 0.15  # metres before the camera; closer things are not drawn
MARGIN = 16  # pixels drawn around a window, for the blur


@dataclass(frozen=True)
class Camera:
    """The wearer's camera in one frame."""

    place: Floats  # (3,)
    turn: Floats  # (3, 3) columns: right, down, ahead
    focal: float
    centre: tuple[float, float]

    def project(self, points: Floats) -> Floats:
        """(N, 3) x, y in pixels and depth in metres of (N, 3) places in the world."""
        seen = (points - self.place) @ self.turn
        depth = np.maximum(seen[:, 2], 1e-3)
        x = self.centre[0] + self.focal * seen[:, 0] / depth
        y = self.centre[1] + self.focal * seen[:, 1] / depth
        return np.column_stack([x, y, seen[:, 2]])


@dataclass(frozen=True)
class Patch:
    """Part of a picture, (h, w, 4) BGR times cover, cover; its corner in the frame."""

    pixels: Image
    left: int
    top: int


@dataclass(frozen=True)
class Solid:
    """A mesh in the world: where its vertices are (V, 3) and how it is turned (3, 3)."""

    mesh: Mesh
    placed: Floats
    turn: Floats


@dataclass(frozen=True)
class Style:
    """How to draw a mesh: see `raster.shade`; `level` of the skin's pyramid, size drawn at."""

    pose: Array
    level: int = 0
    zoom: float = 1.0


NO_FACE = np.zeros(5)


class Painter:
    """Draws the frames of one clip."""

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
        people = zip(world.looks, drops, strict=True)
        self.people = [Person(look, float(drop)) for look, drop in people]
        self.passer = Person(world.passer_look, 1.0)
        rng = world.key.stream("picture")
        grain = rng.normal(0, world.noise, (picture.height + 64, picture.width + 64, 1))
        grain = np.repeat(np.round(grain), 3, axis=2)
        self.lighter = np.maximum(grain, 0).astype(np.uint8)
        self.darker = np.maximum(-grain, 0).astype(np.uint8)
        self.shifts = rng.integers(0, 64, (world.n_frames, 2))
        self._heads: dict[int, Patch | None] = {}
        self._frame = -1
        self._camera = 0, self._look_out(0)

    def camera(self, frame: int) -> Camera:
        if self._camera[0] != frame:
            self._camera = frame, self._look_out(frame)
        return self._camera[1]

    def _look_out(self, frame: int) -> Camera:
        motion, (width, height) = self.world.motion, self.size
        turn = axes(motion.turns[WEARER, frame], facing=False)
        focal, centre = self.world.scene.focal_px, (width / 2, height / 2)
        return Camera(motion.heads[WEARER, frame], turn, focal, centre)

    def face_points(self, person: int, frame: int) -> Floats:
        """(N, 3) the skin of a face from hairline to chin: x, y in pixels and depth."""
        being = self.people[person]
        points = being.face.copy()
        points[:, 1] += JAW_DROP * self.world.faces[person, frame, 1] * being.face_jaw
        return self.camera(frame).project(self._placed(points, person, frame))

    def _placed(self, points: Floats, person: int, frame: int) -> Floats:
        motion = self.world.motion
        turn = axes(motion.turns[person, frame], facing=True)
        return np.asarray(points @ turn.T + motion.heads[person, frame])

    def render(self, frame: int, window: Window | None = None) -> Image:
        """The frame, or the part of it in `window`: (H, W, 3) BGR."""
        width, height = self.size
        window = window or (0, 0, width, height)
        x1, y1 = max(window[0] - MARGIN, 0), max(window[1] - MARGIN, 0)
        x2, y2 = min(window[2] + MARGIN, width), min(window[3] + MARGIN, height)
        camera, world = self.camera(frame), self.world
        view = (camera.place, camera.turn)
        picture = backdrop(world.room, world.scene, view, (x1, y1, x2, y2), camera.centre)
        order = sorted(range(1, len(self.people)), key=lambda p: -self._depth(p, frame))
        for person in order:
            torso = self._torso(person, frame, (x1, y1, x2, y2))
            for patch in (torso, self._head(person, frame)):
                if patch is not None:
                    paste(patch.pixels, picture, patch.left - x1, patch.top - y1)
        passer = self._passer(frame, (x1, y1, x2, y2))
        if passer is not None:
            paste(passer.pixels, picture, passer.left - x1, passer.top - y1)
        picture = self._smear(picture, frame)
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

    def smear_px(self, frame: int) -> Floats:
        """(2,) how far the picture moves, in pixels, while the shutter is open."""
        turns = self.world.motion.turns[WEARER]
        before, after = turns[max(frame - 1, 0)], turns[min(frame + 1, len(turns) - 1)]
        speed = (after - before)[:2] / 2  # radians a frame
        share = self.world.blur_ms / 1000 * float(self.world.fps)
        return np.asarray(self.world.scene.focal_px * share * np.array([speed[0], speed[1]]))

    def _smear(self, picture: Image, frame: int) -> Image:
        wide, high = (1 + 2 * min(round(abs(v) / 2), MARGIN - 1) for v in self.smear_px(frame))
        if wide == high == 1:
            return picture
        return np.asarray(cv2.blur(picture, (wide, high)))

    def _head(self, person: int, frame: int) -> Patch | None:
        if frame != self._frame:
            self._frame, self._heads = frame, {}
        if person not in self._heads:
            self._heads[person] = self._draw_head(person, frame)
        return self._heads[person]

    def _draw_head(self, person: int, frame: int) -> Patch | None:
        being, world = self.people[person], self.world
        depth = self._depth(person, frame)
        size_px = world.scene.focal_px * 2 * being.look.height / max(depth, NEAREST)
        mesh = being.head if size_px > 110 else being.small
        drop = JAW_DROP * world.faces[person, frame, 1]
        bent = mesh.vertices.copy()
        bent[:, 1] += drop * mesh.jaw
        parts = [(mesh, bent)]
        for hand in world.hands[person]:
            if 0 <= hand.phase(frame) <= 1:
                parts.append((being.hand, being.hand_at(hand.offset, hand.phase(frame))))
        lids, mouth, wide = world.faces[person, frame]
        right, down = world.motion.eyes[person, frame]
        pose = np.array([right, down, lids, mouth, wide])
        whole = join([m for m, _ in parts]) if len(parts) > 1 else mesh
        points = np.concatenate([p for _, p in parts])
        placed = self._placed(points, person, frame)
        turn = axes(world.motion.turns[person, frame], facing=True)
        level = int(np.clip(np.log2(260 / max(size_px, 1)), 0, 3))
        zoom = float(np.clip(105 / max(size_px, 1), 1, 3))  # small faces are drawn larger first
        limits = (0, 0, *self.size)
        solid = Solid(whole, placed, turn)
        return self._draw(solid, frame, being, Style(pose, level, zoom), limits)

    def _torso(self, person: int, frame: int, limits: Window) -> Patch | None:
        being, world = self.people[person], self.world
        azimuth = world.scene.bodies[person]
        turn = axes(np.array([azimuth, 0.0, 0.0]), facing=True)
        placed = being.torso.vertices @ turn.T + world.motion.heads[person, frame]
        style = Style(NO_FACE, zoom=0.5)  # a chest has no detail
        return self._draw(Solid(being.torso, placed, turn), frame, being, style, limits)

    def _passer(self, frame: int, limits: Window) -> Patch | None:
        placed = self._passer_placed(frame)
        if placed is None:
            return None
        turn = axes(np.array([self.world.scene.bodies[WEARER], 0.0, 0.0]), facing=False)
        solid = Solid(self.passer.torso, placed, turn)
        return self._draw(solid, frame, self.passer, Style(NO_FACE, zoom=0.5), limits)

    def _passer_placed(self, frame: int) -> Floats | None:
        """Where the vertices of somebody who walks past are, 0.65 m before the wearer."""
        world = self.world
        for event in world.passers:
            if 0 <= event.phase(frame) <= 1:
                side = event.offset[2] * (2 * event.phase(frame) - 1) * 1.1
                turn = axes(np.array([world.scene.bodies[WEARER], 0.0, 0.0]), facing=False)
                place = world.motion.heads[WEARER, frame] + turn @ np.array([side, -0.35, 0.65])
                return np.asarray(self.passer.torso.vertices @ turn.T + place)
        return None

    def passer_span(self, frame: int) -> tuple[float, float] | None:
        """The columns of the picture that somebody who walks past hides, if any."""
        placed = self._passer_placed(frame)
        if placed is None:
            return None
        points = self.camera(frame).project(placed)
        if points[:, 2].min() < NEAREST:
            return None
        return float(points[:, 0].min()), float(points[:, 0].max())

    def _draw(
        self, solid: Solid, frame: int, being: Person, style: Style, limits: Window
    ) -> Patch | None:
        """A mesh as the camera sees it, as far as it lies in `limits`."""
        camera = self.camera(frame)
        points = camera.project(solid.placed)
        if points[:, 2].min() < NEAREST:
            return None
        left, top = (int(v) // 2 * 2 for v in np.maximum(points[:, :2].min(axis=0) - 3, limits[:2]))
        right, bottom = (int(v) for v in np.minimum(points[:, :2].max(axis=0) + 4, limits[2:]))
        if right <= left or bottom <= top:
            return None
        right, bottom = right + right % 2, bottom + bottom % 2  # so that half sizes are whole
        corner, size = np.array([left, top]), (right - left, bottom - top)
        shape = (ceil(size[1] * style.zoom), ceil(size[0] * style.zoom))
        scale = np.array([shape[1], shape[0]]) / size
        points[:, :2] = (points[:, :2] - corner + 0.5) * scale - 0.5
        buffer = np.empty((*shape, 9), np.float32)
        buffer[..., 0] = FAR
        mesh = solid.mesh
        normals = mesh.normals @ (camera.turn.T @ solid.turn).T
        rasterise(points, normals, mesh.marks, mesh.face, mesh.triangles, buffer)
        if self.table is not None and mesh is being.torso:
            lens = (np.array(camera.centre) - corner + 0.5) * scale - 0.5
            numbers = np.array([camera.focal * scale[0], *lens])
            hide_below(buffer, camera.place, camera.turn, numbers, self.table)
        pixels = np.empty((*shape, 4), np.uint8)
        light = self._light(solid.placed, camera)
        pose = style.pose.astype(np.float32)
        shade(buffer, being.skin[style.level], being.palette, pose, light, pixels)
        return Patch(self._to_size(pixels, size, style.zoom), left, top)

    def face_mask(self, person: int, frame: int) -> tuple[Array, int, int] | None:
        """Which pixels show a person's face were nobody before it, (h, w) bool, and their corner.

        The skin from the hairline to the chin, as drawn; None when it is out of the picture.
        """
        being = self.people[person]
        bent = being.head.vertices.copy()
        bent[:, 1] += JAW_DROP * self.world.faces[person, frame, 1] * being.head.jaw
        points = self.camera(frame).project(self._placed(bent, person, frame))
        if points[:, 2].min() < NEAREST:
            return None
        corner = points[:, :2].min(axis=0).astype(int) - 1
        size = points[:, :2].max(axis=0).astype(int) + 2 - corner
        points[:, :2] -= corner
        buffer = np.empty((size[1], size[0], 9), np.float32)
        buffer[..., 0] = FAR
        mesh = being.head
        rasterise(points, mesh.normals, mesh.marks, mesh.face, mesh.triangles, buffer)
        shown = (buffer[..., 0] < FAR) & (buffer[..., 7] == FACE)
        shown &= (buffer[..., 8] > 2) & (buffer[..., 3] < 0.5)
        return shown, int(corner[0]), int(corner[1])

    def _to_size(self, pixels: Image, size: tuple[int, int], zoom: float) -> Image:
        """To whole pixels of the frame, with the softness of the lens."""
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

    def _light(self, placed: Floats, camera: Camera) -> Floats:
        """(4, 3) for the shader: the way to the lamp as the camera sees it, and the colours."""
        room = self.world.room
        way = room.lamp - placed.mean(axis=0)
        way = (way / (np.linalg.norm(way) + 1e-9)) @ camera.turn
        return np.vstack([way, room.light]).astype(np.float32)


@dataclass(frozen=True)
class Crop:
    """A face and its surroundings, drawn alone."""

    frame: int
    person: int
    region: Image  # (h, w, 3) BGR, the grown box
    box: Floats  # (4,) xyxy, the face
    grown: Window  # twice the box, inside the frame


def render_crops(painter: Painter, boxes: dict[int, tuple[Array, Floats]]) -> Iterator[Crop]:
    """The surroundings of every box, frame by frame, without drawing whole frames.

    `boxes`: by person, the frames (N,) and the boxes (N, 4) xyxy in them. Pixels are those that
    the frame would have, but for the compression of the video.
    """
    wanted: dict[int, list[tuple[int, Floats]]] = {}
    for person, (frames, places) in boxes.items():
        for frame, box in zip(frames, places, strict=True):
            wanted.setdefault(int(frame), []).append((person, box))
    for frame in sorted(wanted):
        for person, box in wanted[frame]:
            grown = grow(box, painter.size)
            if grown[2] > grown[0] and grown[3] > grown[1]:
                yield Crop(frame, person, painter.render(frame, grown), box, grown)


def grow(box: Floats, size: tuple[int, int]) -> Window:
    """A box grown by half its size on each side, whole pixels inside the frame."""
    x1, y1, x2, y2 = (float(v) for v in box)
    w, h = (x2 - x1) / 2, (y2 - y1) / 2
    return (
        max(int(x1 - w), 0),
        max(int(y1 - h), 0),
        min(int(x2 + w), size[0]),
        min(int(y2 + h), size[1]),
    )
