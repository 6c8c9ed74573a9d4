"""The 2x crop and its inverse: against the published system, at every border, both ways."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quavf.core.records import CROP_SIZE, READY_MADE, CropGeometry, Image
from quavf.core.semantics import FIXED, REFERENCE
from quavf.faces.crop import (
    crop_geometry,
    crop_regions,
    decode_jpeg,
    encode_jpeg,
    fit_region,
    quality_region,
    render_crop,
)
from tests.helpers.data import GOLDEN, needs_golden, read_picture

FRAME = (640, 360)  # width, height
WHOLE = (0, CROP_SIZE, 0, CROP_SIZE)


def geometry_of(box: list[float], frame: tuple[int, int] = FRAME) -> CropGeometry | None:
    return crop_geometry(np.array(box, float), frame)


def slope(width: int = FRAME[0], height: int = FRAME[1]) -> Image:
    """A smooth picture: resizing it there and back changes little, moving it a lot."""
    x, y = np.arange(width) / width, np.arange(height)[:, None] / height
    picture = np.stack([x + 0 * y, y + 0 * x, (x + y) / 2], axis=2)
    return np.asarray((picture * 250).round(), np.uint8)


def cut(picture: Image, geometry: CropGeometry) -> Image:
    x1, y1, x2, y2 = geometry.region
    return picture[y1:y2, x1:x2]


CASES = [
    "middle_tall",
    "middle_square",
    "left_wide",
    "right_wide",
    "top_tall",
    "bottom_tall",
    "corner_tl_wide",
    "corner_br_wide",
    "left_trunc0",
    "full",
]


@needs_golden
@pytest.mark.parametrize("case", CASES)
def test_as_published(case: str) -> None:
    meta: dict[str, Any] = json.loads((GOLDEN / "crops_meta.json").read_text())
    assert sorted(meta) == sorted(CASES)
    expected, golden = meta[case], np.load(GOLDEN / "crops.npz")
    frame = read_picture(GOLDEN / "crop_frame.png")
    size = (frame.shape[1], frame.shape[0])
    geometry = geometry_of(expected["box"], size)
    assert geometry is not None
    assert list(geometry.region) == expected["newBbox"]
    assert list(geometry.size) == expected["adjustInfo"]["origShape"]
    crop = render_crop(cut(frame, geometry), geometry)
    np.testing.assert_array_equal(crop, golden[case])
    jpeg = encode_jpeg(crop)
    assert hashlib.sha1(jpeg).hexdigest() == expected["jpeg_sha1"]
    # The published scorer reads the stored JPEG, not the crop before it was compressed.
    decoded = decode_jpeg(jpeg)
    assert decoded is not None
    region = quality_region(decoded, geometry, REFERENCE)
    assert region is not None
    x1, y1, x2, y2 = expected["scoreBbox"]
    assert region.shape == (y2 - y1, x2 - x1, 3)
    np.testing.assert_array_equal(region, golden[f"{case}__scoreinput"])


@pytest.mark.parametrize(
    ("box", "region"),
    [
        ([300, 120, 360, 180], [270, 90, 390, 210]),
        ([300.4, 120.7, 360.9, 200.2], [270, 80, 391, 239]),
        ([0, 0, 10, 10], [0, 0, 15, 15]),
        ([630, 350, 640, 360], [625, 345, 640, 360]),
        ([30.9, 100, 92, 200], [0, 50, 122, 250]),  # 0.35 becomes 0
        ([10, 10, 10, 20], [10, 5, 10, 25]),
        ([700, 100, 760, 160], [640, 70, 640, 190]),  # outside
        ([100, 400, 160, 460], [70, 360, 190, 360]),
        ([0, 0, 640, 360], [0, 0, 640, 360]),
        ([-500, -500, 5000, 5000], [0, 0, 640, 360]),
    ],
)
def test_regions(box: list[float], region: list[int]) -> None:
    assert crop_regions(np.array([box], float), FRAME)[0].tolist() == region


def test_no_boxes() -> None:
    assert crop_regions(np.empty((0, 4)), FRAME).shape == (0, 4)


@pytest.mark.parametrize(
    ("region", "picture"),
    [
        ((100, 100, 200, 200), WHOLE),
        ((100, 100, 150, 200), WHOLE),  # away from the border the aspect ratio is lost
        ((100, 100, 200, 150), WHOLE),
        ((0, 100, 50, 200), (112, 224, 0, 224)),
        ((590, 100, 640, 200), (0, 112, 0, 224)),
        ((100, 0, 200, 50), (0, 224, 112, 224)),
        ((100, 310, 200, 360), (0, 224, 0, 112)),
        ((0, 100, 100, 200), WHOLE),  # square: no side is longer
        ((0, 100, 100, 150), WHOLE),  # longer across its border
        ((540, 100, 640, 150), WHOLE),
        ((100, 0, 150, 100), WHOLE),
        ((100, 260, 150, 360), WHOLE),
        ((0, 0, 122, 62), (0, 224, 111, 224)),  # corners
        ((0, 0, 62, 122), (111, 224, 0, 224)),
        ((540, 0, 640, 50), (0, 224, 112, 224)),
        ((590, 0, 640, 100), (0, 112, 0, 224)),
        ((0, 310, 100, 360), (0, 224, 0, 112)),
        ((590, 260, 640, 360), (0, 112, 0, 224)),
        ((0, 0, 640, 360), (0, 224, 98, 224)),  # both borders: the first one counts
        ((0, 100, 33, 200), (151, 224, 0, 224)),  # int(73.92)
        ((0, 100, 1, 200), (222, 224, 0, 224)),
    ],
)
def test_where_the_picture_lands(
    region: tuple[int, int, int, int], picture: tuple[int, int, int, int]
) -> None:
    assert fit_region(region, FRAME) == picture


@pytest.mark.parametrize(
    "region",
    [
        (100, 100, 100, 200),
        (100, 100, 200, 100),
        (640, 100, 640, 200),
        (200, 100, 100, 200),
        (0, 0, 1, 300),  # a strip so thin that nothing of it is left at 224 pixels
    ],
)
def test_no_area(region: tuple[int, int, int, int]) -> None:
    assert fit_region(region, FRAME) is None


def test_tall_frame_pads_left_before_right() -> None:
    assert fit_region((0, 0, 90, 160), (90, 160)) == (98, 224, 0, 224)


def test_padding_is_black_and_the_picture_is_not() -> None:
    geometry = geometry_of([0, 150, 30, 250])
    assert geometry is not None
    x0, x1, y0, y1 = geometry.picture
    crop = render_crop(np.full((200, geometry.size[0], 3), 200, np.uint8), geometry)
    assert (crop[y0:y1, x0:x1] == 200).all()
    assert x0 > 0
    assert not crop[:, :x0].any()


PLACES: dict[str, list[float]] = {
    "middle": [300, 120, 360, 180],
    "fractions": [300.4, 120.7, 360.9, 200.2],
    "left": [2, 100, 42, 200],
    "left wide": [5, 100, 95, 150],
    "right": [600, 100, 638, 200],
    "right wide": [545, 100, 635, 150],
    "top": [200, 3, 300, 43],
    "top tall": [200, 5, 240, 75],
    "bottom": [200, 320, 300, 358],
    "bottom tall": [200, 290, 250, 358],
    "top left": [2, 2, 82, 42],
    "top right": [560, 2, 638, 42],
    "bottom left": [2, 320, 82, 358],
    "bottom right": [540, 320, 638, 358],
    "bottom right tall": [600, 270, 638, 358],
    "whole": [0, 0, 640, 360],
    "small": [300, 100, 312, 115],
}


def original(picture: Image, box: list[float]) -> Image:
    """The face with a tenth of margin, cut from the frame itself."""
    x1, y1, x2, y2 = (int(side) for side in box)
    dx, dy = 0.1 * (x2 - x1), 0.1 * (y2 - y1)
    left, top = max(int(x1 - dx), 0), max(int(y1 - dy), 0)
    return picture[top : int(y2 + dy), left : int(x2 + dx)]


@pytest.mark.parametrize("place", PLACES)
def test_inverse(place: str) -> None:
    """What is scored is the face as it was in the frame, up to resampling."""
    frame, box = slope(), PLACES[place]
    geometry = geometry_of(box)
    assert geometry is not None
    crop = render_crop(cut(frame, geometry), geometry)
    region = quality_region(crop, geometry, FIXED)
    expected = original(frame, box)
    assert region is not None
    assert region.shape == expected.shape
    assert np.abs(region.astype(int) - expected).max() <= 2


@pytest.mark.parametrize(
    ("place", "wrong"),
    [("right", True), ("bottom", True), ("left", False), ("top", False), ("middle", False)],
)
def test_flag_unpad_wrong_side(place: str, wrong: bool) -> None:
    """The published inverse errs where the padding is on the right or at the bottom."""
    frame, box = slope(), PLACES[place]
    geometry = geometry_of(box)
    assert geometry is not None
    crop = render_crop(cut(frame, geometry), geometry)
    published = quality_region(crop, geometry, replace(FIXED, unpad_wrong_side=True))
    assert published is not None
    error = np.abs(published.astype(int) - original(frame, box)).max()
    assert (error > 20) if wrong else (error <= 2)


@pytest.mark.parametrize(("axis", "box"), [(1, [600, 100, 638, 200]), (0, [200, 320, 300, 358])])
def test_what_the_published_inverse_keeps(axis: int, box: list[float]) -> None:
    """Columns (or rows) 0:224 - n, where n are picture."""
    geometry = geometry_of(box)
    assert geometry is not None
    n_kept = CROP_SIZE - geometry.picture[1 if axis == 1 else 3]
    kept = np.indices((CROP_SIZE, CROP_SIZE))[axis] < n_kept
    for inside, expected in ((255, 255), (0, 0)):
        crop = np.where(kept[..., None], inside, 255 - inside).repeat(3, 2).astype(np.uint8)
        region = quality_region(crop, geometry, REFERENCE)
        assert region is not None
        assert (region == expected).all()


@settings(max_examples=150)
@given(
    x=st.floats(0, 639),
    y=st.floats(0, 359),
    width=st.floats(8, 500),
    height=st.floats(8, 300),
)
def test_inverse_anywhere(x: float, y: float, width: float, height: float) -> None:
    """Any box that touches the frame: the right place, the right size, and no padding in it."""
    box = [x, y, x + width, y + height]
    geometry = geometry_of(box)
    assert geometry is not None
    frame = np.full((FRAME[1], FRAME[0], 3), 255, np.uint8)
    crop = render_crop(cut(frame, geometry), geometry)
    region = quality_region(crop, geometry, FIXED)
    expected = original(frame, [x, y, min(x + width, 1e9), y + height])
    assert region is not None
    assert region.shape == expected.shape
    assert region.min() == 255


@pytest.mark.parametrize(
    "box",
    [[700, 100, 760, 160], [300, 400, 360, 460], [10, 10, 10, 10], [300.0, 150.0, 300.4, 150.4]],
    ids=["right of the frame", "below the frame", "a point", "less than a pixel"],
)
def test_nothing_to_score(box: list[float]) -> None:
    x1, y1, x2, y2 = box
    geometry = CropGeometry((x1, y1, x2, y2), (200, 100, 400, 200))
    crop = np.zeros((CROP_SIZE, CROP_SIZE, 3), np.uint8)
    assert quality_region(crop, geometry, FIXED) is None


def test_a_picture_cut_at_the_face_is_scored_whole() -> None:
    """Challenge pictures: their box is the picture."""
    picture = slope(CROP_SIZE, CROP_SIZE)
    for semantics in (FIXED, REFERENCE):
        region = quality_region(picture, READY_MADE, semantics)
        np.testing.assert_array_equal(region, picture)


def test_jpeg_there_and_back_swaps_colours() -> None:
    """Crops are written from BGR and read as RGB."""
    bgr = np.zeros((16, 16, 3), np.uint8)
    bgr[..., 0] = 250
    rgb = decode_jpeg(encode_jpeg(bgr))
    assert rgb is not None
    assert rgb[8, 8, 2] > 230
    assert rgb[8, 8, 0] < 20


@pytest.mark.parametrize("data", [b"", b"no picture", encode_jpeg(slope())[:20]])
def test_no_jpeg(data: bytes) -> None:
    assert decode_jpeg(data) is None
