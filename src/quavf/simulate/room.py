"""The background: a box-shaped room with painted walls, rendered by ray casting."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from quavf.core.records import Array, Floats, Image
from quavf.simulate.config import PictureConfig
from quavf.simulate.raster import compile_kernel
from quavf.simulate.scene import Scene

TEXELS_PER_M = 64  # of a wall
COARSE = 3  # render at a third of the size: wall textures have no finer detail
SIDE = 512  # rows and columns of a wall texture: 8 m


@dataclass(frozen=True)
class Room:
    """Wall textures and lighting."""

    walls: Image  # (7, SIDE, SIDE, 3) BGR: x low, x high, y low, y high, floor, ceiling, table
    lamp: Floats  # (3,) position of the main light, metres
    light: Floats  # (3, 3) colour of the lamp, of light from above and from below; linear RGB
    dimness: float  # 0: brightest room of the configured range, 1: darkest


def draw_room(scene: Scene, config: PictureConfig, rng: np.random.Generator) -> Room:
    """Draw a room: colours, light, windows, doors, pictures and shelves."""
    dimness = float(rng.random())
    strength = config.light[1] + (config.light[0] - config.light[1]) * dimness
    flat = rng.uniform(*config.flatness)
    warm = np.array([1.0, 0.97, 0.92]) ** rng.uniform(-1.0, 3.0)
    lamp_at = np.array([*rng.uniform(0.1, 0.9, 2), rng.uniform(0.55, 1.0)]) * scene.size
    base = rng.uniform(0.35, 0.8) * np.exp(rng.normal(0, 0.12, 3))
    walls = np.empty((7, SIDE, SIDE, 3), np.uint8)
    for wall in range(4):
        long = scene.size[1] if wall < 2 else scene.size[0]
        walls[wall] = _paint_wall(base, float(long), float(scene.size[2]), rng)
    walls[4] = _paint_floor(rng)
    walls[5] = _paint_plain(np.full(3, rng.uniform(0.6, 0.85)), rng)
    walls[6] = _paint_table(rng)
    dim = np.sqrt(strength * (0.75 + 0.25 * flat)) * warm[::-1] ** 0.5
    lit = np.clip(walls * dim, 0, 255).astype(np.uint8)
    light = np.stack([1.25 * (1 - flat) * warm, 0.95 * flat * warm, 0.6 * flat * warm]) * strength
    return Room(lit, lamp_at, light, dimness)


def _paint_plain(colour: Floats, rng: np.random.Generator) -> Image:
    """Paint a slightly uneven surface in one linear BGR colour."""
    uneven = cv2.resize(rng.normal(0, 1, (9, 9)), (SIDE, SIDE), interpolation=cv2.INTER_CUBIC)
    fine = rng.normal(0, 1, (SIDE, SIDE))
    gain = np.exp(0.06 * uneven + 0.015 * fine)[..., None]
    return np.asarray(255 * np.sqrt(np.clip(colour * gain, 0, 1)), dtype=np.uint8)


def _paint_wall(base: Floats, long_m: float, high_m: float, rng: np.random.Generator) -> Image:
    picture = _paint_plain(base * rng.uniform(0.8, 1.15), rng)
    rows = SIDE - int(high_m * TEXELS_PER_M)  # the floor is the bottom row
    columns = int(long_m * TEXELS_PER_M)
    ramp = np.linspace(1.05, 0.85, SIDE - rows)[:, None, None]
    picture[rows:] = np.clip(picture[rows:] * ramp, 0, 255).astype(np.uint8)
    picture[SIDE - 7 :] = _to_bytes(_draw_colour(rng, 0.1, 0.8))  # skirting
    at = rng.uniform(0.0, 1.0)
    while at < long_m - 0.8:
        kind = str(rng.choice(["window", "door", "picture", "shelf", "none", "cupboard"]))
        width = rng.uniform(0.5, 1.8) if kind != "door" else 0.9
        left, right = int(at * TEXELS_PER_M), min(int((at + width) * TEXELS_PER_M), columns - 3)
        if right - left > 16:
            _paint_furniture(picture, kind, left, right, rng)
        at += width + rng.uniform(0.2, 1.2)
    return np.asarray(cv2.GaussianBlur(picture, (0, 0), 0.7), dtype=np.uint8)


def _paint_furniture(
    picture: Image, kind: str, left: int, right: int, rng: np.random.Generator
) -> None:
    def row(height_m: float) -> int:
        return SIDE - int(height_m * TEXELS_PER_M)

    if kind == "window":
        top, bottom = row(2.1), row(rng.uniform(0.8, 1.1))
        cv2.rectangle(picture, (left - 4, top - 4), (right + 4, bottom + 4), (225, 225, 225), -1)
        sky = np.linspace(rng.uniform(0.5, 1), rng.uniform(0.3, 1), bottom - top)[:, None, None]
        view = 255 * np.sqrt(sky * rng.uniform([0.75, 0.7, 0.6], [1, 1, 1]))
        picture[top:bottom, left:right] = np.broadcast_to(view, (bottom - top, right - left, 3))
        middle = (left + right) // 2
        cv2.line(picture, (middle, top), (middle, bottom), (215, 215, 215), 4)
    elif kind == "door":
        colour = _to_bytes(_draw_colour(rng, 0.05, 0.7))
        cv2.rectangle(picture, (left, row(2.05)), (right, SIDE), colour, -1)
        cv2.rectangle(picture, (left, row(2.05)), (right, SIDE), (60, 60, 60), 2)
        cv2.circle(picture, (right - 8, row(1.0)), 3, (160, 190, 200), -1)
    elif kind == "picture":
        top, bottom = row(1.9), row(1.9 - rng.uniform(0.4, 0.8))
        cv2.rectangle(
            picture, (left, top), (right, bottom), _to_bytes(_draw_colour(rng, 0.02, 0.8)), -1
        )
        for _ in range(12):
            x, y = int(rng.integers(left, right)), int(rng.integers(top, bottom))
            size = (int(rng.integers(3, 18)), int(rng.integers(3, 18)))
            end = (min(x + size[0], right - 3), min(y + size[1], bottom - 3))
            cv2.rectangle(picture, (x, y), end, _to_bytes(_draw_colour(rng, 0.02, 0.8)), -1)
        cv2.rectangle(
            picture, (left, top), (right, bottom), _to_bytes(_draw_colour(rng, 0.01, 0.3)), 3
        )
    elif kind in ("shelf", "cupboard"):
        top = row(rng.uniform(0.9, 2.1))
        wood = _to_bytes(np.array([0.1, 0.2, 0.35]) * rng.uniform(0.2, 2))
        cv2.rectangle(picture, (left, top), (right, SIDE - 3), wood, -1)
        for shelf in range(top + 4, SIDE - 26, 24):
            if kind == "cupboard":
                continue
            cv2.rectangle(picture, (left + 3, shelf), (right - 3, shelf + 20), (25, 25, 25), -1)
            x = left + 4
            while x < right - 8:
                wide, high = int(rng.integers(2, 6)), int(rng.integers(11, 20))
                low = shelf + 20
                colour = _to_bytes(_draw_colour(rng, 0.01, 0.7))
                cv2.rectangle(picture, (x, low - high), (x + wide - 1, low), colour, -1)
                x += wide + int(rng.random() < 0.1) * 10


def _draw_colour(rng: np.random.Generator, low: float, high: float) -> Floats:
    """Draw the colour of an object: usually muted."""
    saturation = 0.25 if rng.random() < 0.8 else 0.9
    return np.asarray(rng.uniform(low, high) * rng.uniform(1 - saturation, 1.0, 3))


def _to_bytes(colour: Floats) -> tuple[float, float, float]:
    b, g, r = 255 * np.sqrt(np.clip(colour, 0, 1))
    return float(b), float(g), float(r)


def _paint_floor(rng: np.random.Generator) -> Image:
    wood = np.array([0.08, 0.17, 0.3]) * rng.uniform(0.4, 2.0)
    colour = wood if rng.random() < 0.6 else rng.uniform(0.05, 0.5) * np.ones(3)
    picture = _paint_plain(colour, rng)
    plank = int(rng.integers(6, 40))
    for column in range(0, SIDE, plank):
        gain = rng.uniform(0.85, 1.1)
        picture[:, column : column + plank] = np.clip(
            picture[:, column : column + plank] * gain, 0, 255
        ).astype(np.uint8)
        picture[:, column] //= 2
    return picture


def _paint_table(rng: np.random.Generator) -> Image:
    wood = np.array([0.1, 0.22, 0.38]) * rng.uniform(0.3, 1.8)
    picture = _paint_plain(wood if rng.random() < 0.7 else _draw_colour(rng, 0.3, 0.9), rng)
    for _ in range(int(rng.integers(4, 16))):  # plates, cups, papers
        at = tuple(int(v) for v in SIDE // 2 + rng.normal(0, 0.7 * TEXELS_PER_M, 2))
        colour = _to_bytes(_draw_colour(rng, 0.05, 0.9))
        if rng.random() < 0.5:
            cv2.circle(picture, at, int(rng.integers(2, 10)), colour, -1, cv2.LINE_AA)
        else:
            end = (at[0] + int(rng.integers(5, 20)), at[1] + int(rng.integers(5, 20)))
            cv2.rectangle(picture, at, end, colour, -1)
    return picture


def render_room(
    room: Room,
    scene: Scene,
    view: tuple[Floats, Floats],
    window: tuple[int, int, int, int],
    centre: tuple[float, float],
) -> Image:
    """Render the empty room in `window` (x1, y1, x2, y2) of the frame: (H, W, 3) BGR.

    `view`: position of the camera and its axes (3, 3). Rays are cast coarsely, then upsampled.
    """
    x1, y1 = window[0] // COARSE - 1, window[1] // COARSE - 1
    x2, y2 = window[2] // COARSE + 2, window[3] // COARSE + 2
    coarse = np.empty((y2 - y1, x2 - x1, 3), np.uint8)
    table = np.zeros(4) if scene.table is None else scene.table
    numbers = np.array([COARSE / scene.focal_px, centre[0] / COARSE, centre[1] / COARSE, x1, y1])
    _cast_rays(coarse, room.walls, scene.size, table, view[0], view[1], numbers)
    full = cv2.resize(coarse, None, fx=COARSE, fy=COARSE, interpolation=cv2.INTER_LINEAR)
    top, left = window[1] - COARSE * y1, window[0] - COARSE * x1
    visible = full[top : top + window[3] - window[1], left : left + window[2] - window[0]]
    return np.ascontiguousarray(visible, dtype=np.uint8)


@compile_kernel
def _cast_rays(
    out: Image,
    walls: Image,
    size: Floats,
    table: Floats,
    camera: Floats,
    axes: Floats,
    numbers: Array,
) -> None:
    """Fill `out` with the texel that each pixel's ray hits; `numbers`: see `render_room`."""
    per_px, centre_x, centre_y, left, top = numbers
    cx, cy, cz = camera
    reach = table[2] * table[2]
    ux, uy, uz = per_px * axes[:, 0]
    for row in range(out.shape[0]):
        v = (row + top + 0.5 - centre_y) * per_px
        u = (left - 0.5 - centre_x) * per_px
        dx, dy, dz = axes[:, 2] + u * axes[:, 0] + v * axes[:, 1]
        for column in range(out.shape[1]):
            dx += ux
            dy += uy
            dz += uz
            tx = ((size[0] if dx > 0 else 0.0) - cx) / dx
            ty = ((size[1] if dy > 0 else 0.0) - cy) / dy
            t = min(tx, ty)
            z = cz + t * dz
            if 0 <= z < size[2]:
                on_x = tx < ty
                wall = (1 if dx > 0 else 0) if on_x else (3 if dy > 0 else 2)
                i, j = (
                    SIDE - 1 - int(z * TEXELS_PER_M),
                    int(((cy + t * dy) if on_x else (cx + t * dx)) * TEXELS_PER_M),
                )
            else:
                t = ((size[2] if dz > 0 else 0.0) - cz) / dz
                wall = 5 if dz > 0 else 4
                i, j = int((cy + t * dy) * TEXELS_PER_M), int((cx + t * dx) * TEXELS_PER_M)
            if reach > 0 and dz < 0:
                t = (table[3] - cz) / dz
                x, y = cx + t * dx - table[0], cy + t * dy - table[1]
                if x * x + y * y < reach and t > 0:
                    wall = 6
                    i, j = int((y + 4) * TEXELS_PER_M), int((x + 4) * TEXELS_PER_M)
            i = min(max(i, 0), SIDE - 1)
            j = min(max(j, 0), SIDE - 1)
            out[row, column, 0] = walls[wall, i, j, 0]
            out[row, column, 1] = walls[wall, i, j, 1]
            out[row, column, 2] = walls[wall, i, j, 2]
