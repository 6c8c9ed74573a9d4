"""Training either branch on Lightning: repeatable, and resumable to the same bit.

Lightning's "epoch" is here a part of an epoch (`trainer.save_every` batches), since it resumes
exactly only between its epochs: so a run that is cut off loses at most one part.
"""

from __future__ import annotations

import logging
import math
import warnings
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import lightning as L  # noqa: N812
import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812
from lightning.pytorch.callbacks import Callback, EarlyStopping, ModelCheckpoint
from lightning.pytorch.loggers import TensorBoardLogger
from torch import Tensor
from torch.utils.data import DataLoader

from quavf.branches.audio import AudioBranch, log_mel
from quavf.branches.backbones import load_pretrained
from quavf.branches.checkpoint import BEST, Branch, branch_kind, save_branch
from quavf.branches.datasets import (
    IGNORED,
    AudioTrainSet,
    ChunkPlan,
    ChunkSampler,
    Sample,
    VisualTrainSet,
)
from quavf.branches.validate import Validator
from quavf.branches.visual import VisualBranch
from quavf.config import (
    BranchSettings,
    TrainAudioConfig,
    TrainerConfig,
    TrainVisualConfig,
    to_dict,
)
from quavf.errors import ConfigError
from quavf.files import config_hash, read_json, write_json
from quavf.progress import Progress, progress
from quavf.semantics import semantics
from quavf.store import ClipStore

log = logging.getLogger(__name__)

METRIC = "val/map"
RESUME = "last.ckpt"
LAST = "last.safetensors"
FINISHED = "training.json"
FREE_OPTIONS = ("workers", "accelerator")  # may differ when a run goes on
LIGHTNING_SMALL_TALK = (  # warnings that tell a user of ours nothing
    ".*does not have many workers.*",
    ".*in eval mode at the start of training.*",
    ".*Checkpoint directory .* exists and is not empty.*",
    ".*Total length of .list. across ranks is zero.*",
    ".*`isinstance.treespec, LeafSpec.` is deprecated.*",
)
TrainConfig = TrainAudioConfig | TrainVisualConfig


@dataclass(frozen=True)
class TrainSummary:
    """How a training run ended."""

    run: str
    branch: str
    samples: int
    positive: int  # frames (audio) or windows (visual)
    negative: int
    epochs: float
    best_map: float | None  # None: there was no validation
    best_epoch: float | None
    stopped_early: bool


def train_audio(store: Path, out: Path, config: TrainAudioConfig | None = None) -> TrainSummary:
    """Train the audio branch on a store's train split, validating on its val split.

    Writes `best.safetensors`, `last.safetensors`, TensorBoard logs and the configuration into
    `out`. A run that was interrupted goes on; a finished one is left as it is.
    """
    config = config or TrainAudioConfig()
    return _Run(ClipStore.open(Path(store)), Path(out), config).go()


def train_visual(store: Path, out: Path, config: TrainVisualConfig | None = None) -> TrainSummary:
    """Train the visual branch on a store's train split; everything else as `train_audio`."""
    config, clips = config or TrainVisualConfig(), ClipStore.open(Path(store))
    config = replace(config, quality=clips.choose_scorer(config.quality))
    return _Run(clips, Path(out), config).go()


class BranchModule(L.LightningModule):
    """One branch with its loss and optimizer."""

    def __init__(self, branch: Branch, weights: Tensor | None, config: TrainConfig) -> None:
        super().__init__()
        self.branch, self.options = branch, config.trainer
        self.keep_statistics = not semantics(config.semantics).moving_batch_norm
        self.register_buffer("class_weights", weights, persistent=False)
        self._frozen = branch.frozen_modules()
        for module in self._frozen:
            module.requires_grad_(False)
        self.train()  # Lightning leaves the modes as it finds them

    def train(self, mode: bool = True) -> BranchModule:
        """Frozen parts stay in eval mode: no dropout, no moving batch-norm statistics."""
        super().train(mode)
        if self.keep_statistics:
            for module in self._frozen:
                module.eval()
        return self

    def loss(self, batch: Sample) -> Tensor:
        """Cross-entropy of a batch, weighted by class, ignored outputs left out."""
        if isinstance(self.branch, AudioBranch):
            samples, labels = batch  # (B, 480000), (B, 900)
            logits = self.branch(log_mel(samples))  # (B, 2, 900)
        else:
            crops, quality, labels = batch  # (B, 15, 3, 224, 224), (B,), (B,)
            logits = self.branch(crops, quality)  # (B, 2)
        weights = self.class_weights
        assert weights is None or isinstance(weights, Tensor)
        return F.cross_entropy(logits, labels, weights, ignore_index=IGNORED)

    def training_step(self, batch: Sample, batch_index: int) -> Tensor:
        # Dropout depends on the step alone, so that a resumed run draws the same.
        key = (self.options.seed, self.current_epoch, batch_index, self.global_rank)
        torch.manual_seed(int(np.random.SeedSequence(key).generate_state(1)[0]))
        loss = self.loss(batch)
        self.log("train/loss", loss, batch_size=len(batch[0]))
        return loss

    def configure_optimizers(self) -> torch.optim.Optimizer:
        weights = [p for p in self.parameters() if p.requires_grad]
        if self.options.weight_decay:
            decay = self.options.weight_decay
            return torch.optim.AdamW(weights, self.options.lr, weight_decay=decay)
        return torch.optim.Adam(weights, self.options.lr)


class TrainingModule(BranchModule):
    """The same with data: one part of an epoch after the other, and validation by clip."""

    def __init__(
        self, branch: Branch, data: AudioTrainSet | VisualTrainSet, run: _Run, clips: list[str]
    ) -> None:
        weights = data.counts.weights() if run.config.trainer.class_weights else None
        super().__init__(branch, weights, run.config)
        self.data, self.clips, self.run = data, clips, run
        self.validator = Validator(branch, run.store, run.scorer)

    def configure_optimizers(self) -> Any:
        optimizer = super().configure_optimizers()
        if self.options.schedule == "constant":
            return optimizer
        plan = self.run.plan(len(self.data), self.trainer.world_size)
        n_steps = math.ceil(plan.n_batches / self.options.accumulate) * self.options.epochs
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, n_steps)
        return {
            "optimizer": optimizer,
            "lr_scheduler": {"scheduler": schedule, "interval": "step"},
        }

    def train_dataloader(self) -> DataLoader[Sample]:
        plan = self.run.plan(len(self.data), self.trainer.world_size)
        epoch, chunk = divmod(self.current_epoch, plan.n_chunks)
        self.data.epoch = epoch
        sampler = ChunkSampler(plan, epoch, chunk, self.global_rank)
        return DataLoader(self.data, batch_sampler=sampler, num_workers=self.options.workers)

    def val_dataloader(self) -> DataLoader[str] | list[Any]:
        mine = self.clips[self.global_rank :: self.trainer.world_size]
        return DataLoader(mine, batch_size=None) if self.clips else []  # type: ignore[arg-type]

    def validation_step(self, clip: str, index: int) -> None:
        self.validator.add(clip, str(self.device))

    def on_validation_epoch_end(self) -> None:
        parts = self.validator.take()
        if self.trainer.world_size > 1:
            gathered: list[Any] = [None] * self.trainer.world_size
            torch.distributed.all_gather_object(gathered, parts)
            parts = [part for rank in gathered for part in rank]
        self.log(METRIC, self.validator.map_of(parts), rank_zero_only=False)


@dataclass
class _Run:
    store: ClipStore
    out: Path
    config: TrainConfig

    @property
    def scorer(self) -> str:
        return self.config.quality if isinstance(self.config, TrainVisualConfig) else ""

    def plan(self, n_samples: int, n_devices: int) -> ChunkPlan:
        t = self.config.trainer
        chunk = math.ceil(t.save_every / t.accumulate) * t.accumulate
        return ChunkPlan(n_samples, t.batch_size, n_devices, chunk, t.seed)

    def go(self) -> TrainSummary:
        self._claim()
        finished = self.out / FINISHED
        if finished.is_file():
            done = TrainSummary(**read_json(finished))
            if done.epochs >= self.config.trainer.epochs or done.stopped_early:
                log.warning("%s is finished; nothing to do", self.out)
                return done
        data = self._train_set()
        clips = self._val_clips()
        torch.manual_seed(self.config.trainer.seed)
        branch = self._branch()
        module = TrainingModule(branch, data, self, clips)
        saver = self._fit(module)
        summary = saver.summary(len(data), data.counts.positive, data.counts.negative)
        if module.trainer.is_global_zero:
            write_json(finished, asdict(summary))
        return summary

    def _claim(self) -> None:
        """Write the configuration, or make sure that the one that is there is the same."""
        clips = self.store.clips()
        content = {
            "store": [self.store.config.hash, [self.store.manifest(c).fingerprint for c in clips]],
            **to_dict(self.config),
        }
        content["store"] = config_hash(content["store"])
        path = self.out / "config.json"
        if path.is_file():
            _check_same(path, read_json(path), content)
        elif self.out.is_dir() and any(self.out.iterdir()):
            raise ConfigError(f"{self.out}: is not empty and no training run; choose another --out")
        write_json(path, content)

    def _train_set(self) -> AudioTrainSet | VisualTrainSet:
        if isinstance(self.config, TrainAudioConfig):
            return AudioTrainSet(self.store, self.config)
        return VisualTrainSet(self.store, self.config, self.config.quality)

    def _val_clips(self) -> list[str]:
        clips = self.store.clips("val")
        if not clips:
            log.warning("%s has no val split: the last weights count as the best", self.store.path)
        return clips[: self.config.trainer.limit_val_clips or None]

    def _branch(self) -> Branch:
        branch: Branch
        if isinstance(self.config, TrainAudioConfig):
            settings = BranchSettings(self.config.semantics, context=self.config.context)
            branch = AudioBranch(self.config.audio, settings)
        else:
            c = self.config
            settings = BranchSettings(c.semantics, c.windows, c.quality, c.context)
            branch = VisualBranch(c.visual, settings)
        load_pretrained(branch)
        return branch

    def _fit(self, module: TrainingModule) -> _Saver:
        t = self.config.trainer
        resume = self.out / RESUME
        logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)  # no tips, no device list
        # The plan needs the number of devices, which only a trainer knows.
        trainer = self._trainer(t, n_chunks=1, callbacks=[])
        plan = self.plan(len(module.data), trainer.world_size)
        saver = _Saver(self.out, plan.n_chunks)
        callbacks: list[Callback] = [saver, _Bar(plan, t.epochs)]
        if t.patience and module.clips:
            callbacks.append(
                EarlyStopping(
                    METRIC,
                    mode="max",
                    patience=t.patience,
                    check_finite=False,
                    check_on_train_epoch_end=False,
                )
            )
        callbacks.append(_resume_checkpoint(self.out))
        trainer = self._trainer(t, plan.n_chunks, callbacks)
        with warnings.catch_warnings():
            for message in LIGHTNING_SMALL_TALK:
                warnings.filterwarnings("ignore", message)
            try:
                trainer.fit(
                    module, ckpt_path=resume if resume.is_file() else None, weights_only=True
                )
            except SystemExit:  # what Lightning makes of Ctrl-C
                raise KeyboardInterrupt from None
        return saver

    def _trainer(self, t: TrainerConfig, n_chunks: int, callbacks: list[Callback]) -> L.Trainer:
        logger = TensorBoardLogger(self.out, name="", version="tensorboard") if callbacks else False
        return L.Trainer(
            accelerator=t.accelerator,
            devices=t.devices if not t.devices.isdecimal() else int(t.devices),
            num_nodes=t.num_nodes,
            strategy=t.strategy,
            precision=t.precision,  # type: ignore[arg-type]
            max_epochs=t.epochs * n_chunks,
            check_val_every_n_epoch=n_chunks,
            accumulate_grad_batches=t.accumulate,
            gradient_clip_val=t.clip_norm or None,
            use_distributed_sampler=False,
            reload_dataloaders_every_n_epochs=1,
            num_sanity_val_steps=0,
            log_every_n_steps=1,
            logger=logger,
            callbacks=callbacks,
            enable_checkpointing=bool(callbacks),
            enable_progress_bar=False,
            enable_model_summary=False,
            default_root_dir=self.out,
        )


class _Saver(Callback):
    """Keeps the best and the last weights as safetensors, and knows how well they did."""

    def __init__(self, out: Path, n_chunks: int) -> None:
        self.out, self.n_chunks = out, n_chunks
        self.best_map: float | None = None
        self.best_epoch: float | None = None
        self.n_done = 0
        self.stopped_early = False

    def on_validation_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        value = float(trainer.callback_metrics[METRIC])
        if self.best_map is None or value > self.best_map or math.isnan(self.best_map):
            self.best_map, self.best_epoch = value, (trainer.current_epoch + 1) / self.n_chunks
            self._save(trainer, pl_module, BEST)

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self.n_done = trainer.current_epoch + 1
        self._save(trainer, pl_module, LAST)
        if self.best_map is None:
            self._save(trainer, pl_module, BEST)

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
            branch=self.branch,
            samples=samples,
            positive=positive,
            negative=negative,
            epochs=self.n_done / self.n_chunks,
            best_map=self.best_map,
            best_epoch=self.best_epoch,
            stopped_early=self.stopped_early,
        )

    def _save(self, trainer: L.Trainer, module: L.LightningModule, name: str) -> None:
        assert isinstance(module, BranchModule)
        self.branch = branch_kind(module.branch)
        if trainer.is_global_zero:
            epoch = (trainer.current_epoch + 1) / self.n_chunks
            info = {"epoch": epoch, "steps": trainer.global_step, "val_map": self.best_map}
            save_branch(self.out / name, module.branch, info)


class _Bar(Callback):
    """A progress bar over all batches of all epochs, validation clips beside it."""

    def __init__(self, plan: ChunkPlan, epochs: int) -> None:
        self.plan, self.epochs = plan, epochs
        self._context: Any = None
        self._bar: Progress | None = None

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        if not trainer.is_global_zero:
            return
        total = self.plan.n_batches * self.epochs
        self._context = progress("Training", total, unit="batches", inner="samples")
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


def _resume_checkpoint(out: Path) -> ModelCheckpoint:
    """Lightning's own state after every part, always under the same name."""
    return ModelCheckpoint(
        dirpath=out,
        filename=RESUME.removesuffix(".ckpt"),
        every_n_epochs=1,
        save_on_train_epoch_end=True,
        enable_version_counter=False,
    )


def _check_same(path: Path, old: dict[str, Any], new: dict[str, Any]) -> None:
    """ConfigError naming the first setting that a run was started with and that now differs."""
    a, b = dict(_flat(old)), dict(_flat(new))
    for key in sorted(set(a) | set(b)):
        if key.removeprefix("trainer.") in FREE_OPTIONS:
            continue
        if key == "trainer.epochs" and b[key] >= a.get(key, 0):
            continue
        if a.get(key) != b.get(key):
            what = "the store's content" if key == "store" else f"{key} {a.get(key)!r}"
            now = "" if key == "store" else f", now {b.get(key)!r}"
            raise ConfigError(
                f"{path}: this run was started with other settings ({what}{now}); "
                "choose another --out, or delete the folder to start anew"
            )


def _flat(tree: dict[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    found: list[tuple[str, Any]] = []
    for key, value in tree.items():
        if isinstance(value, dict):
            found += _flat(value, f"{prefix}{key}.")
        else:
            found.append((prefix + key, list(value) if isinstance(value, tuple) else value))
    return found
