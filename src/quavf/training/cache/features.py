"""The cached features of one frozen network: what they depend on, and where they are."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import timm
import torch
import transformers

from quavf.core.version import __version__
from quavf.models.tensors import StateDict
from quavf.training.cache.table import (
    FeatureTable,
    TensorSpec,
    feature_folder,
    feature_type,
    weights_hash,
)
from quavf.training.config import TrainConfig

FORMAT = 1  # of the tables and of their content


@dataclass(frozen=True)
class FrozenPart:
    """The part of a branch that training does not change, whose outputs are cached.

    `model` names it (JSON-able), `state` are its weights, `shape` is that of one output.
    """

    branch: str
    model: dict[str, Any]
    state: StateDict
    shape: tuple[int, ...]


@dataclass(frozen=True)
class FeatureCache:
    """Where the features of one frozen network are, and what they depend on beside the samples."""

    folder: Path
    about: dict[str, Any]  # JSON-able
    spec: TensorSpec  # of one output of the network
    n_versions: int  # of every training sample

    @classmethod
    def create(cls, frozen: FrozenPart, config: TrainConfig, content: str) -> FeatureCache:
        """The cache for a run on a store with this `content`, a hash."""
        trainer, libraries = config.trainer, (torch, timm, transformers)
        about = {
            "format": FORMAT,
            "branch": frozen.branch,
            "model": frozen.model,
            "weights": weights_hash(frozen.state),
            "semantics": config.semantics,
            "precision": trainer.precision,
            "store": content,
            "versions": [__version__, *(library.__version__ for library in libraries)],
        }
        n_versions = min(trainer.cache_versions, trainer.epochs)
        spec = (frozen.shape, feature_type(trainer.precision))
        return cls(Path(trainer.cache), about, spec, n_versions)

    def table(
        self,
        name: str,
        about: dict[str, Any],
        file: str,
        n_rows: int,
        specs: tuple[TensorSpec, ...],
    ) -> FeatureTable:
        """A table that depends on `about` beside what all tables depend on."""
        kind = f"{self.about['branch']}-{name}"
        folder = feature_folder(self.folder, kind, {**self.about, **about})
        return FeatureTable(folder / file, n_rows, specs)

    def clip_table(self, clip: str, rows: str, n_rows: int) -> FeatureTable:
        """The table of a validation clip; `rows` is a hash of the rows in it."""
        return self.table("val", {}, f"{clip}.{rows[:16]}", n_rows, (self.spec,))
