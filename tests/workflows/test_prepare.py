"""Annotations and media become a store: as published, repeatable, whatever the input is like."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from quavf.core.errors import AnnotationError, ConfigError, QuavfError, StoreError
from quavf.core.records import Interval
from quavf.faces.crop import decode_jpeg, encode_jpeg
from quavf.sources.config import Ego4dConfig
from quavf.sources.media.file import VideoFile, open_video_file
from quavf.store import ClipStore, ClipWriter, CropReader
from quavf.store import clips as clips_module
from quavf.workflows.prepare import PrepareSummary, prepare_ego4d, prepare_source
from tests.helpers.annotations import clip, person, segment, span, still, write_annotations
from tests.helpers.disk import full_disk
from tests.helpers.media_files import (
    SIZE,
    cut_short,
    damage,
    number_of,
    tone,
    write_video,
    write_wav,
)

WHOLE = (0.0, 0.0, float(SIZE[0]), float(SIZE[1]))  # x, y, width, height
STEREO = np.stack([tone(0.7, 48_000)] * 2)


def whole(first: int, end: int) -> list[Any]:
    return [(frame, *WHOLE) for frame in range(first, end)]


CLIPS = {
    "a": clip(
        "a",
        [person(1, still(0, 20, x=10)), person(2, whole(0, 20))],
        [segment("1", 3, 8, "0"), segment("1", 6, 10), segment("2", 15, 30), segment("0", 0, 5)],
    ),
    "b": clip("b", [person(1, still(2, 9), still(12, 15))], [segment("1", 0, 19, "0")]),
    "c": clip("c", [person(3, whole(0, 20))], [segment("'3'", 4, 4), segment(None, 0, 3)]),
}


@pytest.fixture(scope="session")
def media(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("media")
    write_video(folder / "a.mp4", 20, 30, sound=STEREO)
    write_video(folder / "b.mp4", 20, Fraction(30_000, 1001))
    write_video(folder / "c.mp4", 20, 25, sound=STEREO[:1])
    return folder


@pytest.fixture
def root(tmp_path: Path, media: Path) -> Path:
    """`annotations/` (a, b train; c val), `clips/`."""
    shutil.copytree(media, tmp_path / "clips")
    write_annotations(tmp_path / "annotations", [CLIPS["a"], CLIPS["b"]], [CLIPS["c"]])
    return tmp_path


def prepare(root: Path, store: str = "store", semantics: str = "fixed") -> PrepareSummary:
    splits = root / "split" if (root / "split").is_dir() else None
    return prepare_ego4d(
        root / "annotations", root / "clips", root / store, semantics, splits=splits
    )


def test_the_old_name_of_semantics_still_works(root: Path) -> None:
    with pytest.warns(DeprecationWarning, match="semantics_name: use semantics"):
        prepare_ego4d(
            root / "annotations", root / "clips", root / "store", semantics_name="reference"
        )
    assert ClipStore.open(root / "store").config.semantics == "reference"


def annotate(root: Path, *clips: dict[str, Any]) -> None:
    write_annotations(root / "annotations", clips)


def files(folder: Path) -> dict[str, bytes]:
    paths = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in paths}


def times(folder: Path) -> dict[str, int]:
    """Of files and folders."""
    return {str(path): path.stat().st_mtime_ns for path in [folder, *folder.rglob("*")]}


def crops(store: ClipStore, name: str) -> dict[tuple[int, int], Any]:
    """RGB crops by person and frame."""
    faces = store.faces(name)
    reader = CropReader(store, name, faces)
    keys = zip(faces.person.tolist(), faces.frame.tolist(), strict=True)
    return {key: decode_jpeg(reader.read(row)) for row, key in enumerate(keys)}


def test_crops_as_published(e2e_root: Path, e2e_store: Path) -> None:
    """Every JPEG byte of 6785 crops, and the boxes that go with them."""
    lines = (e2e_root / "faceCrops_sha1.txt").read_text().split("\n")
    pairs = (line.split() for line in lines if line)
    expected = {name: digest for digest, name in pairs}
    boxes = json.loads((e2e_root / "metaData.json").read_text())
    store, found, n_boxes = ClipStore.open(e2e_store), {}, 0
    for name in store.clips():
        faces = store.faces(name)
        reader = CropReader(store, name, faces)
        for row, (who, frame) in enumerate(zip(faces.person, faces.frame, strict=True)):
            found[f"./{name}/{who}/{frame}.jpg"] = hashlib.sha1(reader.read(row)).hexdigest()
            x1, y1, x2, y2 = faces.region[row].tolist()
            picture = faces.picture[row].tolist()  # an end before 224 was published as 224 - end
            published = boxes[name][str(who)][str(frame)]
            assert published["origBbox"] == faces.box[row].tolist()
            assert published["newBbox"] == [x1, y1, x2, y2]
            assert published["adjustInfo"] == {
                "origShape": [x2 - x1, y2 - y1],
                "pad": [
                    224 - side if k % 2 and side < 224 else side for k, side in enumerate(picture)
                ],
            }
        n_boxes += sum(len(frames) for frames in boxes[name].values())
    assert found == expected
    assert n_boxes == len(found)


def test_qualities_as_published(e2e_root: Path, e2e_store: Path) -> None:
    golden = json.loads((e2e_root / "qualityScore_scaled.json").read_text())
    store = ClipStore.open(e2e_store)
    for name in store.clips():
        faces, scores = store.faces(name), store.quality(name, "imported")
        keys = zip(faces.person.tolist(), faces.frame.tolist(), strict=True)
        expected = [golden[name].get(str(p), {}).get(str(f), np.nan) for p, f in keys]
        np.testing.assert_array_equal(scores, expected)
        assert np.isfinite(scores).sum() == sum(len(frames) for frames in golden[name].values())


def test_what_a_store_holds(root: Path) -> None:
    summary = prepare(root)
    store = ClipStore.open(root / "store")
    assert store.clips() == ["a", "b", "c"]
    a, b, c = (store.manifest(name) for name in "abc")
    assert [m.split for m in (a, b, c)] == ["train", "train", "val"]
    assert [m.clock.fps for m in (a, b, c)] == [30, Fraction(30_000, 1001), 25]
    assert [m.frame_size for m in (a, b, c)] == [SIZE] * 3
    assert [m.n_samples is None for m in (a, b, c)] == [False, True, False]
    assert a.n_samples == len(store.sound("a", 0, 10**6))
    assert [(s.person, s.start_frame, s.last_frame, s.label) for s in a.segments] == [
        (1, 3, 8, 1),
        (1, 6, 10, 0),
        (2, 15, 30, 0),
        (0, 0, 5, 0),
    ]
    # Segments hold their last frame; where two overlap, a crop is kept once; the video ends at 20.
    assert list(crops(store, "a")) == [(1, f) for f in range(3, 11)] + [
        (2, f) for f in range(15, 20)
    ]
    assert list(crops(store, "b")) == [(1, f) for f in (*range(2, 9), *range(12, 15))]
    assert list(crops(store, "c")) == [(3, 4)]
    assert not (store.folder("b") / "sound.wav").exists()
    assert summary.to_json() == {
        "clips": 3,
        "segments": 5,
        "positive_segments": 2,
        "crops": 24,
        "clips_by_split": {"train": 2, "val": 1},
        "sound_hours": 0.0004,
        "notes": {"clips without sound": 1, "segments without a person": 1},
        "failed": {},
    }
    assert json.loads((root / "store" / "summary.json").read_text()) == summary.to_json()


def test_each_crop_is_of_its_frame(root: Path) -> None:
    """The picture's own number is read back from crops of the whole picture."""
    prepare(root)
    store = ClipStore.open(root / "store")
    shown = {**crops(store, "a"), **crops(store, "c")}
    for (who, frame), crop in shown.items():
        if who != 1:
            assert number_of(crop[56:]) == frame  # 128 x 96: padded at the top by 56
            assert not crop[:48].any()


def test_crops_equal_those_of_whole_pictures(root: Path) -> None:
    prepare(root)
    store = ClipStore.open(root / "store")
    faces, reader = store.faces("a"), CropReader(store, "a", store.faces("a"))
    shown = list(open_video_file(root / "clips" / "a.mp4").pictures())
    picture = shown[5].source.to_ndarray(format="bgr24")
    (row,) = np.flatnonzero((faces.person == 1) & (faces.frame == 5))
    x1, y1, x2, y2 = faces.region[row]
    assert (x1, y1, x2, y2) == (0, 18, 46, 66)  # 24 px at (10, 30), twice as large, cut on the left
    assert faces.picture[row].tolist() == [10, 224, 0, 224]
    expected = np.zeros((224, 224, 3), np.uint8)
    expected[:, 10:] = cv2.resize(picture[y1:y2, x1:x2], (214, 224))
    assert reader.read(int(row)) == encode_jpeg(expected)


def test_second_prepare_changes_nothing(root: Path) -> None:
    first = prepare(root)
    before, stamps = files(root / "store"), times(root / "store")
    second = prepare(root)
    assert (first.skipped, second.skipped) == (0, 3)
    assert second.to_json() == first.to_json()
    assert files(root / "store") == before
    assert times(root / "store") == stamps


def test_faces_outside_segments(root: Path) -> None:
    prepare(root)
    folder = root / "annotations"
    config = Ego4dConfig(folder, root / "clips", every=4)
    prepare_source("ego4d", root / "store", config)
    faces = ClipStore.open(root / "store").faces("a")
    keys = list(zip(faces.person.tolist(), faces.frame.tolist(), strict=True))
    inside = {1: {*range(3, 11)}, 2: {*range(15, 20)}}
    assert keys == [
        (person, f) for person, own in inside.items() for f in sorted(own | {*range(0, 20, 4)})
    ]
    before = times(root / "store" / "clips")
    assert prepare_source("ego4d", root / "store", config).skipped == 3
    assert times(root / "store" / "clips") == before
    with pytest.raises(ConfigError, match="every is -1, expected 0 or more"):
        Ego4dConfig(folder, root / "clips", every=-1)


def test_labels_of_speaking_and_looking(root: Path) -> None:
    """Clips that were prepared without them get them, and nothing else changes."""
    raw = json.loads(json.dumps(CLIPS["a"]))
    raw["persons"][1]["voice_segments"] = [span(3, 9)]
    raw["social_segments_looking"] = [segment("2", 1, 5)]
    annotate(root, raw)
    prepare(root)
    store = ClipStore.open(root / "store")
    made = store.manifest("a")
    assert (made.speaking, made.looking) == ((Interval(1, 3, 9),), (Interval(2, 1, 5),))
    whole = files(root / "store")
    store.write_intervals("a", None, None)
    before = times(root / "store" / "clips" / "a")
    assert prepare(root).skipped == 1
    after = times(root / "store" / "clips" / "a")
    assert {Path(p).name for p in after if after[p] != before[p]} == {"a", "clip.json"}
    assert files(root / "store") == whole


def test_interrupted_prepare_goes_on(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C in the second clip: the first one stays, and in the end nothing tells."""
    prepare(root, "straight")
    add_crop, count = ClipWriter.add_crop, [0]

    def interrupted(self: ClipWriter, *args: Any) -> None:
        count[0] += 1
        if count[0] == 13 + 5:  # 13 are of the first clip
            raise KeyboardInterrupt
        add_crop(self, *args)

    with monkeypatch.context() as patch:
        patch.setattr(ClipWriter, "add_crop", interrupted)
        with pytest.raises(KeyboardInterrupt):
            prepare(root)
    assert sorted({name.split("/")[1] for name in files(root / "store") if "/" in name}) == ["a"]
    stamps = times(root / "store" / "clips" / "a")
    assert prepare(root).skipped == 1
    assert times(root / "store" / "clips" / "a") == stamps
    assert files(root / "store") == files(root / "straight")


def test_a_second_prepare_is_refused_while_one_is_at_it(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also between two clips; and it takes nothing away from the first."""
    prepare(root, "straight")
    clip = ClipStore.clips

    def clips(self: ClipStore, split: str | None = None) -> list[str]:
        with pytest.raises(StoreError, match="another process is writing clips into this store"):
            prepare(root)
        return clip(self, split)

    with monkeypatch.context() as patch:
        patch.setattr(clips_module, "PATIENCE_S", 0.0)
        patch.setattr(ClipStore, "clips", clips)
        prepare(root)
    assert files(root / "store") == files(root / "straight")


KILLED = """
import os, signal, sys
from pathlib import Path
from quavf.workflows.prepare import prepare_ego4d
from quavf.store import ClipWriter

finish, count = ClipWriter.finish, []

def killed(self, manifest):
    count.append(0)
    if len(count) == 2:
        os.kill(os.getpid(), signal.SIGKILL)
    finish(self, manifest)

ClipWriter.finish = killed
root = Path(sys.argv[1])
prepare_ego4d(root / "annotations", root / "clips", root / "store")
"""


def test_killed_prepare_goes_on(root: Path) -> None:
    done = subprocess.run([sys.executable, "-c", KILLED, str(root)], capture_output=True)
    assert done.returncode == -signal.SIGKILL, done.stderr
    left = list((root / "store" / "clips").iterdir())
    assert len(left) == 2  # a, and what there is of b
    assert ClipStore.open(root / "store").clips() == ["a"]
    assert prepare(root).skipped == 1
    prepare(root, "straight")
    assert files(root / "store") == files(root / "straight")


def test_changed_clips_are_made_again(root: Path) -> None:
    """New labels, boxes, split, or media: that clip and no other."""
    prepare(root)
    path = root / "store" / "clips"
    changed = clip("a", [person(1, still(0, 20, x=11))], [segment("1", 3, 8, "0")])
    for what in ("annotation", "media", "split"):
        stamps = times(path)
        if what == "annotation":
            write_annotations(root / "annotations", [changed, CLIPS["b"]], [CLIPS["c"]])
            again = "a"
        elif what == "media":
            write_video(root / "clips" / "b.mp4", 21, 30)
            again = "b"
        else:
            write_annotations(root / "annotations", [changed, CLIPS["b"], CLIPS["c"]])
            again = "c"
        assert prepare(root).skipped == 2
        new = {name.split("/clips/")[1].split("/")[0] for name, t in times(path).items()
               if stamps.get(name) != t and "/clips/" in name}  # fmt: skip
        assert new == {again}
    assert ClipStore.open(root / "store").faces("a").box[0].tolist() == [11, 30, 35, 54]
    assert files(root / "store") == (prepare(root, "anew"), files(root / "anew"))[1]


def test_changed_clip_that_cannot_be_made_again(root: Path, caplog: Any) -> None:
    """Its older version stays (the clips' disk may be away for a while), and this is told."""
    prepare(root)
    before = files(root / "store" / "clips")
    shutil.rmtree(root / "clips")
    summary = prepare(root)
    assert files(root / "store" / "clips") == before
    assert sorted(summary.failed) == ["a", "b", "c"]
    assert "a.mp4: no such file (an older version of this clip is in" in summary.failed["a"]
    assert "clip a is left out" in caplog.text


@pytest.mark.parametrize(("first", "then"), [("fixed", "reference"), ("reference", "fixed")])
def test_semantics_are_never_mixed(root: Path, first: str, then: str) -> None:
    prepare(root, semantics=first)
    before = files(root / "store")
    with pytest.raises(
        StoreError, match=f"semantics='{first}', now asked for semantics='{then}'; choose another"
    ):
        prepare(root, semantics=then)
    assert files(root / "store") == before


def test_semantics_change_what_is_stored(root: Path) -> None:
    annotate(root, clip("a", [person(1, still(2, 7, x=-6))], [segment("1", 0, 19)]))
    boxes = {}
    for name in ("fixed", "reference"):
        prepare(root, name, name)
        faces = ClipStore.open(root / name).faces("a")
        boxes[name] = faces.frame.tolist(), faces.box[0].tolist()
    assert boxes["fixed"] == ([2, 3, 4, 5, 6], [0, 30, 18, 54])
    assert boxes["reference"] == ([2, 3, 4, 5], [0, 30, 24, 54])


def test_the_wearer_is_never_cropped(root: Path) -> None:
    """Not even where the published system, which goes by position, takes them for another."""
    people = [person(1, still(0, 5)), person(0, still(0, 5), wearer=True), person(-1, still(0, 5))]
    talking = [segment(str(who), 0, 3) for who in (1, 0, -1)]
    annotate(root, {**clip("a", [], talking), "persons": people})
    for name, expected in (("fixed", {1}), ("reference", set())):
        prepare(root, name, name)
        assert {who for who, _ in crops(ClipStore.open(root / name), "a")} == expected


def test_unknown_semantics(root: Path) -> None:
    with pytest.raises(
        ConfigError, match=r"'new' is not known; use one of \['fixed', 'reference'\]"
    ):
        prepare(root, semantics="new")
    assert not (root / "store").exists()


def test_clips_of_other_annotations_are_not_mixed(root: Path) -> None:
    prepare(root)
    before = files(root / "store")
    annotate(root, CLIPS["b"])
    with pytest.raises(StoreError, match=r"holds 2 clips that this source does not have .*: a"):
        prepare(root)
    assert files(root / "store") == before


def test_split_lists(root: Path, caplog: pytest.LogCaptureFixture) -> None:
    (root / "split").mkdir()
    (root / "split" / "train.txt").write_text("c\nghost\n")
    (root / "split" / "test.txt").write_text("a\n")
    summary = prepare(root)
    assert summary.clips_by_split == {"test": 1, "train": 1}
    assert summary.notes["clips not in any split list"] == 1
    assert summary.notes["clips in a split list without annotations"] == 1
    assert "ghost" in caplog.text


def test_no_clip_of_the_lists_is_annotated(root: Path) -> None:
    (root / "split").mkdir()
    (root / "split" / "train.txt").write_text("ghost\n")
    with pytest.raises(StoreError, match=r"no clip could be prepared .*the source has none"):
        prepare(root)


def test_a_listed_clip_is_absent(root: Path, caplog: pytest.LogCaptureFixture) -> None:
    (root / "clips" / "b.mp4").unlink()
    summary = prepare(root)
    assert summary.clips == 2
    assert summary.failed == {"b": f"{root / 'clips' / 'b.mp4'}: no such file"}
    assert "clip b is left out" in caplog.text
    assert not (root / "store" / "clips" / "b").exists()
    stamps = times(root / "store")
    assert prepare(root).to_json() == summary.to_json()
    assert times(root / "store") == stamps


@pytest.mark.parametrize("how", ["empty folder", "no folder"])
def test_all_clips_are_absent(root: Path, how: str) -> None:
    shutil.rmtree(root / "clips")
    if how == "empty folder":
        (root / "clips").mkdir()
    with pytest.raises(
        StoreError, match=r"store: no clip could be prepared \(.*a\.mp4: no such file\)"
    ):
        prepare(root)
    assert sorted(files(root / "store")) == ["store.json"]


def cut_to(n_bytes: int) -> Callable[[Path], Any]:
    return lambda path: path.write_bytes(path.read_bytes()[:n_bytes])


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (lambda path: path.write_bytes(b""), "not a readable media file"),
        (lambda path: path.write_text("no video\n"), "not a readable media file"),
        (cut_to(200), "(not a readable|no video|damaged)"),
        (lambda path: write_wav(path, STEREO, 48_000), "no video in this file; is it sound only"),
        (lambda path: (path.unlink(), path.mkdir()), "a folder, not a media file"),
    ],
    ids=["empty", "text", "cut in the index", "sound only", "folder"],
)
def test_unreadable_media(root: Path, spoil: Callable[[Path], Any], says: str) -> None:
    """The clip is left out with its reason; the others are made."""
    spoil(root / "clips" / "a.mp4")
    summary = prepare(root)
    assert ClipStore.open(root / "store").clips() == ["b", "c"]
    assert list(summary.failed) == ["a"]
    assert re.search(rf"a\.mp4: .*{says}", summary.failed["a"])


CASES: dict[str, tuple[Callable[[Path], Any], int, str]] = {
    # how the 20 frames of clip b's video are made; how many of its 10 crops are left; a note
    "cut short": (
        lambda path: cut_short(write_video(path, 60), 0.15),
        5,
        "boxes on pictures that are not in the video",
    ),
    "damaged": (
        lambda path: damage(write_video(path, 60), 0.03, 0.1),
        6,
        "damaged packets",
    ),
    "variable frame rate": (
        lambda path: write_video(
            path, 10, times=[0, 0.1, 0.2, 0.3, 0.31, 0.4, 0.45, 0.5, 0.6, 0.7]
        ),
        10,
        "clips with a variable frame rate",
    ),
    "without sound": (lambda path: write_video(path, 20), 10, "clips without sound"),
    "10 bit": (
        lambda path: write_video(path, 20, pix_fmt="yuv420p10le"),
        10,
        "clips without sound",
    ),
    "odd size": (
        lambda path: write_video(path, 20, size=(127, 95), pix_fmt="yuv444p"),
        10,
        "clips without sound",
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_faulty_media(root: Path, case: str, caplog: pytest.LogCaptureFixture) -> None:
    """Survived, counted, and a warning names the clip."""
    make, n_crops, note = CASES[case]
    make(root / "clips" / "b.mp4")
    summary = prepare(root)
    store = ClipStore.open(root / "store")
    found = crops(store, "b")
    assert set(found) <= {(1, f) for f in (*range(2, 9), *range(12, 15))}
    assert abs(len(found) - n_crops) <= 2 if n_crops < 10 else len(found) == 10
    assert summary.notes[note] > 0
    assert any(m.startswith("clip b: ") for m in caplog.messages)
    if note != "clips without sound":
        assert any(m.startswith(f"clip b: {note}: ") for m in caplog.messages)
    assert summary.failed == {}
    assert summary.crops + summary.notes.get("boxes on pictures that are not in the video", 0) == 24


@pytest.mark.parametrize("semantics", ["fixed", "reference"])
@pytest.mark.parametrize(
    ("rows", "frames", "note"),
    [
        ([], [], "tracks without a usable box"),
        ([(5, 0, 0, -1, 5), (6, 0, 0, 5, -1)], [], "tracks without a usable box"),
        ([(f, 30, 30, 24, 24) for f in (9, 8, 7, 6, 5)], [5, 6, 7, 8, 9], None),
        ([(f, 5000, 30, 24, 24) for f in range(5, 10)], [], "boxes outside the picture"),
        ([(f, 30, 5000, 24, 24) for f in range(5, 10)], [], "boxes outside the picture"),
        ([(f, 30, 30, 0, 0) for f in range(5, 10)], [], "boxes outside the picture"),
        ([(f, -500, -500, 5000, 5000) for f in range(5, 10)], [5, 6, 7, 8, 9], None),
        ([(f, 120, 90, 24, 24) for f in range(5, 10)], [5, 6, 7, 8, 9], None),
        ([(10**5 + f, 30, 30, 24, 24) for f in range(3)], [], None),  # after the segment
    ],
    ids=["empty", "negative", "reversed", "right", "below", "point", "huge", "corner", "late"],
)
def test_tracks_of_all_kinds(
    root: Path, semantics: str, rows: list[Any], frames: list[int], note: str | None
) -> None:
    talking = [segment("1", 0, 19), segment("2", 0, 1)]
    annotate(root, clip("a", [person(1, rows), person(2, still(0, 3))], talking))
    summary = prepare(root, semantics=semantics)
    lost = 1 if semantics == "reference" else 0
    of_1 = [frame for who, frame in crops(ClipStore.open(root / "store"), "a") if who == 1]
    assert of_1 == frames[: len(frames) - lost]
    assert (note is None) == (not set(summary.notes) - {"boxes of negative size"})
    assert note is None or summary.notes[note] > 0


def test_a_clip_without_any_label_or_face(root: Path) -> None:
    annotate(root, clip("a", [], []), CLIPS["b"])
    summary = prepare(root)
    assert summary.clips == 2
    assert ClipStore.open(root / "store").manifest("a").n_crops == 0


@pytest.mark.parametrize("uid", ["../x", "/abs", "a/b", "", "x" * 5000, "..", "a\nb"])
def test_hostile_ids(root: Path, uid: str) -> None:
    before = sorted(path.name for path in root.rglob("*"))
    annotate(root, {**CLIPS["a"], "clip_uid": uid})
    with pytest.raises(AnnotationError, match="this clip_uid cannot name a file"):
        prepare(root)
    assert sorted(path.name for path in root.rglob("*")) == before


@pytest.mark.parametrize("text", ["", "{", '{"videos": [{"clips": [{}]}]}'])
def test_bad_annotations_leave_no_store(root: Path, text: str) -> None:
    (root / "annotations" / "av_val.json").write_text(text)
    with pytest.raises(AnnotationError, match=r"av_val\.json: "):
        prepare(root)
    assert not (root / "store").exists()


def test_output_below_a_file(root: Path) -> None:
    (root / "file").write_text("mine")
    with pytest.raises(QuavfError, match=r"file.*: cannot write \(.*\); check free space"):
        prepare(root, "file/store")
    with pytest.raises(StoreError, match="file: exists and is not a store"):
        prepare(root, "file")
    assert (root / "file").read_text() == "mine"


@pytest.mark.parametrize("n_bytes", [0, 10, 8000, 40_000])
def test_full_disk(root: Path, n_bytes: int) -> None:
    """One error, nothing half-written; with room again the same store as without the trouble."""
    with full_disk(n_bytes), pytest.raises(QuavfError, match=r"cannot write .*File too large"):
        prepare(root)
    assert not [name for name in files(root / "store") if ".tmp" in name]
    prepare(root)
    prepare(root, "straight")
    assert files(root / "store") == files(root / "straight")


def test_media_that_goes_away_half_way(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A fault of reading is not told as one of writing, and leaves no half a clip."""

    sound = VideoFile.sound

    def gone(file: VideoFile) -> Any:
        if file.path.name == "a.mp4":
            file.path.unlink()
        return sound(file)

    monkeypatch.setattr(VideoFile, "sound", gone)
    summary = prepare(root)
    assert summary.failed == {"a": f"{root / 'clips' / 'a.mp4'}: no such file"}
    assert sorted({name.split("/")[1] for name in files(root / "store") if "/" in name}) == [
        "b",
        "c",
    ]


@pytest.mark.parametrize("file", ["clip.json", "store.json"])
def test_damaged_store(root: Path, file: str) -> None:
    prepare(root)
    path = root / "store" / ("store.json" if file == "store.json" else "clips/a/clip.json")
    path.write_text("{")
    with pytest.raises(StoreError, match=rf"{file}: .*not valid JSON .*; delete the"):
        prepare(root)


def test_faultless_clips_give_no_warning(root: Path, caplog: pytest.LogCaptureFixture) -> None:
    annotate(root, clip("c", [person(3, whole(0, 20))], [segment("3", 4, 9)]))
    summary = prepare(root)
    assert caplog.records == []
    assert summary.notes == {}


def test_real_footage(real_store: Path) -> None:
    store = ClipStore.open(real_store)
    summary = json.loads((real_store / "summary.json").read_text())
    assert summary["clips"] == 3
    assert summary["failed"] == {}
    assert summary["sound_hours"] == pytest.approx(24 / 3600, abs=1e-3)
    for name in store.clips():
        faces, manifest = store.faces(name), store.manifest(name)
        assert manifest.frame_size == (1280, 720)
        assert len(faces) == manifest.n_crops > 100
        for row in range(0, len(faces), 50):
            picture = decode_jpeg(CropReader(store, name, faces).read(row))
            assert picture is not None
            assert picture.shape == (224, 224, 3)
            assert picture.std() > 15  # something is to be seen
