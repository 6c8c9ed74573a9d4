"""Training either branch on Lightning: repeatable, and resumable to the same bit.

Lightning's "epoch" is here a part of an epoch (`trainer.save_every` batches), since it resumes
exactly only between its epochs: so a run that is cut off loses at most one part.
"""

from __future__ import annotations

import logging
import math
import warnings
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import lightning as L  # noqa: N812
import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812
from lightning.pytorch.callbacks import Callback, EarlyStopping
from lightning.pytorch.loggers import TensorBoardLogger
from lightning.pytorch.utilities import rank_zero_only
from torch import Tensor
from torch.utils.data import DataLoader

from quavf.core.config import to_dict
from quavf.core.semantics import get_semantics
from quavf.models.audio import AudioBranch, log_mel
from quavf.models.backbones import load_pretrained
from quavf.models.checkpoint import Branch
from quavf.models.config import BranchSettings
from quavf.models.visual import VisualBranch
from quavf.store import ClipStore
from quavf.training.cache.predictors import FeatureCache
from quavf.training.cache.sets import Share, cached_set
from quavf.training.callbacks import METRIC, RESUME, Bar, Saver, resume_checkpoint
from quavf.training.config import TrainAudioConfig, TrainVisualConfig
from quavf.training.datasets import (
    IGNORED,
    AudioTrainSet,
    ChunkPlan,
    ChunkSampler,
    Sample,
    VisualTrainSet,
)
from quavf.training.run_folder import RunFolder, TrainSummary
from quavf.training.start import start_from
from quavf.training.validate import Validator
from quavf.utils.files import config_hash

log = logging.getLogger(__name__)

LIGHTNING_SMALL_TALK = (  # warnings that tell a user of ours nothing
    ".*does not have many workers.*",
    ".*in eval mode at the start of training.*",
    ".*Checkpoint directory .* exists and is not empty.*",
    ".*Total length of .list. across ranks is zero.*",
    ".*It is recommended to use `self.log.'val/map'.*",  # all processes hold the same value
    ".*`isinstance.treespec, LeafSpec.` is deprecated.*",
)
BuiltInConfig = TrainAudioConfig | TrainVisualConfig


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


def leads() -> bool:
    """Of several processes that train together, whether this is the one that writes and reports."""
    return getattr(rank_zero_only, "rank", 0) == 0


class BranchModule(L.LightningModule):
    """One branch with its loss and optimizer."""

    def __init__(self, branch: Branch, weights: Tensor | None, config: BuiltInConfig) -> None:
        super().__init__()
        self.branch, self.options = branch, config.trainer
        # Whisper's encoder has no statistics; in training mode it draws random numbers in vain.
        moving = get_semantics(config.semantics).moving_batch_norm and isinstance(
            branch, VisualBranch
        )
        self.keep_statistics = not moving
        self.register_buffer("class_weights", weights, persistent=False)
        self._frozen = branch.frozen_modules()
        self.train()  # Lightning leaves the modes as it finds them

    def train(self, mode: bool = True) -> BranchModule:
        """Frozen parts stay in eval mode: no dropout, no moving batch-norm statistics."""
        super().train(mode)
        if self.keep_statistics:
            for module in self._frozen:
                module.eval()
        return self

    def loss(self, batch: Sample) -> Tensor:
        """Cross-entropy of a batch, weighted by class, ignored outputs left out; 0 without any.

        With several devices their mean is the loss of all their batches taken as one.
        """
        logits, labels = self._logits(batch)
        weights = self.class_weights
        assert weights is None or isinstance(weights, Tensor)
        if not torch.distributed.is_available() or not torch.distributed.is_initialized():
            if not bool((labels != IGNORED).any()):
                nothing: Tensor = logits.sum() * 0.0
                return nothing
            return F.cross_entropy(logits, labels, weights, ignore_index=IGNORED)
        loss = F.cross_entropy(logits, labels, weights, ignore_index=IGNORED, reduction="sum")
        of_class = loss.new_ones(2) if weights is None else weights
        weight = of_class[labels[labels != IGNORED]].sum()
        torch.distributed.all_reduce(weight)
        return loss * torch.distributed.get_world_size() / weight.clamp(min=1e-12)

    def _logits(self, batch: Sample) -> tuple[Tensor, Tensor]:
        """Audio: logits (B, 2, 900), labels (B, 900); visual: (B, 2), (B,). See `CachedSet`."""
        if isinstance(self.branch, AudioBranch):
            x, labels = batch  # features (B, 1500, W) or samples (B, 480000)
            features = x if self.options.cache else self.branch.embed(log_mel(x))
            return self.branch.classify(features, n_trained(labels)), labels
        if self.options.cache:
            features, seen, quality, labels = batch  # (B, 15, F), (B, 15), (B,), (B,)
            return self.branch.forward_embedded(features, seen, quality), labels
        crops, quality, labels = batch  # (B, 15, 3, 224, 224), (B,), (B,)
        return self.branch(crops, quality), labels

    def training_step(self, batch: Sample, batch_index: int) -> Tensor:
        # Dropout depends on the step alone, so that a resumed run draws the same.
        key = (self.options.seed, self.current_epoch, batch_index, self.global_rank)
        torch.manual_seed(int(np.random.SeedSequence(key).generate_state(1)[0]))
        loss = self.loss(batch)
        self.log("train/loss", loss, batch_size=len(batch[0]), sync_dist=True)
        return loss

    def configure_optimizers(self) -> torch.optim.Optimizer:
        weights = [p for p in self.parameters() if p.requires_grad]
        if self.options.weight_decay:
            decay = self.options.weight_decay
            return torch.optim.AdamW(weights, self.options.lr, weight_decay=decay)
        return torch.optim.Adam(weights, self.options.lr)


def n_trained(labels: Tensor) -> int:
    """labels (B, T): how many of the T, from the first on, hold all that are not ignored."""
    heard = (labels != IGNORED).any(dim=0).nonzero()  # (N, 1)
    return int(heard[-1]) + 1 if len(heard) else 1


class TrainingModule(BranchModule):
    """The same with data: one part of an epoch after the other, and validation by clip."""

    def __init__(
        self,
        branch: Branch,
        data: AudioTrainSet | VisualTrainSet,
        run: _Run,
        clips: list[str],
        cache: FeatureCache | None = None,
    ) -> None:
        weights = data.counts.weights() if run.config.trainer.class_weights else None
        super().__init__(branch, weights, run.config)
        self.data, self.clips, self.run = data, clips, run
        self.cached = None if cache is None else cached_set(data, cache)
        self.validator = Validator(branch, run.store, run.scorer, cache)

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

    def on_fit_start(self) -> None:
        if self.cached is not None:
            rank, n_processes = self.global_rank, self.trainer.world_size
            share = Share(rank, n_processes, self.device, self.options.workers)
            with self.trainer.precision_plugin.train_step_context():
                self.cached.fill(self.branch, share)
            self.trainer.strategy.barrier()

    def train_dataloader(self) -> DataLoader[Sample]:
        plan = self.run.plan(len(self.data), self.trainer.world_size)
        epoch, chunk = divmod(self.current_epoch, plan.n_chunks)
        data = self.data if self.cached is None else self.cached
        data.epoch = epoch
        sampler = ChunkSampler(plan, epoch, chunk, self.global_rank)
        return DataLoader(data, batch_sampler=sampler, num_workers=self.options.workers)

    def val_dataloader(self) -> DataLoader[str] | list[Any]:
        # Lightning refuses a device that has no clip; one that two have scored counts once.
        mine = self.clips[self.global_rank :: self.trainer.world_size] or self.clips[:1]
        return DataLoader(mine, batch_size=None) if self.clips else []  # type: ignore[arg-type]

    def validation_step(self, clip: str, index: int) -> None:
        self.validator.add(clip, str(self.device))

    def on_validation_epoch_end(self) -> None:
        parts = self.validator.take()
        if self.trainer.world_size > 1:
            gathered: list[Any] = [None] * self.trainer.world_size
            torch.distributed.all_gather_object(gathered, parts)
            parts = list({part[0]: part for rank in gathered for part in rank}.values())
        self.log(METRIC, self.validator.map_of(parts), rank_zero_only=False)


@dataclass
class _Run:
    store: ClipStore
    out: Path
    config: BuiltInConfig

    @property
    def scorer(self) -> str:
        return self.config.quality if isinstance(self.config, TrainVisualConfig) else ""

    def plan(self, n_samples: int, n_devices: int) -> ChunkPlan:
        t = self.config.trainer
        chunk = math.ceil(t.save_every / t.accumulate) * t.accumulate
        return ChunkPlan(n_samples, t.batch_size, n_devices, chunk, t.seed)

    def go(self) -> TrainSummary:
        for name in ("lightning.pytorch", "lightning.fabric"):
            logging.getLogger(name).setLevel(logging.WARNING)  # no tips, no list of devices
        # Which of several processes this is, and how many there are, only a trainer knows.
        n_devices = self._trainer(1, []).world_size
        if not leads():
            logging.getLogger("quavf").setLevel(logging.ERROR)  # warnings once, not from each
        folder, settings = RunFolder(self.out, leads()), self._settings()
        folder.check(settings)
        if (done := folder.finished(self.config.trainer.epochs)) is not None:
            log.warning("%s is finished; nothing to do", self.out)
            return done
        data = self._train_set()
        clips = self._val_clips()
        torch.manual_seed(self.config.trainer.seed)
        branch = self._branch()
        cache = None
        if self.config.trainer.cache:
            cache = FeatureCache.of(branch, self.config, settings["store"])
        module = TrainingModule(branch, data, self, clips, cache)
        if module.cached is not None:
            module.cached.check_room()
        folder.claim(settings)
        saver = self._fit(module, n_devices)
        summary = saver.summary(len(data), data.counts.positive, data.counts.negative)
        folder.finish(summary)
        return summary

    def _settings(self) -> dict[str, Any]:
        clips = self.store.clips()
        content = [self.store.config.hash, [self.store.manifest(c).fingerprint for c in clips]]
        return {"store": config_hash(content), **to_dict(self.config)}

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
        if self.config.start:
            start_from(branch, self.config.start)
        else:
            load_pretrained(branch)
        return branch

    def _fit(self, module: TrainingModule, n_devices: int) -> Saver:
        t = self.config.trainer
        resume = self.out / RESUME
        plan = self.plan(len(module.data), n_devices)
        saver = Saver(self.out, plan.n_chunks, module.branch)
        callbacks: list[Callback] = [saver, Bar(plan, t.epochs)]
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
        callbacks.append(resume_checkpoint(self.out))
        trainer = self._trainer(plan.n_chunks, callbacks)
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

    def _trainer(self, n_chunks: int, callbacks: list[Callback]) -> L.Trainer:
        t = self.config.trainer
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
