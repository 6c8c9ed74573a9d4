"""Face detectors behind one interface.

`retinaface` comes with the package; `register_detector` or an installed package adds others. The
option `--video.search.detector` (`SearchConfig.detector`) selects one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from quavf.core.records import Array, Floats, Image
from quavf.core.registry import Registry
from quavf.faces.config import DetectorOptions


@dataclass(frozen=True)
class Detections:
    """The faces of one picture: `boxes` (N, 4) xyxy pixels, `scores` (N,) in [0, 1], best first.

    `landmarks` (N, 5, 2) are eyes, nose and mouth corners in pixels; None: the detector has none.
    """

    boxes: Floats
    scores: Floats
    landmarks: Floats | None = None

    def __post_init__(self) -> None:
        expected = (len(self.scores), 4)
        assert self.boxes.shape == expected, f"boxes: shape {self.boxes.shape}, not {expected}"
        assert self.landmarks is None or self.landmarks.shape == (len(self.scores), 5, 2)

    def __len__(self) -> int:
        return len(self.scores)

    @classmethod
    def none(cls) -> Detections:
        return cls(np.empty((0, 4)), np.empty(0))


class FaceDetector(Protocol):
    """Interface of a detector; `settings` holds everything that affects its boxes, for JSON."""

    name: str
    settings: dict[str, Any]

    def detect(self, image: Image) -> Detections:
        """The faces of an RGB picture (H, W, 3), in its own pixels."""
        ...


DetectorFactory = Callable[[DetectorOptions], FaceDetector]
DETECTORS: Registry[DetectorFactory] = Registry(
    "face detector", "quavf.detectors", {"retinaface": "quavf.faces.retinaface:RetinaFace"}
)


def register_detector(name: str, factory: DetectorFactory) -> None:
    """Add a detector: `open_detector(name)` calls `factory`. ConfigError if the name is taken."""
    DETECTORS.register(name, factory)


def detector_names() -> tuple[str, ...]:
    """All detectors: built-in ones, then those of plug-ins."""
    return DETECTORS.names()


def open_detector(name: str, options: DetectorOptions | None = None) -> FaceDetector:
    """Load a detector. Raises ConfigError if none has that name."""
    return DETECTORS.get(name)(options or DetectorOptions())


def suppress_overlaps(boxes: Floats, scores: Floats, overlap: float) -> Array:
    """Indices of the boxes (N, 4) left by non-maximum suppression, best first."""
    import cv2  # slow to import, and not needed for the names of detectors

    if not len(boxes):
        return np.empty(0, np.intp)
    xywh = np.concatenate([boxes[:, :2], boxes[:, 2:] - boxes[:, :2]], axis=1)
    kept = cv2.dnn.NMSBoxes(xywh.tolist(), scores.tolist(), 0.0, overlap)
    return np.asarray(kept, np.intp).ravel()
