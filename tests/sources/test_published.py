"""The published code's prepared data: the same store as from the clips themselves."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from quavf.core.errors import AnnotationError
from quavf.core.records import CropGeometry, CroppedClip, Segment
from quavf.faces.crop import encode_jpeg
from quavf.sources.config import PublishedConfig
from quavf.sources.published import index_published
from quavf.store import ClipStore, CropReader
from quavf.workflows.prepare import PrepareSummary, prepare_source
from tests.helpers.data import needs_golden
from tests.helpers.media_files import tone, write_wav

ENTRY = {
    "adjustInfo": {"origShape": [105, 180], "pad": [94, 224, 0, 224]},
    "origBbox": [0.0, 140.0, 70.5, 230.0],
    "newBbox": [0, 95, 105, 275],
}
GEOMETRY = CropGeometry((0.0, 140.0, 70.5, 230.0), (0, 95, 105, 275), (94, 224, 0, 224))
LABELS = [
    {"uid": "a", "person": 0, "target": None, "startFrame": 0, "endFrame": 9},
    {"uid": "a", "person": 2, "target": "0", "startFrame": 3, "endFrame": 20},
]


def crop(level: int = 100) -> bytes:
    return encode_jpeg(np.full((224, 224, 3), level, np.uint8))


def write_data(root: Path, metadata: Mapping[str, Any] | None = None, labels: Any = LABELS) -> Path:
    """Clip `a`, a training clip of one second with a person 2 in frames 3 and 10."""
    for name in ("ttm", "split", "wave", "faceCrops/a/2"):
        (root / name).mkdir(parents=True)
    (root / "split" / "train.txt").write_text("a\n")
    (root / "ttm" / "a.json").write_text(json.dumps(labels))
    write_wav(root / "wave" / "a.wav", np.stack([tone(1.0, 16_000)]))
    for frame in (3, 10):
        (root / "faceCrops" / "a" / "2" / f"{frame}.jpg").write_bytes(crop(10 * frame))
    entries = {"a": {"2": {"3": ENTRY, "10": ENTRY}}} if metadata is None else metadata
    (root / "metaData.json").write_text(json.dumps(entries))
    return root


def read_one(root: Path) -> CroppedClip:
    (record,) = index_published(PublishedConfig(root)).records
    assert isinstance(record, CroppedClip)
    return record


def prepare(root: Path, store: Path) -> tuple[ClipStore, PrepareSummary]:
    summary = prepare_source("published", store, PublishedConfig(root))
    return ClipStore.open(store), summary


def test_store(tmp_path: Path) -> None:
    root = write_data(tmp_path / "data")
    store, summary = prepare(root, tmp_path / "store")
    assert (summary.clips, summary.crops, summary.segments) == (1, 2, 1)
    assert (summary.clips_by_split, summary.notes) == ({"train": 1}, {})
    config, manifest, faces = store.config, store.manifest("a"), store.faces("a")
    assert (config.kind, config.semantics, config.framing) == ("published", "reference", "grown")
    assert manifest.segments == (Segment(0, 0, 9, 0), Segment(2, 3, 20, 1))
    assert (manifest.n_samples, manifest.frame_size) == (16_000, None)
    assert (faces.person.tolist(), faces.frame.tolist()) == ([2, 2], [3, 10])
    assert faces.geometry(0) == faces.geometry(1) == GEOMETRY
    assert CropReader(store, "a", faces).read(1) == crop(100)
    assert prepare(root, tmp_path / "store")[1].skipped == 1


@needs_golden
def test_same_as_from_the_clips(e2e_root: Path, e2e_store: Path, tmp_path: Path) -> None:
    """The published crops (as our store has them, byte for byte) with the published metadata."""
    expected, root = ClipStore.open(e2e_store), tmp_path / "data"
    (root / "wave").mkdir(parents=True)
    for name in ("ttm", "split"):
        (root / name).symlink_to(e2e_root / name)
    for clip in expected.clips():
        faces = expected.faces(clip)
        reader = CropReader(expected, clip, faces)
        for row, (person, frame) in enumerate(zip(faces.person, faces.frame, strict=True)):
            path = root / "faceCrops" / clip / str(person) / f"{frame}.jpg"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(reader.read(row))
        (root / "wave" / f"{clip}.wav").symlink_to(expected.folder(clip) / "sound.wav")
    config = PublishedConfig(root, e2e_root / "metaData.json")
    summary = prepare_source("published", tmp_path / "store", config)
    assert (summary.crops, summary.notes, summary.failed) == (6785, {}, {})
    found = ClipStore.open(tmp_path / "store")
    assert found.clips() == expected.clips()
    for clip in expected.clips():
        ours, theirs = found.manifest(clip), expected.manifest(clip)
        for name in ("split", "segments", "n_samples", "n_crops", "clock"):
            assert getattr(ours, name) == getattr(theirs, name), (clip, name)
        for name in ("person", "frame", "box", "region", "picture", "size"):
            a, b = getattr(found.faces(clip), name), getattr(expected.faces(clip), name)
            np.testing.assert_array_equal(a, b, err_msg=f"{clip} {name}")
        np.testing.assert_allclose(found.faces(clip).time_s, expected.faces(clip).time_s, atol=1e-3)
        n_samples = ours.n_samples or 0
        sound = found.sound(clip, 0, n_samples)
        np.testing.assert_array_equal(sound, expected.sound(clip, 0, n_samples))


def test_faults_are_counted(tmp_path: Path) -> None:
    faulty = [
        {"person": "'3'", "target": None, "startFrame": 0, "endFrame": 3},
        {"person": None, "target": None, "startFrame": 0, "endFrame": 3},
        {"person": 1, "target": None, "startFrame": 5, "endFrame": 3},
    ]
    root = write_data(tmp_path / "data", {"a": {"2": {"3": ENTRY}}}, faulty)
    (root / "faceCrops" / "a" / "2" / "x.jpg").write_bytes(crop())
    (root / "faceCrops" / "a" / "notes").mkdir()
    (root / "wave" / "a.wav").unlink()
    record = read_one(root)
    assert record.segments == (Segment(3, 0, 3, 0),)
    assert [*record.faces[2]] == [3]
    assert record.sound is None
    assert record.notes == {
        "segments whose person is not a number": 1,
        "segments that end before they start, or lie outside of any clip": 1,
        "pictures without an entry in metaData.json, left out": 1,
        "files in faceCrops/<clip>/<person> that are not named <frame>.jpg": 1,
        "entries of faceCrops/<clip> that are not named <person>": 1,
    }


def test_clips_without_crops_or_labels(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A clip without crops keeps its sound and labels, as with `prepare ego4d`."""
    root = write_data(tmp_path / "data")
    (root / "split" / "valid.txt").write_text("b\nc\n")
    (root / "split" / "test.txt").write_text("d\n")
    (root / "ttm" / "b.json").write_text(json.dumps(LABELS))
    index = index_published(PublishedConfig(root))
    assert [(record.clip, record.split) for record in index.records] == [
        ("a", "train"),
        ("b", "val"),
    ]
    assert index.notes == {"clips in a split list without labels": 1}
    assert caplog.messages == [f"{root / 'ttm'}: no labels of 1 clips: c"]
    store, _ = prepare(root, tmp_path / "store")
    assert (store.manifest("b").n_crops, len(store.manifest("b").segments)) == (0, 2)


def test_a_change_of_labels_or_metadata_is_noticed(tmp_path: Path) -> None:
    plain = read_one(write_data(tmp_path / "plain"))
    other = {"a": {"2": {"3": ENTRY, "10": {**ENTRY, "origBbox": [1, 140, 70, 230]}}}}
    changed = [
        read_one(write_data(tmp_path / "labels", labels=LABELS[:1])),
        read_one(write_data(tmp_path / "metadata", other)),
    ]
    assert read_one(write_data(tmp_path / "same")).fingerprint == plain.fingerprint
    assert plain.fingerprint not in {record.fingerprint for record in changed}


@pytest.mark.parametrize(
    ("pad", "picture"),
    [
        ([0, 224, 0, 224], (0, 224, 0, 224)),
        ([94, 224, 0, 224], (94, 224, 0, 224)),  # left
        ([0, 102, 0, 224], (0, 122, 0, 224)),  # right: the width of the padding
        ([0, 224, 112, 224], (0, 224, 112, 224)),  # top
        ([0, 224, 0, 120], (0, 224, 0, 104)),  # bottom: the height of the padding
    ],
)
def test_padding(tmp_path: Path, pad: list[int], picture: tuple[int, ...]) -> None:
    entry = {**ENTRY, "adjustInfo": {"pad": pad}}
    record = read_one(write_data(tmp_path / "data", {"a": {"2": {"3": entry}}}))
    assert record.geometry[2][3].picture == picture


@pytest.mark.parametrize("missing", ["faceCrops", "metaData.json"])
def test_missing_parts(tmp_path: Path, missing: str) -> None:
    root = write_data(tmp_path / "data")
    (root / missing).rename(tmp_path / missing)
    with pytest.raises(AnnotationError, match=f"{missing}: not there; pass the folder of"):
        read_one(root)


@pytest.mark.parametrize(
    "change",
    [
        {"origBbox": [0, 1, 2]},
        {"origBbox": [0, 1, 2, "x"]},
        {"newBbox": [5, 0, 5, 9]},
        {"adjustInfo": {"pad": [0, 225, 0, 224]}},
        {"adjustInfo": {"pad": [20, 200, 0, 224]}},
        {"adjustInfo": {"pad": [0, 224]}},
        {"adjustInfo": {}},
        {"origBbox": [0, 1, 2, float("nan")]},
    ],
)
def test_faulty_metadata(tmp_path: Path, change: dict[str, Any]) -> None:
    root = write_data(tmp_path / "data", {"a": {"2": {"3": {**ENTRY, **change}}}})
    with pytest.raises(AnnotationError, match=r"metaData\.json: clip a: person 2: frame 3: exp"):
        read_one(root)


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ({}, r"a\.json: expected a list of segments, found a dict"),
        ([{"person": 1}], r"a\.json: segment 0: expected person, target, startFrame"),
        ([*LABELS, 7], r"a\.json: segment 2: expected .*, found 7"),
    ],
)
def test_faulty_labels(tmp_path: Path, labels: Any, message: str) -> None:
    root = write_data(tmp_path / "data", labels=labels)
    with pytest.raises(AnnotationError, match=message):
        read_one(root)
