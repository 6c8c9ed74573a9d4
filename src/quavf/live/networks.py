"""The networks of live sessions: loaded once, and shared by all sessions of a process."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from quavf.cues.iris import GazeReader
from quavf.cues.mesh import FaceMesh
from quavf.cues.network import Network, open_network
from quavf.faces.config import DetectorOptions, SearchConfig
from quavf.faces.detect import FaceDetector, open_detector
from quavf.faces.patches import FOLLOW_SCORE

if TYPE_CHECKING:
    from quavf.inference.cues import CuesPredictor


@dataclass(frozen=True)
class LiveNetworks:
    """What several sessions may run at once, in several threads: nothing here changes.

    What a session remembers, such as the voice detector's state, is the session's own.
    """

    predictor: CuesPredictor
    detector: FaceDetector
    mesh: FaceMesh
    gaze: GazeReader
    voice: Network


def open_networks(predictor: CuesPredictor, search: SearchConfig, threads: int = 1) -> LiveNetworks:
    """Load the networks that find and read faces and hear voices, beside the cues branch."""
    options = DetectorOptions(min(FOLLOW_SCORE, search.min_score), threads)
    return LiveNetworks(
        predictor,
        open_detector(search.detector, options),
        FaceMesh(threads),
        GazeReader(threads),
        open_network("voice", threads),
    )
