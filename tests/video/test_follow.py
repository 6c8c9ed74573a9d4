"""The face mesh follows faces of real pictures."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest

from quavf.core.records import Floats, Image
from quavf.cues.iris import GazeReader
from quavf.cues.mesh import EYE_CORNERS, N_POINTS, FaceMesh, MeshPoints
from quavf.cues.tracks import CHEEKS, CUE_COLUMNS, LIPS, MOUTH
from quavf.faces.config import DetectorOptions
from quavf.faces.detect import open_detector
from quavf.faces.patches import box_overlaps
from quavf.sources.media.file import open_video_file
from quavf.video.follow import MeshFollower, cut_square
from tests.helpers.data import SHARED

HEAD = SHARED / "clips" / "WDA_KatieHill_000.mp4"
needs_head = pytest.mark.skipif(not HEAD.is_file(), reason=f"no talking head at {HEAD}")


@dataclass
class Gradient:
    """A picture whose colour says where a pixel is."""

    size: tuple[int, int] = (200, 100)
    time_s: float = 0.0

    def rgb(self, region: tuple[int, int, int, int], size: tuple[int, int]) -> Image:
        x1, y1, x2, y2 = region
        assert 0 <= x1 < x2 <= self.size[0]
        assert 0 <= y1 < y2 <= self.size[1]
        x = x1 + (np.arange(size[0]) + 0.5) * (x2 - x1) / size[0]
        y = y1 + (np.arange(size[1]) + 0.5) * (y2 - y1) / size[1]
        planes = np.broadcast_arrays(x[None, :], y[:, None], 0.0)
        return np.stack(planes, axis=2).astype(np.uint8)

    def sketch(self) -> Image:
        raise NotImplementedError

    def grey(self) -> Image:
        raise NotImplementedError


@pytest.mark.parametrize(
    "square",
    [[10, 10, 60, 60], [-20, -10, 40, 50], [150, 60, 230, 140], [11.5, 3.2, 41.9, 33.6],
     [-500, -500, -400, -400], [300, 20, 330, 50], [-50, -100, 250, 200]],
)  # fmt: skip
def test_squares_keep_their_place(square: list[float]) -> None:
    picture, (left, top, side) = cut_square(Gradient(), np.array(square, float))
    assert picture.shape == (192, 192, 3)
    assert left <= square[0]
    assert top <= square[1]
    assert left + side >= square[2] - 1e-9
    assert side <= square[2] - square[0] + 4
    middles = (np.arange(192) + 0.5) * side / 192
    for axis, start, end in ((0, left, 200), (1, top, 100)):
        own = picture[96, :, 0] if axis == 0 else picture[:, 96, 1]
        expected = np.clip(start + middles, 0, end - 1)
        inside = (start + middles >= 0) & (start + middles < end)
        assert np.abs(own - expected)[inside].max(initial=0) <= 2 + side / 192


class WideningMesh(FaceMesh):
    """Sees one face; the lips are apart in all but the first batch of pictures."""

    def __init__(self) -> None:
        self.batches = 0

    def run(self, pictures: Image) -> MeshPoints:
        points = np.random.default_rng(0).uniform(60, 130, (len(pictures), N_POINTS, 3))
        points[:, [CHEEKS[1], MOUTH[1], EYE_CORNERS[1]], 0] += 50
        points[:, LIPS[1]] = points[:, LIPS[0]]
        points[:, LIPS[1], 1] += 30 * self.batches
        self.batches += 1
        return MeshPoints(points.astype(np.float32), np.full(len(pictures), 0.9, np.float32))


class NoGaze(GazeReader):
    def __init__(self) -> None:
        pass

    def read(self, pictures: Image, points: Floats) -> Floats:
        return np.zeros((len(pictures), 2))


@pytest.mark.parametrize(("side", "batches"), [(40, 2), (200, 1)])
def test_the_lips_of_small_faces_are_read_again(side: float, batches: int) -> None:
    mesh = WideningMesh()
    found = MeshFollower(mesh, NoGaze()).look(Gradient(), np.array([[10.0, 10, 10 + side, 50]]))
    assert mesh.batches == batches
    assert (found.cues[0, CUE_COLUMNS.index("lip_opening")] > 0) == (batches == 2)


@needs_head
def test_a_mesh_gives_the_detector_box_and_finds_back_from_beside_it() -> None:
    view = next(iter(open_video_file(HEAD).pictures()))
    detector = open_detector("retinaface", DetectorOptions(n_threads=1))
    box: Floats = detector.detect(view.rgb((0, 0, 512, 512), (128, 128))).boxes[:1] * 4
    side = float(np.max(box[0, 2:] - box[0, :2]))
    follower = MeshFollower()
    beside = [box[0], box[0] + 0.15 * side, box[0] + side * np.array([-0.1, 0.1, 0.1, 0.3])]
    found = follower.look(view, np.array(beside))
    assert found.is_sure.all()
    assert box_overlaps(found.boxes[:2], box).min() > 0.85
    for _ in range(2):
        found = follower.look(view, found.boxes)
    assert box_overlaps(found.boxes, box).min() > 0.85
    assert found.cues.shape == (3, len(CUE_COLUMNS))
    size = found.cues[:, CUE_COLUMNS.index("face_size")]
    np.testing.assert_allclose(size, side, rtol=0.1)
    assert np.abs(found.cues[:, CUE_COLUMNS.index("yaw")]).max() < 20
    nothing = follower.look(view, np.array([[5.0, 5, 65, 65]]))
    assert not nothing.is_sure.any()
    assert nothing.cues[0, CUE_COLUMNS.index("confidence")] < 0.5
    assert np.isnan(nothing.cues[0, CUE_COLUMNS.index("yaw")])
