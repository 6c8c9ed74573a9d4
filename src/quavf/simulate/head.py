"""Triangle meshes of heads, torsos and hands, in metres.

Head axes: x to the right as seen by somebody facing the head, y down, z into the head; the eyes are
at y = 0. Every vertex stores its position on the face at rest (x, y), which the shader uses to find
eyes and lips, and how much hair covers it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from quavf.core.records import Floats, Ints
from quavf.simulate.appearance import Appearance, gaussian_bump

FACE, SKIN, HAIR, DARK, CLOTH = range(5)  # materials; the shader paints features on FACE

MOUTH_Y = 0.068
EYE_X = 0.032


@dataclass(frozen=True)
class Mesh:
    """A triangle mesh; `attributes` are x, y at rest and the hair cover of each vertex."""

    vertices: Floats  # (V, 3)
    normals: Floats  # (V, 3)
    attributes: Floats  # (V, 3)
    jaw: Floats  # (V,) how far the vertex moves with the jaw, 0 to 1
    face: Ints  # (V,) 1 on the face: between hairline, ears and chin
    triangles: Ints  # (M, 4) three vertices, clockwise from outside, and the material


def join_meshes(meshes: list[Mesh]) -> Mesh:
    """Join meshes into one."""
    triangles, base = [], 0
    for mesh in meshes:
        shifted = mesh.triangles.copy()
        shifted[:, :3] += base
        triangles.append(shifted)
        base += len(mesh.vertices)
    names = ("vertices", "normals", "attributes", "jaw", "face")
    parts = {name: np.concatenate([getattr(m, name) for m in meshes]) for name in names}
    return Mesh(**parts, triangles=np.concatenate(triangles))


def build_head(person: Appearance, rows: int = 54, columns: int = 48) -> Mesh:
    """Build head, ears, neck, hair and glasses."""
    skull = _build_skull(person, rows, columns)
    parts = [skull, _build_neck(person)]
    for side in (-1.0, 1.0):
        middle = np.array([side * (person.width - 0.003), 0.012, 0.012])
        parts.append(_build_ellipsoid(middle, np.array([0.009, 0.031, 0.017]), SKIN, 8))
    if person.has_glasses:
        parts.append(_build_glasses(person))
    if person.hair_style == "long":
        parts.append(_build_long_hair(person))
    if person.hair_style == "bun":
        middle = np.array([0.0, -person.height * 0.75, person.depth * 0.75])
        parts.append(_build_ellipsoid(middle, np.full(3, 0.04), HAIR, 10))
    return join_meshes(parts)


def _smoothstep(low: float, high: float, x: Floats) -> Floats:
    t = np.clip((x - low) / (high - low), 0.0, 1.0)
    return np.asarray(t * t * (3 - 2 * t))


def _build_skull(person: Appearance, rows: int, columns: int) -> Mesh:
    s = np.linspace(-1, 1, columns + 1)
    phi = np.pi * (0.5 * s + 0.5 * s**3)  # denser at the front
    theta = np.linspace(0.02, np.pi - 0.02, rows)
    phi, theta = np.meshgrid(phi, theta)
    round_ = np.sign(np.cos(theta)) * np.abs(np.cos(theta)) ** 0.92
    x = person.width * np.sin(theta) ** 0.85 * np.sin(phi)
    y = -person.height * round_
    z = -person.depth * np.sin(theta) ** 0.85 * np.cos(phi)
    front = np.clip(np.cos(phi), 0, 1)
    low = _smoothstep(0.015, person.height, y)
    x = x * (1 - person.jaw * low)
    z = z - 0.022 * person.chin * low * front  # chin forwards, nape inwards
    z = z - 0.02 * low * np.clip(-np.cos(phi), 0, 1)
    rest_x, rest_y = x.copy(), y.copy()
    z = z + _compute_relief(person, x, y) * (front > 0.15)
    hair = _compute_hair(person, phi, rest_x, rest_y)
    out = np.stack([x / person.width, y / person.height, z / person.depth], axis=-1)
    out /= np.linalg.norm(out, axis=-1, keepdims=True)
    lift = person.hair_lift * _smoothstep(0.25, 0.75, hair)
    xyz = np.stack([x, y, z], axis=-1) + lift[..., None] * out
    jaw = _smoothstep(MOUTH_Y - 0.006, MOUTH_Y + 0.012, rest_y) * np.clip(np.cos(phi) + 0.2, 0, 1)
    face = (np.abs(phi) < 1.45) & (rest_y > person.hairline - 0.004) & (hair < 0.6)
    attributes = np.stack([rest_x, rest_y, hair], axis=-1)
    return _build_grid(xyz, attributes, FACE, jaw, face.astype(float))


def _compute_relief(person: Appearance, x: Floats, y: Floats) -> Floats:
    """Depth of the facial features relative to the skull, metres; negative protrudes."""
    side = np.abs(x)
    tip, root = person.nose_y, -0.006
    rise = np.clip((y - root) / (tip - root), 0, 1)
    profile = rise * _smoothstep(tip + 0.013, tip + 0.001, y)
    width = person.nose_width * (0.55 + 0.45 * rise)
    shape = -person.nose * profile * np.exp(-((x / width) ** 2))
    shape -= 0.005 * gaussian_bump(side, y, (person.nose_width * 1.1, tip + 0.002), (0.006, 0.006))
    shape += person.sockets * gaussian_bump(side, y, (EYE_X, -0.001), (0.017, 0.011))
    shape -= 0.003 * gaussian_bump(side, y, (EYE_X, 0.001), (0.010, 0.006))
    shape -= person.brow_ridge * gaussian_bump(side, y, (0.026, -0.02), (0.03, 0.008))
    shape -= person.cheeks * gaussian_bump(side, y, (0.045, 0.03), (0.02, 0.018))
    shape -= 0.005 * gaussian_bump(x, y, (0, MOUTH_Y), (0.022, 0.012))
    shape += 0.003 * gaussian_bump(x, y, (0, MOUTH_Y + 0.018), (0.02, 0.006))
    shape -= 0.007 * person.chin * gaussian_bump(x, y, (0, person.height - 0.018), (0.02, 0.014))
    return np.asarray(shape)


def _compute_hair(person: Appearance, phi: Floats, x: Floats, y: Floats) -> Floats:
    """Hair cover of points on the skull: 0 none, 0.5 at the hairline, 1 full."""
    if person.hair_style == "bald":
        return np.zeros_like(x)
    turn = np.abs(phi)
    temple = _smoothstep(0.55, 1.25, turn)
    line = person.hairline + person.recede * np.exp(-(((turn - 0.55) / 0.2) ** 2)) * -0.02
    line = line + temple * (person.sideburn - person.hairline)
    line = line + _smoothstep(1.55, 2.2, turn) * (0.095 - person.sideburn)
    ear = np.exp(-(((turn - 1.6) / 0.18) ** 2)) * 0.03
    return np.clip(0.5 + (line - ear - y) / 0.02, 0, 1)


def _build_neck(person: Appearance) -> Mesh:
    y = np.linspace(0.05, 0.24, 6)
    phi = np.linspace(-np.pi, np.pi, 17)
    phi, y = np.meshgrid(phi, y)
    radius = person.neck * (1 + 1.5 * np.clip(y - 0.17, 0, 1))
    xyz = np.stack([radius * np.sin(phi), y, 0.018 - radius * np.cos(phi)], axis=-1)
    return _build_grid(xyz, np.zeros_like(xyz), SKIN)


def _build_long_hair(person: Appearance) -> Mesh:
    """Build long hair: a shell around the sides and back of the head, down to the shoulders."""
    phi, y = np.meshgrid(np.linspace(0.85, 2 * np.pi - 0.85, 28), np.linspace(-0.08, 0.2, 12))
    grow = 0.8 + 0.28 * _smoothstep(-0.09, -0.01, y) + 0.2 * _smoothstep(-0.02, 0.14, y)
    grow = grow + 0.03 * np.sin(7 * phi)
    x = person.width * grow * np.sin(phi)
    z = -person.depth * 0.95 * grow * np.cos(phi)
    xyz = np.stack([x, y, z], axis=-1)
    attributes = np.stack([x + z, y, np.ones_like(y)], axis=-1)
    return _build_grid(xyz, attributes, HAIR)


def _build_glasses(person: Appearance) -> Mesh:
    """Build glasses from flat strips: two rims, a bridge and the temples."""
    angle = np.linspace(0, 2 * np.pi, 25)
    ring = np.stack([np.cos(angle), np.sin(angle)], axis=-1)
    ring = np.sign(ring) * np.abs(ring) ** 0.75
    front = -person.depth - 0.002
    thick = person.rim
    parts = []
    for side in (-1.0, 1.0):
        grid = np.empty((2, 25, 3))
        for row, grow in enumerate((0.0, thick)):
            grid[row, :, 0] = side * 0.033 + ring[:, 0] * (0.024 + grow)
            grid[row, :, 1] = 0.004 + ring[:, 1] * (0.019 + grow)
            grid[row, :, 2] = front + 0.2 * (grid[row, :, 0] / 0.06) ** 2 * 0.06
        parts.append(_build_grid(grid, np.zeros_like(grid), DARK))
        ends = np.array([[side * 0.058, -0.004, front + 0.014], [side * person.width, -0.004, 0.0]])
        strip = np.stack([ends, ends + np.array([0, 0.005, 0])])
        parts.append(_build_grid(strip, np.zeros_like(strip), DARK))
    x = np.linspace(-0.01, 0.01, 4)
    bridge = np.stack([x, np.full(4, -0.002), np.full(4, front - 0.001)], axis=-1)
    bridge = np.stack([bridge, bridge + np.array([0, thick, 0])])
    parts.append(_build_grid(bridge, np.zeros_like(bridge), DARK))
    return join_meshes(parts)


def build_torso(person: Appearance, drop: float) -> Mesh:
    """Build shoulders, chest and arms, down to `drop` metres below the eyes, in head axes."""
    y = np.concatenate([np.linspace(0.125, 0.22, 8), np.linspace(0.26, max(drop, 0.35), 5)])
    phi, y = np.meshgrid(np.linspace(-np.pi, np.pi, 33), y)
    spread = _smoothstep(0.115, 0.22, y) ** 0.6
    half = (
        0.055
        + (person.shoulders - 0.055) * spread
        - 0.03 * _smoothstep(0.4, 0.8, y)
        + 0.04 * _smoothstep(0.8, 1.2, y)
    )
    deep = 0.05 + 0.07 * _smoothstep(0.13, 0.33, y)
    cos, sin = np.cos(phi), np.sin(phi)
    x = half * np.sign(sin) * np.abs(sin) ** 0.8
    z = 0.03 - deep * np.sign(cos) * np.abs(cos) ** 0.8
    xyz = np.stack([x, y, z], axis=-1)
    parts = [_build_grid(xyz, np.stack([x, y, np.zeros_like(x)], axis=-1), CLOTH)]
    for side in (-1.0, 1.0):
        wide = side * (person.shoulders - 0.015)
        bends = np.array([[wide, 0.235, 0.03], [1.15 * wide, 0.47, 0.05], [0.8 * wide, 0.6, -0.2]])
        parts.append(_build_tube(bends, (0.055, 0.045, 0.032)))
        parts.append(
            _build_ellipsoid(
                bends[2] + np.array([0, 0, -0.05]), np.array([0.035, 0.025, 0.05]), SKIN, 8
            )
        )
    return join_meshes(parts)


def _build_tube(bends: Floats, radii: tuple[float, ...]) -> Mesh:
    """Build a downward tube through the rows of `bends` (N, 3), with a radius at each."""
    at = np.linspace(0, len(bends) - 1, 9)
    known = np.arange(len(bends))
    middle = np.column_stack([np.interp(at, known, bends[:, n]) for n in range(3)])
    radius = np.interp(at, known, radii)
    phi = np.linspace(-np.pi, np.pi, 13)
    ring = np.stack([np.sin(phi), np.zeros_like(phi), -np.cos(phi)], axis=-1)
    xyz = middle[:, None] + radius[:, None, None] * ring
    xyz[..., 1] -= radius[:, None] * np.cos(phi) * np.linspace(0, 0.8, 9)[:, None]
    attributes = np.stack([xyz[..., 0], xyz[..., 1], np.zeros(xyz.shape[:2])], axis=-1)
    return _build_grid(xyz, attributes, CLOTH)


def build_hand(reach: float = 0.28) -> Mesh:
    """Build a hand and forearm with the palm at the origin."""
    parts = [_build_ellipsoid(np.zeros(3), np.array([0.04, 0.045, 0.018]), SKIN, 10)]
    for finger in range(4):
        middle = np.array([-0.03 + 0.02 * finger, -0.062 + 0.004 * abs(finger - 1.5), -0.004])
        parts.append(_build_ellipsoid(middle, np.array([0.0095, 0.038, 0.01]), SKIN, 6))
    parts.append(
        _build_ellipsoid(np.array([0.045, -0.01, -0.004]), np.array([0.011, 0.03, 0.011]), SKIN, 6)
    )
    t, phi = np.linspace(0, 1, 5), np.linspace(-np.pi, np.pi, 11)
    phi, t = np.meshgrid(phi, t)
    radius = 0.026 + 0.02 * t
    y = 0.03 + reach * t
    xyz = np.stack([radius * np.sin(phi) + 0.05 * t, y, -radius * np.cos(phi)], axis=-1)
    parts.append(_build_grid(xyz, np.zeros_like(xyz), CLOTH))
    return join_meshes(parts)


def _build_ellipsoid(middle: Floats, radii: Floats, material: int, rows: int) -> Mesh:
    theta, phi = np.meshgrid(
        np.linspace(0.05, np.pi - 0.05, rows), np.linspace(-np.pi, np.pi, 2 * rows), indexing="ij"
    )
    unit = np.stack(
        [np.sin(theta) * np.sin(phi), -np.cos(theta), -np.sin(theta) * np.cos(phi)], axis=-1
    )
    xyz = middle + radii * unit
    return _build_grid(xyz, np.zeros_like(xyz) + np.array([0, 0, 1.0]), material)


def _build_grid(
    xyz: Floats,
    attributes: Floats,
    material: int,
    jaw: Floats | None = None,
    face: Floats | None = None,
) -> Mesh:
    """Build a mesh from a (rows, columns, 3) grid.

    From outside, rows run down and columns run right.
    """
    rows, columns = xyz.shape[:2]
    down, across = np.gradient(xyz, axis=0), np.gradient(xyz, axis=1)
    is_closed = columns > 4 and np.allclose(xyz[:, 0], xyz[:, -1], atol=1e-6)
    if is_closed:  # average the normals across the seam
        seam = (xyz[:, 1] - xyz[:, -2]) / 2
        across[:, 0] = across[:, -1] = seam
    normals = np.cross(down, across)  # with y down this points outwards
    normals /= np.linalg.norm(normals, axis=-1, keepdims=True) + 1e-12
    index = np.arange(rows * columns).reshape(rows, columns)
    a, b = index[:-1, :-1].ravel(), index[:-1, 1:].ravel()
    c, d = index[1:, :-1].ravel(), index[1:, 1:].ravel()
    corners = np.concatenate([np.column_stack([a, b, c]), np.column_stack([b, d, c])])
    triangles = np.column_stack([corners, np.full(len(corners), material)])
    n = rows * columns
    return Mesh(
        xyz.reshape(n, 3),
        normals.reshape(n, 3),
        attributes.reshape(n, 3),
        np.zeros(n) if jaw is None else jaw.reshape(n),
        np.zeros(n, np.int64) if face is None else face.reshape(n).astype(np.int64),
        triangles.astype(np.int64),
    )
