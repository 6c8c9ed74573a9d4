"""The 2x face crop and its exact inverse (QuAVF's framing; docs/reference/differences.md)."""

from __future__ import annotations

import struct

import cv2
import numpy as np

from quavf.core.records import (
    CROP_SIZE,
    UNPADDED,
    CropGeometry,
    Floats,
    Image,
    Ints,
    Region,
)
from quavf.core.semantics import Semantics

CROP_GROWTH = 0.5  # of the box's width and height, added on each side
QUALITY_MARGIN = 0.1  # the same for the region that is scored for quality
JPEG_QUALITY = 95
MAX_PIXELS = 1 << 26  # of a picture that comes ready-made: 64 million, as no camera's face has
FRAME_MARKERS = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}  # JPEG segments that state the size


def crop_regions(boxes: Floats, frame_size: tuple[int, int]) -> Ints:
    """(N, 4) pixel regions twice as large as `boxes` (N, 4), cut to the frame (width, height)."""
    return _expand(boxes, CROP_GROWTH, frame_size)


def crop_geometry(box: Floats, frame_size: tuple[int, int]) -> CropGeometry | None:
    """How to cut the face in `box` (4,) out of a frame; None when nothing of it is inside."""
    x1, y1, x2, y2 = crop_regions(box[None], frame_size)[0].tolist()
    picture = fit_region((x1, y1, x2, y2), frame_size)
    if picture is None:
        return None
    left, top, right, bottom = box.tolist()
    return CropGeometry((left, top, right, bottom), (x1, y1, x2, y2), picture)


def fit_region(region: Region, frame_size: tuple[int, int]) -> Region | None:
    """The part of the crop (x0, x1, y0, y1) that a region fills; None when it has no area.

    The aspect ratio is not kept, except where the frame's border leaves a region that is longer
    along that border: such a region is padded on the side where the picture is missing.
    """
    x1, y1, x2, y2 = region
    width, height = x2 - x1, y2 - y1
    if width <= 0 or height <= 0:
        return None
    picture = UNPADDED
    if width < height and (x1 == 0 or x2 == frame_size[0]):
        fitted = int(width * CROP_SIZE / height)
        picture = (
            CROP_SIZE - fitted if x1 == 0 else 0,
            CROP_SIZE if x1 == 0 else fitted,
            0,
            CROP_SIZE,
        )
    elif height < width and (y1 == 0 or y2 == frame_size[1]):
        fitted = int(height * CROP_SIZE / width)
        picture = (
            0,
            CROP_SIZE,
            CROP_SIZE - fitted if y1 == 0 else 0,
            CROP_SIZE if y1 == 0 else fitted,
        )
    if picture[0] == picture[1] or picture[2] == picture[3]:
        return None
    return picture


def render_crop(patch: Image, geometry: CropGeometry) -> Image:
    """The 224 x 224 crop of a patch that was cut at `geometry.region`; any colour order."""
    x0, x1, y0, y1 = geometry.picture
    fitted = cv2.resize(patch, (x1 - x0, y1 - y0), interpolation=cv2.INTER_LINEAR)
    if fitted.shape[:2] == (CROP_SIZE, CROP_SIZE):
        return np.asarray(fitted, np.uint8)
    crop = np.zeros((CROP_SIZE, CROP_SIZE, 3), np.uint8)
    crop[y0:y1, x0:x1] = fitted
    return crop


def quality_region(crop: Image, geometry: CropGeometry, semantics: Semantics) -> Image | None:
    """The face with a tenth of margin, at its size in the frame; None without area.

    `crop` (224, 224, 3) as stored.
    """
    x0, x1, y0, y1 = geometry.picture
    if semantics.unpad_wrong_side:
        x1, y1 = (
            (CROP_SIZE - x1 if x1 < CROP_SIZE else x1),
            (CROP_SIZE - y1 if y1 < CROP_SIZE else y1),
        )
    if x0 >= x1 or y0 >= y1:
        return None
    patch = cv2.resize(crop[y0:y1, x0:x1], geometry.size, interpolation=cv2.INTER_LINEAR)
    left, top = geometry.region[:2]
    whole_pixels = np.trunc(
        [geometry.box]
    )  # before it grows; the crop's box is cut off after it grew
    grown = _grow(whole_pixels, QUALITY_MARGIN)[0] - (left, top, left, top)
    fx1, fy1 = (max(int(side), 0) for side in grown[:2])
    fx2, fy2 = (min(int(side), end) for side, end in zip(grown[2:], geometry.size, strict=True))
    if fx1 >= fx2 or fy1 >= fy2:
        return None
    return np.asarray(patch[fy1:fy2, fx1:fx2], np.uint8)


def encode_jpeg(picture_bgr: Image, quality: int = JPEG_QUALITY) -> bytes:
    """Encode a BGR picture as JPEG with OpenCV."""
    done, data = cv2.imencode(".jpg", picture_bgr, [cv2.IMWRITE_JPEG_QUALITY, quality])
    assert done
    return data.tobytes()


def is_too_large(data: bytes) -> bool:
    """Whether a JPEG or PNG header states more pixels than any picture of a face has."""
    if data[:8] == b"\x89PNG\r\n\x1a\n":
        width, height = struct.unpack(">II", data[16:24].ljust(8, b"\0"))
        return bool(width * height > MAX_PIXELS)
    at = 2
    while data[:2] == b"\xff\xd8" and at + 9 <= len(data) and data[at] == 0xFF:
        marker, length = data[at + 1], int.from_bytes(data[at + 2 : at + 4], "big")
        if marker in FRAME_MARKERS:
            height, width = struct.unpack(">HH", data[at + 5 : at + 9])
            return bool(width * height > MAX_PIXELS)
        at += 2 + length
    return False


def decode_jpeg(data: bytes) -> Image | None:
    """Decode JPEG bytes to RGB; None if they are not a picture."""
    buffer = np.frombuffer(data, np.uint8)
    try:
        picture = cv2.imdecode(buffer, cv2.IMREAD_COLOR) if len(buffer) else None
    except cv2.error:  # too large for OpenCV, or a damaged header
        return None
    return None if picture is None else np.ascontiguousarray(picture[..., ::-1], np.uint8)


def _expand(boxes: Floats, growth: float, frame_size: tuple[int, int]) -> Ints:
    width, height = frame_size
    low, high = np.zeros(4, int), np.array([width, height, width, height])
    return np.clip(_grow(boxes, growth), low, high)


def _grow(boxes: Floats, growth: float) -> Ints:
    margin = growth * (boxes[:, 2:] - boxes[:, :2])
    return np.concatenate([boxes[:, :2] - margin, boxes[:, 2:] + margin], axis=1).astype(np.int64)
