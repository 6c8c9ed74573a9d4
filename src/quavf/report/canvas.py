"""Drawing on a picture's YUV planes: rectangles, bars, discs and text.

Only the small regions that are drawn on are ever converted to BGR, so the rest of the picture
stays as it was decoded and a 1080p picture costs a few milliseconds.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import cv2
import numpy as np

from quavf.core.records import Array, Floats, Image

GROUND = 25  # grey of the ground under painted regions, seen at the edges of letters


@dataclass(frozen=True)
class Canvas:
    """An I420 picture: `y` (H, W), `u` and `v` (H/2, W/2), views that are drawn on in place."""

    y: Image
    u: Image
    v: Image

    @classmethod
    def of(cls, i420: Image) -> Canvas:
        """Views of (H * 3/2, W) contiguous planes; H and W are even."""
        height, width = i420.shape[0] * 2 // 3, i420.shape[1]
        flat, n = i420.reshape(-1), height * width
        half = (height // 2, width // 2)
        return cls(
            flat[:n].reshape(height, width),
            flat[n : n + n // 4].reshape(half),
            flat[n + n // 4 :].reshape(half),
        )

    @property
    def size(self) -> tuple[int, int]:
        """Width and height, pixels."""
        return self.y.shape[1], self.y.shape[0]

    @contextmanager
    def region(
        self, x1: float, y1: float, x2: float, y2: float, light: float = 1.0
    ) -> Iterator[Image]:
        """The BGR pixels of a region, cut to the picture and even; changes are put back.

        Below 1, `light` darkens what was there first.
        """
        height, width = self.y.shape
        left, top = (int(np.clip(v, 0, m)) // 2 * 2 for v, m in ((x1, width), (y1, height)))
        right, bottom = (int(np.clip(v, 0, m)) // 2 * 2 for v, m in ((x2, width), (y2, height)))
        if right <= left or bottom <= top:
            yield np.zeros((0, 0, 3), np.uint8)
            return
        parts = (
            self.y[top:bottom, left:right],
            self.u[top // 2 : bottom // 2, left // 2 : right // 2],
            self.v[top // 2 : bottom // 2, left // 2 : right // 2],
        )
        if light < 1:
            _darken(parts, light)
        h, w = parts[0].shape
        i420 = np.concatenate([part.reshape(-1) for part in parts]).reshape(h * 3 // 2, w)
        bgr = np.asarray(cv2.cvtColor(i420, cv2.COLOR_YUV2BGR_I420), np.uint8)
        yield bgr
        back = Canvas.of(np.asarray(cv2.cvtColor(bgr, cv2.COLOR_BGR2YUV_I420), np.uint8))
        for part, new in zip(parts, (back.y, back.u, back.v), strict=True):
            part[:] = new

    def frame(self, box: Floats, thick: int, bgr: Floats) -> None:
        """A rectangle around a box, with a dark line outside that sets it off from the picture."""
        luma, blue, red = _yuv(*(round(float(tone)) for tone in bgr))
        x1, y1, x2, y2 = (int(v) for v in np.round(box / 2) * 2)
        for left, top, right, bottom in _edges(x1 - thick, y1 - thick, x2 + thick, y2 + thick, 2):
            shade = self.y[_span(top, bottom), _span(left, right)]
            shade[:] = shade // 2
        for left, top, right, bottom in _edges(x1, y1, x2, y2, thick):
            self.y[_span(top, bottom), _span(left, right)] = luma
            half = _span(top // 2, bottom // 2), _span(left // 2, right // 2)
            self.u[half], self.v[half] = blue, red


@dataclass(frozen=True)
class Sprite:
    """A painted region: its planes, as of `Canvas`, and where something is painted on them."""

    state: Hashable
    planes: tuple[Image, Image, Image]
    masks: tuple[Image, Image, Image]  # not 0: painted

    @classmethod
    def of(cls, bgr: Image, state: Hashable) -> Sprite:
        """Make a sprite of what is painted on `bgr` (H, W, 3), whose ground was `GROUND`."""
        planes = Canvas.of(np.asarray(cv2.cvtColor(bgr, cv2.COLOR_BGR2YUV_I420), np.uint8))
        ground = (float(GROUND),) * 3
        painted = cv2.bitwise_not(cv2.inRange(bgr, ground, ground))  # (H, W)
        size = (bgr.shape[1] // 2, bgr.shape[0] // 2)
        half = cv2.resize(painted, size, interpolation=cv2.INTER_AREA)  # not 0 if any of four is
        masks = np.asarray(painted, np.uint8), np.asarray(half, np.uint8)
        return cls(state, (planes.y, planes.u, planes.v), (masks[0], masks[1], masks[1]))

    def stamp(self, canvas: Canvas, left: int, top: int, light: float) -> None:
        """Put it on a canvas, at even pixels, over what was there, darkened to `light`."""
        width, height = self.planes[0].shape[::-1]
        x1, y1 = max(left, 0), max(top, 0)
        x2, y2 = (min(a, b) for a, b in zip((left + width, top + height), canvas.size, strict=True))
        if x2 <= x1 or y2 <= y1:
            return
        parts = []
        for step, plane in zip((1, 2, 2), (canvas.y, canvas.u, canvas.v), strict=True):
            parts.append(plane[y1 // step : y2 // step, x1 // step : x2 // step])
        _darken(tuple(parts), light)
        for step, part, own, mask in zip((1, 2, 2), parts, self.planes, self.masks, strict=True):
            rows = slice((y1 - top) // step, (y2 - top) // step)
            columns = slice((x1 - left) // step, (x2 - left) // step)
            cv2.copyTo(own[rows, columns], mask[rows, columns], part)


@dataclass
class Sprites:
    """Regions that are painted again only when what they show has changed."""

    kept: dict[Hashable, Sprite] = field(default_factory=dict)  # by what they show

    @contextmanager
    def region(
        self,
        canvas: Canvas,
        box: tuple[float, float, float, float],
        light: float,
        name: Hashable,
        state: Hashable,
    ) -> Iterator[Image]:
        """The BGR pixels of a region to paint on, as `Canvas.region`; none if it is as it was.

        `box` is left, top, right, bottom; the region is `name`'s, and shows `state`.
        """
        left, top = (int(v) // 2 * 2 for v in box[:2])
        wide, high = (int(b - a) // 2 * 2 for a, b in zip(box[:2], box[2:], strict=True))
        state = state, wide, high
        if wide <= 0 or high <= 0:
            yield np.zeros((0, 0, 3), np.uint8)
            return
        sprite = self.kept.get(name)
        if sprite is None or sprite.state != state:
            bgr = np.full((high, wide, 3), GROUND, np.uint8)
            yield bgr
            sprite = self.kept[name] = Sprite.of(bgr, state)
        else:
            yield np.zeros((0, 0, 3), np.uint8)
        sprite.stamp(canvas, left, top, light)


@lru_cache(maxsize=512)
def render_text(text: str, size_px: int) -> Image:
    """(H, W) coverage of a line of text, 0 to 255, tightly cut."""
    from PIL import Image as Pictures
    from PIL import ImageDraw, ImageFont

    font = ImageFont.load_default(max(6, size_px))  # comes with Pillow: the same on every machine
    left, top, right, bottom = (int(v) for v in font.getbbox(text))
    picture = Pictures.new("L", (max(1, right - left), max(1, bottom - top)))
    ImageDraw.Draw(picture).text((-left, -top), text, fill=255, font=font)
    return np.asarray(picture, np.uint8)


def draw_text(
    bgr: Image,
    text: str,
    x: float,
    middle: float,
    size: float,
    colour: tuple[int, ...],
    centred: bool = True,
) -> None:
    rest, ink = _ink_text(text, round(size), colour)
    high, wide = ink.shape[:2]
    left = max(0, round(x - wide / 2) if centred else round(x))
    top = max(0, round(middle - high / 2))
    part = bgr[top : top + high, left : left + wide]
    rest, ink = rest[: part.shape[0], : part.shape[1]], ink[: part.shape[0], : part.shape[1]]
    part[:] = (part * rest + ink) // 255


@lru_cache(maxsize=512)
def _ink_text(text: str, size_px: int, colour: tuple[int, ...]) -> tuple[Array, Array]:
    """Of a line of text: what stays of the ground (H, W, 1), and the ink (H, W, 3), over 255."""
    share = render_text(text, size_px)[..., None].astype(np.uint16)  # (H, W, 1)
    return 255 - share, np.array(colour, np.uint16) * share + 127


def draw_disc(bgr: Image, x: float, y: float, radius: float, colour: Floats) -> None:
    fine = 4  # bits below the pixel
    centre = (round(x * 2**fine), round(y * 2**fine))
    tone = tuple(float(c) for c in colour)
    cv2.circle(bgr, centre, round(radius * 2**fine), tone, -1, cv2.LINE_AA, fine)


def draw_bar(bgr: Image, x: float, y: float, wide: float, high: float, colour: Any) -> None:
    top, bottom = round(y), max(round(y) + 1, round(y + high))
    bgr[top:bottom, max(0, round(x)) : max(0, round(x + wide))] = colour


def draw_waves(bgr: Image, x: float, middle: float, scale: float, colour: Any) -> None:
    """Three bars of sound, from `x` on: somebody speaks."""
    for place, high in ((0, 4), (3, 9), (6, 4)):
        top = middle - high * scale / 2
        draw_bar(bgr, x + place * scale, top, max(1.0, 1.6 * scale), high * scale, colour)


def draw_eye(bgr: Image, x: float, y: float, scale: float, colour: Any) -> None:
    """An open eye around a point: somebody looks at the wearer."""
    fine = 4  # bits below the pixel
    centre = (round(x * 2**fine), round(y * 2**fine))
    axes = (round(5 * scale * 2**fine), round(3 * scale * 2**fine))
    thick = max(1, round(scale))
    cv2.ellipse(bgr, centre, axes, 0, 0, 360, colour, thick, cv2.LINE_AA, fine)
    draw_disc(bgr, x, y, 1.4 * scale, colour)


def _darken(parts: tuple[Image, ...], light: float) -> None:
    """Darken the three planes of a region in place."""
    for part, rest in zip(parts, (16, 128, 128), strict=True):  # black in limited range
        part[:] = cv2.convertScaleAbs(part, alpha=light, beta=rest * (1 - light))


def _edges(x1: int, y1: int, x2: int, y2: int, thick: int) -> list[tuple[int, int, int, int]]:
    """The four bars (left, top, right, bottom) outside a rectangle."""
    return [
        (x1 - thick, y1 - thick, x2 + thick, y1),
        (x1 - thick, y2, x2 + thick, y2 + thick),
        (x1 - thick, y1, x1, y2),
        (x2, y1, x2 + thick, y2),
    ]


def _span(start: int, end: int) -> slice:
    return slice(max(0, start), max(0, end))


@lru_cache(maxsize=512)
def _yuv(blue: int, green: int, red: int) -> tuple[int, int, int]:
    """The Y, U and V of a colour."""
    pixels = np.clip(np.full((2, 2, 3), (blue, green, red)), 0, 255).astype(np.uint8)
    i420 = cv2.cvtColor(pixels, cv2.COLOR_BGR2YUV_I420).reshape(-1)
    return int(i420[0]), int(i420[4]), int(i420[5])
