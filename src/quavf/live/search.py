"""Follow faces live: as in files, but scans of whole pictures run beside and take effect later.

A scan takes longer than there is between two looks. It runs in a thread, and its faces count from a
fixed time after its picture on, so that the same input gives the same faces on any machine.
"""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field

import numpy as np

from quavf.core.records import Floats
from quavf.faces.config import SearchConfig
from quavf.faces.detect import Detections, FaceDetector
from quavf.faces.follow import FaceFollower, KnownFace, LookFaces
from quavf.faces.patches import OVERLAP, View, box_overlaps, filter_by_score
from quavf.faces.search import FaceSearch, Scan, scan_picture
from quavf.utils.closing import Closing

SCAN_DELAY_S = 0.2  # of the effect of a scan; on a free core it takes half of that


@dataclass
class _Scanning:
    """A scan under way."""

    time_s: float  # of its picture
    faces: Future[Scan]
    shift: Floats = field(default_factory=lambda: np.zeros(2))  # of the picture since, pixels


class LiveSearch(FaceSearch, Closing):
    """Searches one picture after another and keeps nothing but what the next one needs.

    The detector runs in two threads at once.
    """

    def __init__(
        self,
        config: SearchConfig,
        detector: FaceDetector,
        follower: FaceFollower,
    ) -> None:
        super().__init__(detector, config, follower)
        self.n_cuts = 0
        self._pool = ThreadPoolExecutor(1, "quavf-scan")
        self._scanning: _Scanning | None = None
        self._is_wanted = True  # a scan, as soon as none is under way
        self._has_begun = False

    @property
    def camera_motion(self) -> Floats:
        """(2,) x, y by which camera turns moved the picture since the start."""
        return self._motion

    def look(self, view: View) -> LookFaces:
        """The faces of the next picture."""
        self._move_with_camera(view)
        self._is_wanted |= self._timer.is_due(view.time_s)
        self._is_wanted |= self._lost_one(view.time_s)
        faces = self._find(view, self._choose_scan(view))
        self._remember(faces, view.time_s)
        if self._is_wanted and self._scanning is None:
            self._start_scan(view)
        return faces

    def _choose_scan(self, view: View) -> Scan | None:
        """What to search this picture with, beside the faces that are known.

        The first picture is scanned at once. A scan whose time has come adds to the known faces,
        and makes the detector check those that the mesh follows.
        """
        if not self._has_begun:
            self._has_begun, self._is_wanted = True, False
            return scan_picture(self.detector, view, self.config.scan_height)
        scanned = self._take_scan(view.time_s)
        if scanned is None:
            return None
        self._add_known(scanned, view.time_s)
        return CHECK

    def close(self) -> None:
        """Wait for a scan under way, and end its thread."""
        self._pool.shutdown(wait=True, cancel_futures=True)

    def _move_with_camera(self, view: View) -> None:
        shift = self._shift(view)
        if self._is_cut(view):
            self.n_cuts += 1
            self._known, self._is_wanted = [], True
            if self._scanning is not None:
                self._scanning.faces.cancel()
                self._scanning = None
            return
        self._follow_camera(shift)
        if self._scanning is not None:
            self._scanning.shift = self._scanning.shift + shift

    def _start_scan(self, view: View) -> None:
        """Scan this picture in the thread, which also shrinks it."""
        self._is_wanted = False
        work = self._pool.submit(scan_picture, self.detector, view, self.config.scan_height)
        self._scanning = _Scanning(view.time_s, work)

    def _take_scan(self, time_s: float) -> list[KnownFace] | None:
        """The faces of a scan whose time has come, where they should be; None: there is none."""
        scanning = self._scanning
        if scanning is None or time_s < scanning.time_s + SCAN_DELAY_S - 1e-6:
            return None
        self._scanning = None
        found = filter_by_score(scanning.faces.result().faces, self.config.min_score)
        boxes = found.boxes + np.tile(scanning.shift, 2)
        return [
            KnownFace(box, scanning.time_s, np.zeros(4), float(score), reported=True)
            for box, score in zip(boxes, found.scores, strict=True)
        ]

    def _add_known(self, found: list[KnownFace], time_s: float) -> None:
        """Look from here on for the scan's faces that are not known yet."""
        for face in found:
            expected = [known.expected_box(time_s) for known in self._known]
            if not expected or box_overlaps(face.box[None], np.stack(expected)).max() <= OVERLAP:
                self._known.append(face)


CHECK = Scan(np.empty((0, 0, 3), np.uint8), 1.0, Detections.none())  # finds nothing new
