"""Network, training and prediction of the toy branch: it judges by the mean colour of a face."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor, nn

from quavf.core.records import WEARER, Ints
from quavf.inference.clip import ClipData, load_picture
from quavf.inference.predictor import Columns, Predictor, Spans
from quavf.models.branch import BranchNetwork
from quavf.models.config import BranchSettings
from quavf.store import ClipStore, CropReader
from quavf.training.branch import BranchTraining
from quavf.training.config import TrainConfig
from quavf.training.datasets import Sample, TrainSet, count_classes


@dataclass(frozen=True)
class ToyConfig:
    """The toy branch.

    Args:
        width: Hidden units.
    """

    width: int = 8


@dataclass(frozen=True)
class TrainToyConfig(TrainConfig):
    """Training of the toy branch.

    Args:
        toy: The model.
    """

    toy: ToyConfig = field(default_factory=ToyConfig)


class ToyBranch(BranchNetwork):
    """Mean colour (B, 3) in [0, 1] -> logits (B, 2)."""

    name = "toy"

    def __init__(self, config: ToyConfig, settings: BranchSettings | None = None) -> None:
        super().__init__(config, settings)
        self.layers = nn.Sequential(
            nn.Linear(3, config.width), nn.ReLU(), nn.Linear(config.width, 2)
        )

    def forward(self, colours: Tensor) -> Tensor:
        logits: Tensor = self.layers(colours)
        return logits


def mean_colours(data: ClipData, rows: Ints) -> Tensor:
    """(N, 3) of the crops in these rows, in [0, 1]."""
    reader = CropReader(data.store, data.clip, data.faces)
    pictures = [load_picture(reader, int(row)) for row in rows]
    reader.close()
    colours = [picture.mean(axis=(0, 1)) / 255 for picture in pictures]
    return torch.tensor(np.array(colours).reshape(-1, 3), dtype=torch.float32)


class ToyPredictor(Predictor):
    name = "toy"

    def score_faces(self, data: ClipData) -> Columns:
        rows = np.flatnonzero(data.scored_mask())
        columns: Columns = {}
        for name, values in self._score(data, rows).items():
            columns[name] = np.full(len(data.faces), np.nan)
            columns[name][rows] = values
        return columns

    def score_person(self, data: ClipData, spans: Spans) -> Columns:
        row_of = data.faces.row_of()
        rows = [row_of[span.person, tick] for span, ticks in spans for tick in ticks.tolist()]
        return self._score(data, np.array(rows, int))

    @torch.inference_mode()
    def _score(self, data: ClipData, rows: Ints) -> Columns:
        colours = mean_colours(data, rows).to(self.device)
        scores = self.model(colours).softmax(dim=1)[:, 1].cpu().numpy().astype(float)
        return {self.name: scores, "toy_noise": 1 - scores}


class ToyTrainSet(TrainSet):
    """(colour (3,), label ()) of every face inside a labelled segment."""

    def __init__(self, store: ClipStore) -> None:
        colours, labels = [], []
        for clip in store.clips("train"):
            data = ClipData(store, clip)
            for segment in data.manifest.segments:
                if segment.person == WEARER:
                    continue
                own = data.faces.rows_of(segment.person)
                frames = data.faces.frame[own]
                inside = (frames >= segment.start_frame) & (frames <= segment.last_frame)
                rows = own.start + np.flatnonzero(inside)
                colours.append(mean_colours(data, rows))
                labels.append(torch.full((len(rows),), segment.label))
        self.colours, self.labels = torch.cat(colours), torch.cat(labels)
        n_positive = int(self.labels.sum())
        self.counts = count_classes(n_positive, len(self) - n_positive, store, "labelled face")

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> Sample:
        return self.colours[index], self.labels[index]


class ToyTraining(BranchTraining):
    unit = "faces"

    def settings(self, config: TrainToyConfig) -> BranchSettings:
        return BranchSettings(config.semantics)

    def train_set(self, store: ClipStore, config: TrainToyConfig) -> ToyTrainSet:
        return ToyTrainSet(store)

    def logits(self, network: ToyBranch, batch: Sample) -> tuple[Tensor, Tensor]:
        colours, labels = batch  # (B, 3), (B,)
        return network(colours), labels
