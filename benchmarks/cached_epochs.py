"""An epoch of training by cached features against one without: both branches, published sizes.

Random weights, simulated conversations, the published random changes, batches and validation as in
`quavf train`, without its saving. The cache is filled first, as training does it before its first
epoch; so what is timed is any later one. Both ways take turns within a round.

    python benchmarks/cached_epochs.py [--rounds N]

Prints, for each round, seconds of training and of validation both ways, and how many times faster
the cached epoch is.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch.utils.data import DataLoader

from quavf.models.audio import AudioBranch
from quavf.models.config import AudioConfig, VisualConfig
from quavf.models.visual import VisualBranch
from quavf.simulate.config import SimulateConfig
from quavf.store import ClipStore
from quavf.training.cache.predictors import FeatureCache
from quavf.training.cache.sets import Share, cached_set
from quavf.training.config import TrainAudioConfig, TrainerConfig, TrainVisualConfig
from quavf.training.datasets import AudioTrainSet, ChunkPlan, ChunkSampler, VisualTrainSet
from quavf.training.train import BranchModule
from quavf.training.validate import Validator
from quavf.workflows.prepare_simulated import prepare_simulated
from quavf.workflows.quality import score_quality

SCORER = "light"
WORLD = SimulateConfig(
    seed=2, clips=3, seconds=15.0, preset="clean", val_share=0.33, test_share=0.0
)
EVERY = 5  # frames from one stored face to the next
TRAINER = TrainerConfig(batch_size=4, epochs=100)
CONFIGS = {
    "audio": TrainAudioConfig(audio=AudioConfig(encoder_weights="random"), trainer=TRAINER),
    "visual": TrainVisualConfig(
        visual=VisualConfig(backbone_weights="random"), quality=SCORER, trainer=TRAINER
    ),
}


@dataclass(frozen=True)
class Round:
    """Seconds of one epoch each way: training, then validation."""

    without: tuple[float, float]
    cached: tuple[float, float]

    @property
    def ratio(self) -> float:
        return sum(self.without) / sum(self.cached)

    @property
    def training_ratio(self) -> float:
        return self.without[0] / self.cached[0]


@dataclass
class Way:
    """A branch in training, with or without a cache."""

    store: ClipStore
    module: BranchModule
    data: Any
    plan: ChunkPlan
    validator: Validator

    @classmethod
    def of(cls, name: str, store: ClipStore, cache: Path | None) -> Way:
        """With a `cache`, that is filled."""
        config: Any = CONFIGS[name]
        if cache is not None:
            config = replace(config, trainer=replace(TRAINER, cache=str(cache)))
        torch.manual_seed(0)
        branch: AudioBranch | VisualBranch
        data: Any
        if isinstance(config, TrainAudioConfig):
            branch, data = AudioBranch(config.audio), AudioTrainSet(store, config)
        else:
            branch, data = VisualBranch(config.visual), VisualTrainSet(store, config, SCORER)
        plan = ChunkPlan(len(data), TRAINER.batch_size, 1, len(data), TRAINER.seed)
        counts, features = data.counts, None
        if cache is not None:
            features = FeatureCache.of(branch, config, "benchmark")
            data = cached_set(data, features)
        module = BranchModule(branch, counts.weights(), config)
        way = cls(store, module, data, plan, Validator(branch, store, SCORER, features))
        if cache is not None:
            data.fill(branch, Share())
            way.validate()
        return way

    def train(self, epoch: int) -> float:
        """Seconds of all batches of an epoch."""
        start = time.perf_counter()
        self.data.epoch = epoch
        self.module.train()
        optimizer = self.module.configure_optimizers()
        weights = [p for p in self.module.parameters() if p.requires_grad]
        for batch in DataLoader(self.data, batch_sampler=ChunkSampler(self.plan, epoch, 0)):
            optimizer.zero_grad()
            self.module.loss(batch).backward()  # type: ignore[no-untyped-call]
            torch.nn.utils.clip_grad_norm_(weights, TRAINER.clip_norm)
            optimizer.step()
        return time.perf_counter() - start

    def validate(self) -> float:
        """Seconds of the validation after an epoch."""
        start = time.perf_counter()
        self.module.eval()
        for clip in self.store.clips("val"):
            self.validator.add(clip, "cpu")
        self.validator.map_of(self.validator.take())
        return time.perf_counter() - start


def make_store(path: Path) -> ClipStore:
    """Two clips to train on and one to validate on."""
    prepare_simulated(path, WORLD, every=EVERY)
    score_quality(path, SCORER)
    return ClipStore.open(path)


def compare(name: str, store: ClipStore, cache: Path, rounds: int) -> Iterator[Round]:
    """Epoch after epoch of one branch, both ways."""
    without, cached = Way.of(name, store, None), Way.of(name, store, cache)
    for epoch in range(1, rounds + 1):
        times = [(way.train(epoch), way.validate()) for way in (without, cached)]
        yield Round(*times)


def main() -> None:
    parser = argparse.ArgumentParser(description="An epoch with cached features, and without.")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        store = make_store(Path(folder) / "store")
        for name in CONFIGS:
            for found in compare(name, store, Path(folder) / "cache", options.rounds):
                print(
                    f"{name}: without {found.without[0]:.2f} + {found.without[1]:.2f} s, cached "
                    f"{found.cached[0]:.2f} + {found.cached[1]:.2f} s: {found.ratio:.1f} times"
                )


if __name__ == "__main__":
    main()
