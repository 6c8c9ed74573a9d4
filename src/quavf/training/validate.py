"""Validation while training, by the frame protocol: what the challenge's test set does."""

from __future__ import annotations

import logging
import math

import numpy as np

from quavf.core.errors import ScoresError
from quavf.core.records import Floats, Ints, Segment
from quavf.core.windows import frames_to_ticks
from quavf.evaluation.config import EvaluateConfig
from quavf.evaluation.protocols import evaluate_scores
from quavf.inference.predict import AudioPredictor, ClipData, VisualPredictor
from quavf.models.audio import AudioBranch
from quavf.models.checkpoint import Branch
from quavf.models.visual import VisualBranch
from quavf.results.scores import Scores
from quavf.store import ClipStore
from quavf.training.cache.predictors import (
    CachedAudioPredictor,
    CachedVisualPredictor,
    FeatureCache,
)

log = logging.getLogger(__name__)

Part = tuple[str, Ints, Ints, Floats]  # clip; person, frame and score of its rows, (N,) each


class Validator:
    """Collects scores clip by clip, and judges them together."""

    def __init__(
        self, branch: Branch, store: ClipStore, scorer: str, cache: FeatureCache | None = None
    ) -> None:
        self.branch, self.store, self.scorer, self.cache = branch, store, scorer, cache
        self._parts: list[Part] = []

    def add(self, clip: str, device: str) -> None:
        """Score one clip with the branch as it is now."""
        data = ClipData(self.store, clip)
        if isinstance(self.branch, AudioBranch):
            predictor = self._hearing(self.branch, device)
            scores = predictor.faces(data)
            if not len(data.faces):
                self._parts.append(_every_frame(predictor, data))
                return
        else:
            scores, _ = self._seeing(self.branch, device).faces(data)
        rows = np.flatnonzero(data.scored())
        self._parts.append((clip, data.faces.person[rows], data.faces.frame[rows], scores[rows]))

    def _hearing(self, branch: AudioBranch, device: str) -> AudioPredictor:
        if self.cache is not None:
            return CachedAudioPredictor(branch, self.cache, device)
        return AudioPredictor(branch, device)

    def _seeing(self, branch: VisualBranch, device: str) -> VisualPredictor:
        if self.cache is not None:
            return CachedVisualPredictor(branch, self.scorer, self.cache, device)
        return VisualPredictor(branch, self.scorer, device)

    def take(self) -> list[Part]:
        """What was collected since the last call."""
        parts, self._parts = self._parts, []
        return parts

    def map_of(self, parts: list[Part]) -> float:
        """Mean average precision of the rows; NaN, with a warning, when one class is missing."""
        parts = sorted(parts, key=lambda part: part[0])
        kind = "audio" if isinstance(self.branch, AudioBranch) else "visual"
        segments: list[tuple[str, Segment]] = [
            (clip, s) for clip, *_ in parts for s in self.store.manifest(clip).segments
        ]
        try:
            judged = evaluate_scores(_scores(parts, kind), segments, EvaluateConfig(n_resamples=0))
        except ScoresError as error:
            log.warning("no validation mAP: %s", error)
            return math.nan
        result = judged.frame.systems[kind]
        return math.nan if result is None or result.map is None else result.map


def _every_frame(predictor: AudioPredictor, data: ClipData) -> Part:
    """A clip without any face: every frame of its labelled segments counts instead."""
    persons, frames, scores = [], [], []
    if data.manifest.n_samples is not None:
        inside = [np.arange(s.last_frame - s.start_frame + 1) for s in data.spans]
        ticks = [frames_to_ticks(frame, data.manifest.clock) for frame in inside]
        wanted = [(s, int(t[-1]) + 1) for s, t in zip(data.spans, ticks, strict=True)]
        for span, frame, tick, line in zip(
            data.spans, inside, ticks, predictor.spans(data, wanted), strict=True
        ):
            persons.append(np.full(len(frame), span.person))
            frames.append(frame + span.start_frame)
            scores.append(line[tick])
    empty = np.empty(0, int)
    columns = np.concatenate([empty, *persons]), np.concatenate([empty, *frames])
    keys, first = np.unique(np.stack(columns, axis=1), axis=0, return_index=True)
    return data.clip, keys[:, 0], keys[:, 1], np.concatenate([np.empty(0), *scores])[first]


def _scores(parts: list[Part], kind: str) -> Scores:
    names = np.concatenate([np.full(len(p), clip, object) for clip, p, _, _ in parts])
    person, frame, score = (np.concatenate([p[i] for p in parts]) for i in (1, 2, 3))
    return Scores(names, person, frame, {kind: score, "fused": score})
