"""The pictures of a drawn scene: a room, cartoon heads, a table."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import cv2
import numpy as np

from quavf.records import Image
from quavf.simulate.drawn.scene import ASPECT, SHIRT, Actor, Colour, DrawnConfig, Scene, shade

Point = tuple[float, float]


def _ellipse(
    image: Image,
    centre: Point,
    axes: Point,
    colour: Colour,
    arc: Point = (0.0, 360.0),
    tilt: float = 0,
) -> None:
    """A filled antialiased ellipse (or the part of it between two angles), to 1/16 pixel."""
    x, y, a, b = (round(value * 16) for value in (*centre, *axes))
    cv2.ellipse(image, (x, y), (max(a, 0), max(b, 0)), tilt, *arc, colour, -1, cv2.LINE_AA, 4)


def _paint_room(rng: np.random.Generator, width: int, height: int) -> Image:
    """A wall with mottled paint, pictures and a shelf, larger than the frame by a margin."""
    w, h = width + width // 4, height + height // 4
    base = np.array(
        rng.choice([(176, 168, 150), (140, 156, 168), (168, 148, 140), (134, 148, 130)])
    )
    mottle = cv2.resize(rng.normal(0, 6, (h // 20, w // 20)), (w, h), interpolation=cv2.INTER_CUBIC)
    grain = rng.normal(0, 2, (h, w))
    light = np.linspace(1.05, 0.8, h)[:, None] * np.linspace(0.9, 1.05, w)[None, :]
    wall = (base * light[..., None] + (mottle + grain)[..., None]).clip(0, 255)
    room: Image = wall.astype(np.uint8)
    for left in np.arange(0.05, 0.95, 0.2) * w:
        x, y = int(left + rng.uniform(0, 0.05) * w), int(rng.uniform(0.08, 0.25) * h)
        size = np.array([rng.uniform(0.07, 0.13) * w, rng.uniform(0.15, 0.3) * h]).astype(int)
        cv2.rectangle(room, (x, y), (x + size[0], y + size[1]), (74, 58, 46), -1, cv2.LINE_AA)
        tint = shade(tuple(rng.choice(SHIRT)), rng.uniform(0.9, 1.4))
        rim = max(2, w // 160)
        corner = (int(x + size[0] - rim), int(y + size[1] - rim))
        cv2.rectangle(room, (x + rim, y + rim), corner, tint, -1, cv2.LINE_AA)
    return room


def render(scene: Scene, config: DrawnConfig, frames: Iterable[int]) -> Iterator[Image]:
    """The pictures of some frames."""
    width, height = config.width, config.height
    room = _paint_room(scene.rng(1), width, height)
    table = tuple(
        int(c) for c in scene.rng(2).choice([(120, 84, 56), (150, 112, 78), (92, 70, 58)])
    )
    for frame in frames:
        pan = width / 12 * np.sin(frame / len(scene.sway) * 2)
        x, y = np.array([0.625 * width - pan, 0.625 * height]) - scene.sway[frame]
        image: Any = cv2.getRectSubPix(room, (width, height), (x, y))
        for actor in scene.actors:
            draw_actor(image, actor, frame)
        edge = int(0.93 * height + scene.sway[frame, 1])
        cv2.rectangle(image, (0, edge), (width, height), table, -1)
        yield image


def draw_actor(image: Image, actor: Actor, frame: int) -> None:
    (x, y), r, yaw = actor.centres[frame], actor.radius, actor.yaw[frame]
    _ellipse(image, (x, y + 2.9 * r), (1.75 * r, 1.6 * r), actor.shirt)
    left, right, chest = round(x - 1.75 * r), round(x + 1.75 * r), round(y + 2.9 * r)
    cv2.rectangle(image, (left, chest), (right, image.shape[0]), actor.shirt, -1)
    _ellipse(image, (x, y + 1.05 * r), (0.36 * r, 0.62 * r), shade(actor.skin, 0.8))
    if actor.is_long_haired:
        _ellipse(image, (x - 0.12 * r * yaw, y + 0.4 * r), (0.95 * r, 1.05 * r), actor.hair)
    _draw_head(image, actor, (x, y), yaw)
    _draw_features(image, actor, (x, y), frame)
    if actor.blur_px:
        _blur(image, actor, (x, y))


def _blur(image: Image, actor: Actor, centre: Point) -> None:
    """Put the head out of focus, leaving what is around it sharp."""
    (x, y), r = centre, actor.radius
    left, top = max(0, int(x - 1.2 * r)), max(0, int(y - 1.4 * r))
    patch = image[top : max(0, int(y + 1.4 * r)), left : max(0, int(x + 1.2 * r))]
    if not patch.size:
        return
    h, w = patch.shape[:2]
    small = (max(1, round(w / actor.blur_px)), max(1, round(h / actor.blur_px)))
    soft = cv2.resize(cv2.resize(patch, small, interpolation=cv2.INTER_AREA), (w, h))
    mask = np.zeros((h, w, 3), np.uint8)
    _ellipse(mask, (x - left, y - top), (1.1 * r, 1.3 * r), (255, 255, 255))
    np.copyto(patch, soft, where=mask > 127)


def _draw_head(image: Image, actor: Actor, centre: Point, yaw: float) -> None:
    """Hair, ears (the far one behind the head) and the face itself."""
    (x, y), r, a = centre, actor.radius, ASPECT * actor.radius
    _ellipse(image, (x - 0.16 * r * np.sin(yaw), y - 0.16 * r), (0.9 * r, 0.98 * r), actor.hair)
    ear = (0.13 * r, 0.2 * r)
    for side in (-1, 1):
        _ellipse(image, (x + side * a * np.cos(yaw), y + 0.05 * r), ear, shade(actor.skin, 0.88))
    _ellipse(image, (x, y), (a, r), actor.skin)
    if abs(yaw) > 0.3:
        near = x - np.sign(yaw) * a * np.cos(yaw)
        _ellipse(image, (near, y + 0.05 * r), ear, shade(actor.skin, 0.88))
    fringe, tilt = (x - 0.1 * r * np.sin(yaw), y - 0.42 * r), -22.0 * np.sin(yaw)
    _ellipse(image, fringe, (0.82 * r, 0.64 * r), actor.hair, (180, 360), tilt)


def _draw_features(image: Image, actor: Actor, centre: Point, frame: int) -> None:
    """Eyes, brows, nose and mouth, slid sideways and foreshortened on the turned head."""
    (x, y), r, a, yaw = centre, actor.radius, ASPECT * actor.radius, actor.yaw[frame]
    is_blinking = (frame + int(10 * actor.pitch_hz)) % 97 < 4
    for side in (-0.46, 0.46):
        depth = np.cos(side + yaw)
        if depth < 0.15:
            continue  # round the corner
        eye = (x + 0.93 * a * np.sin(side + yaw), y - 0.1 * r)
        half = (0.2 * r * depth, 0.03 * r if is_blinking else 0.125 * r)
        _ellipse(image, eye, half, shade(actor.skin, 0.6 if is_blinking else 1.0))
        if not is_blinking:
            _ellipse(image, eye, half, shade((248, 248, 244), actor.light))
            pupil = (eye[0] + float(np.clip(yaw, -1, 1)) * 0.6 * half[0], eye[1])
            _ellipse(image, pupil, (0.095 * r * min(1, depth + 0.2), 0.105 * r), (28, 22, 20))
        brow = (eye[0], eye[1] - 0.2 * r)
        _ellipse(image, brow, (0.22 * r * depth, 0.075 * r), actor.hair, (180, 360))
    nose = (x + 1.02 * a * np.sin(yaw), y + 0.16 * r)
    _ellipse(image, nose, (0.1 * r, 0.15 * r), shade(actor.skin, 0.86))
    opening, lips = actor.mouth[frame], (x + 0.9 * a * np.sin(yaw), y + 0.54 * r)
    half = (0.29 * r * np.cos(yaw), (0.06 + 0.2 * opening) * r)
    _ellipse(image, lips, half, shade((186, 84, 78), actor.light))
    _ellipse(
        image, lips, (0.84 * half[0], 0.85 * half[1] - 0.03 * r), shade((74, 22, 24), actor.light)
    )
