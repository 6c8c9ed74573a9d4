"""Prediction: the published scores, and each window on its own as the measure of our short cuts."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from quavf.core.clock import Clock
from quavf.core.errors import StoreError
from quavf.core.records import Segment
from quavf.core.semantics import FIXED, get_semantics
from quavf.inference.audio import AudioPredictor
from quavf.inference.clip import ClipData, load_picture
from quavf.inference.config import InferenceConfig, PredictConfig
from quavf.inference.predictor import repair
from quavf.inference.visual import VisualPredictor
from quavf.models.config import BranchSettings
from quavf.models.transforms import face_part, normalise
from quavf.models.visual import VisualBranch
from quavf.results.scores import Scores, read_config, read_scores
from quavf.store import ClipStore, CropReader
from quavf.utils.files import write_json
from quavf.workflows import predict as pipeline
from quavf.workflows.predict import PARTS, predict
from tests.helpers.data import needs_golden
from tests.helpers.published import tiny_audio, tiny_visual, write_published
from tests.helpers.stores import make_store

NAN = float("nan")
TICKS = np.arange(900) / 1000  # what a branch that tells its own outputs would say


def columns(scores: Scores) -> dict[str, Any]:
    return {name: getattr(scores, name) for name in Scores.names()}


def same(a: Scores, b: Scores) -> bool:
    return all(
        np.array_equal(x, y, equal_nan=x.dtype.kind == "f")
        for x, y in zip(columns(a).values(), columns(b).values(), strict=True)
    )


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> ClipStore:
    """Two clips with sound and six faces each."""
    faces = {1: [0, 1, 15], 2: [40, 55, 56]}
    path = tmp_path_factory.mktemp("predict") / "store"
    return make_store(path, faces, n_samples=50_000, clips=("clip0", "clip1"))


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Audio and visual, published format; two heads everywhere."""
    folder = tmp_path_factory.mktemp("checkpoints")
    return (
        write_published(folder / "audio.ckpt", tiny_audio()),
        write_published(folder / "visual.ckpt", tiny_visual()),
    )


HEADS = PredictConfig(encoder_heads=2, n_heads=2, backbone="test_vit", device="cpu")


# Against the published system.


@needs_golden
def test_published_predictions(e2e_root: Path, e2e_challenge_store: Path, tmp_path: Path) -> None:
    """Audio, visual and fused scores of every frame of the challenge segments, to 1e-6."""
    summary = predict(
        e2e_challenge_store,
        tmp_path / "scores",
        audio=e2e_root / "audio_tiny64_best.ckpt",
        visual=e2e_root / "visual_test_resnet_best.ckpt",
        config=PredictConfig(encoder_heads=2, device="cpu"),
    )
    scores = read_scores(tmp_path / "scores")
    assert summary.rows == summary.branches.several == len(scores) == 478
    assert summary.repaired == summary.crops_without_quality == 0
    for column, name in (("audio", "aPred"), ("visual", "vPred"), ("fused", "QuAVF")):
        results = json.loads((e2e_root / f"{name}.json").read_text())["results"]
        published = {(row["video_id"], int(row["frame_id"])): row["score"] for row in results}
        ours = dict(
            zip(
                zip(scores.clip.tolist(), scores.frame.tolist(), strict=True),
                getattr(scores, column).tolist(),
                strict=True,
            )
        )
        assert published.keys() == ours.keys()
        error = max(abs(ours[key] - published[key]) for key in ours)
        assert error <= 1e-6, (column, error)


# Against plain prediction, window by window.


@torch.inference_mode()
def one_by_one(branch: VisualBranch, data: ClipData, row: int) -> tuple[float, float]:
    """Score and quality of one face: its own fifteen crops, read and encoded for it alone."""
    faces, person, centre = data.faces, data.faces.person[row], data.faces.frame[row]
    quality = data.store.quality(data.clip, "light")
    span = next(
        s for s in data.spans if s.person == person and s.start_frame <= centre <= s.last_frame
    )
    own = {
        int(frame): index
        for index, (who, frame) in enumerate(zip(faces.person, faces.frame, strict=True))
        if who == person and span.start_frame <= frame <= span.last_frame
    }
    reader = CropReader(data.store, data.clip, faces)
    crops, total = torch.zeros(1, 15, 3, 224, 224), 0.0
    for slot, offset in enumerate(range(-105, 106, 15)):
        index = own.get(int(centre) + offset)
        if index is not None:
            crop = normalise(load_picture(reader, index))
            if data.store.config.framing == "grown":
                crop = face_part(crop, get_semantics(branch.settings.semantics))
            crops[0, slot] = crop
            total += 0.0 if np.isnan(quality[index]) else quality[index]
    logits = branch(crops, torch.tensor([total / 15]))
    return logits.softmax(1)[0, 1].item(), total / 15


@pytest.mark.parametrize(
    ("backbone", "semantics", "framing"),
    [
        ("test_vit", "fixed", "grown"),
        ("test_vit", "reference", "grown"),
        ("test_vit", "reference", "face"),
        ("test_resnet", "fixed", "grown"),
    ],
)
def test_encoding_once_equals_window_by_window(
    backbone: str, semantics: str, framing: str, tmp_path: Path
) -> None:
    frames = [*range(0, 30, 2), 45, 60, 61, 110]
    store = make_store(tmp_path / "store", {1: frames, 3: [0, 15, 30]}, framing=framing)
    branch = tiny_visual(backbone)
    branch.settings = BranchSettings(semantics)
    data = ClipData(store, "clip")
    scores, quality = VisualPredictor(branch, scorer="light").score_faces(data).values()
    assert not np.isnan(scores).any()
    rows = [0, 15, 18, 20]
    expected = np.array([one_by_one(branch, data, row) for row in rows])
    np.testing.assert_allclose(scores[rows], expected[:, 0], rtol=0, atol=1e-5)
    np.testing.assert_allclose(quality[rows], expected[:, 1], rtol=0, atol=1e-12)
    assert len(set(scores[rows].round(5))) == 4


def test_each_crop_is_encoded_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    frames = list(range(0, 120, 6))
    segments = [Segment(1, 0, 60, 1), Segment(1, 50, 100, 0)]
    store = make_store(tmp_path / "store", {1: frames, 2: [7]}, segments)
    branch = tiny_visual()
    encoded: list[int] = []
    encode = branch.encode

    def counted(x: torch.Tensor) -> torch.Tensor:
        encoded.append(len(x))
        return encode(x)

    monkeypatch.setattr(branch, "encode", counted)
    config = InferenceConfig(device="cpu", batch_size=8)
    VisualPredictor(branch, config, "light").score_faces(ClipData(store, "clip"))
    n_scored = sum(frame <= 100 for frame in frames)
    assert sum(encoded) == n_scored + 1  # and one empty slot
    assert max(encoded) == 8


@pytest.mark.parametrize("batch_size", [1, 4, 1000])
def test_batch_size_does_not_matter(store: ClipStore, batch_size: int) -> None:
    data = ClipData(store, "clip0")
    visual, audio = tiny_visual("test_resnet"), tiny_audio()
    expected = VisualPredictor(
        visual, scorer="light", config=InferenceConfig(device="cpu", batch_size=6)
    ).score_faces(data)["visual"]
    found = VisualPredictor(
        visual, scorer="light", config=InferenceConfig(device="cpu", batch_size=batch_size)
    ).score_faces(data)["visual"]
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-6)
    expected = AudioPredictor(
        audio, config=InferenceConfig(device="cpu", audio_batch_size=4)
    ).score_faces(data)["audio"]
    found = AudioPredictor(
        audio, config=InferenceConfig(device="cpu", audio_batch_size=batch_size)
    ).score_faces(data)["audio"]
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-6)


def test_windows_are_judged_while_crops_still_come(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In groups, after every batch that completes one: the same scores."""
    segments = [Segment(1, 0, 200, 1), Segment(1, 150, 260, 0), Segment(2, 30, 90, 1)]
    faces = {1: list(range(0, 260, 4)), 2: list(range(30, 90, 4))}
    store = make_store(tmp_path / "store", faces, segments)
    branch = tiny_visual()
    events: list[str] = []

    def record(name: str) -> None:
        original = getattr(branch, name)

        def recorded(*x: torch.Tensor) -> Any:
            events.append(name)
            return original(*x)

        monkeypatch.setattr(branch, name, recorded)

    record("encode")
    record("classify")
    config = InferenceConfig(device="cpu", batch_size=4)
    predictor = VisualPredictor(branch, config, "light")
    whole = predictor.score_faces(ClipData(store, "clip"))["visual"]
    monkeypatch.setattr("quavf.inference.visual.WINDOWS", 8)
    monkeypatch.setattr("quavf.inference.visual.GIVE_BACK_EVERY", 1)
    events.clear()
    found = predictor.score_faces(ClipData(store, "clip"))["visual"]
    np.testing.assert_allclose(found, whole, rtol=0, atol=1e-6)
    assert "encode" in events[events.index("classify") :]


class Heard(AudioPredictor):
    """Notes what it hears, and says of each output which of the window's 900 it is."""

    def __init__(self, semantics: str = "fixed", batch_size: int = 4) -> None:
        branch = tiny_audio()
        branch.settings = BranchSettings(semantics)
        super().__init__(branch, InferenceConfig(device="cpu", audio_batch_size=batch_size))
        self.sounds: list[np.ndarray] = []

    def _run_network(self, sounds: Any) -> Any:
        self.sounds += [np.round(sound * 32768).astype(int) for sound in sounds]
        return np.tile(TICKS, (len(sounds), 1))


@pytest.mark.parametrize(
    ("fps", "first", "frames", "ticks", "start_sample"),
    [
        (Fraction(30), 0, [0, 1, 899], [0, 1, 899], 0),
        (Fraction(30), 100, [100, 101, 130], [0, 1, 30], 53_333),
        (Fraction(25), 50, [50, 51, 74, 75], [0, 1, 28, 30], 32_000),
        (Fraction(60), 60, [60, 61, 62, 179], [0, 0, 1, 59], 16_000),
        (Fraction(30000, 1001), 30, [30, 31, 629], [0, 1, 599], 16_016),
    ],
)
def test_sound_begins_with_the_span_at_any_rate(
    fps: Fraction,
    first: int,
    frames: list[int],
    ticks: list[int],
    start_sample: int,
    tmp_path: Path,
) -> None:
    segment = Segment(1, first, frames[-1], 1)
    store = make_store(tmp_path / "store", {1: frames}, [segment], clock=Clock(fps))
    heard = Heard()
    scores = heard.score_faces(ClipData(store, "clip"))["audio"]
    np.testing.assert_array_equal(scores, TICKS[ticks])
    (sound,) = heard.sounds
    assert sound.shape == (480_000,)
    assert sound[:3].tolist() == [(start_sample + k) % 30_000 for k in range(3)]


@pytest.mark.parametrize("batch_size", [1, 2, 4])
def test_long_spans_are_heard_in_windows(batch_size: int, tmp_path: Path) -> None:
    """905 frames after the span's start: the last window is moved back to end with them."""
    store = make_store(tmp_path / "store", {1: [10, 909, 910, 914, 2700]}, [Segment(1, 10, 914, 1)])
    heard = Heard(batch_size=batch_size)
    scores = heard.score_faces(ClipData(store, "clip"))["audio"]
    np.testing.assert_array_equal(scores[:4], TICKS[[0, 899, 895, 899]])
    assert np.isnan(scores[4])
    starts = [int(sound[0]) for sound in heard.sounds]
    assert starts == [10 * 16_000 // 30, (10 * 16_000 // 30 + 5 * 16_000 // 30) % 30_000]


@pytest.mark.parametrize(
    ("semantics", "first", "n_heard"), [("fixed", 480_000, 20_000), ("reference", 20_000, 480_000)]
)
def test_sound_that_ends_in_a_window(
    semantics: str, first: int, n_heard: int, tmp_path: Path
) -> None:
    """Fixed: silence from there on. Published: read from earlier, frames not moved with it."""
    store = make_store(tmp_path / "store", {1: [0, 1700, 1799]}, n_samples=500_000)
    heard = Heard(semantics)
    scores = heard.score_faces(ClipData(store, "clip"))["audio"]
    np.testing.assert_array_equal(scores, TICKS[[0, 800, 899]])
    second = heard.sounds[1]
    expected = np.arange(first, 500_000) % 30_000
    assert len(expected) == n_heard
    assert np.array_equal(second[:n_heard], expected)
    assert not second[n_heard:].any()


def test_nobody_is_heard_twice_for_nothing(tmp_path: Path) -> None:
    """A labelled segment without a face costs nothing."""
    segments = [Segment(1, 0, 30, 1), Segment(2, 0, 3000, 1)]
    store = make_store(tmp_path / "store", {1: [5]}, segments)
    heard = Heard()
    heard.score_faces(ClipData(store, "clip"))["audio"]
    assert len(heard.sounds) == 1


# Spans, and what is missing.


def test_overlapping_spans_first_come_first_served(tmp_path: Path) -> None:
    segments = [Segment(1, 20, 60, 0), Segment(1, 0, 40, 1), Segment(2, 0, 9, 1)]
    store = make_store(tmp_path / "store", {1: list(range(0, 80, 10)), 2: [3, 50]}, segments)
    data = ClipData(store, "clip")
    assert data.scored_mask().tolist() == [True] * 7 + [False] + [True, False]
    scores = Heard().score_faces(data)["audio"]
    np.testing.assert_array_equal(scores, [*TICKS[[0, 10, 20, 30, 40, 30, 40]], NAN, TICKS[3], NAN])
    branch = tiny_visual()
    branch.settings = BranchSettings("fixed")
    visual, quality = VisualPredictor(branch, scorer="light").score_faces(data).values()
    for row in (2, 4, 5):
        expected = one_by_one(branch, data, row)
        assert (visual[row], quality[row]) == pytest.approx(expected, abs=1e-5)
    assert np.isnan(visual[[7, 9]]).all()
    assert np.isnan(quality[[7, 9]]).all()


def test_clip_without_sound(tmp_path: Path, checkpoints: tuple[Path, Path]) -> None:
    store = make_store(tmp_path / "store", {1: [0, 5]}, n_samples=None)
    audio, visual = checkpoints
    summary = predict(store.path, tmp_path / "scores", audio, visual, HEADS)
    scores = read_scores(tmp_path / "scores")
    assert np.isnan(scores.audio).all()
    np.testing.assert_array_equal(scores.fused, scores.visual)
    assert (summary.branches.only["visual"], summary.branches.several) == (2, 0)


def test_store_without_faces(tmp_path: Path, checkpoints: tuple[Path, Path]) -> None:
    store = make_store(tmp_path / "store", {}, [Segment(1, 0, 50, 1)])
    audio, visual = checkpoints
    summary = predict(store.path, tmp_path / "scores", audio, visual, HEADS)
    assert (summary.clips, summary.rows) == (1, 0)
    assert len(read_scores(tmp_path / "scores")) == 0


def test_crops_without_quality_are_counted(
    tmp_path: Path, checkpoints: tuple[Path, Path], caplog: pytest.LogCaptureFixture
) -> None:
    store = make_store(tmp_path / "store", {1: [0, 15, 90]}, [Segment(1, 0, 60, 1)])
    store.write_quality("clip", "light", np.array([0.5, NAN, NAN]), {})
    summary = predict(store.path, tmp_path / "scores", visual=checkpoints[1], config=HEADS)
    assert summary.crops_without_quality == 1  # the third one is not scored
    assert read_scores(tmp_path / "scores").quality.tolist() == [0.5 / 15] * 2
    assert "1 crops have no quality: counted as 0" in caplog.text


def test_damaged_crop_is_named(tmp_path: Path) -> None:
    store = make_store(tmp_path / "store", {1: [0, 15]})
    faces = store.faces("clip")
    with store.crops_path("clip").open("r+b") as file:
        file.seek(int(faces.offset[1]))
        file.write(b"no picture")
    with pytest.raises(StoreError, match=r"crops\.tar: crop 1 is damaged"):
        VisualPredictor(tiny_visual(), scorer="light").score_faces(ClipData(store, "clip")).values()


@pytest.mark.parametrize(
    ("scores", "expected", "n_bad"),
    [
        ([], [], 0),
        ([0.1, 0.9], [0.1, 0.9], 0),
        ([NAN], [0.5], 1),
        ([NAN, NAN, 0.2], [0.5, 0.5, 0.2], 2),
        ([0.1, NAN, NAN, 0.2, NAN], [0.1, 0.1, 0.1, 0.2, 0.2], 3),
    ],
)
def test_repair(scores: list[float], expected: list[float], n_bad: int) -> None:
    values = np.array(scores, float)
    assert repair(values) == n_bad
    assert values.tolist() == expected


def test_repair_in_a_slice_reaches_the_whole() -> None:
    values = np.array([0.1, NAN, 0.3])
    assert repair(values[1:]) == 1
    assert values.tolist() == [0.1, 0.5, 0.3]


def test_weights_that_are_far_too_large(
    store: ClipStore, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Every score becomes 0.5; they are counted once for each face and branch, and told of."""
    audio, visual = tiny_audio(), tiny_visual()
    for branch in (audio, visual):
        for parameter in branch.parameters():
            torch.nn.init.constant_(parameter, 3e38)  # products and sums are infinite
    paths = (
        write_published(tmp_path / "audio.ckpt", audio),
        write_published(tmp_path / "visual.ckpt", visual),
    )
    summary = predict(store.path, tmp_path / "scores", *paths, HEADS)
    scores = read_scores(tmp_path / "scores")
    assert summary.repaired == 2 * len(scores)
    assert set(scores.audio) == set(scores.visual) == set(scores.fused) == {0.5}
    assert f"{2 * len(scores)} scores were not finite" in caplog.text


# Interrupted runs.


class Interrupted:
    """Stands before the scoring of a clip: counts, and stops a run at one of them."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, at: int = -1) -> None:
        self.clips: list[str] = []
        self.at, self.score = at, pipeline.score_clip
        monkeypatch.setattr(pipeline, "score_clip", self)

    def __call__(self, data: ClipData, *more: Any) -> Scores:
        if len(self.clips) == self.at:
            raise KeyboardInterrupt
        self.clips.append(data.clip)
        return self.score(data, *more)


@pytest.fixture
def interrupted(
    store: ClipStore,
    checkpoints: tuple[Path, Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> tuple[Path, Interrupted]:
    """A scores folder whose run was stopped after the first of two clips."""
    counter = Interrupted(monkeypatch, at=1)
    with pytest.raises(KeyboardInterrupt):
        predict(store.path, tmp_path / "cut", checkpoints[0], config=HEADS)
    assert counter.clips == ["clip0"]
    assert not (tmp_path / "cut" / "scores.parquet").exists()
    counter.at = -1
    return tmp_path / "cut", counter


def test_interrupted_run_goes_on(
    interrupted: tuple[Path, Interrupted],
    store: ClipStore,
    checkpoints: tuple[Path, Path],
    tmp_path: Path,
) -> None:
    out, counter = interrupted
    summary = predict(store.path, out, checkpoints[0], config=HEADS)
    assert counter.clips == ["clip0", "clip1"]
    whole = predict(store.path, tmp_path / "whole", checkpoints[0], config=HEADS)
    assert replace(summary, scores=whole.scores) == whole
    assert same(read_scores(out), read_scores(tmp_path / "whole"))
    assert read_config(out) == read_config(tmp_path / "whole")
    assert sorted(p.name for p in out.iterdir()) == ["config.json", "scores.parquet"]


@pytest.mark.parametrize(
    "change", ["batch size", "checkpoint", "other branch too", "store", "quality"]
)
def test_changed_runs_do_not_mix(
    change: str,
    interrupted: tuple[Path, Interrupted],
    store: ClipStore,
    checkpoints: tuple[Path, Path],
    tmp_path: Path,
) -> None:
    out, counter = interrupted
    audio, visual = checkpoints
    path, config, second = store.path, HEADS, None
    if change == "batch size":
        config = replace(HEADS, audio_batch_size=1)
    elif change == "checkpoint":
        audio = write_published(tmp_path / "other.ckpt", tiny_audio(seed=1))
    elif change == "other branch too":
        second = visual
    else:
        path = tmp_path / "store"
        shutil.copytree(store.path, path)
        out = tmp_path / "again"
        counter.at = len(counter.clips) + 1
        with pytest.raises(KeyboardInterrupt):
            predict(path, out, audio, visual, config)
        counter.at, second = -1, visual
        if change == "quality":
            ClipStore.open(path).write_quality("clip0", "light", np.full(6, 0.9), {})
        else:
            copy = ClipStore.open(path)
            quality = copy.quality("clip0", "light")
            changed = replace(copy.manifest("clip0"), fingerprint="made anew")
            write_json(copy.folder("clip0") / "clip.json", changed.to_json())
            copy.write_quality("clip0", "light", quality, {})
    counter.clips.clear()
    predict(path, out, audio, second, config)
    assert counter.clips == ["clip0", "clip1"]
    predict(path, tmp_path / "whole", audio, second, config)
    assert same(read_scores(out), read_scores(tmp_path / "whole"))
    assert not (out / PARTS).exists()


def test_scorer_that_the_branch_was_trained_with(tmp_path: Path) -> None:
    from quavf.models.checkpoint import save_branch

    store = make_store(tmp_path / "store", {1: [0]})
    store.write_quality("clip", "other", np.array([0.0]), {})
    branch = tiny_visual()
    branch.settings = replace(branch.settings, quality="other")
    save_branch(tmp_path / "best.safetensors", branch)
    predict(store.path, tmp_path / "scores", visual=tmp_path)
    assert read_config(tmp_path / "scores")["quality"] == "other"
    assert read_scores(tmp_path / "scores").quality.tolist() == [0.0]


def test_rules_of_the_checkpoint_apply() -> None:
    assert AudioPredictor(tiny_audio()).semantics.shift_short_reads
    branch = tiny_visual()
    branch.settings = BranchSettings("fixed")
    assert VisualPredictor(branch, scorer="light").semantics == FIXED
