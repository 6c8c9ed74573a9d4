"""Pixels of decoded pictures: regions converted alone, equal to cutting the whole picture."""

from __future__ import annotations

import threading
from typing import Any

import av
import cv2
import numpy as np
from av.video.frame import VideoFrame
from av.video.reformatter import VideoReformatter

from quavf.core.records import Image

Region = tuple[int, int, int, int]  # x1, y1, x2, y2
Size = tuple[int, int]  # width, height

# 8 bit: a crop is cut from the planes before conversion. (Not at odd heights: there swscale blends
# chroma rows, and a crop would not equal the whole picture.)
PLANAR_420 = ("yuv420p", "yuvj420p")
# PyAV 17 and later convert in as many threads as there are cores unless told not to. Starting them
# takes longer than to convert a crop, and four times as long as to make a sketch.
ONE_THREAD: dict[str, Any] = {"threads": 1} if int(av.__version__.split(".")[0]) >= 17 else {}
MAX_ENGINES = 32  # converters kept, each with some memory


class _Converter(threading.local):
    """Converts frames. Each thread keeps one converter per kind: setting one up takes up to 1 ms,
    the conversion of a crop 0.1 ms. It also keeps the frames that regions are cut into."""

    def __init__(self) -> None:
        self._engines: dict[tuple[Any, ...], VideoReformatter] = {}
        self._cuts: dict[tuple[int, int, str], VideoFrame] = {}

    def blank(self, width: int, height: int, form: str) -> VideoFrame:
        """A frame to write on, the same at the next call: use it before then."""
        key = (width, height, form)
        if key not in self._cuts and len(self._cuts) >= MAX_ENGINES:
            self._cuts.clear()
        if key not in self._cuts:
            self._cuts[key] = VideoFrame(width, height, form)
        return self._cuts[key]

    def convert(self, source: VideoFrame, size: Size, form: str, method: str) -> VideoFrame:
        """A frame of another size and format, by one of FFmpeg's methods of interpolation."""
        kind = (source.width, source.height, source.format.name, size, form, method)
        if kind not in self._engines and len(self._engines) >= MAX_ENGINES:
            self._engines.clear()
        engine = self._engines.setdefault(kind, VideoReformatter())
        return engine.reformat(source, *size, form, interpolation=method, **ONE_THREAD)

    def bgr(self, source: VideoFrame) -> Image:
        width, height = source.width, source.height
        plane = self.convert(source, (width, height), "bgr24", "BILINEAR").planes[0]
        rows = np.frombuffer(memoryview(plane), np.uint8).reshape(-1, plane.line_size)
        # (height, width, 3) without copying, where rows are not padded
        return rows[:height, : 3 * width].reshape(height, width, 3)


_converter = _Converter()


def resize_frame(source: VideoFrame, size: Size, form: str, method: str = "AREA") -> VideoFrame:
    """A whole picture of another size and format; itself if it has both."""
    return _converter.convert(source, size, form, method)


def shrink(source: VideoFrame, size: Size, form: str, method: str = "AREA") -> Image:
    """A whole picture brought to `size`, as an array: (h, w, 3) for rgb24, (h, w) for gray."""
    return np.asarray(resize_frame(source, size, form, method).to_ndarray(), np.uint8)


def cut_bgr(source: VideoFrame, region: Region) -> Image:
    """(h, w, 3) BGR pixels of a region, equal to cutting the whole picture."""
    x1, y1, x2, y2 = region
    if source.format.name not in PLANAR_420 or source.height % 2:
        return _converter.bgr(source)[y1:y2, x1:x2]
    left, top = x1 // 2 * 2, y1 // 2 * 2
    right, bottom = left + _round_up(x2 - left), top + _round_up(y2 - top)
    pixels = _converter.bgr(_cut_planes(source, left, top, right, bottom))
    return pixels[y1 - top : y2 - top, x1 - left : x2 - left]


def shrink_rgb(source: VideoFrame, region: Region, size: Size) -> Image:
    """(h, w, 3) RGB pixels of a region brought to `size` by averaging.

    Converted and shrunk in one step, at a third of the cost. The region may come out a pixel
    wider: it begins and ends at even pixels.
    """
    x1, y1, x2, y2 = region
    if (x1, y1, x2, y2) != (0, 0, source.width, source.height):
        if source.format.name not in PLANAR_420:
            pixels = cut_bgr(source, region)[..., ::-1]
            return np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA), np.uint8)
        left, top = x1 // 2 * 2, y1 // 2 * 2
        right, bottom = min(-(-x2 // 2) * 2, source.width), min(-(-y2 // 2) * 2, source.height)
        source = _cut_planes(source, left, top, right // 2 * 2, bottom // 2 * 2)
    return shrink(source, size, "rgb24")


def fit(source: VideoFrame, shown: Size, size: Size) -> VideoFrame:
    """A picture brought to `size`: one that players show as large as `shown`, of square pixels.

    Where the proportions differ, black bars fill what is left, so that faces keep theirs.
    """
    scale = min(size[0] / shown[0], size[1] / shown[1])
    width, height = (max(2, round(side * scale)) for side in shown)
    if abs(width - size[0]) <= max(2, size[0] // 100):
        width = size[0]
    if abs(height - size[1]) <= max(2, size[1] // 100):
        height = size[1]
    if (width, height) == size:
        if (source.width, source.height) == size:
            return source
        return source.reformat(*size, interpolation="BILINEAR")
    pixels = np.zeros((size[1], size[0], 3), np.uint8)
    inner = source.reformat(width, height, format="rgb24", interpolation="BILINEAR").to_ndarray()
    top, left = (size[1] - height) // 2, (size[0] - width) // 2
    pixels[top : top + height, left : left + width] = inner
    return VideoFrame.from_ndarray(pixels, format="rgb24")


def _round_up(n_pixels: int) -> int:
    """To a multiple of 64, so that boxes of many sizes share a few conversions."""
    return -(-n_pixels // 64) * 64


def _cut_planes(source: VideoFrame, x1: int, y1: int, x2: int, y2: int) -> VideoFrame:
    """A small frame of the region's planes; even offsets keep luma and chroma together.

    Where the region reaches beyond the picture, it is filled with zeros. Valid until the thread's
    next call with a region of this size.
    """
    small = _converter.blank(x2 - x1, y2 - y1, source.format.name)
    for plane, cut in zip(source.planes, small.planes, strict=True):
        step = 1 if plane.width == source.width else 2
        pixels = np.frombuffer(memoryview(plane), np.uint8).reshape(-1, plane.line_size)
        part = pixels[y1 // step : y2 // step, x1 // step : x2 // step]
        target = np.frombuffer(memoryview(cut), np.uint8).reshape(-1, cut.line_size)
        height, width = part.shape
        target[:height, :width] = part
        target[height:], target[:height, width:] = 0, 0
    small.colorspace, small.color_range = source.colorspace, source.color_range
    return small
