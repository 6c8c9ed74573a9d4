"""Validation during training, by the frame protocol, as on the challenge's test set."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterable

import numpy as np

from quavf.core.branches import BRANCHES, FUSED, SPEAKING
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
        self.column = _choose_column(network.name, store)
        self._parts: list[Part] = []

    def add(self, clip: str, device: str) -> None:
        """Score one clip with the network's present weights."""
        config = InferenceConfig(device=device)
        predictor = self.training.predictor(self.network, config, self.scorer, self.cache)
        data = ClipData(self.store, clip)
        if self.column:
            faces, scores = data.faces, predictor.score_faces(data)[self.column]
            self._parts.append((clip, faces.person, faces.frame, scores))
        else:
            self._parts.append((clip, *predictor.score_labelled(data)))

    def take(self) -> list[Part]:
        """The parts since the last call."""
        parts, self._parts = self._parts, []
        return parts

    def mean_average_precision(self, parts: list[Part]) -> float:
        """The rows' mAP; NaN, with a warning, if one class is missing.

        Where no clip labels who talks to the wearer, it is that of speaking.
        """
        parts = sorted(parts, key=lambda part: part[0])
        segments: list[tuple[str, Segment]] = [
            (clip, s) for clip, *_ in parts for s in self.store.manifest(clip).segments
        ]
        name = self.network.name
        labels = {clip: self.store.manifest(clip) for clip, *_ in parts} if self.column else {}
        try:
            scores = _join_parts(parts, dict.fromkeys((name, FUSED, self.column or name)))
            judged = evaluate_scores(
                scores,
                segments,
                EvaluateConfig(n_resamples=0),
                {SPEAKING: {clip: m.speaking for clip, m in labels.items() if m.speaking}},
                unlabelled={
                    SPEAKING: {clip: m.unlabelled.get(SPEAKING, ()) for clip, m in labels.items()}
                },
            )
        except ScoresError as error:
            log.warning("no validation mAP: %s", error)
            return math.nan
        task = judged.tasks.get(self.column)
        result = judged.frame.systems[name] if task is None else task.frame
        return math.nan if result is None or result.map is None else result.map


def _choose_column(branch: str, store: ClipStore) -> str:
    """Speaking, if the validation clips label that but not who talks to the wearer; else nothing.

    Only for branches that judge it.
    """
    manifests = [store.manifest(clip) for clip in store.clips("val")]
    silent = any(m.segments for m in manifests) or not any(m.speaking for m in manifests)
    if silent or SPEAKING not in BRANCHES.get(branch).columns:
        return ""
    log.info("validation judges who speaks: the clips do not say who talks to the wearer")
    return SPEAKING


def _join_parts(parts: list[Part], names: Iterable[str]) -> Scores:
    """The rows of all clips, with their scores under several names."""
    clips = np.concatenate([np.full(len(p), clip, object) for clip, p, _, _ in parts])
    person, frame, score = (np.concatenate([p[i] for p in parts]) for i in (1, 2, 3))
    return Scores(clips, person, frame, dict.fromkeys(names, score))
