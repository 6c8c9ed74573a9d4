"""Training by cached features: the same weights, nothing encoded twice, nothing stale."""

from __future__ import annotations

import shutil
import signal
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from quavf.core.errors import ConfigError, StoreError
from quavf.models.audio import AudioBranch
from quavf.models.visual import VisualBranch
from quavf.store import ClipStore
from quavf.training.audio import AudioTraining
from quavf.training.cache import sets as cached_sets
from quavf.training.cache.features import FeatureCache
from quavf.training.cache.table import FeatureTable
from quavf.training.cache.visual import CachedCrops
from quavf.training.config import AugmentConfig, TrainAudioConfig, TrainConfig, TrainVisualConfig
from quavf.training.visual import VisualTraining
from quavf.workflows.train import train_audio, train_visual
from tests.helpers.stores import make_tiny_store
from tests.helpers.training import (
    AUDIO,
    NO_DROPOUT,
    VISUAL,
    assert_same_weights,
    in_two_processes,
    same,
    weights,
)

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:torch")

PLAIN = replace(VISUAL, augment=AugmentConfig(crop_scale=(1.0, 1.0)))  # nothing random
BOTH = [(train_audio, AUDIO), (train_visual, VISUAL)]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> ClipStore:
    return make_tiny_store(tmp_path_factory.mktemp("cached") / "store")


def with_trainer(config: Any, **options: Any) -> Any:
    return replace(config, trainer=replace(config.trainer, **options))


def with_cache(config: Any, folder: Path, versions: int = 2) -> Any:
    return with_trainer(config, cache=str(folder / "cache"), cache_versions=versions)


@pytest.fixture
def embedded(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often each branch's costly part runs."""
    seen: Counter[str] = Counter()

    def counting(kind: type, name: str) -> None:
        original = getattr(kind, name)

        def embed(self: Any, x: torch.Tensor) -> torch.Tensor:
            seen[kind.__name__] += 1
            found: torch.Tensor = original(self, x)
            return found

        monkeypatch.setattr(kind, name, embed)

    counting(AudioBranch, "embed")
    counting(VisualBranch, "embed")
    return seen


@pytest.mark.parametrize(
    ("train", "config", "versions"),
    [
        (train_audio, AUDIO, 2),
        (train_audio, replace(AUDIO, semantics="reference"), 2),
        (
            train_audio,
            replace(
                AUDIO, context="clip", unlabelled=0.2, augment=AugmentConfig(noise=0.5, mute=0.3)
            ),
            2,
        ),
        (train_visual, replace(VISUAL, context="clip", augment=AugmentConfig(flip=0.5)), 2),
        (train_visual, with_trainer(PLAIN, workers=1), 1),
    ],
)
def test_weights_are_those_of_training_without(
    store: ClipStore, tmp_path: Path, train: Any, config: Any, versions: int
) -> None:
    """Every epoch has a version of its own, or there is nothing random."""
    without = train(store.path, tmp_path / "without", config)
    found = train(store.path, tmp_path / "with", with_cache(config, tmp_path, versions))
    assert_same_weights(tmp_path / "without", tmp_path / "with")
    assert found.best_map == pytest.approx(without.best_map, abs=1e-3)
    assert found.samples == without.samples


@pytest.mark.parametrize(("train", "config"), BOTH)
@pytest.mark.slow
def test_weights_of_bf16_are_those_of_training_without(
    store: ClipStore, tmp_path: Path, train: Any, config: Any
) -> None:
    """The layer after the features takes no more digits than are kept."""
    config = with_trainer(config, precision="bf16-mixed")
    train(store.path, tmp_path / "without", config)
    train(store.path, tmp_path / "with", with_cache(config, tmp_path))
    one, other = weights(tmp_path / "without"), weights(tmp_path / "with")
    for name, weight in one.items():
        if not name.endswith("in_proj_bias"):
            torch.testing.assert_close(weight, other[name], atol=1e-4, rtol=0)


@pytest.mark.parametrize(("train", "config"), BOTH)
def test_a_second_run_encodes_nothing(
    store: ClipStore, tmp_path: Path, embedded: Counter[str], train: Any, config: Any
) -> None:
    """Another learning rate, the same features: of training and of validation."""
    config = with_cache(config, tmp_path)
    train(store.path, tmp_path / "first", config)
    assert embedded
    embedded.clear()
    checked = 2 if train is train_visual else 0  # the split is checked, in either mode
    train(store.path, tmp_path / "second", with_trainer(config, lr=1e-2))
    assert embedded.total() == checked
    train(store.path, tmp_path / "third", with_trainer(config, batch_size=3))
    assert embedded.total() == 2 * checked
    train(store.path, tmp_path / "again", config)
    assert same(weights(tmp_path / "first"), weights(tmp_path / "again"))


def open_features(store: ClipStore, config: TrainConfig) -> tuple[Any, FeatureCache]:
    """A training set from features that is not filled yet, and its cache."""
    torch.manual_seed(config.trainer.seed)
    if isinstance(config, TrainAudioConfig):
        audio = AudioTraining()
        cache = make_cache(AudioBranch(config.audio), config)
        return audio.cached_set(audio.train_set(store, config), cache), cache
    assert isinstance(config, TrainVisualConfig)
    visual = VisualTraining()
    cache = make_cache(VisualBranch(config.visual), config)
    data = visual.train_set(store, replace(config, quality="light"))
    return visual.cached_set(data, cache), cache


def make_cache(network: Any, config: TrainConfig, content: str = "content") -> FeatureCache:
    training = AudioTraining() if isinstance(network, AudioBranch) else VisualTraining()
    return FeatureCache.create(training.frozen_part(network), config, content)


def filled(store: ClipStore, config: Any) -> Any:
    data, _ = open_features(store, config)
    torch.manual_seed(config.trainer.seed)
    branch: Any
    if isinstance(config, TrainAudioConfig):
        branch = AudioBranch(config.audio).eval()
    else:
        branch = VisualBranch(config.visual).eval()
    data.fill(branch, cached_sets.Share())
    return data


@pytest.mark.parametrize("config", [AUDIO, VISUAL])
def test_epochs_repeat_after_the_versions(store: ClipStore, tmp_path: Path, config: Any) -> None:
    config = with_trainer(config, epochs=5)
    config = replace(config, augment=replace(config.augment, noise=1.0))
    data = filled(store, with_cache(config, tmp_path, 3))
    epochs = []
    for epoch in range(5):
        data.epoch = epoch
        epochs.append(data[1][0])
    assert torch.equal(epochs[0], epochs[3])
    assert torch.equal(epochs[1], epochs[4])
    assert not any(torch.equal(epochs[0], epochs[v]) for v in (1, 2))
    assert not torch.equal(epochs[1], epochs[2])


def test_no_more_versions_than_epochs(store: ClipStore, tmp_path: Path) -> None:
    data, _ = open_features(store, with_cache(with_trainer(AUDIO, epochs=2), tmp_path, 100))
    assert len(data.tables) == 2


def test_a_crop_is_kept_once(store: ClipStore, tmp_path: Path) -> None:
    """However many windows it is in; an empty slot is one row for all."""
    config = replace(PLAIN, windows=replace(PLAIN.windows, step=1))
    data = filled(store, with_cache(config, tmp_path))
    assert isinstance(data, CachedCrops)
    there = data.tables[0].stored_mask()
    slots = data.data.slots + 1000 * data.data.clip_of[:, None]
    n_crops = len(np.unique(slots[data.data.slots >= 0]))
    assert there.sum() == n_crops + 1
    assert n_crops < (data.data.slots >= 0).sum()
    assert there[-1]


def changed(config: Any, **parts: dict[str, Any]) -> Any:
    return replace(
        config, **{name: replace(getattr(config, name), **p) for name, p in parts.items()}
    )


@pytest.mark.parametrize(
    ("config", "change", "train_stays", "val_stays"),
    [
        (AUDIO, lambda c: with_trainer(c, lr=0.5, batch_size=7, workers=3), True, True),
        (AUDIO, lambda c: changed(c, audio={"dim": 8, "dropout": 0.5}), True, True),
        (AUDIO, lambda c: with_trainer(c, precision="bf16-mixed"), False, False),
        (AUDIO, lambda c: changed(c, augment={"noise": 0.1}), False, True),
        (AUDIO, lambda c: changed(c, audio={"encoder": "16x1x4"}), False, False),
        (AUDIO, lambda c: replace(c, semantics="reference"), False, False),
        (AUDIO, lambda c: replace(c, context="clip"), False, True),
        (VISUAL, lambda c: changed(c, visual={"n_layers": 2, "dropout": 0.5}), True, True),
        (VISUAL, lambda c: changed(c, visual={"size": 160}), False, False),
        (VISUAL, lambda c: changed(c, augment={"flip": 0.1}), False, True),
        (VISUAL, lambda c: changed(c, windows={"step": 39}), False, True),
        (PLAIN, lambda c: changed(c, windows={"step": 39}), True, True),
        (PLAIN, lambda c: changed(c, visual={"size": 160}), False, False),
    ],
)
def test_what_the_features_depend_on_is_in_their_key(
    store: ClipStore,
    tmp_path: Path,
    config: Any,
    change: Callable[[Any], Any],
    train_stays: bool,
    val_stays: bool,
) -> None:
    """Layers after the features may differ, and all that decides no sample."""
    config = with_cache(config, tmp_path)
    data, cache = open_features(store, config)
    other, other_cache = open_features(store, change(config))
    assert (data.tables[0].path == other.tables[0].path) is train_stays
    clips = [c.clip_table("clip", "rows", 3).path for c in (cache, other_cache)]
    assert (clips[0] == clips[1]) is val_stays


def test_other_weights_or_seed_are_other_features(store: ClipStore, tmp_path: Path) -> None:
    """A seed decides the samples, and here the random weights."""
    config = with_cache(AUDIO, tmp_path)
    paths = {open_features(store, with_trainer(config, seed=s))[0].tables[0].path for s in (1, 2)}
    torch.manual_seed(0)
    branch = AudioBranch(config.audio)
    before = make_cache(branch, config).clip_table("clip", "rows", 3).path
    with torch.no_grad():
        branch.head.weight += 1
        assert make_cache(branch, config).clip_table("clip", "rows", 3).path == before
        branch.encoder.get_parameter("layers.0.fc1.weight")[0, 0] += 1e-6
    assert make_cache(branch, config).clip_table("clip", "rows", 3).path != before
    assert make_cache(branch, config, "other").clip_table("clip", "rows", 3).path != before
    assert len(paths) == 2


def test_other_samples_are_other_features(tmp_path: Path) -> None:
    """New qualities choose other windows of the same store."""
    store = make_tiny_store(tmp_path / "store")
    config = with_cache(VISUAL, tmp_path)
    before = open_features(store, config)[0].tables[0].path
    n_crops = store.manifest("clip0").n_crops
    store.write_quality("clip0", "light", np.linspace(0.9, 0.3, n_crops), {})
    assert open_features(store, config)[0].tables[0].path != before


@pytest.mark.parametrize(("train", "config"), [*BOTH, (train_visual, PLAIN)])
def test_interrupted_filling_goes_on(
    store: ClipStore,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    embedded: Counter[str],
    train: Any,
    config: Any,
) -> None:
    """Ctrl-C after two batches: the rest is encoded, in the same batches."""
    monkeypatch.setattr(CachedCrops, "at_once", 16)
    train(store.path, tmp_path / "whole", with_cache(config, tmp_path / "a"))
    whole = embedded.total()
    embedded.clear()
    write, n_written = FeatureTable.write, []

    def interrupted(self: Any, row: int, tensors: Any) -> None:
        n_written.append(row)
        if len(n_written) > 5:
            raise KeyboardInterrupt
        write(self, row, tensors)

    monkeypatch.setattr(FeatureTable, "write", interrupted)
    handler = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        train(store.path, tmp_path / "cut", with_cache(config, tmp_path / "b"))
    signal.signal(signal.SIGINT, handler)
    monkeypatch.setattr(FeatureTable, "write", write)
    embedded.clear()
    train(store.path, tmp_path / "cut", with_cache(config, tmp_path / "b"))
    n_done = 5 // (16 if config is PLAIN else 4)  # whole batches
    assert embedded.total() == whole - n_done
    assert same(weights(tmp_path / "whole"), weights(tmp_path / "cut"))


@pytest.mark.parametrize(("train", "config"), BOTH)
def test_damaged_features_are_told(
    store: ClipStore, tmp_path: Path, embedded: Counter[str], train: Any, config: Any
) -> None:
    """Of a training set and of a validation clip; without the file, it is made again."""
    config = with_cache(config, tmp_path)
    train(store.path, tmp_path / "run", config)
    files = sorted(
        path
        for name in ("*-train-*/version0", "*-val-*/clip2.*")
        for path in (tmp_path / "cache").glob(name)
    )
    assert len(files) == 2
    for number, path in enumerate(files):
        data = bytearray(path.read_bytes())
        data[4096] ^= 1
        path.write_bytes(data)
        with pytest.raises(StoreError, match=rf"{path.name}: row 0 is damaged; delete this file"):
            train(store.path, tmp_path / f"bad{number}", config)
        path.unlink()
        train(store.path, tmp_path / f"bad{number}", config)
        assert same(weights(tmp_path / "run"), weights(tmp_path / f"bad{number}"))


@pytest.mark.parametrize(
    ("config", "field"),
    [
        (changed(AUDIO, audio={"frozen": False}), r"trainer\.cache: audio\.frozen is false"),
        (changed(VISUAL, visual={"frozen": False}), r"trainer\.cache: visual\.frozen is false"),
        (
            changed(VISUAL, visual={"frozen": False, "frozen_stages": 2}),
            r"trainer\.cache: visual\.frozen is false",
        ),
        (
            replace(VISUAL, semantics="reference"),
            r"trainer\.cache: .*batch-norm statistics of the frozen image network move",
        ),
    ],
)
def test_what_cannot_be_kept_is_refused(tmp_path: Path, config: Any, field: str) -> None:
    with pytest.raises(ConfigError, match=field):
        with_cache(config, tmp_path)


def test_no_version_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"trainer\.cache_versions: 0 is under 1"):
        with_cache(AUDIO, tmp_path, 0)


def test_a_network_of_two_heads_is_refused(store: ClipStore, tmp_path: Path) -> None:
    config = changed(VISUAL, visual={"backbone": "deit_tiny_distilled_patch16_224", "size": 224})
    with pytest.raises(ConfigError, match=r"deit_tiny_distilled_patch16_224 cannot be cut"):
        train_visual(store.path, tmp_path / "run", with_cache(config, tmp_path))
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    "backbone", ["test_resnet", "test_convnext", "test_vit", "mobilenetv3_small_050"]
)
def test_networks_are_cut_before_their_last_layer(backbone: str) -> None:
    branch = VisualBranch(changed(VISUAL, visual={"backbone": backbone, "size": 160}).visual).eval()
    crops = torch.randn(3, 3, 224, 224)
    found = branch.encode_embedded(branch.embed(crops))
    torch.testing.assert_close(found, branch.encode(crops))


def test_a_full_disk_is_told_before_the_run_begins(
    store: ClipStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = type("usage", (), {"free": 1000})
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
    with pytest.raises(ConfigError, match=r"would take 0\.0 GB more.*fewer trainer.cache_versions"):
        train_audio(store.path, tmp_path / "run", with_cache(AUDIO, tmp_path))
    assert not (tmp_path / "run").exists()


def test_a_run_goes_on_with_its_cache_elsewhere_but_not_without(
    store: ClipStore, tmp_path: Path
) -> None:
    train_audio(store.path, tmp_path / "run", with_cache(AUDIO, tmp_path / "a", 1))
    longer = with_trainer(AUDIO, epochs=3)
    with pytest.raises(ConfigError, match=r"trainer\.cache '.*', now ''"):
        train_audio(store.path, tmp_path / "run", longer)
    with pytest.raises(ConfigError, match=r"trainer\.cache_versions 1, now 2"):
        train_audio(store.path, tmp_path / "run", with_cache(longer, tmp_path / "b", 2))
    train_audio(store.path, tmp_path / "run", with_cache(longer, tmp_path / "b", 1))
    train_audio(store.path, tmp_path / "whole", with_cache(longer, tmp_path / "a", 1))
    assert same(weights(tmp_path / "run"), weights(tmp_path / "whole"))


def test_clips_without_faces_or_sound(tmp_path: Path, embedded: Counter[str]) -> None:
    """Validation of every frame, and of nothing."""
    faceless = make_tiny_store(tmp_path / "faceless", faces=False)
    without = train_audio(faceless.path, tmp_path / "without", AUDIO)
    found = train_audio(faceless.path, tmp_path / "with", with_cache(AUDIO, tmp_path))
    assert found.best_map == pytest.approx(without.best_map, abs=1e-3)
    embedded.clear()
    train_audio(faceless.path, tmp_path / "again", with_cache(AUDIO, tmp_path))
    assert not embedded


@pytest.mark.slow
@pytest.mark.parametrize(("train", "config"), [(train_audio, NO_DROPOUT), (train_visual, VISUAL)])
def test_two_processes_fill_one_cache(
    store: ClipStore, tmp_path: Path, embedded: Counter[str], train: Any, config: Any
) -> None:
    """Each its part; then one process alone finds all of it, and trains the same weights."""
    config = with_cache(with_trainer(config, batch_size=4), tmp_path)
    in_two_processes("lightning", store.path, tmp_path / "two", config)
    train(store.path, tmp_path / "one", config)
    assert embedded.total() == (2 if train is train_visual else 0)  # the check alone
    assert_same_weights(tmp_path / "one", tmp_path / "two")
    assert load_file(tmp_path / "one" / "best.safetensors")
