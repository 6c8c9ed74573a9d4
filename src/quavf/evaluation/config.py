"""Options of the evaluation."""

from __future__ import annotations

from dataclasses import dataclass

from quavf.core.errors import ConfigError

EVEN_WEIGHT = 0.5  # the fixed weight that is the plain mean


@dataclass(frozen=True)
class EvaluateConfig:
    """How scores are evaluated.

    Raises ConfigError for a value that cannot be used.

    Args:
        n_resamples: Bootstrap samples of clips for the confidence intervals; 0: no intervals.
        confidence: Level of the confidence intervals, between 0 and 1.
        seed: Seed of the bootstrap.
        n_bins: Number of equal bins of face quality, from 0 to 1.
        fixed_weight: Weight of the face in the fusion "fixed"; at 0.5 that is "mean".
    """

    n_resamples: int = 1000
    confidence: float = 0.95
    seed: int = 0
    n_bins: int = 10
    fixed_weight: float = EVEN_WEIGHT

    def __post_init__(self) -> None:
        checks = {
            "n_resamples": (self.n_resamples >= 0, "0 or more"),
            "confidence": (0 < self.confidence < 1, "between 0 and 1, both excluded"),
            "seed": (self.seed >= 0, "0 or more"),
            "n_bins": (self.n_bins >= 1, "1 or more"),
            "fixed_weight": (0 <= self.fixed_weight <= 1, "in [0, 1]"),
        }
        for name, (good, wanted) in checks.items():
            if not good:
                raise ConfigError(f"evaluate.{name} is {getattr(self, name)}, expected {wanted}")
