"""Pixel loops of the renderer, compiled with Numba.

Colours are linear light until TONES maps them to bytes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar, cast

import numba
import numpy as np

from quavf.core.records import Array, Floats, Ints
from quavf.simulate.appearance import TEXTURE_X, TEXTURE_Y
from quavf.simulate.head import CLOTH, EYE_X, FACE, HAIR, MOUTH_Y

F = TypeVar("F", bound=Callable[..., object])


def compile_kernel(function: F) -> F:
    """Compile a function on first use, and cache the result on disk."""
    return cast(F, numba.njit(cache=True, nogil=True, error_model="numpy", fastmath=True)(function))


def inline_kernel(function: F) -> F:
    """Inline a function into its caller: passing arrays costs more than most of them do."""
    return cast(F, numba.njit(inline="always", error_model="numpy", fastmath=True)(function))


FAR = np.float32(1e9)
ZERO, HALF, WRAP, GLOSS = np.float32(0), np.float32(0.5), np.float32(0.8), np.float32(0.08)
LAST_TONE = np.float32(4095)
TONES = np.round(255 * (np.arange(4096) / 4095) ** 0.45).astype(np.uint8)  # bytes by linear light


@compile_kernel
def rasterise_mesh(
    points: Floats, normals: Floats, attributes: Floats, face: Ints, triangles: Ints, out: Array
) -> None:
    """Fill `out` (H, W, 9) with the nearest surface at each pixel.

    The values are depth; x, y at rest, hair; normal x, y, z; material; on the face. `points` (V, 3)
    are x, y in pixels of `out`, and depth. Back faces are drawn only for materials after SKIN,
    whose surfaces may be open.
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
        if left > right or top > bottom:
            continue
        sign = 1.0 if area > 0 else -1.0
        b_step, c_step = (y2 - y0) / area, -(y1 - y0) / area
        for row in range(top, bottom + 1):
            b = ((left - x0) * (y2 - y0) - (x2 - x0) * (row - y0)) / area - b_step
            c = ((x1 - x0) * (row - y0) - (left - x0) * (y1 - y0)) / area - c_step
            for column in range(left, right + 1):
                b += b_step
                c += c_step
                a = 1.0 - b - c
                if a < -1e-9 or b < -1e-9 or c < -1e-9:
                    continue
                depth = a * points[i, 2] + b * points[j, 2] + c * points[k, 2]
                if depth >= out[row, column, 0]:
                    continue
                out[row, column, 0] = depth
                for n in range(3):
                    mark = a * attributes[i, n] + b * attributes[j, n] + c * attributes[k, n]
                    normal = a * normals[i, n] + b * normals[j, n] + c * normals[k, n]
                    out[row, column, 1 + n] = mark
                    out[row, column, 4 + n] = sign * normal
                out[row, column, 7] = material
                out[row, column, 8] = face[i] + face[j] + face[k]


@inline_kernel
def _smoothstep(low: float, high: float, x: float) -> float:
    t = (x - low) / (high - low)
    t = min(max(t, 0.0), 1.0)
    return t * t * (3 - 2 * t)


@inline_kernel
def _sample_skin(picture: Array, x: float, y: float, colour: Array) -> None:
    """Sample the texel nearest to x, y (metres on the face); texels are about pixel-sized."""
    rows, columns = picture.shape[:2]
    u = min(max((x / TEXTURE_X + 1) / 2 * (columns - 1) + 0.5, 0.0), columns - 1.0)
    v = min(max((y / TEXTURE_Y + 1) / 2 * (rows - 1) + 0.5, 0.0), rows - 1.0)
    i, j = int(v), int(u)
    for n in range(3):
        colour[n] = picture[i, j, n]


@inline_kernel
def _mix_colour(colour: Array, red: float, green: float, blue: float, share: float) -> None:
    colour[0] += (red - colour[0]) * share
    colour[1] += (green - colour[1]) * share
    colour[2] += (blue - colour[2]) * share


@inline_kernel
def _paint_eye(x: float, y: float, pose: Array, iris: Array, colour: Array) -> None:
    """Paint the eyes. `pose`: gaze right, down (radians), lid opening 0-1, mouth opening, width."""
    side = 1.0 if x > 0 else -1.0
    dx, dy = x - side * EYE_X, y
    along = dx / 0.0155
    if abs(along) > 1.15 or abs(dy) > 0.016:
        return
    arch = max(1 - along * along, 0.0)
    upper, lower = -0.0068 * pose[2] * arch**0.8, 0.0047 * min(pose[2] + 0.3, 1.0) * arch
    soft = 0.0007
    crease = np.exp(-(((dy - upper + 0.0042) / 0.0011) ** 2)) * arch
    for n in range(3):
        colour[n] *= 1 - 0.4 * crease
    inside = _smoothstep(upper - soft, upper + soft, dy) * (
        1 - _smoothstep(lower - soft, lower + soft, dy)
    )
    if inside > 0:
        right, down = dx - 0.0115 * np.sin(pose[0]), dy - 0.0095 * np.sin(pose[1])
        radius = np.sqrt(right * right + down * down)
        shade = 0.52 - 0.2 * along * along - 0.25 * _smoothstep(0.004, 0.0, dy - upper)
        glint = np.exp(-(((right + 0.0018) / 0.0011) ** 2) - ((down + 0.002) / 0.0011) ** 2)
        on_iris = 1 - _smoothstep(0.0055, 0.0064, radius)
        pupil = 1 - 0.9 * (1 - _smoothstep(0.0022, 0.0029, radius))
        for n in range(3):
            ball = shade * (1 - 0.05 * n)
            ball = (ball + (iris[n] - ball) * on_iris) * pupil + 0.7 * glint
            colour[n] += (ball - colour[n]) * inside
    lash = np.exp(-(((dy - upper) / 0.0013) ** 2)) * _smoothstep(1.12, 0.95, abs(along))
    _mix_colour(colour, 0.02, 0.014, 0.012, 0.85 * lash)
    edge = np.exp(-(((dy - lower) / 0.0008) ** 2)) * arch
    _mix_colour(colour, 0.02, 0.014, 0.012, 0.3 * edge)


@inline_kernel
def _paint_mouth(x: float, y: float, pose: Array, lip: Array, thick: float, colour: Array) -> None:
    """Paint lips, teeth and the open mouth."""
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
    on_lip = _smoothstep(upper - soft, upper + soft, dy) * (
        1 - _smoothstep(lower - soft, lower + soft, dy)
    )
    tint = 0.85 if dy < 0 else 1.05
    cover = 0.9 * on_lip * _smoothstep(0.0, 0.15, arch)
    _mix_colour(colour, tint * lip[0], tint * lip[1], tint * lip[2], cover)
    line = np.exp(-(((dy) / 0.0009) ** 2)) * _smoothstep(1.1, 0.95, abs(along)) * (1 - pose[3])
    _mix_colour(colour, 0.05, 0.012, 0.012, 0.75 * max(line, 0.0))
    if half > 0.0006:
        soft = 0.0006
        top = -half * 0.5
        hole = _smoothstep(top - soft, top + soft, dy) * (
            1 - _smoothstep(half - soft, half + soft, dy)
        )
        teeth = 1 - _smoothstep(0.0025, 0.0035, dy - top)
        bright = 0.75 * teeth * _smoothstep(0.15, 0.5, pose[3])
        red, green = 0.05 + 0.45 * bright, 0.012 + 0.45 * bright
        _mix_colour(colour, red, green, 0.012 + 0.39 * bright, hole)


@inline_kernel
def _hash_noise(x: int, y: int) -> float:
    """Hash two integers to repeatable noise in [0, 1)."""
    h = (x * 374761393 + y * 668265263) & 0x7FFFFFFF
    h = ((h ^ (h >> 13)) * 1274126177) & 0x7FFFFFFF
    return float((h ^ (h >> 16)) & 0xFFFF) / 65536.0


@compile_kernel
def shade_pixels(
    buffer: Array, skin: Array, palette: Array, pose: Array, light: Array, out: Array
) -> None:
    """Shade the `buffer` (H, W, 9) of `rasterise_mesh` into `out` (H, W, 4), BGR and alpha bytes.

    `palette` (9, 3): skin, hair, dark, cloth, second cloth, iris, lip, (stripe width, lip
    thickness, hair noise), unused. `pose`: see `_paint_eye`. `light` (4, 3): direction to the lamp,
    colours of the lamp, of light from above and from below; in the axes of the normals (y down).
    """
    colour = np.empty(3, np.float32)
    lx, ly, lz = light[0]
    hx, hy, hz = lx, ly, lz - np.float32(1)
    half = np.float32(1 / (np.sqrt(hx * hx + hy * hy + hz * hz) + 1e-9))
    l10, l11, l12 = LAST_TONE * light[1]
    l20, l21, l22 = LAST_TONE * (light[2] - light[3])
    l30, l31, l32 = LAST_TONE * light[3]
    tones = TONES
    out[:] = 0
    for row in range(buffer.shape[0]):
        for column in range(buffer.shape[1]):
            if buffer[row, column, 0] >= FAR:
                continue
            x, y, hair = buffer[row, column, 1], buffer[row, column, 2], buffer[row, column, 3]
            nx, ny, nz = buffer[row, column, 4], buffer[row, column, 5], buffer[row, column, 6]
            material = int(buffer[row, column, 7])
            on_face = buffer[row, column, 8] > 0
            _compute_albedo(x, y, hair, material, on_face, skin, palette, pose, colour)
            lamp = max((nx * lx + ny * ly + nz * lz) * WRAP + (1 - WRAP), ZERO)
            above = HALF - HALF * ny
            glare = max((nx * hx + ny * hy + nz * hz) * half, ZERO)
            glare *= glare * glare
            glare *= glare
            glare *= GLOSS * glare if material != CLOTH else ZERO
            red = colour[0] * (l30 + l20 * above + lamp * l10) + glare * l10
            green = colour[1] * (l31 + l21 * above + lamp * l11) + glare * l11
            blue = colour[2] * (l32 + l22 * above + lamp * l12) + glare * l12
            out[row, column, 0] = tones[min(int(blue), 4095)]
            out[row, column, 1] = tones[min(int(green), 4095)]
            out[row, column, 2] = tones[min(int(red), 4095)]
            out[row, column, 3] = 255


@inline_kernel
def _compute_albedo(
    x: float,
    y: float,
    hair: float,
    material: int,
    on_face: bool,
    skin: Array,
    palette: Array,
    pose: Array,
    colour: Array,
) -> None:
    """Set `colour` to the colour of the surface, without lighting."""
    if material == FACE:
        if hair > 0.25 and hair + 0.3 * _hash_noise(int(x * 1200), int(y * 300)) > 0.65:
            material = HAIR
        else:
            _sample_skin(skin, x, y, colour)
            if on_face:  # excludes the back of a bald head
                if -0.02 < y < 0.02:
                    _paint_eye(x, y, pose, palette[5], colour)
                elif 0.035 < y < 0.1:
                    _paint_mouth(x, y, pose, palette[6], palette[7, 1], colour)
            return
    row = 0
    if material == HAIR:
        row = 1
        across = int(x * 1100 + y * 150 + 1000)
        streak = 0.6 * _hash_noise(across, int(y * 25 + 50)) + 0.4 * _hash_noise(across // 4, 7)
        gain = 1.0 + palette[7, 2] * (streak - 0.5)
    elif material == CLOTH:
        row, gain = 3, 1.0
        stripe = palette[7, 0]
        if y > 0.62:  # trousers and skirts
            row, gain = 4, 0.5
        elif stripe > 0 and int(y / stripe) % 2 == 0:
            row = 4
    else:
        row, gain = (2 if material == HAIR + 1 else 0), 1.0
    for n in range(3):
        colour[n] = palette[row, n] * gain


@compile_kernel
def clear_below_table(out: Array, camera: Array, turn: Array, lens: Array, table: Array) -> None:
    """Clear pixels of `out` (H, W, 9) that a table hides.

    `lens`: focal length and centre in pixels of `out`; `table`: x, y of its centre, radius, height.
    """
    for row in range(out.shape[0]):
        v = (row - lens[2]) / lens[0]
        for column in range(out.shape[1]):
            depth = out[row, column, 0]
            u = (column - lens[1]) / lens[0]
            dz = turn[2, 2] + u * turn[2, 0] + v * turn[2, 1]
            if depth >= FAR or dz > -1e-6:
                continue
            at = (table[3] - camera[2]) / dz
            if at <= 0 or at >= depth:
                continue
            x = camera[0] + at * (turn[0, 2] + u * turn[0, 0] + v * turn[0, 1]) - table[0]
            y = camera[1] + at * (turn[1, 2] + u * turn[1, 0] + v * turn[1, 1]) - table[1]
            if x * x + y * y < table[2] * table[2]:
                out[row, column, 0] = FAR


@compile_kernel
def paste_patch(patch: Array, frame: Array, left: int, top: int) -> None:
    """Blend a premultiplied patch (h, w, 4) over a frame (H, W, 3), clipped to the frame."""
    for row in range(max(0, -top), min(patch.shape[0], frame.shape[0] - top)):
        for column in range(max(0, -left), min(patch.shape[1], frame.shape[1] - left)):
            cover = int(patch[row, column, 3])
            if cover == 0:
                continue
            i, j = top + row, left + column
            if cover == 255:
                frame[i, j, 0] = patch[row, column, 0]
                frame[i, j, 1] = patch[row, column, 1]
                frame[i, j, 2] = patch[row, column, 2]
                continue
            for n in range(3):
                under = (int(frame[i, j, n]) * (255 - cover) + 127) // 255
                frame[i, j, n] = min(int(patch[row, column, n]) + under, 255)
