"""Lightning callbacks: weights are saved, progress is shown."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import lightning as L  # noqa: N812
from lightning.pytorch.callbacks import Callback, EarlyStopping

from quavf.models.branch import BranchNetwork
from quavf.models.checkpoint import save_branch
from quavf.models.description import BEST
from quavf.training.datasets import ChunkPlan
from quavf.training.run_folder import TrainSummary
from quavf.utils.progress import Progress, show_progress

METRIC = "val/map"
LAST = "last.safetensors"


class Saver(Callback):
    """Saves the best and the last weights as safetensors, with their validation results."""

    def __init__(self, out: Path, n_chunks: int, network: BranchNetwork) -> None:
        self.out, self.n_chunks, self.network = out, n_chunks, network
        self.best_map: float | None = None
        self.best_epoch: float | None = None
        self.n_done = 0
        self.stopped_early = False

    def on_validation_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        value = float(trainer.callback_metrics[METRIC])
        if self.best_map is None or value > self.best_map or math.isnan(self.best_map):
            self.best_map, self.best_epoch = value, (trainer.current_epoch + 1) / self.n_chunks
            self._save(trainer, BEST)

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self.n_done = trainer.current_epoch + 1
        self._save(trainer, LAST)
        if self.best_map is None:
            self._save(trainer, BEST)

    def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        stoppers = [c for c in trainer.callbacks if isinstance(c, EarlyStopping)]  # type: ignore[attr-defined]
        self.stopped_early = any(c.stopped_epoch for c in stoppers)

    def state_dict(self) -> dict[str, Any]:
        return {"best_map": self.best_map, "best_epoch": self.best_epoch}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.best_map, self.best_epoch = state_dict["best_map"], state_dict["best_epoch"]

    def summary(self, samples: int, positive: int, negative: int) -> TrainSummary:
        return TrainSummary(
            run=str(self.out),
            branch=self.network.name,
            samples=samples,
            positive=positive,
            negative=negative,
            epochs=self.n_done / self.n_chunks,
            best_map=self.best_map,
            best_epoch=self.best_epoch,
            stopped_early=self.stopped_early,
        )

    def _save(self, trainer: L.Trainer, name: str) -> None:
        if trainer.is_global_zero:
            epoch = (trainer.current_epoch + 1) / self.n_chunks
            info = {"epoch": epoch, "steps": trainer.global_step, "val_map": self.best_map}
            save_branch(self.out / name, self.network, info)


class Bar(Callback):
    """A progress bar over all batches of all epochs, validation clips beside it."""

    def __init__(self, plan: ChunkPlan, epochs: int) -> None:
        self.plan, self.epochs = plan, epochs
        self._context: Any = None
        self._bar: Progress | None = None

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        if not trainer.is_global_zero:
            return
        total = self.plan.n_batches * self.epochs
        self._context = show_progress("Training", total, unit="batches", inner="samples")
        self._bar = self._context.__enter__()
        epoch, chunk = divmod(trainer.current_epoch, self.plan.n_chunks)
        done = epoch * self.plan.n_batches + chunk * self.plan.chunk_batches
        self._bar.advance(done)

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, batch: Any, i: int
    ) -> None:
        if self._bar is not None:
            self._bar.advance(1, len(batch[0]))

    def teardown(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        if self._context is not None:
            self._context.__exit__(None, None, None)
            self._context = self._bar = None
