from __future__ import annotations

import av
import cv2
import numpy as np
import pytest

import tests.helpers.face_videos as tests_media
from quavf.core.errors import ConfigError
from quavf.core.records import Image
from quavf.faces.config import DetectorOptions, SearchConfig
from quavf.faces.detect import detector_names, open_detector, register_detector, suppress_overlaps
from quavf.faces.patches import search_patch
from tests.helpers.data import SHARED

HEAD = SHARED / "clips" / "WDA_KatieHill_000.mp4"
needs_head = pytest.mark.skipif(not HEAD.is_file(), reason=f"no talking head at {HEAD}")


def head() -> Image:
    with av.open(str(HEAD)) as container:
        return np.asarray(next(container.decode(video=0)).to_ndarray(format="rgb24"), np.uint8)


def test_detectors_are_found_by_name() -> None:
    assert {"retinaface", tests_media.BLOCKS} <= set(detector_names())
    with pytest.raises(ConfigError, match="choose one of"):
        open_detector("haar")
    with pytest.raises(ConfigError, match="taken"):
        register_detector("retinaface", lambda options: open_detector("retinaface", options))
    with pytest.raises(ConfigError, match="letters"):
        register_detector("../x", lambda options: open_detector("retinaface", options))


@pytest.mark.parametrize("options", [{"min_score": 0.0}, {"min_score": 1.0}, {"n_threads": -1}])
def test_options_that_cannot_be_used(options: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match=next(iter(options))):
        DetectorOptions(**options)  # type: ignore[arg-type]


@pytest.mark.parametrize("shape", [(16, 16, 3), (33, 47, 3), (180, 320, 3)])
def test_no_face_in_a_plain_picture(shape: tuple[int, int, int]) -> None:
    faces = open_detector("retinaface").detect(np.full(shape, 128, np.uint8))
    assert len(faces) == 0
    assert faces.boxes.shape == (0, 4)


@needs_head
def test_retinaface_agrees_with_the_package_it_comes_from() -> None:
    from retinaface import detect_faces

    picture = np.asarray(cv2.resize(head(), (301, 299)), np.uint8)
    ours = open_detector("retinaface").detect(picture)
    theirs = detect_faces(picture, score_threshold=0.5)
    assert len(ours) == len(theirs) == 1
    box = [theirs[0].x, theirs[0].y, theirs[0].width, theirs[0].height]
    x1, y1, x2, y2 = ours.boxes[0]
    np.testing.assert_allclose([x1, y1, x2 - x1, y2 - y1], box, atol=1.0)
    assert ours.scores[0] == pytest.approx(theirs[0].score, abs=1e-5)
    assert ours.landmarks is not None
    points = [(p.x, p.y) for p in theirs[0].landmarks]
    np.testing.assert_allclose(ours.landmarks[0], points, atol=1.0)


@needs_head
def test_faces_of_40_pixels_in_1080p_are_kept() -> None:
    """At the default height of a scan, and where it was once seen, at the scale of a look."""
    detector = open_detector("retinaface", DetectorOptions(min_score=0.3))
    source = head()
    box = detector.detect(source).boxes[0]
    scale = 40 / (box[3] - box[1])
    small = cv2.resize(source, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    rng = np.random.default_rng(0)
    picture = np.full((1080, 1920, 3), 110, np.uint8)
    places = [(int(x), int(y)) for x, y in rng.integers(20, [1800, 980], (12, 2))]
    for x, y in places:
        picture[y : y + small.shape[0], x : x + small.shape[1]] = small
    height = SearchConfig().scan_height
    scan = cv2.resize(picture, (height * 16 // 9, height), interpolation=cv2.INTER_AREA)
    found = detector.detect(np.asarray(scan, np.uint8)).boxes * 1080 / height
    expected = [box * scale + [x, y, x, y] for x, y in places]
    hits = [np.abs(found - e).max(axis=1).min() < 12 if len(found) else False for e in expected]
    assert np.mean(hits) >= 0.9
    for face in expected:
        (x1, y1, x2, y2), zoom = search_patch(face, (1920, 1080))
        cut = cv2.resize(picture[y1:y2, x1:x2], None, fx=zoom, fy=zoom)
        assert len(detector.detect(np.asarray(cut, np.uint8))) >= 1


@pytest.mark.parametrize(
    ("boxes", "scores", "kept"),
    [
        ([], [], []),
        ([[0, 0, 10, 10]], [0.5], [0]),
        ([[0, 0, 10, 10], [1, 0, 11, 10]], [0.5, 0.9], [1]),
        ([[0, 0, 10, 10], [20, 0, 30, 10]], [0.5, 0.9], [1, 0]),
    ],
)
def test_distinct(boxes: list[list[float]], scores: list[float], kept: list[int]) -> None:
    found = suppress_overlaps(np.array(boxes, float).reshape(-1, 4), np.array(scores), 0.4)
    assert found.tolist() == kept
