"""Drawing on a picture's YUV planes: rectangles, bars, discs and text.

Only the small regions that are drawn on are ever converted to BGR, so the rest of the picture
stays as it was decoded and a 1080p picture costs a few milliseconds.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import cv2
import numpy as np

from quavf.core.records import Array, Floats, Image


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
            for part, rest in zip(parts, (16, 128, 128), strict=True):  # black in limited range
                part[:] = cv2.convertScaleAbs(part, alpha=light, beta=rest * (1 - light))
        h, w = parts[0].shape
        i420 = np.concatenate([part.reshape(-1) for part in parts]).reshape(h * 3 // 2, w)
        bgr = np.asarray(cv2.cvtColor(i420, cv2.COLOR_YUV2BGR_I420), np.uint8)
        yield bgr
        back = Canvas.of(np.asarray(cv2.cvtColor(bgr, cv2.COLOR_BGR2YUV_I420), np.uint8))
        for part, new in zip(parts, (back.y, back.u, back.v), strict=True):
            part[:] = new

    def frame(self, box: Floats, thick: int, bgr: Floats) -> None:
        """A rectangle around a box, with a dark line outside that sets it off from the picture."""
        luma, blue, red = _yuv(bgr)
        x1, y1, x2, y2 = (int(v) for v in np.round(box / 2) * 2)
        for left, top, right, bottom in _edges(x1 - thick, y1 - thick, x2 + thick, y2 + thick, 2):
            shade = self.y[_span(top, bottom), _span(left, right)]
            shade[:] = shade // 2
        for left, top, right, bottom in _edges(x1, y1, x2, y2, thick):
            self.y[_span(top, bottom), _span(left, right)] = luma
            half = _span(top // 2, bottom // 2), _span(left // 2, right // 2)
            self.u[half], self.v[half] = blue, red


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
    mask = render_text(text, round(size))
    high, wide = mask.shape
    left = max(0, round(x - wide / 2) if centred else round(x))
    top = max(0, round(middle - high / 2))
    part = bgr[top : top + high, left : left + wide]
    share = mask[: part.shape[0], : part.shape[1], None].astype(np.uint16)
    part[:] = (part * (255 - share) + np.array(colour, np.uint16) * share + 127) // 255


def draw_disc(bgr: Image, x: float, y: float, radius: float, colour: Floats) -> None:
    fine = 4  # bits below the pixel
    centre = (round(x * 2**fine), round(y * 2**fine))
    tone = tuple(float(c) for c in colour)
    cv2.circle(bgr, centre, round(radius * 2**fine), tone, -1, cv2.LINE_AA, fine)


def draw_bar(bgr: Image, x: float, y: float, wide: float, high: float, colour: Any) -> None:
    top, bottom = round(y), max(round(y) + 1, round(y + high))
    bgr[top:bottom, max(0, round(x)) : max(0, round(x + wide))] = colour


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


def _yuv(bgr: Floats) -> Array:
    pixel = np.clip(np.round(bgr), 0, 255).astype(np.uint8).reshape(1, 1, 3)
    i420 = cv2.cvtColor(np.repeat(np.repeat(pixel, 2, 0), 2, 1), cv2.COLOR_BGR2YUV_I420)
    return np.asarray(i420.reshape(-1)[[0, 4, 5]])
