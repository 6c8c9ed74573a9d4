"""Branches that take the whole clip as their context, and learn from what nobody labelled."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from quavf.core.clock import Clock
from quavf.core.errors import ConfigError
from quavf.core.records import Interval, Segment
from quavf.core.semantics import FIXED
from quavf.core.windows import (
    EMPTY,
    Span,
    WindowConfig,
    span_windows,
    training_windows,
    unlabelled_windows,
    visual_windows,
    whole_clip,
)
from quavf.inference.audio import AudioPredictor
from quavf.inference.clip import ClipData
from quavf.inference.visual import VisualPredictor
from quavf.models.audio import AudioBranch, log_mel
from quavf.models.config import AudioConfig, BranchSettings, VisualConfig
from quavf.models.visual import VisualBranch
from quavf.store import ClipStore
from quavf.training.audio_samples import AudioTrainSet
from quavf.training.config import AugmentConfig, TrainAudioConfig, TrainVisualConfig
from quavf.training.datasets import IGNORED
from quavf.training.visual_samples import VisualTrainSet
from tests.helpers.stores import make_store

AUDIO = AudioConfig(encoder="16x1x2", encoder_weights="random", dim=16, n_heads=2)
VISUAL = VisualConfig(
    backbone="test_efficientnet", backbone_weights="random", dim=16, n_heads=2, size=64
)
CONFIG = WindowConfig(n_slots=3, stride=10, step=20, min_quality=0.0)
FRAMES = np.arange(0, 200, 10)
QUALITY = np.full(20, 0.5)


# Windows.


def test_training_windows_reach_beyond_their_segment() -> None:
    segment = Segment(1, 50, 90, 1)
    inside = training_windows(FRAMES, QUALITY, segment, CONFIG, FIXED, Clock())
    beyond = training_windows(FRAMES, QUALITY, segment, CONFIG, FIXED, Clock(), beyond=True)
    assert beyond.centres.tolist() == [50, 70, 90]
    assert beyond.slots.tolist() == [[4, 5, 6], [6, 7, 8], [8, 9, 10]]
    assert inside.slots[0].tolist() == [EMPTY, 5, 6]


def test_a_step_is_of_time_not_of_crops() -> None:
    segment = Segment(1, 0, 199, 1)
    windows = training_windows(FRAMES, QUALITY, segment, CONFIG, FIXED, Clock(), beyond=True)
    assert windows.centres.tolist() == list(range(0, 200, 20))


def test_unlabelled_windows_lie_outside_all_segments_of_their_person() -> None:
    segments = [Segment(1, 0, 55, 1), Segment(2, 60, 199, 0), Segment(1, 150, 199, 0)]
    windows = unlabelled_windows(FRAMES, QUALITY, segments, 1, CONFIG, Clock())
    assert windows.centres.tolist() == [60, 80, 100, 120, 140]
    assert windows.slots[0].tolist() == [5, 6, 7]  # the crops around them may be labelled


def test_unlabelled_windows_need_quality() -> None:
    quality = np.where(FRAMES < 100, 0.1, 0.9)
    config = replace(CONFIG, min_quality=0.5)
    windows = unlabelled_windows(FRAMES, quality, [], 1, config, Clock())
    assert windows.centres.min() == 100
    assert (windows.quality >= 0.5).all()


def test_span_windows_reach_beyond_their_span() -> None:
    span = Span(1, 50, 60)
    ends = span_windows(FRAMES, QUALITY, span, CONFIG, Clock())
    goes_on = span_windows(FRAMES, QUALITY, span, CONFIG, Clock(), beyond=True)
    assert ends.slots.tolist() == [[EMPTY, 5, 6], [5, 6, EMPTY]]
    assert goes_on.slots.tolist() == [[4, 5, 6], [5, 6, 7]]
    assert goes_on.centres.tolist() == [50, 60]


# Settings.


@pytest.mark.parametrize("kind", [TrainAudioConfig, TrainVisualConfig])
def test_settings_that_do_not_go_together(kind: type) -> None:
    with pytest.raises(ConfigError, match="context: 'all' is not known; use segment or clip"):
        kind(context="all")
    with pytest.raises(ConfigError, match=r"unlabelled: 1.0 is not in \[0, 1\)"):
        kind(context="clip", unlabelled=1.0)
    with pytest.raises(ConfigError, match="needs context: clip, not segment"):
        kind(unlabelled=0.5)


# Training samples.


@pytest.fixture
def store(tmp_path: Path) -> ClipStore:
    """Two people over 20 s, each seen every half second; the second one's segment clashes."""
    frames = range(0, 600, 15)
    segments = [Segment(1, 60, 119, 1), Segment(2, 90, 179, 0), Segment(0, 300, 400, 1)]
    return make_store(
        tmp_path / "store", {1: frames, 2: frames}, segments, n_samples=320_000, split="train"
    )


def test_a_clip_is_heard_with_every_label(store: ClipStore) -> None:
    """From the first second on: to me, then two who disagree, then to others."""
    data = AudioTrainSet(store, TrainAudioConfig(context="clip"))
    assert data.items[:, 1:].tolist() == [[0, 320_000, -1]]
    labels = data._label_ticks("clip", 16_000, 500, random.Random(0))
    expected = np.full(500, IGNORED)
    expected[30:60], expected[90:150] = 1, 0
    assert labels.tolist() == expected.tolist()


def test_a_share_of_the_sound_is_unlabelled(store: ClipStore) -> None:
    plain = AudioTrainSet(store, TrainAudioConfig(context="clip"))
    config = TrainAudioConfig(context="clip", unlabelled=0.5)
    more = AudioTrainSet(store, config)
    few, many = plain[0][1], more[0][1]
    assert torch.equal(many[few != IGNORED], few[few != IGNORED])
    claimed = 120  # outputs that segments cover, those in dispute included
    assert int((more._label_ticks("clip", 0, 600, random.Random(0)) == 0).sum()) == 60 + claimed
    assert more.counts.positive == plain.counts.positive
    assert more.counts.negative > plain.counts.negative


def test_silence_is_not_to_me(store: ClipStore) -> None:
    config = TrainAudioConfig(context="clip", unlabelled=0.2, augment=AugmentConfig(mute=1.0))
    samples, labels = AudioTrainSet(store, config)[0]
    assert not samples.any()
    assert set(labels.tolist()) <= {IGNORED, 0}
    assert (labels == 0).any()


def test_windows_of_unlabelled_faces_have_their_share(store: ClipStore) -> None:
    windows = WindowConfig(min_quality=0.0, step=15)
    plain = VisualTrainSet(
        store, TrainVisualConfig(context="clip", windows=windows, quality="light")
    )
    config = TrainVisualConfig(context="clip", unlabelled=0.5, windows=windows)
    more = VisualTrainSet(store, replace(config, quality="light"))
    assert len(more) == 2 * len(plain)
    assert more.counts.positive == plain.counts.positive
    assert set(more.labels.tolist()) == {0, 1}


# Prediction.


def test_faces_of_one_moment_are_heard_alike(store: ClipStore) -> None:
    torch.manual_seed(0)
    branch = AudioBranch(AUDIO, BranchSettings("fixed", context="clip")).eval()
    data = ClipData(store, "clip")
    scores = AudioPredictor(branch).score_faces(data)["audio"]
    with torch.inference_mode():
        sound = torch.from_numpy(store.sound("clip", 0, 320_000))
        heard = branch(log_mel(sound[None])).softmax(1)[0, 1].numpy()
    rows = np.flatnonzero(data.scored_mask())
    assert 0 < len(rows) < len(scores)
    np.testing.assert_allclose(scores[rows], heard[data.faces.frame[rows]], atol=1e-6)
    assert np.isnan(np.delete(scores, rows)).all()


def test_a_face_later_than_the_sound_has_the_last_score(tmp_path: Path) -> None:
    store = make_store(tmp_path / "store", {1: range(0, 90, 15)}, n_samples=32_000)
    branch = AudioBranch(AUDIO, BranchSettings("fixed", context="clip")).eval()
    scores = AudioPredictor(branch).score_faces(ClipData(store, "clip"))["audio"]
    assert not np.isnan(scores).any()
    assert scores[-1] == scores[-2]


def test_windows_see_beyond_the_segment(store: ClipStore) -> None:
    torch.manual_seed(0)
    windows = WindowConfig(min_quality=0.0)
    branch = VisualBranch(VISUAL, BranchSettings("fixed", windows, "light", "clip")).eval()
    data = ClipData(store, "clip")
    predictor = VisualPredictor(branch, scorer="light")
    scores, qualities = predictor.score_faces(data).values()
    own = data.faces.rows_of(1)
    frames, quality = data.faces.frame[own], store.quality("clip", "light")[own]
    centres = frames[(frames >= 60) & (frames <= 119)]
    offsets = windows.offsets(Clock())
    wanted = visual_windows(frames, quality, centres, whole_clip(1), offsets)
    rows = np.flatnonzero(np.isin(frames, centres)) + own.start
    np.testing.assert_allclose(qualities[rows], wanted.quality)
    expected = predictor.score_person(data, [(whole_clip(1), centres)])["visual"]
    np.testing.assert_allclose(scores[rows], expected, atol=1e-6)


# The image network.


@pytest.mark.parametrize("empty", [[], [0], [1, 4], list(range(6))])
def test_empty_slots_are_encoded_once(empty: list[int]) -> None:
    torch.manual_seed(0)
    branch = VisualBranch(VISUAL, BranchSettings("fixed", WindowConfig(n_slots=3))).eval()
    crops = torch.randn(2, 3, 3, 224, 224)
    for slot in empty:
        crops[slot // 3, slot % 3] = 0
    quality = torch.tensor([0.3, 0.8])
    features = branch.encode(crops.flatten(0, 1)).view(2, 3, -1)
    expected = branch.classify(features, quality)
    torch.testing.assert_close(branch(crops, quality), expected, rtol=0, atol=1e-5)


def test_published_windows_encode_every_slot() -> None:
    assert VisualBranch(VISUAL, BranchSettings("reference")).has_moving_statistics
    assert not VisualBranch(VISUAL, BranchSettings("fixed")).has_moving_statistics


@pytest.mark.parametrize("name", ["test_efficientnet", "test_resnet", "test_vit"])
def test_first_stages_stay_frozen(name: str) -> None:
    config = VisualConfig(
        backbone=name, backbone_weights="random", frozen=False, frozen_stages=2, dim=16, n_heads=2
    )
    frozen = {n for n, p in VisualBranch(config).backbone.named_parameters() if not p.requires_grad}
    names = [n for n, _ in VisualBranch(config).backbone.named_parameters()]
    assert 0 < len(frozen) < len(names) / 2
    assert any(n.startswith(("conv_stem", "conv1", "patch_embed")) for n in frozen)
    assert not any(n.startswith(("classifier", "fc", "head")) for n in frozen)


def test_pictures_are_made_smaller() -> None:
    branch = VisualBranch(VISUAL).eval()
    sizes = []
    branch.backbone.register_forward_pre_hook(lambda _, given: sizes.append(given[0].shape[-1]))
    branch.encode(torch.randn(2, 3, 224, 224))
    assert sizes == [64]


# Labels of a part of a clip, silence included.


def make_own_store(path: Path) -> ClipStore:
    """A talks to me in frames 0 to 59; B is silent in frames 0 to 119; the rest is unknown."""
    segments = (Segment(1, 0, 59, 1), Segment(2, 0, 119, 0))
    faces = {1: range(0, 300, 10), 2: range(0, 300, 10)}
    store = make_store(path, faces, segments, n_samples=160_000, split="train")
    unknown = (Interval(1, 60, 299), Interval(2, 120, 299), Interval(0, 0, 299))
    speaking = (Interval(1, 0, 59),)
    store.write_intervals("clip", speaking, None, {"talking": unknown, "speaking": unknown})
    return ClipStore.open(path)


def test_a_silent_person_says_nothing_about_the_sound(tmp_path: Path) -> None:
    store = make_own_store(tmp_path / "store")
    assert store.manifest("clip").spoken == (Segment(1, 0, 59, 1),)
    config = TrainAudioConfig(context="clip", unlabelled=0.5, audio=AUDIO)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("quavf.training.audio_samples.count_classes", lambda *_: None)  # one class
        data = AudioTrainSet(store, config)
    labels = data._label_ticks("clip", 0, 300, random.Random(0))
    assert labels[:60].unique().tolist() == [1]
    assert set(labels[60:120].tolist()) <= {0, IGNORED}
    assert (labels[60:120] == 0).sum() == 60
    assert labels[120:300].unique().tolist() == [IGNORED]


def test_no_window_is_drawn_from_what_is_unknown(tmp_path: Path) -> None:
    store = make_own_store(tmp_path / "store")
    config = TrainVisualConfig(context="clip", unlabelled=0.5, visual=VISUAL, windows=CONFIG)
    data = VisualTrainSet(store, replace(config, quality="light"))
    rows = store.faces("clip")
    centres = rows.frame[data.slots[:, 1]]
    assert centres.max() < 120
    assert data.counts.positive == 3
