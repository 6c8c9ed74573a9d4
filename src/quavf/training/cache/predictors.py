"""What a frozen network's features depend on, where they lie, and validation by them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import timm
import torch
import transformers
from torch import Tensor

from quavf.core.records import Floats, Ints
from quavf.core.version import __version__
from quavf.core.windows import AudioWindow, Span
from quavf.inference.predict import AudioPredictor, ClipData, VisualPredictor, tick_scores
from quavf.models.audio import N_POSITIONS, AudioBranch, log_mel
from quavf.models.checkpoint import Branch, branch_kind
from quavf.models.config import encoder_shape
from quavf.models.visual import VisualBranch, check_split
from quavf.training.cache.table import (
    FeatureTable,
    Spec,
    arrays_hash,
    feature_folder,
    feature_type,
    weights_hash,
)
from quavf.training.config import TrainAudioConfig, TrainVisualConfig
from quavf.utils.files import config_hash

FORMAT = 1  # of the tables and of what is in them


@dataclass(frozen=True)
class FeatureCache:
    """Where the features of one frozen network lie, and what they depend on beside the samples."""

    folder: Path
    about: dict[str, Any]  # JSON-able
    spec: Spec  # of one sound (1500, W) or one crop (F,)
    n_versions: int  # of every training sample

    @classmethod
    def of(
        cls, branch: Branch, config: TrainAudioConfig | TrainVisualConfig, content: str
    ) -> FeatureCache:
        """For a run on a store with that `content`, a hash. Leaves the branch in eval mode.

        Raises ConfigError where the network cannot be cut where its frozen part ends.
        """
        model: dict[str, Any]
        if isinstance(branch, AudioBranch):
            shape: tuple[int, ...] = (N_POSITIONS, encoder_shape(branch.config.encoder)[0])
            model, state = {"encoder": branch.config.encoder}, branch.encoder.state_dict()
        else:
            shape = (check_split(branch),)
            model = {"backbone": branch.config.backbone, "size": branch.config.size}
            learnt = {id(w) for layer in branch.last_layers() for w in layer.parameters()}
            own = branch.backbone.state_dict(keep_vars=True)
            state = {name: weight for name, weight in own.items() if id(weight) not in learnt}
        t, libraries = config.trainer, (torch, timm, transformers)
        about = {
            "format": FORMAT,
            "branch": branch_kind(branch),
            "model": model,
            "weights": weights_hash(state),
            "semantics": config.semantics,
            "precision": t.precision,
            "store": content,
            "versions": [__version__, *(library.__version__ for library in libraries)],
        }
        n_versions = min(t.cache_versions, t.epochs)
        return cls(Path(t.cache), about, (shape, feature_type(t.precision)), n_versions)

    def table(
        self, name: str, about: dict[str, Any], file: str, n_rows: int, specs: tuple[Spec, ...]
    ) -> FeatureTable:
        """One that depends on `about` beside what all depend on."""
        kind = f"{self.about['branch']}-{name}"
        folder = feature_folder(self.folder, kind, {**self.about, **about})
        return FeatureTable(folder / file, n_rows, specs)

    def clip(self, clip: str, rows: str, n_rows: int) -> FeatureTable:
        """Of a validation clip, for the rows with that hash."""
        return self.table("val", {}, f"{clip}.{rows[:16]}", n_rows, (self.spec,))


class CachedAudioPredictor(AudioPredictor):
    """Hears each window of a clip once, and then goes by what it kept of it."""

    def __init__(self, branch: AudioBranch, cache: FeatureCache, device: str) -> None:
        super().__init__(branch, device)
        self.own, self.cache = branch, cache

    def _heard(self, data: ClipData, jobs: Sequence[tuple[Span, AudioWindow]]) -> Iterator[Floats]:
        if not jobs:
            return
        table = self.cache.clip(data.clip, config_hash(jobs), len(jobs))
        for first in range(0, len(jobs), self.batch_size):
            rows = range(first, min(first + self.batch_size, len(jobs)))
            if table.there(np.array(rows)).all():
                (features,) = table.read_all(rows)
            else:
                features = self._embedded(np.stack([self._sound(data, *jobs[row]) for row in rows]))
                for row, found in zip(rows, features, strict=True):
                    table.write(row, [found])
            yield from self._classified(features)
        table.close()

    @torch.inference_mode()
    def _embedded(self, sounds: Floats) -> Tensor:
        return self.own.embed(log_mel(torch.from_numpy(sounds).to(self.device)))

    @torch.inference_mode()
    def _classified(self, features: Tensor) -> Floats:
        return tick_scores(self.own.classify(features.to(self.device)))


class CachedVisualPredictor(VisualPredictor):
    """Sees each crop of a clip once, and then goes by what it kept of it."""

    def __init__(self, branch: VisualBranch, scorer: str, cache: FeatureCache, device: str) -> None:
        super().__init__(branch, scorer, device)
        self.own, self.cache = branch, cache

    def _encode(self, data: ClipData, batches: Sequence[Ints]) -> Iterator[Tensor]:
        sizes = [1, *map(len, batches)]
        table = self.cache.clip(data.clip, arrays_hash(*batches), sum(sizes))
        parts = np.split(np.arange(sum(sizes)), np.cumsum(sizes)[:-1])
        if table.there().all():
            for part in parts:
                (features,) = table.read_all(part)
                yield self.own.encode_embedded(features.to(self.device))
        else:
            for part, features in zip(parts, super()._encode(data, batches), strict=True):
                for row, found in zip(part.tolist(), features, strict=True):
                    table.write(row, [found])
                yield self.own.encode_embedded(features)
        table.close()

    def _network(self, crops: Tensor) -> Tensor:
        return self.own.embed(crops)
