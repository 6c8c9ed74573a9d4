"""Quality scorers: how well a face can be seen, as one number in [0, 1] for each face region.

Fusion weights the visual branch by this number, and training drops windows below 0.3.
`fan` is the published score and needs a downloaded network; `light` needs nothing. A region is the
face box grown by 0.1 of its size on each side, at source resolution.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from quavf.core.errors import ConfigError
from quavf.core.records import Floats, Image
from quavf.core.registry import Registry


class QualityScorer(Protocol):
    """Interface of a scorer; `settings` holds everything that affects its scores, for JSON."""

    name: str
    settings: dict[str, Any]

    def score(self, regions: Sequence[Image], confidences: Floats | None = None) -> Floats:
        """One score in [0, 1] per region, (N,) float64, in the same order.

        `confidences` (N,) in [0, 1] are the detector's; NaN, or None for all, means there is none.
        """
        ...


@dataclass(frozen=True)
class NetworkRunner:
    """Runs a scorer's network with another runtime or precision than torch in fp32.

    `run(network, example)` takes a torch module and an example batch of two, and returns a function
    of batches of any size: fp32 tensors in and out. A scorer's settings name the precision if it is
    not fp32, since it changes scores.
    """

    run: Callable[[Any, Any], Callable[[Any], Any]]
    precision: str = "fp32"


@dataclass(frozen=True)
class ScorerOptions:
    """Options of any scorer. Raises ConfigError where a value cannot be used."""

    weights: Path | None = None
    device: str = "cpu"
    batch_size: int = 8  # regions a network sees at once; no effect on the scores
    runner: NetworkRunner | None = None

    def __post_init__(self) -> None:
        if self.batch_size < 1:
            raise ConfigError(f"quality batch_size: {self.batch_size}; give 1 or more")


ScorerFactory = Callable[[ScorerOptions], QualityScorer]
SCORERS: Registry[ScorerFactory] = Registry(
    "quality scorer",
    "quavf.scorers",
    {
        "fan": "quavf.models.fan:FanScorer",
        "light": "quavf.faces.quality.light:LightScorer",
    },
)


def register_scorer(name: str, factory: ScorerFactory) -> None:
    """Add a scorer: `open_scorer(name)` calls `factory`. ConfigError if the name is taken.

    The name becomes a file name in the store.
    """
    SCORERS.register(name, factory)


def scorer_names() -> tuple[str, ...]:
    """All scorers: built-in ones, then those of plug-ins."""
    return SCORERS.names()


def open_scorer(
    name: str,
    *,
    weights: Path | None = None,
    device: str = "cpu",
    batch_size: int = 8,
    runner: NetworkRunner | None = None,
) -> QualityScorer:
    """Load a scorer.

    Raises ConfigError if no scorer has that name, or if it has no network for the runner.
    """
    factory = SCORERS.get(name)
    if runner is None:
        return factory(ScorerOptions(weights, device, batch_size))
    taken = []

    def run(network: Any, example: Any) -> Callable[[Any], Any]:
        taken.append(network)
        return runner.run(network, example)

    options = ScorerOptions(weights, device, batch_size, replace(runner, run=run))
    scorer = factory(options)
    if not taken:
        raise ConfigError(
            f"quality scorer {name!r}: has no network to run with another runtime or "
            "precision; leave --runtime and --precision out"
        )
    return scorer


def check_regions(regions: Sequence[Image]) -> None:
    """Assert that each region is an RGB uint8 picture with an area."""
    for region in regions:
        assert region.dtype == np.uint8, region.dtype
        assert region.ndim == 3, region.shape
        assert region.shape[2] == 3, region.shape
        assert region.size > 0, region.shape
