"""Faces followed by a mesh, with a stand-in that knows where the face is."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from quavf.core.records import Floats
from quavf.faces.config import SearchConfig
from quavf.faces.detect import Detections
from quavf.faces.follow import MeshFaces
from quavf.faces.patches import View
from quavf.faces.search import FaceSearch, ScanTimer, scan_picture

SHIFT = np.array([0.1, -0.05, 0.1, 0.05])  # of the mesh's boxes, in face sizes


@dataclass
class Plain:
    """A picture with faces at known places."""

    time_s: float
    faces: Floats  # (N, 4)
    size: tuple[int, int] = (640, 360)

    def rgb(self, region: tuple[int, int, int, int], size: tuple[int, int]) -> Any:
        self.region = region
        return np.full((size[1], size[0], 3), 90, np.uint8)

    def sketch(self) -> Any:
        return np.full((36, 64, 3), 90, np.uint8)

    def grey(self) -> Any:
        return np.full((90, 160), 90, np.uint8)


@dataclass
class Eyes:
    """A detector that knows the picture it looks at; `n` counts its looks by kind."""

    name: str = "eyes"
    settings: dict[str, Any] = field(default_factory=dict)
    score: float = 0.9
    is_blind: bool = False
    view: Plain | None = None
    n: dict[str, int] = field(default_factory=lambda: {"scans": 0, "patches": 0})

    def detect(self, image: Any) -> Detections:
        view = self.view
        assert view is not None
        x1, y1, x2, y2 = view.region
        is_scan = view.region == (0, 0, *view.size)
        self.n["scans" if is_scan else "patches"] += 1
        boxes = view.faces - (x1, y1, x1, y1)
        inside = np.all((view.faces >= (x1, y1, x1, y1)) & (view.faces <= (x2, y2, x2, y2)), axis=1)
        boxes = boxes[inside & (not self.is_blind)] * image.shape[1] / (x2 - x1)
        return Detections(boxes, np.full(len(boxes), self.score))


@dataclass
class Mesh:
    """A mesh that sees every face near the box it is given, somewhat beside it."""

    columns: tuple[str, ...] = ("yaw", "pitch")
    is_sure: bool = True
    n_looks: int = 0

    def look(self, view: View, boxes: Floats) -> MeshFaces:
        assert isinstance(view, Plain)
        self.n_looks += len(boxes)
        own = np.array([_nearest(view.faces, box) for box in boxes])
        side = np.max(own[:, 2:] - own[:, :2], axis=1)[:, None]
        return MeshFaces(own - SHIFT * side, np.full(len(own), self.is_sure), own[:, :2])


def _nearest(faces: Floats, box: Floats) -> Floats:
    return np.asarray(faces[np.abs(faces - box).sum(axis=1).argmin()])


def run(faces: list[Floats], eyes: Eyes | None = None, mesh: Mesh | None = None) -> FaceSearch:
    """Search pictures with `faces`, 15 a second."""
    eyes = eyes or Eyes()
    search = FaceSearch(eyes, SearchConfig(look_rate=15), mesh or Mesh())
    for k, boxes in enumerate(faces):
        step(search, k / 15, boxes)
    return search


def step(search: FaceSearch, time_s: float, boxes: Floats) -> int:
    assert isinstance(search.detector, Eyes)
    search.detector.view = Plain(time_s, np.asarray(boxes, float).reshape(-1, 4))
    return search.step(search.detector.view)


def moving(n: int, side: float = 60) -> list[Floats]:
    return [np.array([[40 + 6.0 * k, 50, 40 + 6.0 * k + side, 50 + side]]) for k in range(n)]


def test_the_detector_runs_once_a_second_while_the_mesh_sees_the_face() -> None:
    eyes = Eyes()
    found = run(moving(30), eyes).observations()
    assert eyes.n == {"scans": 2, "patches": 2}  # to begin, and to confirm
    assert len(found) == 30
    np.testing.assert_allclose(found.boxes, np.concatenate(moving(30)), atol=1e-6)
    np.testing.assert_allclose(found.scores, 0.9)
    np.testing.assert_allclose(found.cues[:, 0], 40 + 6.0 * np.arange(30))
    assert found.cues.dtype == np.float32


def test_the_detector_follows_faces_that_the_mesh_does_not_see() -> None:
    eyes = Eyes()
    found = run(moving(15), eyes, Mesh(is_sure=False)).observations()
    assert eyes.n == {"scans": 1, "patches": 14}
    np.testing.assert_allclose(found.boxes, np.concatenate(moving(15)), atol=1)


def test_small_faces_are_followed_by_the_detector() -> None:
    eyes, mesh = Eyes(), Mesh()
    found = run(moving(15, side=33), eyes, mesh).observations()
    assert eyes.n["patches"] == 14
    assert mesh.n_looks == 15  # for the cues
    assert not np.isnan(found.cues).any()
    tiny = run(moving(15, side=20), Eyes(), still := Mesh()).observations()
    assert len(tiny) == 15
    assert still.n_looks == 0
    assert np.isnan(tiny.cues).all()


def test_the_small_faces_of_a_crowd_are_searched_at_every_second_look() -> None:
    left = np.arange(8)[:, None] * 70.0 + 20
    crowd = np.concatenate([left, left * 0 + 50, left + 30, left * 0 + 80], axis=1)
    eyes = Eyes()
    found = run([crowd] * 14, eyes).observations()
    assert eyes.n == {"scans": 1, "patches": 8 * 6}
    assert len(found) == 8 * 7
    few = Eyes()
    run([crowd[:6]] * 14, few)
    assert few.n == {"scans": 1, "patches": 6 * 13}


def test_what_the_detector_does_not_confirm_is_not_followed_further() -> None:
    eyes = Eyes()
    search = run(moving(15), eyes)
    eyes.is_blind = True  # the mesh still claims to see a face
    assert step(search, 15 / 15, moving(16)[-1]) == 0
    assert step(search, 16 / 15, moving(17)[-1]) == 0
    eyes.is_blind = False
    assert step(search, 17 / 15, moving(18)[-1]) == 1
    before = eyes.n["patches"]
    assert step(search, 18 / 15, moving(19)[-1]) == 1
    assert eyes.n["patches"] == before


def test_weak_detections_are_not_followed_by_the_mesh() -> None:
    """They count as lost ones that may not be faces."""
    eyes = Eyes()
    search = run(moving(2), eyes)
    eyes.score = 0.4
    search.step(view(eyes, 2 / 15, []))  # the mesh finds nothing there, and the patch neither
    found_before = eyes.n["patches"]
    assert step(search, 3 / 15, moving(4)[-1]) == 1
    assert step(search, 4 / 15, moving(5)[-1]) == 1
    assert eyes.n["patches"] == found_before + 2


def view(eyes: Eyes, time_s: float, boxes: list[Any]) -> Plain:
    far = np.array([[600.0, 320, 639, 359]]) if not boxes else np.asarray(boxes, float)
    eyes.view = Plain(time_s, far)
    return eyes.view


def test_two_meshes_on_one_face_are_one() -> None:
    start = np.array([[100.0, 100, 160, 160], [200, 100, 260, 160]])
    search = run([start])
    assert step(search, 1 / 15, start[:1]) == 1


def test_a_search_with_cues_goes_on() -> None:
    found = run(moving(20)).observations()
    again = run([])
    again.resume(found)
    np.testing.assert_array_equal(again.observations().cues, found.cues)
    assert step(again, 2.0, moving(30)[-1]) == 1
    assert again.observations().cues.shape == (21, 2)


def test_scans_can_run_ahead() -> None:
    eyes = Eyes()
    expected = run(moving(31), eyes).observations()
    ahead, timer = FaceSearch(Eyes(), SearchConfig(look_rate=15), Mesh()), ScanTimer(1.0)
    for k, boxes in enumerate(moving(31)):
        assert isinstance(ahead.detector, Eyes)
        ahead.detector.view = picture = Plain(k / 15, boxes)
        is_due = timer.is_due(k / 15)
        ahead.step(picture, scan_picture(ahead.detector, picture, 864) if is_due else None)
    assert isinstance(ahead.detector, Eyes)
    assert ahead.detector.n == eyes.n
    for name, column in vars(ahead.observations()).items():
        np.testing.assert_array_equal(column, getattr(expected, name), err_msg=name)
