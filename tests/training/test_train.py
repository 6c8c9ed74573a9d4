"""Training: the published step, repeatability, resuming, freezing, what is kept."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from quavf.core.errors import CheckpointError, ConfigError, StoreError
from quavf.models.audio import AudioBranch, log_mel
from quavf.models.checkpoint import load_branch
from quavf.models.config import BranchSettings, VisualConfig
from quavf.models.visual import VisualBranch
from quavf.training.audio import n_trained
from quavf.training.audio_samples import AudioTrainSet
from quavf.training.config import AugmentConfig
from quavf.training.datasets import ChunkPlan, ChunkSampler, ClassCounts
from quavf.training.train import BranchModule
from quavf.training.validate import Validator
from quavf.training.visual_samples import VisualTrainSet
from quavf.workflows.train import train_audio, train_visual
from tests.helpers.data import GOLDEN, ROOT, needs_golden
from tests.helpers.stores import make_tiny_store
from tests.helpers.training import AUDIO, VISUAL, same, weights

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:torch")


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return make_tiny_store(tmp_path_factory.mktemp("tiny") / "store")


@pytest.mark.parametrize("n_layers", [1, 2])
def test_outputs_that_are_ignored_are_not_computed(n_layers):
    """Loss and gradients are those of all outputs, dropout included."""
    torch.manual_seed(0)
    config = replace(AUDIO.audio, n_layers=n_layers)
    module = BranchModule(AudioBranch(config), None, replace(AUDIO, audio=config))
    labels = torch.full((2, 900), -100)
    labels[0, :31], labels[1, 20:211] = 1, 0
    labels[1, 50:60] = -100
    assert n_trained(labels) == 211
    samples, gradients = torch.randn(2, 480_000), []
    for every_output in (True, False):
        torch.manual_seed(1)
        if every_output:
            logits = module.network(log_mel(samples))
            loss = torch.nn.functional.cross_entropy(logits, labels, ignore_index=-100)
        else:
            loss = module.loss((samples, labels))
        module.zero_grad()
        loss.backward()
        gradients.append([loss, *(p.grad for p in module.parameters() if p.requires_grad)])
    for whole, part in zip(*gradients, strict=True):
        torch.testing.assert_close(part, whole, atol=1e-6, rtol=1e-4)


def test_the_last_output_counts():
    labels = torch.full((1, 900), -100)
    assert n_trained(labels) == 1
    labels[0, 899] = 0
    assert n_trained(labels) == 900


@needs_golden
def test_one_published_step():
    """Loss, gradient norm and weights after one Adam step, as the published system has them.

    Where the gradient is nothing but rounding (the bias of the attention's keys has none by
    mathematics), Adam's first step, g / (|g| + 1e-8), blows that rounding up: such weights, under
    0.2 % of all, are compared to the step's length instead.
    """
    golden = torch.load(GOLDEN / "train_step_audio.pt", weights_only=True)
    start = torch.load(GOLDEN / "audio_tiny_L1.pt", weights_only=True)
    branch = published_audio(start["state_dict"])
    counts = ClassCounts(golden["pos"], golden["neg"])
    torch.testing.assert_close(counts.weights(), golden["class_weight"])
    config = replace(AUDIO, trainer=replace(AUDIO.trainer, lr=golden["lr"]))
    module = BranchModule(branch, counts.weights(), config).eval()  # that step had no dropout
    mel = torch.stack(
        [
            torch.from_numpy(np.load(GOLDEN / "logmel.npz")["mel"]),
            torch.from_numpy(np.load(GOLDEN / "audio_mel2_f16.npy").astype(np.float32)),
        ]
    )
    class_weights = module.class_weights
    assert isinstance(class_weights, torch.Tensor)
    labels = torch.full((2, 900), -100)
    labels[0, :210], labels[1] = 1, 0
    loss = torch.nn.functional.cross_entropy(branch(mel), labels, class_weights, ignore_index=-100)
    loss.backward()
    trainable = [p for p in module.parameters() if p.requires_grad]
    norm = torch.nn.utils.clip_grad_norm_(trainable, 1.0)
    module.configure_optimizers().step()
    assert abs(loss.item() - golden["loss"]) <= 1e-6
    assert abs(norm.item() - golden["grad_norm_before_clip"]) <= 1e-5
    after = dict(published_audio(start["state_dict"] | golden["after"]).named_parameters())
    n_rounding = n_weights = 0
    for name, value in branch.named_parameters():
        error = (value - after[name]).abs()
        rounding = torch.zeros_like(error, dtype=torch.bool)
        if value.grad is not None:
            rounding = (value.grad.abs() < 1e-7) & (error > 1e-6)
        assert error[~rounding].max() <= 1e-6, name
        assert not rounding.any() or error[rounding].max() <= golden["lr"], name
        n_rounding, n_weights = n_rounding + int(rounding.sum()), n_weights + value.numel()
    assert n_rounding < 0.002 * n_weights


def published_audio(state) -> AudioBranch:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "audio.ckpt"
        torch.save({"model": state}, path)
        branch = load_branch(path, encoder_heads=2, n_heads=4)
    assert isinstance(branch, AudioBranch)
    return branch


@pytest.mark.parametrize(("train", "config"), [(train_audio, AUDIO), (train_visual, VISUAL)])
def test_training_is_repeatable_and_keeps_best_and_last(store, tmp_path, train, config):
    first = train(store.path, tmp_path / "a", config)
    train(store.path, tmp_path / "b", config)
    assert same(weights(tmp_path / "a"), weights(tmp_path / "b"))
    assert first.epochs == 2
    assert first.best_map is not None
    assert 0 <= first.best_map <= 1
    assert (tmp_path / "a" / "best.safetensors").is_file()
    assert list((tmp_path / "a" / "tensorboard").glob("events*"))
    branch = load_branch(tmp_path / "a")
    assert not branch.training
    assert branch.settings.semantics == "fixed"


def test_seed_matters(store, tmp_path):
    train_audio(store.path, tmp_path / "a", AUDIO)
    other = replace(AUDIO, trainer=replace(AUDIO.trainer, seed=7))
    train_audio(store.path, tmp_path / "b", other)
    assert not same(weights(tmp_path / "a"), weights(tmp_path / "b"))


@pytest.mark.parametrize(("train", "config"), [(train_audio, AUDIO), (train_visual, VISUAL)])
@pytest.mark.parametrize("after_batches", [3, 5])
def test_interrupted_run_ends_the_same(store, tmp_path, monkeypatch, train, config, after_batches):
    """Ctrl-C in the middle of an epoch, then the same command: every weight is the same."""
    whole = train(store.path, tmp_path / "whole", config)
    original, seen = BranchModule.training_step, []

    def step(self, batch, batch_index):
        seen.append(batch_index)
        if len(seen) > after_batches:
            raise KeyboardInterrupt
        return original(self, batch, batch_index)

    monkeypatch.setattr(BranchModule, "training_step", step)
    handler = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        train(store.path, tmp_path / "cut", config)
    signal.signal(signal.SIGINT, handler)
    monkeypatch.setattr(BranchModule, "training_step", original)
    resumed = train(store.path, tmp_path / "cut", config)
    assert replace(resumed, run="") == replace(whole, run="")
    for name in ("last.safetensors", "best.safetensors"):
        assert same(weights(tmp_path / "whole", name), weights(tmp_path / "cut", name)), name


def test_killed_run_ends_the_same(store, tmp_path):
    """The same when the process dies without a chance to clean up."""
    train_audio(store.path, tmp_path / "whole", AUDIO)
    script = (
        "import os, sys\n"
        "from quavf.training import train\n"
        "from quavf.workflows.train import train_audio\n"
        "from tests.helpers.training import AUDIO\n"
        "original, seen = train.BranchModule.training_step, []\n"
        "def step(self, batch, index):\n"
        "    seen.append(index)\n"
        "    if len(seen) > 3: os.kill(os.getpid(), 9)\n"
        "    return original(self, batch, index)\n"
        "train.BranchModule.training_step = step\n"
        "train_audio(sys.argv[1], sys.argv[2], AUDIO)\n"
    )
    command = [sys.executable, "-c", script, str(store.path), str(tmp_path / "cut")]
    paths = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(paths)}
    done = subprocess.run(command, env=environment, capture_output=True, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr.decode()
    train_audio(store.path, tmp_path / "cut", AUDIO)
    assert same(weights(tmp_path / "whole"), weights(tmp_path / "cut"))


def test_finished_run_is_left_alone(store, tmp_path, caplog):
    first = train_audio(store.path, tmp_path / "run", AUDIO)
    before = (tmp_path / "run" / "last.safetensors").stat().st_mtime_ns
    assert train_audio(store.path, tmp_path / "run", AUDIO) == first
    assert (tmp_path / "run" / "last.safetensors").stat().st_mtime_ns == before
    assert "finished" in caplog.text


def test_longer_run_continues_a_finished_one(store, tmp_path):
    train_audio(store.path, tmp_path / "run", AUDIO)
    longer = replace(AUDIO, trainer=replace(AUDIO.trainer, epochs=3))
    assert train_audio(store.path, tmp_path / "run", longer).epochs == 3
    train_audio(store.path, tmp_path / "whole", longer)
    assert same(weights(tmp_path / "run"), weights(tmp_path / "whole"))


def test_other_settings_are_refused(store, tmp_path):
    train_audio(store.path, tmp_path / "run", AUDIO)
    other = replace(AUDIO, trainer=replace(AUDIO.trainer, lr=1e-4))
    with pytest.raises(ConfigError, match=r"trainer.lr 0.001, now 0.0001"):
        train_audio(store.path, tmp_path / "run", other)


def test_folder_of_something_else_is_refused(store, tmp_path):
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(ConfigError, match="no training run"):
        train_audio(store.path, tmp_path, AUDIO)


def test_frozen_encoder_stays(store, tmp_path):
    train_audio(store.path, tmp_path / "run", AUDIO)
    torch.manual_seed(AUDIO.trainer.seed)
    fresh = AudioBranch(AUDIO.audio).state_dict()
    trained = weights(tmp_path / "run")
    frozen = [k for k in fresh if k.startswith("encoder.")]
    assert frozen
    assert all(torch.equal(fresh[k], trained[k]) for k in frozen)
    assert not torch.equal(fresh["head.weight"], trained["head.weight"])


@pytest.mark.parametrize(("semantics", "moves"), [("fixed", False), ("reference", True)])
def test_frozen_batch_norm(semantics, moves):
    """As published, the statistics of the frozen image network still move; mended, they stay."""
    config = VisualConfig(backbone="test_resnet", backbone_weights="random", dim=16, n_heads=2)
    branch = VisualBranch(config, BranchSettings(semantics))
    module = BranchModule(branch, None, replace(VISUAL, semantics=semantics, visual=config))
    module.train()
    before = branch.backbone.bn1.running_mean.clone()
    loss = module.loss((torch.randn(2, 15, 3, 32, 32), torch.rand(2), torch.tensor([0, 1])))
    loss.backward()
    assert torch.equal(before, branch.backbone.bn1.running_mean) is not moves
    assert branch.backbone.conv1[0].weight.grad is None
    assert branch.backbone.fc.weight.grad is not None


def test_audio_learns_from_segments_without_faces(tmp_path):
    store = make_tiny_store(tmp_path / "store", faces=False)
    summary = train_audio(store.path, tmp_path / "run", AUDIO)
    assert summary.samples == 6
    assert summary.best_map is not None
    assert 0 < summary.best_map <= 1


def test_training_without_validation_keeps_the_last(tmp_path, caplog):
    store = make_tiny_store(tmp_path / "store", splits=("train",))
    summary = train_audio(store.path, tmp_path / "run", AUDIO)
    assert summary.best_map is None
    assert same(weights(tmp_path / "run"), weights(tmp_path / "run", "best.safetensors"))
    assert "no val split" in caplog.text


def test_training_without_a_class_is_refused(tmp_path):
    store = make_tiny_store(tmp_path / "store", splits=("val",))
    with pytest.raises(StoreError, match="0 positive and 0 negative"):
        train_audio(store.path, tmp_path / "run", AUDIO)


def test_a_run_that_could_not_begin_leaves_nothing(store, tmp_path):
    """Weights that are not to be had, then the same command with the advised option."""
    lost = replace(AUDIO, audio=replace(AUDIO.audio, encoder_weights=str(tmp_path / "small.pt")))
    with pytest.raises(CheckpointError, match=r"audio\.encoder_weights: .*no such file"):
        train_audio(store.path, tmp_path / "run", lost)
    assert not (tmp_path / "run").exists()
    assert train_audio(store.path, tmp_path / "run", AUDIO).epochs == 2


def test_a_store_that_cannot_be_learnt_from_leaves_nothing(store, tmp_path):
    empty = make_tiny_store(tmp_path / "store", splits=("val",))
    with pytest.raises(StoreError, match="0 positive and 0 negative"):
        train_audio(empty.path, tmp_path / "run", AUDIO)
    assert not (tmp_path / "run").exists()


def test_other_settings_are_refused_before_anything_is_loaded(store, tmp_path, monkeypatch):
    train_audio(store.path, tmp_path / "run", AUDIO)
    monkeypatch.setattr(AudioBranch, "load_pretrained", lambda branch: pytest.fail("loaded"))
    other = replace(AUDIO, audio=replace(AUDIO.audio, encoder_weights="hub"))
    with pytest.raises(ConfigError, match=r"audio.encoder_weights 'random', now 'hub'"):
        train_audio(store.path, tmp_path / "run", other)


def test_early_stopping(store, tmp_path, monkeypatch):
    monkeypatch.setattr(Validator, "mean_average_precision", lambda self, parts: 0.5)
    trainer = replace(AUDIO.trainer, epochs=6, patience=2)
    summary = train_audio(store.path, tmp_path / "run", replace(AUDIO, trainer=trainer))
    assert summary.stopped_early
    assert summary.epochs == 3
    assert summary.best_epoch == 1


def test_frozen_statistics_stay_through_a_whole_run(store, tmp_path):
    """Batch norm in the frozen image network neither moves nor counts."""
    train_visual(store.path, tmp_path / "run", VISUAL)
    torch.manual_seed(VISUAL.trainer.seed)
    fresh = VisualBranch(VISUAL.visual).state_dict()
    trained = weights(tmp_path / "run")
    statistics = [k for k in fresh if "running" in k or "num_batches" in k]
    assert statistics
    assert all(torch.equal(fresh[k], trained[k]) for k in statistics)


def test_accumulated_batches_step_once(store, tmp_path):
    trainer = replace(AUDIO.trainer, accumulate=3, epochs=1)
    train_audio(store.path, tmp_path / "run", replace(AUDIO, trainer=trainer))
    from quavf.models.description import checkpoint_info

    assert checkpoint_info(tmp_path / "run" / "last.safetensors")["info"]["steps"] == 1


@pytest.mark.parametrize(("schedule", "left"), [("constant", 1e-3), ("cosine", 0.0)])
def test_learning_rate_falls_to_nothing_when_asked_to(store, tmp_path, schedule, left):
    config = replace(VISUAL, trainer=replace(VISUAL.trainer, schedule=schedule))
    train_visual(store.path, tmp_path, config)
    state = torch.load(tmp_path / "last.ckpt", weights_only=False)
    rate = state["optimizer_states"][0]["param_groups"][0]["lr"]
    assert rate == pytest.approx(left, abs=1e-9)


def test_bf16(store, tmp_path):
    trainer = replace(AUDIO.trainer, precision="bf16-mixed", epochs=1)
    train_audio(store.path, tmp_path / "run", replace(AUDIO, trainer=trainer))
    assert all(v.dtype == torch.float32 for v in weights(tmp_path / "run").values())


def test_samples_depend_on_seed_epoch_and_index_alone(store):
    noisy = replace(AUDIO, augment=AugmentConfig(noise=1.0))  # the sounds are too short to crop
    for data in (
        AudioTrainSet(store, noisy),
        VisualTrainSet(store, replace(VISUAL, quality="light")),
    ):
        torch.manual_seed(0)
        first = data[1]
        torch.manual_seed(99)
        data[0]
        again = data[1]
        assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
        data.epoch = 1
        assert not torch.equal(first[0], data[1][0])


def test_audio_samples_are_labelled_as_far_as_they_sound(store):
    samples, labels = AudioTrainSet(store, AUDIO)[0]
    n_labelled = int((labels >= 0).sum())
    assert samples.shape == (480_000,)
    assert set(labels[:n_labelled].tolist()) == {1}
    assert (labels[n_labelled:] == -100).all()
    assert samples[int(n_labelled * 16_000 / 30) + 600 :].abs().max() == 0


@pytest.mark.parametrize("n_devices", [1, 2, 3])
@pytest.mark.parametrize("n_samples", [1, 7, 12, 13])
def test_chunks_cover_every_sample(n_samples, n_devices):
    plan = ChunkPlan(n_samples, 2, n_devices, 3, seed=0)
    per_rank = [
        [b for c in range(plan.n_chunks) for b in ChunkSampler(plan, 0, c, rank)]
        for rank in range(n_devices)
    ]
    assert {len(batches) for batches in per_rank} == {plan.n_batches}
    seen = [i for batches in per_rank for batch in batches for i in batch]
    assert set(seen) == set(range(n_samples))
    assert len(seen) - n_samples < n_devices


def test_epochs_have_orders_of_their_own():
    plan = ChunkPlan(50, 5, 1, 100, seed=0)
    orders = [[i for batch in ChunkSampler(plan, e, 0) for i in batch] for e in (0, 1, 0)]
    assert orders[0] == orders[2] != orders[1]
