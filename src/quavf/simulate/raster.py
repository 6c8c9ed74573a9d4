"""Pixels of meshes and rooms: the loops that must be fast, compiled by Numba.

Colours are linear light until `tone` turns them into BGR bytes (a gamma of 2, so that a square
root suffices).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar, cast

import numba
import numpy as np

from quavf.records import Array, Floats, Ints
from quavf.simulate.head import CLOTH, EYE_X, FACE, HAIR, MOUTH_Y
from quavf.simulate.looks import TEXTURE_X, TEXTURE_Y

F = TypeVar("F", bound=Callable[..., object])


def compiled(function: F) -> F:
    """Compiled on first use, and kept on disk for later runs."""
    return cast(F, numba.njit(cache=True, nogil=True)(function))


FAR = np.float32(1e9)
BUFFER = 8  # x, y, hair, normal x y z, material, on the face


@compiled
def rasterise(
    points: Floats, normals: Floats, marks: Floats, face: Ints, triangles: Ints, out: Array
) -> None:
    """Fill `out` (H, W, 9) with what is nearest at each pixel: depth, then the BUFFER values.

    `points` (V, 3) are x, y in pixels of `out` and depth; triangles seen from behind are drawn
    only for materials past SKIN, which may be open.
    """
    height, width = out.shape[:2]
    for t in range(triangles.shape[0]):
        i, j, k, material = triangles[t]
        x0, y0 = points[i, 0], points[i, 1]
        x1, y1 = points[j, 0], points[j, 1]
        x2, y2 = points[k, 0], points[k, 1]
        area = (x1 - x0) * (y2 - y0) - (x2 - x0) * (y1 - y0)
        if area == 0 or (area < 0 and material < HAIR):
            continue
        left = max(int(np.ceil(min(x0, x1, x2))), 0)
        right = min(int(np.floor(max(x0, x1, x2))), width - 1)
        top = max(int(np.ceil(min(y0, y1, y2))), 0)
        bottom = min(int(np.floor(max(y0, y1, y2))), height - 1)
        sign = 1.0 if area > 0 else -1.0
        for row in range(top, bottom + 1):
            for column in range(left, right + 1):
                b = ((column - x0) * (y2 - y0) - (x2 - x0) * (row - y0)) / area
                c = ((x1 - x0) * (row - y0) - (column - x0) * (y1 - y0)) / area
                a = 1.0 - b - c
                if a < 0 or b < 0 or c < 0:
                    continue
                depth = a * points[i, 2] + b * points[j, 2] + c * points[k, 2]
                pixel = out[row, column]
                if depth >= pixel[0]:
                    continue
                pixel[0] = depth
                for n in range(3):
                    pixel[1 + n] = a * marks[i, n] + b * marks[j, n] + c * marks[k, n]
                    pixel[4 + n] = sign * (
                        a * normals[i, n] + b * normals[j, n] + c * normals[k, n]
                    )
                pixel[7] = material
                pixel[8] = face[i] + face[j] + face[k]


@compiled
def _ramp(low: float, high: float, x: float) -> float:
    t = (x - low) / (high - low)
    t = min(max(t, 0.0), 1.0)
    return t * t * (3 - 2 * t)


@compiled
def _sample(picture: Array, x: float, y: float, colour: Array) -> None:
    """Bilinear look-up at x, y in metres of the face."""
    rows, columns = picture.shape[:2]
    u = min(max((x / TEXTURE_X + 1) / 2 * (columns - 1), 0.0), columns - 1.001)
    v = min(max((y / TEXTURE_Y + 1) / 2 * (rows - 1), 0.0), rows - 1.001)
    i, j = int(v), int(u)
    a, b = v - i, u - j
    for n in range(3):
        above = picture[i, j, n] * (1 - b) + picture[i, j + 1, n] * b
        below = picture[i + 1, j, n] * (1 - b) + picture[i + 1, j + 1, n] * b
        colour[n] = above * (1 - a) + below * a


@compiled
def _mix(colour: Array, other: Array, share: float) -> None:
    for n in range(3):
        colour[n] = colour[n] * (1 - share) + other[n] * share


@compiled
def _eye(x: float, y: float, pose: Array, iris: Array, colour: Array) -> None:
    """Paint the eyes: `pose` is gaze right and down (radians), lids open 0-1, mouth open, wide."""
    side = 1.0 if x > 0 else -1.0
    dx, dy = x - side * EYE_X, y
    along = dx / 0.0155
    if abs(along) > 1.15 or abs(dy) > 0.016:
        return
    arch = max(1 - along * along, 0.0)
    upper, lower = -0.0068 * pose[2] * arch**0.8, 0.0047 * min(pose[2] + 0.3, 1.0) * arch
    soft = 0.0007
    dark = np.array([0.02, 0.014, 0.012])
    crease = np.exp(-(((dy - upper + 0.0042) / 0.0011) ** 2)) * arch
    for n in range(3):
        colour[n] *= 1 - 0.4 * crease
    inside = _ramp(upper - soft, upper + soft, dy) * (1 - _ramp(lower - soft, lower + soft, dy))
    if inside > 0:
        right, down = dx - 0.0115 * np.sin(pose[0]), dy - 0.0095 * np.sin(pose[1])
        radius = np.sqrt(right * right + down * down)
        shade = 0.52 - 0.2 * along * along - 0.25 * _ramp(0.004, 0.0, dy - upper)
        ball = np.array([shade, shade * 0.94, shade * 0.9])
        _mix(ball, iris, 1 - _ramp(0.0055, 0.0064, radius))
        _mix(ball, dark, 0.9 * (1 - _ramp(0.0022, 0.0029, radius)))
        glint = np.exp(-(((right + 0.0018) / 0.0011) ** 2) - ((down + 0.002) / 0.0011) ** 2)
        for n in range(3):
            ball[n] += 0.7 * glint
        _mix(colour, ball, inside)
    lash = np.exp(-(((dy - upper) / 0.0013) ** 2)) * _ramp(1.12, 0.95, abs(along))
    _mix(colour, dark, 0.85 * lash)
    _mix(colour, dark, 0.3 * np.exp(-(((dy - lower) / 0.0008) ** 2)) * arch)


@compiled
def _mouth(x: float, y: float, pose: Array, lip: Array, thick: float, colour: Array) -> None:
    """Paint lips, teeth and the dark between them."""
    wide = 0.0245 * pose[4]
    along = x / wide
    dy = y - MOUTH_Y - 0.0015 * along * along
    if abs(along) > 1.1 or abs(dy) > 0.03:
        return
    arch = max(1 - along * along, 0.0)
    half = 0.009 * pose[3] * arch**0.7
    bow = 1 - 0.25 * np.exp(-((x / 0.004) ** 2))
    upper = -half * 0.5 - 0.0062 * thick * arch**0.6 * bow
    lower = half + 0.0085 * thick * arch**0.7
    soft = 0.0009
    on_lip = _ramp(upper - soft, upper + soft, dy) * (1 - _ramp(lower - soft, lower + soft, dy))
    tint = lip * (0.85 if dy < 0 else 1.05)
    _mix(colour, tint, 0.9 * on_lip * _ramp(0.0, 0.15, arch))
    dark = np.array([0.05, 0.012, 0.012])
    line = np.exp(-(((dy) / 0.0009) ** 2)) * _ramp(1.1, 0.95, abs(along)) * (1 - pose[3])
    _mix(colour, dark, 0.75 * max(line, 0.0))
    if half > 0.0006:
        soft = 0.0006
        top = -half * 0.5
        hole = _ramp(top - soft, top + soft, dy) * (1 - _ramp(half - soft, half + soft, dy))
        teeth = 1 - _ramp(0.0025, 0.0035, dy - top)
        _mix(dark, np.array([0.5, 0.46, 0.4]), 0.75 * teeth * _ramp(0.15, 0.5, pose[3]))
        _mix(colour, dark, hole)


@compiled
def _noise(x: float, y: float) -> float:
    """Repeatable noise in [0, 1) of two whole numbers."""
    h = (np.int64(x) * 374761393 + np.int64(y) * 668265263) & 0x7FFFFFFF
    h = ((h ^ (h >> 13)) * 1274126177) & 0x7FFFFFFF
    return float((h ^ (h >> 16)) & 0xFFFF) / 65536.0


@compiled
def shade(
    buffer: Array, skin: Array, palette: Array, pose: Array, light: Array, out: Array
) -> None:
    """Turn what `rasterise` left in `buffer` (H, W, 9) into `out` (H, W, 4) bytes, BGR and cover.

    `palette` (9, 3): skin, hair, dark, cloth, second cloth, iris, lip, (stripe width, lip
    thickness, hair noise), unused. `pose`: see `_eye`. `light` (4, 3): direction to the lamp,
    lamp colour, colour from above, colour from below; in the frame of the normals (y down).
    """
    colour = np.empty(3)
    for row in range(buffer.shape[0]):
        for column in range(buffer.shape[1]):
            pixel = buffer[row, column]
            if pixel[0] >= FAR:
                out[row, column, 0] = out[row, column, 1] = 0
                out[row, column, 2] = out[row, column, 3] = 0
                continue
            _albedo(pixel, skin, palette, pose, colour)
            size = np.sqrt(pixel[4] ** 2 + pixel[5] ** 2 + pixel[6] ** 2) + 1e-9
            nx, ny, nz = pixel[4] / size, pixel[5] / size, pixel[6] / size
            facing = nx * light[0, 0] + ny * light[0, 1] + nz * light[0, 2]
            lamp = max((facing + 0.25) / 1.25, 0.0)
            above = 0.5 - 0.5 * ny
            hx, hy, hz = light[0, 0], light[0, 1], light[0, 2] - 1.0
            half = np.sqrt(hx * hx + hy * hy + hz * hz) + 1e-9
            glare = max((nx * hx + ny * hy + nz * hz) / half, 0.0) ** 12
            glare *= 0.05 if pixel[7] != CLOTH else 0.0
            for n in range(3):
                fill = light[2, n] * above + light[3, n] * (1 - above)
                value = colour[n] * (fill + lamp * light[1, n]) + glare * light[1, n]
                out[row, column, 2 - n] = np.uint8(255 * np.sqrt(min(max(value, 0.0), 1.0)))
            out[row, column, 3] = 255


@compiled
def _albedo(pixel: Array, skin: Array, palette: Array, pose: Array, colour: Array) -> None:
    """The colour of the surface itself."""
    x, y, hair, material = pixel[1], pixel[2], pixel[3], int(pixel[7])
    if material == FACE:
        ragged = hair + 0.5 * (_noise(np.floor(x * 900), np.floor(y * 250)) - 0.5)
        if hair > 0.0 and ragged > 0.5:
            material = HAIR
        else:
            _sample(skin, x, y, colour)
            if pixel[8] > 0:  # not the back of a bald head
                _eye(x, y, pose, palette[5], colour)
                _mouth(x, y, pose, palette[6], palette[7, 1], colour)
            return
    row = 0
    if material == HAIR:
        row = 1
        across = np.floor(x * 1100 + y * 150)
        streak = 0.6 * _noise(across, np.floor(y * 25)) + 0.4 * _noise(np.floor(across / 4), 7.0)
        gain = 1.0 + palette[7, 2] * (streak - 0.5)
    elif material == CLOTH:
        row, gain = 3, 1.0
        stripe = palette[7, 0]
        if stripe > 0 and int(np.floor(y / stripe)) % 2 == 0:
            row = 4
    else:
        row, gain = (2 if material == HAIR + 1 else 0), 1.0
    for n in range(3):
        colour[n] = palette[row, n] * gain


@compiled
def paste(patch: Array, frame: Array, left: int, top: int) -> None:
    """Lay a patch (h, w, 4), already multiplied by its cover, over a frame (H, W, 3), clipped."""
    for row in range(max(0, -top), min(patch.shape[0], frame.shape[0] - top)):
        for column in range(max(0, -left), min(patch.shape[1], frame.shape[1] - left)):
            cover = int(patch[row, column, 3])
            if cover == 0:
                continue
            pixel = frame[top + row, left + column]
            for n in range(3):
                under = int(pixel[n]) * (255 - cover)
                pixel[n] = min(int(patch[row, column, n]) + (under + 127) // 255, 255)
