"""Qualities for a whole store: scored, resumed, imported in both published layouts, or refused."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from quavf.core.clock import Clock
from quavf.core.errors import AnnotationError, ConfigError, QuavfError, StoreError
from quavf.core.records import CropGeometry, Image
from quavf.core.semantics import get_semantics
from quavf.faces.crop import (
    crop_geometry,
    decode_jpeg,
    encode_jpeg,
    quality_region,
    render_crop,
)
from quavf.faces.quality.light import LightScorer
from quavf.inference.config import InferenceConfig
from quavf.store import ClipStore, CropReader, Manifest, StoreConfig
from quavf.workflows import clip_rows
from quavf.workflows import quality as module
from quavf.workflows.quality import QUALITY_INFERENCE, QualitySummary, import_quality, score_quality

SIZE = (320, 180)


def noisy(seed: int) -> Image:
    return np.random.default_rng(seed).integers(0, 256, (SIZE[1], SIZE[0], 3), np.uint8)


def make(
    path: Path,
    clips: dict[str, dict[int, Sequence[int]]],
    kind: str = "ego4d",
    semantics: str = "fixed",
    fingerprint: str = "f",
) -> ClipStore:
    """A store of crops of noise: clip -> person -> frames. Boxes touch the right border."""
    store = ClipStore.create(path, StoreConfig(kind, semantics, "grown"))
    for clip, people in clips.items():
        with store.write_clip(clip) as writer:
            for person, frames in people.items():
                for frame in frames:
                    box = np.array([290.0, 60, 315, 100 + frame % 7])
                    geometry = crop_geometry(box, SIZE)
                    assert geometry is not None
                    x1, y1, x2, y2 = geometry.region
                    crop = render_crop(noisy(frame + 100 * person)[y1:y2, x1:x2], geometry)
                    writer.add_crop(person, frame, frame / 30, geometry, encode_jpeg(crop))
            writer.finish(
                Manifest(clip, "train", Clock(), (), None, writer.n_crops, SIZE, fingerprint,
                         store.config.hash)
            )  # fmt: skip
    return store


CLIPS: dict[str, dict[int, Sequence[int]]] = {
    "a": {1: range(5), 2: range(3, 8)},
    "b": {},
    "c": {7: [4]},
}


@pytest.fixture
def store(tmp_path: Path) -> ClipStore:
    return make(tmp_path / "store", CLIPS)


def write_json(path: Path, content: Any) -> Path:
    path.write_text(json.dumps(content))
    return path


@pytest.mark.parametrize("semantics", ["fixed", "reference"])
def test_scores_are_of_the_inverse_crops(tmp_path: Path, semantics: str) -> None:
    """In the store's own semantics: the published inverse errs at the right border."""
    store = make(tmp_path / "store", CLIPS, semantics=semantics)
    score_quality(store.path, "light")
    faces = store.faces("a")
    regions = []
    for row in range(len(faces)):
        picture = decode_jpeg(CropReader(store, "a", faces).read(row))
        assert picture is not None
        regions.append(quality_region(picture, faces.geometry(row), get_semantics(semantics)))
    expected = LightScorer().score([r for r in regions if r is not None])
    np.testing.assert_array_equal(store.quality("a", "light"), expected)


def test_semantics_make_a_difference(tmp_path: Path) -> None:
    scores = []
    for semantics in ("fixed", "reference"):
        store = make(tmp_path / semantics, CLIPS, semantics=semantics)
        score_quality(store.path)
        scores.append(store.quality("a", "light"))
    assert np.abs(scores[0] - scores[1]).max() > 1e-3


def test_summary(store: ClipStore) -> None:
    summary = score_quality(store.path, "light")
    scores = np.concatenate([store.quality(clip, "light") for clip in "abc"])
    assert (summary.scorer, summary.clips, summary.crops) == ("light", 3, 11)
    assert (summary.without_score, summary.notes) == (0, {})
    assert summary.quantiles["50%"] == np.median(scores)
    assert list(summary.quantiles) == ["5%", "25%", "50%", "75%", "95%"]
    assert store.scorers() == ["light"]
    assert ((scores >= 0) & (scores <= 1)).all()


def test_store_without_a_crop(tmp_path: Path) -> None:
    summary = score_quality(make(tmp_path / "store", {"a": {}}).path)
    assert (summary.clips, summary.crops) == (1, 0)
    assert all(math.isnan(value) for value in summary.quantiles.values())


class Counting:
    """Light, but it knows how much it did, and can be interrupted."""

    name = "light"
    settings: dict[str, Any] = LightScorer().settings

    def __init__(self, stop_after: float = math.inf) -> None:
        self.scored, self.stop_after = 0, stop_after

    def score(self, regions: Sequence[Image], confidences: Any = None) -> Any:
        if self.scored + len(regions) > self.stop_after:
            raise KeyboardInterrupt
        self.scored += len(regions)
        return LightScorer().score(regions, confidences)


def score_with(store: ClipStore, judge: Counting, monkeypatch: pytest.MonkeyPatch) -> Counting:
    monkeypatch.setattr(module, "open_scorer", lambda *args, **kwargs: judge)
    score_quality(store.path, "light")
    return judge


def stamps(folder: Path) -> dict[str, int]:
    return {str(path): path.stat().st_mtime_ns for path in folder.rglob("*")}


def test_scored_clips_are_skipped(store: ClipStore, monkeypatch: pytest.MonkeyPatch) -> None:
    assert score_with(store, Counting(), monkeypatch).scored == 11
    before = stamps(store.path)
    assert score_with(store, Counting(), monkeypatch).scored == 0
    assert stamps(store.path) == before
    other = Counting()
    other.settings = {**other.settings, "grid": 32}
    assert score_with(store, other, monkeypatch).scored == 11


@pytest.mark.parametrize("stop_after", [0, 3, 6, 9, 10])
def test_interrupted_scoring_goes_on(
    store: ClipStore, monkeypatch: pytest.MonkeyPatch, stop_after: int
) -> None:
    """Also inside a clip; in the end it is as without the interruption, with nothing left over."""
    monkeypatch.setattr(module, "CHUNK", 3)
    whole = make(store.path.parent / "whole", CLIPS)
    score_quality(whole.path)
    monkeypatch.setattr(clip_rows, "SAVE_EVERY_S", -1.0)
    with pytest.raises(KeyboardInterrupt):
        score_with(store, Counting(stop_after), monkeypatch)
    done = stop_after // 3 * 3 if stop_after < 10 else 10
    assert score_with(store, Counting(), monkeypatch).scored == 11 - done
    for clip in "abc":
        np.testing.assert_array_equal(store.quality(clip, "light"), whole.quality(clip, "light"))
    left = sorted(p.name for p in store.path.rglob("*") if p.is_file())
    assert left == sorted(p.name for p in whole.path.rglob("*") if p.is_file())


def test_a_part_of_other_settings_is_not_used(
    store: ClipStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "CHUNK", 3)
    monkeypatch.setattr(clip_rows, "SAVE_EVERY_S", -1.0)
    with pytest.raises(KeyboardInterrupt):
        score_with(store, Counting(6), monkeypatch)
    other = Counting()
    other.settings = {**other.settings, "grid": 32}
    assert score_with(store, other, monkeypatch).scored == 11
    assert not list(store.path.rglob("*.npy"))


@pytest.mark.parametrize("content", [b"", b"damaged", None])
def test_a_damaged_part_is_not_used(
    store: ClipStore, monkeypatch: pytest.MonkeyPatch, content: bytes | None
) -> None:
    monkeypatch.setattr(module, "CHUNK", 3)
    monkeypatch.setattr(clip_rows, "SAVE_EVERY_S", -1.0)
    with pytest.raises(KeyboardInterrupt):
        score_with(store, Counting(6), monkeypatch)
    (part,) = (store.folder("a") / "quality").glob(".*.npy")
    if content is None:
        with part.open("wb") as file:
            np.save(file, np.zeros(1000))  # of a longer clip
    else:
        part.write_bytes(content)
    assert score_with(store, Counting(), monkeypatch).scored == 11


def test_a_damaged_table_is_made_again(store: ClipStore) -> None:
    score_quality(store.path)
    before = store.quality("a", "light")
    (store.folder("a") / "quality" / "light.parquet").write_bytes(b"damaged")
    score_quality(store.path)
    np.testing.assert_array_equal(store.quality("a", "light"), before)


def test_a_damaged_crop(store: ClipStore) -> None:
    path, faces = store.crops_path("a"), store.faces("a")
    data = bytearray(path.read_bytes())
    start = int(faces.offset[4])
    data[start : start + int(faces.size[4])] = b"x" * int(faces.size[4])
    path.write_bytes(data)
    with pytest.raises(StoreError, match=r"a/crops\.tar: crop 4 is damaged; delete the clip"):
        score_quality(store.path)


def test_faces_without_a_pixel_score_zero(tmp_path: Path) -> None:
    store = ClipStore.create(tmp_path / "store", StoreConfig("ego4d", "fixed", "grown"))
    with store.write_clip("a") as writer:
        geometry = CropGeometry((100.0, 100.0, 100.4, 100.4), (99, 99, 102, 102))
        writer.add_crop(1, 0, 0.0, geometry, encode_jpeg(np.zeros((224, 224, 3), np.uint8)))
        writer.finish(Manifest("a", "val", Clock(), (), None, 1, SIZE, "f", store.config.hash))
    summary = score_quality(store.path)
    assert store.quality("a", "light").tolist() == [0.0]
    assert summary.notes == {"faces without any pixel, scored 0": 1}


def test_no_store(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="no store here"):
        score_quality(tmp_path)
    with pytest.raises(StoreError, match="no store here"):
        import_quality(tmp_path, write_json(tmp_path / "q.json", {}))


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """How scorers were opened; all are `light`."""
    found: list[dict[str, Any]] = []

    def open_light(name: str, **options: Any) -> LightScorer:
        found.append(options)
        return LightScorer()

    monkeypatch.setattr(module, "open_scorer", open_light)
    return found


def test_defaults_are_left_to_the_scorer(store: ClipStore, opened: list[dict[str, Any]]) -> None:
    score_quality(store.path, config=replace(QUALITY_INFERENCE, device="cuda"))
    score_quality(store.path, config=replace(QUALITY_INFERENCE, runtime="torch", batch_size=3))
    assert opened == [
        {"weights": None, "batch_size": 8, "device": "cuda", "runner": None},
        {"weights": None, "batch_size": 3, "device": "cpu", "runner": None},
    ]


@pytest.mark.parametrize(("runtime", "precision"), [("openvino", "fp32"), ("auto", "bf16")])
def test_what_runs_the_network_is_handed_on(
    store: ClipStore, opened: list[dict[str, Any]], runtime: str, precision: str
) -> None:
    config = InferenceConfig(runtime=runtime, precision=precision, device="cpu")
    score_quality(store.path, config=config)
    runner = opened[0]["runner"]
    assert runner.run.keywords == {"config": config}
    assert runner.precision == precision


@pytest.mark.parametrize(
    ("how", "says"),
    [
        ({"runtime": "openvino"}, "'light': has no network"),
        ({"precision": "bf16"}, "'light': has no network"),
        ({"runtime": "tensorrt"}, "runtime: 'tensorrt' is not one of"),
        ({"precision": "int8"}, "precision: 'int8' is not one of"),
        ({"runtime": "openvino", "device": "cuda"}, "openvino runs on the CPU"),
    ],
)
def test_runtimes_that_cannot_be(store: ClipStore, how: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        score_quality(store.path, config=replace(QUALITY_INFERENCE, **how))


def test_former_keywords_still_work(store: ClipStore, opened: list[dict[str, Any]]) -> None:
    with pytest.warns(DeprecationWarning, match="device, batch_size are deprecated; use conf"):
        score_quality(store.path, device="cuda", batch_size=3)
    assert opened == [{"weights": None, "batch_size": 3, "device": "cuda", "runner": None}]
    with pytest.raises(TypeError, match="unexpected keyword argument 'engines'"):
        score_quality(store.path, engines=None)


def test_unknown_scorer(store: ClipStore) -> None:
    with pytest.raises(ConfigError, match="unknown; choose one of"):
        score_quality(store.path, "best")


NESTED = {
    "a": {"1": {str(f): 0.1 * f for f in range(5)}, "2": {str(f): 0.5 for f in range(3, 8)}},
    "b": {},
    "c": {"7": {"4": 1.0}},
}


def do_import(store: ClipStore, content: Any, scorer: str = "imported") -> QualitySummary:
    return import_quality(store.path, write_json(store.path.parent / "q.json", content), scorer)


def test_import(store: ClipStore, caplog: pytest.LogCaptureFixture) -> None:
    summary = do_import(store, NESTED)
    np.testing.assert_array_equal(
        store.quality("a", "imported"), [0, 0.1, 0.2, 0.1 * 3, 0.4, *[0.5] * 5]
    )
    assert store.quality("c", "imported").tolist() == [1.0]
    assert (summary.clips, summary.crops, summary.without_score, summary.notes) == (3, 11, 0, {})
    assert store.scorers() == ["imported"]
    assert caplog.records == []


def test_import_of_challenge_segments(tmp_path: Path) -> None:
    store = make(tmp_path / "store", {"a": {1: [3, 5]}, "b": {}}, kind="challenge")
    summary = do_import(store, {"a": {"3": 0.25, "5": 0.75}, "b": {}}, "published")
    assert store.quality("a", "published").tolist() == [0.25, 0.75]
    assert summary.notes == {}


def test_import_again_replaces(store: ClipStore) -> None:
    do_import(store, NESTED)
    do_import(store, {**NESTED, "c": {"7": {"4": 0.5}}})
    assert store.quality("c", "imported").tolist() == [0.5]
    do_import(store, NESTED, "other")
    assert store.scorers() == ["imported", "other"]


def test_what_does_not_match_is_counted(store: ClipStore, caplog: pytest.LogCaptureFixture) -> None:
    content = {
        "a": {"1": {"0": 0.5, "99": 0.5}, "3": {"0": 0.5, "1": 0.5}},
        "elsewhere": {"1": {"0": 0.5}},
        "c": {"7": {"4": 1.75}},
    }
    summary = do_import(store, content)
    assert summary.notes == {
        "clips in the file that are not in the store": 1,
        "clips in the store that are not in the file": 1,
        "scores for crops that are not in the store": 3,
        "scores over 1, taken as 1": 1,
    }
    assert summary.without_score == 9
    assert store.quality("c", "imported").tolist() == [1.0]
    assert store.quality("a", "imported")[0] == 0.5
    assert np.isnan(store.quality("a", "imported")[1:]).all()
    assert "scores over 1, taken as 1: 1" in caplog.text


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ([], r"q\.json: expected \{clip: .*found a list"),
        (3, "expected .*found a int"),
        ({"a": []}, r"q\.json: a: expected an object of scores, found \[\]"),
        ({"a": 0.5}, r"a: expected an object of scores, found 0\.5"),
        ({"a": {"x": {"0": 0.5}}}, "a: person x: frame 0: 'x' is not a whole number"),
        ({"a": {"1": {"x": 0.5}}}, "a: person 1: frame x: 'x' is not a whole number"),
        ({"a": {"1": {"1.5": 0.5}}}, r"frame 1\.5: '1\.5' is not a whole number"),
        ({"a": {"1": {"0": "high"}}}, "frame 0: the score should be a number .*found 'high'"),
        ({"a": {"1": {"0": None}}}, "a number from 0 to 1, found None"),
        ({"a": {"1": {"0": True}}}, "found True"),
        ({"a": {"1": {"0": []}}}, r"found \[\]"),
        ({"a": {"1": {"0": -0.1}}}, r"person 1: frame 0: .*from 0 to 1, found -0\.1"),
        ({"a": {"1": {"0": float("nan")}}}, "found nan"),
        ({"a": {"1": {"0": float("inf")}}}, "found inf"),
        ({"a": {"0": 0.5}}, r"a: '0' should hold one person's scores.* found 0\.5; .*persons 1, 2"),
        ({}, "not one of its scores belongs to a crop"),
        ({"z": {"1": {"0": 0.5}}}, "not one of its scores belongs to a crop of .*store"),
        ({"a": {"9": {"0": 0.5}}}, "not one of its scores"),
    ],
)
def test_impossible_imports(store: ClipStore, content: Any, says: str) -> None:
    """One line with the file and the place in it; the store stays as it was."""
    with pytest.raises(AnnotationError, match=says) as caught:
        do_import(store, content)
    assert "\n" not in str(caught.value)
    assert "q.json" in str(caught.value)
    assert store.scorers() == []


def test_a_huge_score_is_one(store: ClipStore) -> None:
    assert do_import(store, {"c": {"7": {"4": 10**400}}}).notes["scores over 1, taken as 1"] == 1
    assert store.quality("c", "imported").tolist() == [1.0]


@pytest.mark.parametrize(("text", "says"), [("", "empty"), ("{", "not valid JSON")])
def test_import_of_a_malformed_file(store: ClipStore, text: str, says: str) -> None:
    path = store.path.parent / "q.json"
    path.write_text(text)
    with pytest.raises(AnnotationError, match=rf"q\.json: .*{says}"):
        import_quality(store.path, path)


def test_import_of_no_file(store: ClipStore) -> None:
    with pytest.raises(AnnotationError, match=r"nowhere\.json: no such file"):
        import_quality(store.path, store.path / "nowhere.json")


@pytest.mark.parametrize("name", ["../x", "a/b", "", ".x", "x" * 300])
def test_import_under_a_hostile_name(store: ClipStore, name: str) -> None:
    before = stamps(store.path.parent)
    with pytest.raises(ConfigError, match="cannot name a file; use letters"):
        import_quality(store.path, store.path / "q.json", name)
    assert stamps(store.path.parent) == before


def test_scores_that_cannot_be_written(store: ClipStore) -> None:
    (store.folder("a") / "quality").write_text("in the way")
    with pytest.raises(QuavfError, match=r"a/quality.*: cannot write \(.*\); check free space"):
        score_quality(store.path)


@pytest.mark.parametrize("frames", [range(5), range(2)], ids=["as many crops", "fewer crops"])
def test_a_clip_that_is_prepared_again_meanwhile(
    store: ClipStore, monkeypatch: pytest.MonkeyPatch, frames: range
) -> None:
    """The scores on disk are those of the crops on disk."""

    class Preparing(Counting):
        def score(self, regions: Sequence[Image], confidences: Any = None) -> Any:
            scores = super().score(regions, confidences)
            if self.scored == 4:  # in the middle of clip a: then its crops are others
                make(store.path, {"a": {1: [f + 50 for f in frames]}}, fingerprint="g")
            return scores

    monkeypatch.setattr(module, "CHUNK", 4)
    score_with(store, Preparing(), monkeypatch)
    faces = store.faces("a")
    assert len(faces) == len(frames)
    scores = store.quality("a", "light")
    monkeypatch.undo()
    (store.folder("a") / "quality" / "light.parquet").unlink()
    score_quality(store.path)
    np.testing.assert_array_equal(scores, store.quality("a", "light"))


def test_partial_scores_of_another_version_of_a_clip(
    store: ClipStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "CHUNK", 4)
    monkeypatch.setattr(clip_rows, "SAVE_EVERY_S", 0.0)
    with pytest.raises(KeyboardInterrupt):
        score_with(store, Counting(stop_after=4), monkeypatch)
    (part,) = (store.folder("a") / "quality").glob(".light.*.npy")
    content = part.read_bytes()
    make(store.path, {"a": {1: range(50, 60)}}, fingerprint="g")
    part.parent.mkdir()
    part.write_bytes(content)
    assert score_with(store, Counting(), monkeypatch).scored == 10 + 1
