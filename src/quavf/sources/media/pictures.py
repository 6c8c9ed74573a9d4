"""Decoded pictures as players show them: turned upright, of square pixels, all of one size."""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from typing import Any

import numpy as np
from av.video.frame import VideoFrame

from quavf.core.records import Image
from quavf.sources.media.pixels import (
    PLANAR_420,
    Region,
    Size,
    cut_bgr,
    fit,
    shrink,
    shrink_rgb,
)

GREY_SIDE = 320  # pixels: enough to measure camera motion to a pixel or two of 1080p
WIDEST_PIXEL = 8  # times its height; beyond it the proportions are damaged
MATRIX = struct.Struct("=9i")  # of side data: a b u, c d v, x y w


@dataclass(frozen=True)
class Layout:
    """How the pictures of a file are shown.

    Args:
        stored: Width and height of the upright-to-be picture, in square pixels.
        turns: Counterclockwise quarter turns that bring it upright, after mirroring.
        mirrored: Whether left and right are exchanged first.
        pixel: Width of a stored pixel, in its heights.
    """

    stored: Size
    turns: int = 0
    mirrored: bool = False
    pixel: Fraction = Fraction(1)

    @property
    def size(self) -> Size:
        """Width and height as shown, pixels."""
        return self.stored[::-1] if self.turns % 2 else self.stored

    def upright(self, pixels: Image) -> Image:
        """Turn pixels (h, w, ...) of the stored picture as they are shown."""
        return np.ascontiguousarray(
            np.rot90(np.fliplr(pixels) if self.mirrored else pixels, self.turns)
        )

    def stored_region(self, region: Region) -> Region:
        """A region of the shown picture, in the stored one."""
        x1, y1, x2, y2 = stored_region(region, self.size, self.turns)
        if self.mirrored:
            x1, x2 = self.stored[0] - x2, self.stored[0] - x1
        return x1, y1, x2, y2


def read_layout(first: VideoFrame, pixel: Fraction | None, turn: int = 0) -> Layout:
    """The layout of a file with this first picture.

    `pixel` is the width of its pixels in their heights, if known; `turn` are degrees clockwise by
    which to turn what a player shows.
    """
    known = pixel is not None and pixel > 0 and max(pixel, 1 / pixel) <= WIDEST_PIXEL
    pixel = pixel if pixel is not None and known else Fraction(1)
    turns, mirrored = _orientation(first)
    stored = square_size((first.width, first.height), pixel)
    return Layout(stored, (turns - turn // 90) % 4, mirrored, pixel)


def square_size(size: Size, pixel: Fraction) -> Size:
    """The size in square pixels: made wider or higher, so that nothing is lost."""
    width, height = size
    return (round(width * pixel), height) if pixel >= 1 else (width, round(height / pixel))


def _orientation(frame: VideoFrame) -> tuple[int, bool]:
    """Quarter turns and whether to mirror first, from the frame's display matrix."""
    side_data: Any = frame.side_data
    for data in side_data:
        if data.type.name == "DISPLAYMATRIX" and data.buffer_size >= MATRIX.size:
            a, b, _, c, d, *_ = MATRIX.unpack(bytes(data)[: MATRIX.size])
            mirrored = a * d - b * c < 0
            a, b = (-a, -b) if mirrored else (a, b)
            return round(-math.degrees(math.atan2(b, a)) / 90) % 4, mirrored
    return round(frame.rotation / 90) % 4, False


def stored_region(region: Region, size: Size, turns: int) -> Region:
    """A region of the shown picture, of `size` (width, height), in the picture before turning."""
    x1, y1, x2, y2 = region
    width, height = size
    for _ in range(turns % 4):  # undo one counterclockwise quarter turn: turn clockwise
        x1, y1, x2, y2 = height - y2, x1, height - y1, x2
        width, height = height, width
    return x1, y1, x2, y2


@dataclass(frozen=True)
class Frame:
    """A decoded picture as a player shows it, with its time."""

    number: int  # in the file, from 0
    time: Fraction  # s, exact
    ticks: range  # that it is on screen, 1/30 s; may be empty at more than 30 pictures a second
    source: VideoFrame
    layout: Layout

    @property
    def time_s(self) -> float:
        return float(self.time)

    @property
    def size(self) -> Size:
        """Width and height, pixels."""
        return self.layout.size

    def bgr(self, region: Region) -> Image:
        """(h, w, 3) BGR pixels of a region inside the picture, equal to cutting the whole one."""
        stored = self.layout.stored_region(region)
        picture = self.picture
        if picture.format.name not in PLANAR_420 or picture.height % 2:
            x1, y1, x2, y2 = stored
            return self.layout.upright(self._whole[y1:y2, x1:x2])
        return self.layout.upright(cut_bgr(picture, stored))

    def rgb(self, region: Region, size: Size) -> Image:
        """(h, w, 3) a region of the picture brought to `size` (width, height)."""
        turned = size[::-1] if self.layout.turns % 2 else size
        stored = self.layout.stored_region(region)
        return self.layout.upright(shrink_rgb(self.picture, stored, (turned[0], turned[1])))

    def sketch(self) -> Image:
        """(36, 64, 3) RGB samples of the picture as stored: enough to detect camera cuts."""
        return shrink(self.source, (64, 36), "rgb24", "POINT")

    def grey(self) -> Image:
        """(h, w) brightness of the picture, 320 pixels along its longer side."""
        wide, high = self.layout.stored
        scale = GREY_SIDE / max(wide, high)
        size = max(round(wide * scale), 1), max(round(high * scale), 1)
        return self.layout.upright(shrink(self.picture, size, "gray"))

    @cached_property
    def picture(self) -> VideoFrame:
        """The picture before turning, of the layout's size and square pixels."""
        stored = (self.source.width, self.source.height)
        if stored == self.layout.stored:
            return self.source
        return fit(self.source, square_size(stored, self.layout.pixel), self.layout.stored)

    @cached_property
    def _whole(self) -> Image:
        return cut_bgr(self.picture, (0, 0, self.picture.width, self.picture.height))
