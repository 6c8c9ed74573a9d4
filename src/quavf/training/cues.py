"""Training of the cues branch."""

from __future__ import annotations

import torch
from torch import Tensor

from quavf.models.config import BranchSettings
from quavf.models.cues import CuesBranch
from quavf.store import ClipStore
from quavf.training.branch import BranchTraining
from quavf.training.config import TrainCuesConfig
from quavf.training.cue_samples import CuesTrainSet
from quavf.training.datasets import Sample


class CuesTraining(BranchTraining):
    """Cross-entropy of each answer for each person and tick."""

    unit = "labelled frames"

    def settings(self, config: TrainCuesConfig) -> BranchSettings:
        return BranchSettings(config.semantics, context="clip")

    def train_set(self, store: ClipStore, config: TrainCuesConfig) -> CuesTrainSet:
        return CuesTrainSet(store, config)

    def logits(self, network: CuesBranch, batch: Sample) -> tuple[Tensor, Tensor]:
        face, sound, rule, seen, look_ahead, labels = batch  # labels (B, (4 * P + 1) * T)
        judged = network(face, sound, rule, seen, look_ahead)
        people = judged.people.permute(0, 3, 1, 2).flatten(1)  # (B, 4 * P * T)
        logits = torch.cat([people, judged.wearer], dim=1)  # (B, (4 * P + 1) * T)
        return torch.stack([torch.zeros_like(logits), logits], dim=1), labels
