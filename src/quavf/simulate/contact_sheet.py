"""Contact sheet: frames of several clips with true boxes, and close-ups of faces."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np

from quavf.core.records import Image
from quavf.simulate.media import read_bgr_frames
from quavf.simulate.world import ClipKey
from quavf.utils.files import replace_file

ROWS = 4  # one clip each
WIDE, HIGH, FACE = 480, 270, 135


def write_contact_sheet(
    path: Path, clips: Path, keys: list[ClipKey], parts: list[dict[str, Any]]
) -> None:
    """Write a PNG of the first clips: two frames and up to four faces each."""
    rows = [
        _draw_row(clips / f"{key.name}.mp4", part["thumbnails"])
        for key, part in list(zip(keys, parts, strict=True))[:ROWS]
    ]
    with replace_file(path) as temporary:
        done, data = cv2.imencode(".png", np.vstack(rows))
        assert done
        temporary.write_bytes(data.tobytes())


def _draw_row(clip: Path, thumbnails: list[Any]) -> Image:
    numbers = {int(frame) for frame, _, _ in thumbnails[:4]}
    pictures: dict[int, Image] = {}
    for number, frame in enumerate(read_bgr_frames(clip)):
        if number in numbers:
            pictures[number] = frame
        if number >= max(numbers):
            break
    frames, faces = [], []
    for number, _, box in thumbnails[:4]:
        picture = pictures[number].copy()
        x1, y1, x2, y2 = (int(v) for v in box)
        faces.append(_cut_face(picture, (x1, y1, x2, y2)))
        cv2.rectangle(picture, (x1, y1), (x2, y2), (60, 220, 60), 2)
        frames.append(cv2.resize(picture, (WIDE, HIGH), interpolation=cv2.INTER_AREA))
    blank = np.zeros((FACE, FACE, 3), np.uint8)
    faces = (faces + [blank] * 4)[:4]
    frames = (frames + [np.zeros((HIGH, WIDE, 3), np.uint8)] * 2)[:2]
    grid = np.vstack([np.hstack(faces[:2]), np.hstack(faces[2:])])
    return np.hstack([*frames, grid])


def _cut_face(picture: Image, box: tuple[int, int, int, int]) -> Image:
    x1, y1, x2, y2 = box
    half = max(x2 - x1, y2 - y1, 8) * 3 // 4
    x, y = (x1 + x2) // 2, (y1 + y2) // 2
    top, left = max(y - half, 0), max(x - half, 0)
    crop = picture[top : max(y + half, top + 2), left : max(x + half, left + 2)]
    if crop.size == 0:
        return np.zeros((FACE, FACE, 3), np.uint8)
    return np.asarray(cv2.resize(crop, (FACE, FACE), interpolation=cv2.INTER_AREA), dtype=np.uint8)
