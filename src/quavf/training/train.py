"""Training of any branch with Lightning: repeatable, and resumable to the same bit.

Lightning resumes exactly only between its epochs. Here its "epoch" is a part of an epoch, of
`trainer.save_every` batches, so that an interrupted run loses at most one part.
"""

from __future__ import annotations

import logging
import math
import warnings
from dataclasses import dataclass
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

from quavf.core.branches import BRANCHES, BranchSpec
from quavf.core.config import to_dict
from quavf.core.errors import ConfigError
from quavf.models.branch import BranchNetwork
from quavf.store import ClipStore
from quavf.training.branch import BranchTraining
from quavf.training.cache.features import FeatureCache
from quavf.training.cache.sets import Share
from quavf.training.callbacks import METRIC, Bar, Saver
from quavf.training.config import TrainConfig
from quavf.training.datasets import IGNORED, ChunkPlan, ChunkSampler, Sample, TrainSet
from quavf.training.run_folder import RunFolder, TrainSummary
from quavf.training.start import adopt_settings, start_from
from quavf.training.state import StateIO, find_state, resume_checkpoint
from quavf.training.validate import Validator
from quavf.utils.files import config_hash, explain_os_errors

log = logging.getLogger(__name__)

IGNORED_WARNINGS = (  # of Lightning, which mean nothing to a user of this package
    ".*does not have many workers.*",
    ".*in eval mode at the start of training.*",
    ".*Checkpoint directory .* exists and is not empty.*",
    ".*Total length of .list. across ranks is zero.*",
    ".*It is recommended to use `self.log.'val/map'.*",  # all processes hold the same value
    ".*`isinstance.treespec, LeafSpec.` is deprecated.*",
)


def train_branch(spec: BranchSpec, store: ClipStore, out: Path, config: Any) -> TrainSummary:
    """Train a branch on a store's train split, validating on its val split.

    `config` is an instance of the branch's `train_config`. Writes `best.safetensors`,
    `last.safetensors`, TensorBoard logs and the configuration into `out`. An interrupted run goes
    on; a finished one is left as it is. Raises ConfigError for a branch that cannot be trained.
    """
    if spec.training is None:
        raise ConfigError(f"branch {spec.name!r}: cannot be trained; give a checkpoint of it")
    training: BranchTraining = spec.load("training")()
    config = adopt_settings(training.resolve(store, config), spec.name)
    run = TrainingRun(spec, training, store, out, config)
    return run.execute()


def is_leader() -> bool:
    """Whether this process writes and reports, of several that train together."""
    return getattr(rank_zero_only, "rank", 0) == 0


class BranchModule(L.LightningModule):
    """A network with its loss and optimizer."""

    def __init__(
        self,
        network: BranchNetwork,
        weights: Tensor | None,
        config: TrainConfig,
        method: BranchTraining | None = None,
    ) -> None:
        super().__init__()
        self.network, self.options = network, config.trainer
        self.method = method or BRANCHES.get(network.name).load("training")()
        self.register_buffer("class_weights", weights, persistent=False)
        self._frozen = network.frozen_modules()
        self.train()  # Lightning leaves the modes as it finds them

    def train(self, mode: bool = True) -> BranchModule:
        """Frozen parts stay in eval mode: no dropout, no moving batch-norm statistics."""
        super().train(mode)
        if not self.network.has_moving_statistics:
            for module in self._frozen:
                module.eval()
        return self

    def loss(self, batch: Sample) -> Tensor:
        """Cross-entropy of a batch, weighted by class; ignored labels count for nothing.

        With several devices, their mean is the loss of all their batches taken as one.
        """
        get_logits = self.method.cached_logits if self.options.cache else self.method.logits
        logits, labels = get_logits(self.network, batch)
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


class TrainingModule(BranchModule):
    """A `BranchModule` with its data: an epoch in parts, and validation by clip."""

    def __init__(
        self,
        network: BranchNetwork,
        data: TrainSet,
        run: TrainingRun,
        clips: list[str],
        cache: FeatureCache | None = None,
    ) -> None:
        weights = data.counts.weights() if run.config.trainer.class_weights else None
        super().__init__(network, weights, run.config, run.training)
        self.data, self.clips, self.run = data, clips, run
        self.cached = None if cache is None else run.training.cached_set(data, cache)
        self.validator = Validator(run.training, network, run.store, run.scorer, cache)

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
                self.cached.fill(self.network, share)
            self.trainer.strategy.barrier()

    def train_dataloader(self) -> DataLoader[Sample]:
        plan = self.run.plan(len(self.data), self.trainer.world_size)
        epoch, chunk = divmod(self.current_epoch, plan.n_chunks)
        data = self.data if self.cached is None else self.cached
        data.epoch = epoch
        sampler = ChunkSampler(plan, epoch, chunk, self.global_rank)
        return DataLoader(data, batch_sampler=sampler, num_workers=self.options.workers)

    def val_dataloader(self) -> DataLoader[str] | list[Any]:
        # Lightning refuses a device without a clip; a clip that two devices score counts once.
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
        self.log(METRIC, self.validator.mean_average_precision(parts), rank_zero_only=False)


@dataclass
class TrainingRun:
    """One run of `quavf train`: a branch, a store, a folder and a configuration."""

    spec: BranchSpec
    training: BranchTraining
    store: ClipStore
    out: Path
    config: Any  # an instance of the branch's `train_config`

    @property
    def scorer(self) -> str:
        """The scorer of face quality, for a branch that uses one."""
        return str(getattr(self.config, "quality", ""))

    def plan(self, n_samples: int, n_devices: int) -> ChunkPlan:
        t = self.config.trainer
        chunk = math.ceil(t.save_every / t.accumulate) * t.accumulate
        return ChunkPlan(n_samples, t.batch_size, n_devices, chunk, t.seed)

    def execute(self) -> TrainSummary:
        """Train, or go on with an interrupted run; a finished one is left as it is."""
        for name in ("lightning.pytorch", "lightning.fabric"):
            logging.getLogger(name).setLevel(logging.WARNING)  # no tips, no list of devices
        # Only a trainer knows which of several processes this is, and how many there are.
        n_devices = self._trainer(1, []).world_size
        if not is_leader():
            logging.getLogger("quavf").setLevel(logging.ERROR)  # warnings once, not from each
        folder = RunFolder(self.out, is_leader())
        with folder.hold():
            return self._train(folder, n_devices)

    def _train(self, folder: RunFolder, n_devices: int) -> TrainSummary:
        settings = self._settings()
        folder.check(settings)
        if (done := folder.read_summary(self.config.trainer.epochs)) is not None:
            log.warning("%s is finished; nothing to do", self.out)
            return done
        data = self.training.train_set(self.store, self.config)
        clips = self._val_clips()
        torch.manual_seed(self.config.trainer.seed)
        network = self._network()
        cache = None
        if self.config.trainer.cache:
            frozen = self.training.frozen_part(network)
            cache = FeatureCache.create(frozen, self.config, settings["store"])
        module = TrainingModule(network, data, self, clips, cache)
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

    def _val_clips(self) -> list[str]:
        clips = self.store.clips("val")
        if not clips:
            log.warning("%s has no val split: the last weights count as the best", self.store.path)
        return clips[: self.config.trainer.limit_val_clips or None]

    def _network(self) -> BranchNetwork:
        """A new network, with pretrained parts or the weights of `start`."""
        settings = self.training.settings(self.config)
        model_config = getattr(self.config, self.spec.name)
        network: BranchNetwork = self.spec.load("network")(model_config, settings)
        if self.config.start:
            start_from(network, self.config.start)
        else:
            network.load_pretrained()
        return network

    def _fit(self, module: TrainingModule, n_devices: int) -> Saver:
        t = self.config.trainer
        plan = self.plan(len(module.data), n_devices)
        saver = Saver(self.out, plan.n_chunks, module.network)
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
            for message in IGNORED_WARNINGS:
                warnings.filterwarnings("ignore", message)
            try:
                with explain_os_errors(self.out):
                    trainer.fit(module, ckpt_path=find_state(self.out), weights_only=True)
            except SystemExit:  # Lightning turns Ctrl-C into it
                raise KeyboardInterrupt from None
        return saver

    def _trainer(self, n_chunks: int, callbacks: list[Callback]) -> L.Trainer:
        t = self.config.trainer
        logger = TensorBoardLogger(self.out, name="", version="tensorboard") if callbacks else False
        try:
            return L.Trainer(
                accelerator=t.accelerator,
                devices=t.devices if not t.devices.isdecimal() else int(t.devices),
                num_nodes=t.num_nodes,
                strategy=t.strategy,
                precision=t.precision,
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
                plugins=[StateIO()],
                enable_checkpointing=bool(callbacks),
                enable_progress_bar=False,
                enable_model_summary=False,
                default_root_dir=self.out,
            )
        except Exception as error:  # Lightning refuses options with errors of many classes
            names = ("accelerator", "devices", "num_nodes", "strategy", "precision")
            given = ", ".join(f"{name} {getattr(t, name)}" for name in names)
            reason = " ".join(str(error).split())[:300]
            raise ConfigError(f"trainer: cannot train with {given}: {reason}") from None
