"""Time a training epoch with and without cached features: both branches, published sizes.

Uses random weights, simulated conversations, the published augmentation, and the batches and
validation of `quavf train`, without saving. The cache is filled first, as training does before its
first epoch. The two runs alternate within a round.

    python benchmarks/cached_epochs.py [--rounds N]

Prints seconds of training and of validation for each round, and the speed-up by caching.
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

from quavf.core.branches import BRANCHES
from quavf.models.audio import AudioBranch
from quavf.models.config import AudioConfig, VisualConfig
from quavf.models.visual import VisualBranch
from quavf.simulate.config import SimulateConfig
from quavf.store import ClipStore
from quavf.training.audio_samples import AudioTrainSet
from quavf.training.branch import BranchTraining
from quavf.training.cache.features import FeatureCache
from quavf.training.cache.sets import Share
from quavf.training.config import TrainAudioConfig, TrainerConfig, TrainVisualConfig
from quavf.training.datasets import ChunkPlan, ChunkSampler
from quavf.training.train import BranchModule
from quavf.training.validate import Validator
from quavf.training.visual_samples import VisualTrainSet
from quavf.workflows.prepare_simulated import prepare_simulated
from quavf.workflows.quality import score_quality

SCORER = "light"
WORLD = SimulateConfig(
    seed=2, clips=3, seconds=15.0, preset="clean", val_share=0.33, test_share=0.0
)
EVERY = 5  # frames between stored faces
TRAINER = TrainerConfig(batch_size=4, epochs=100)
CONFIGS = {
    "audio": TrainAudioConfig(audio=AudioConfig(encoder_weights="random"), trainer=TRAINER),
    "visual": TrainVisualConfig(
        visual=VisualConfig(backbone_weights="random"), quality=SCORER, trainer=TRAINER
    ),
}


@dataclass(frozen=True)
class EpochTimes:
    """Seconds of training and of validation in one epoch, without and with cached features."""

    without: tuple[float, float]
    cached: tuple[float, float]

    @property
    def ratio(self) -> float:
        return sum(self.without) / sum(self.cached)

    @property
    def training_ratio(self) -> float:
        return self.without[0] / self.cached[0]


@dataclass
class TrainingRun:
    """A branch in training, with or without cached features."""

    store: ClipStore
    module: BranchModule
    data: Any
    plan: ChunkPlan
    validator: Validator

    @classmethod
    def create(cls, name: str, store: ClipStore, cache: Path | None) -> TrainingRun:
        """Create a run. A `cache` is filled first."""
        config: Any = CONFIGS[name]
        if cache is not None:
            config = replace(config, trainer=replace(TRAINER, cache=str(cache)))
        torch.manual_seed(0)
        branch: AudioBranch | VisualBranch
        data: Any
        if isinstance(config, TrainAudioConfig):
            branch, data = AudioBranch(config.audio), AudioTrainSet(store, config)
        else:
            branch = VisualBranch(config.visual)
            data = VisualTrainSet(store, replace(config, quality=SCORER))
        method: BranchTraining = BRANCHES.get(branch.name).load("training")()
        plan = ChunkPlan(len(data), TRAINER.batch_size, 1, len(data), TRAINER.seed)
        counts, features = data.counts, None
        if cache is not None:
            features = FeatureCache.create(method.frozen_part(branch), config, "benchmark")
            data = method.cached_set(data, features)
        module = BranchModule(branch, counts.weights(), config)
        run = cls(store, module, data, plan, Validator(method, branch, store, SCORER, features))
        if cache is not None:
            data.fill(branch, Share())
            run.validate()
        return run

    def train(self, epoch: int) -> float:
        """Train for an epoch; return the seconds."""
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
        """Validate; return the seconds."""
        start = time.perf_counter()
        self.module.eval()
        for clip in self.store.clips("val"):
            self.validator.add(clip, "cpu")
        self.validator.mean_average_precision(self.validator.take())
        return time.perf_counter() - start


def make_store(path: Path) -> ClipStore:
    """Make a store of two training clips and one validation clip."""
    prepare_simulated(path, WORLD, every=EVERY)
    score_quality(path, SCORER)
    return ClipStore.open(path)


def compare(name: str, store: ClipStore, cache: Path, rounds: int) -> Iterator[EpochTimes]:
    """Time `rounds` epochs of one branch, without and with cached features."""
    without, cached = TrainingRun.create(name, store, None), TrainingRun.create(name, store, cache)
    for epoch in range(1, rounds + 1):
        times = [(run.train(epoch), run.validate()) for run in (without, cached)]
        yield EpochTimes(*times)


def main() -> None:
    parser = argparse.ArgumentParser(description="Time an epoch with and without cached features.")
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
