"""Options of the evaluation."""

from __future__ import annotations

import warnings
from dataclasses import InitVar, dataclass
from typing import Literal

from quavf.core.errors import ConfigError

SegmentScore = Literal["mean", "max"]
EVEN_WEIGHT = 0.5  # face weight at which the constant fusion is the plain mean


@dataclass(frozen=True)
class EvaluateConfig:
    """How scores are evaluated.

    Raises ConfigError for a value that cannot be used.

    Args:
        n_resamples: Bootstrap samples of clips for the confidence intervals; 0: no intervals.
        confidence: Level of the confidence intervals, between 0 and 1.
        seed: Seed of the bootstrap.
        n_bins: Number of equal bins of face quality, from 0 to 1.
        face_weight: Weight of the face in the fusion "constant", which assumes this face quality
            in every row; at 0.5 that is "mean".
        n_reliability_bins: Number of bins of the reliability diagram and the calibration error;
            all hold about the same number of rows.
        segment_score: Score of a segment, from those of its faces: mean or max.
        fixed_weight: Former name of `face_weight`.
    """

    n_resamples: int = 1000
    confidence: float = 0.95
    seed: int = 0
    n_bins: int = 10
    face_weight: float = EVEN_WEIGHT
    n_reliability_bins: int = 15
    segment_score: SegmentScore = "mean"
    fixed_weight: InitVar[float | None] = None

    def __post_init__(self, fixed_weight: float | None) -> None:
        if fixed_weight is not None:
            warnings.warn(
                "EvaluateConfig: fixed_weight is now face_weight", DeprecationWarning, stacklevel=3
            )
            object.__setattr__(self, "face_weight", fixed_weight)
        checks = {
            "n_resamples": (self.n_resamples >= 0, "0 or more"),
            "confidence": (0 < self.confidence < 1, "between 0 and 1, both excluded"),
            "seed": (self.seed >= 0, "0 or more"),
            "n_bins": (self.n_bins >= 1, "1 or more"),
            "n_reliability_bins": (self.n_reliability_bins >= 1, "1 or more"),
            "segment_score": (self.segment_score in ("mean", "max"), "mean or max"),
            "face_weight": (0 <= self.face_weight <= 1, "in [0, 1]"),
        }
        for name, (is_good, expected) in checks.items():
            if not is_good:
                raise ConfigError(f"evaluate.{name} is {getattr(self, name)}, expected {expected}")
