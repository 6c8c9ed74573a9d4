"""Validation during training, by the frame protocol, as on the challenge's test set."""

from __future__ import annotations

import logging
import math

import numpy as np

from quavf.core.branches import FUSED
from quavf.core.errors import ScoresError
from quavf.core.records import Floats, Ints, Segment
from quavf.evaluation.config import EvaluateConfig
from quavf.evaluation.protocols import evaluate_scores
from quavf.inference.clip import ClipData
from quavf.inference.config import InferenceConfig
from quavf.models.branch import BranchNetwork
from quavf.results.scores import Scores
from quavf.store import ClipStore
from quavf.training.branch import BranchTraining
from quavf.training.cache.features import FeatureCache

log = logging.getLogger(__name__)

Part = tuple[str, Ints, Ints, Floats]  # clip; person, frame and score of its rows, (N,) each


class Validator:
    """Collects scores clip by clip, and evaluates them together."""

    def __init__(
        self,
        training: BranchTraining,
        network: BranchNetwork,
        store: ClipStore,
        scorer: str = "",
        cache: FeatureCache | None = None,
    ) -> None:
        self.training, self.network, self.store = training, network, store
        self.scorer, self.cache = scorer, cache
        self._parts: list[Part] = []

    def add(self, clip: str, device: str) -> None:
        """Score one clip with the network's present weights."""
        config = InferenceConfig(device=device)
        predictor = self.training.predictor(self.network, config, self.scorer, self.cache)
        self._parts.append((clip, *predictor.score_labelled(ClipData(self.store, clip))))

    def take(self) -> list[Part]:
        """The parts since the last call."""
        parts, self._parts = self._parts, []
        return parts

    def mean_average_precision(self, parts: list[Part]) -> float:
        """The rows' mAP; NaN, with a warning, if one class is missing."""
        parts = sorted(parts, key=lambda part: part[0])
        segments: list[tuple[str, Segment]] = [
            (clip, s) for clip, *_ in parts for s in self.store.manifest(clip).segments
        ]
        name = self.network.name
        try:
            scores = _join_parts(parts, name)
            judged = evaluate_scores(scores, segments, EvaluateConfig(n_resamples=0))
        except ScoresError as error:
            log.warning("no validation mAP: %s", error)
            return math.nan
        result = judged.frame.systems[name]
        return math.nan if result is None or result.map is None else result.map


def _join_parts(parts: list[Part], name: str) -> Scores:
    clips = np.concatenate([np.full(len(p), clip, object) for clip, p, _, _ in parts])
    person, frame, score = (np.concatenate([p[i] for p in parts]) for i in (1, 2, 3))
    return Scores(clips, person, frame, {name: score, FUSED: score})
