"""Regions of pictures of all formats."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from quavf.sources.media.file import open_video_file
from tests.helpers.media_files import SIZE, number_of, numbered, write_video

REGIONS = [
    (0, 0, *SIZE),
    (0, 0, 1, 1),
    (1, 1, 2, 2),
    (3, 5, 40, 33),
    (3, 4, 41, 33),
    (2, 4, 40, 32),
    (SIZE[0] - 3, SIZE[1] - 5, *SIZE),
    (SIZE[0] - 1, 0, SIZE[0], SIZE[1]),
    (0, SIZE[1] - 1, SIZE[0], SIZE[1]),
]
BT709 = {"colorspace": 1, "color_range": 1}
KINDS: dict[str, dict[str, Any]] = {
    "plain": {},
    "bt709": BT709,
    "full range": {"pix_fmt": "yuvj420p"},
    "bt709, full range": {"colorspace": 1, "color_range": 2},
    "10 bit": {"pix_fmt": "yuv420p10le"},
    "4:4:4": {"pix_fmt": "yuv444p"},
    "4:2:2": {"pix_fmt": "yuv422p"},
    "odd": {"size": (SIZE[0] - 1, SIZE[1] - 1), "codec": "ffv1"},
    "odd 4:4:4": {"size": (SIZE[0] - 1, SIZE[1] - 1), "pix_fmt": "yuv444p"},
    "odd width": {"size": (SIZE[0] - 1, SIZE[1]), "codec": "ffv1"},
    "odd height": {"size": (SIZE[0], SIZE[1] - 1), "codec": "ffv1"},
    "padded rows": {"size": (SIZE[0] - 10, SIZE[1] - 6)},  # planes wider than the picture
}


@pytest.mark.parametrize("kind", KINDS)
def test_crop_equals_the_cut_picture(tmp_path: Path, kind: str) -> None:
    options = KINDS[kind]
    path = write_video(tmp_path / "x.mkv", 3, **options)
    width, height = options.get("size", SIZE)
    for number, (x1, y1, x2, y2) in enumerate(REGIONS):
        region = (min(x1, width - 1), min(y1, height - 1), min(x2, width), min(y2, height))
        picture = list(open_video_file(path).pictures())[number % 3]
        cut = picture.bgr(region)
        whole = np.asarray(picture.source.to_ndarray(format="bgr24"), np.uint8)
        x1, y1, x2, y2 = region
        np.testing.assert_array_equal(cut, whole[y1:y2, x1:x2])
        assert number_of(whole) == number % 3


def test_a_preview_shows_the_same(tmp_path: Path) -> None:
    file = open_video_file(write_video(tmp_path / "x.mp4", 12, options={"bf": "2"}))
    region = (0, 0, *file.size)
    for exact, preview in zip(file.pictures(), file.pictures(is_preview=True), strict=True):
        assert (exact.number, exact.time) == (preview.number, preview.time)
        differ = exact.bgr(region).astype(int) - preview.bgr(region)
        assert np.abs(differ).mean() < 2


def test_colours_follow_the_tag(tmp_path: Path) -> None:
    """Were the tag lost on the way to a crop, its colours would be another standard's."""
    shown = []
    variants: dict[str, dict[str, Any]] = {"x": {}, "y": BT709}
    for name, tags in variants.items():
        file = open_video_file(write_video(tmp_path / f"{name}.mkv", 1, **tags))
        (picture,) = file.pictures()
        assert picture.source.colorspace == tags.get("colorspace", 2)
        shown.append(picture.bgr((3, 50, 61, 91)).astype(int))
    expected = numbered(0)[50:91, 3:61, ::-1].astype(int)
    assert np.abs(shown[0] - expected).mean() < 12
    assert np.abs(shown[1] - shown[0]).max() > 5
