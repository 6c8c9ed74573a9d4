"""The clip store: what is written is read, a clip is there whole or not at all, damage is named."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import pickle
import subprocess
import sys
import tarfile
import wave
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from quavf.core.clock import Clock
from quavf.core.errors import QuavfError, StoreError
from quavf.core.records import CropGeometry, Interval, Segment, SourceRows
from quavf.store import FORMAT, ClipStore, CropReader, Manifest, StoreConfig
from quavf.store import clips as clips_module
from tests.helpers.disk import full_disk

CONFIG = StoreConfig("ego4d", "fixed", "grown")
SEGMENTS = (Segment(1, 0, 9, 1), Segment(0, 3, 4, 0))
NOWHERE = CropGeometry((0,) * 4, (0,) * 4, (0,) * 4)
CROPS = [(2, 7), (1, 5), (1, 3), (12, 0), (2, 6)]  # person, frame: in the order of decoding


def manifest(clip: str, **changes: Any) -> Manifest:
    whole = Manifest(
        clip=clip,
        split="train",
        clock=Clock(Fraction(30_000, 1001)),
        segments=SEGMENTS,
        n_samples=1000,
        n_crops=len(CROPS),
        frame_size=(640, 360),
        fingerprint="f1",
        config_hash=CONFIG.hash,
        notes={"boxes of negative size": 2},
    )
    return replace(whole, **changes)


def content(person: int, frame: int) -> bytes:
    """Stands for a JPEG; of a length of its own."""
    return f"{person}/{frame} ".encode() * (100 * person + frame)


def write(store: ClipStore, clip: str = "a", **changes: Any) -> None:
    with store.write_clip(clip) as writer:
        for person, frame in CROPS:
            box = (person + 0.5, frame, person + 10.25, frame + 20)
            geometry = CropGeometry(box, (person, frame, 100, 101), (0, 224, frame, 224))
            writer.add_crop(person, frame, frame / 30, geometry, content(person, frame))
        writer.add_sound(np.arange(-500, 500, dtype=np.int16) * 60)
        writer.finish(manifest(clip, n_crops=writer.n_crops, **changes))


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clips_module, "PATIENCE_S", 0.0)


@pytest.fixture
def store(tmp_path: Path) -> ClipStore:
    store = ClipStore.create(tmp_path / "store", CONFIG)
    write(store)
    return store


def files(folder: Path) -> dict[str, bytes]:
    paths = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in paths}


def test_manifest_there_and_back(store: ClipStore) -> None:
    assert ClipStore.open(store.path).manifest("a") == manifest("a")
    bare = manifest("b", segments=(), n_samples=None, frame_size=None, notes={})
    assert Manifest.from_json(json.loads(json.dumps(bare.to_json())), "x") == bare


INTERVALS = (Interval(0, 3, 4), Interval(1, 0, 9))


@pytest.mark.parametrize("looking", [None, (), INTERVALS])
def test_intervals_there_and_back(store: ClipStore, looking: Any) -> None:
    labelled = manifest("b", speaking=INTERVALS, looking=looking)
    assert Manifest.from_json(json.loads(json.dumps(labelled.to_json())), "x") == labelled


def test_unlabelled_stretches_there_and_back(store: ClipStore) -> None:
    unlabelled = {"looking": (Interval(1, 3, 4),), "talking": INTERVALS}
    labelled = manifest("b", speaking=INTERVALS, unlabelled=unlabelled)
    assert Manifest.from_json(json.loads(json.dumps(labelled.to_json())), "x") == labelled
    assert "unlabelled" not in manifest("b").to_json(), "as in clips of earlier versions"
    store.write_intervals("a", INTERVALS, (), unlabelled)
    store.write_intervals("a", (), ())
    assert store.manifest("a").unlabelled == unlabelled
    store.write_intervals("a", (), (), {})
    assert store.manifest("a").unlabelled == {}


def test_source_rows_there_and_back(store: ClipStore, tmp_path: Path) -> None:
    assert store.source_rows("a") is None
    rows = SourceRows(np.array([2, 1]), np.array([5, 0]), ("é,1", "x"))
    with store.write_clip("b") as writer:
        writer.add_source_rows(rows)
        writer.finish(manifest("b", n_crops=0, n_samples=None))
    found = store.source_rows("b")
    assert found is not None
    assert found.text == rows.text
    assert (found.person.tolist(), found.frame.tolist()) == ([2, 1], [5, 0])


def test_intervals_are_replaced_in_place(store: ClipStore) -> None:
    before = files(store.folder("a"))
    store.write_intervals("a", INTERVALS, ())
    assert store.manifest("a") == manifest("a", speaking=INTERVALS, looking=())
    after = files(store.folder("a"))
    assert {n for n in after if after[n] != before[n]} == {"clip.json"}


def test_stores_of_earlier_versions_have_no_intervals(store: ClipStore) -> None:
    path = store.folder("a") / "clip.json"
    content = json.loads(path.read_text())
    for name in ("speaking", "looking", "files", "checksum"):
        del content[name]
    path.write_text(json.dumps(content))
    assert store.manifest("a") == manifest("a")
    assert (store.manifest("a").speaking, store.manifest("a").looking) == (None, None)


@pytest.mark.parametrize("bad", [[[1, 5, 4]], [[1, -1, 4]], [[1, 2]], [["x", 1, 2]], 3])
def test_damaged_intervals(store: ClipStore, bad: Any) -> None:
    path = store.folder("a") / "clip.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "looking": bad}))
    with pytest.raises(StoreError, match=r"clip\.json: damaged at 'looking' .*; delete the clip"):
        store.manifest("a")


def test_faces_are_sorted_by_person_and_frame(store: ClipStore) -> None:
    faces = store.faces("a")
    keys = list(zip(faces.person.tolist(), faces.frame.tolist(), strict=True))
    assert keys == sorted(CROPS)
    assert len(faces) == 5
    assert faces.persons() == [1, 2, 12]
    row = keys.index((2, 7))
    assert faces.box[row].tolist() == [2.5, 7, 12.25, 27]
    assert faces.region[row].tolist() == [2, 7, 100, 101]
    assert faces.picture[row].tolist() == [0, 224, 7, 224]
    assert faces.time_s[row] == 7 / 30


@pytest.mark.parametrize(
    ("person", "rows"),
    [(0, (0, 0)), (1, (0, 2)), (2, (2, 4)), (3, (4, 4)), (12, (4, 5)), (99, (5, 5))],
)
def test_rows_of_a_person(store: ClipStore, person: int, rows: tuple[int, int]) -> None:
    found = store.faces("a").rows_of(person)
    assert (found.start, found.stop) == rows


def test_crops_by_row(store: ClipStore) -> None:
    faces = store.faces("a")
    reader = CropReader(store, "a", faces)
    for row in (4, 0, 3, 1, 2):
        assert reader.read(row) == content(int(faces.person[row]), int(faces.frame[row]))
    reader.close()
    reader.close()
    assert reader.read(0) == content(1, 3)  # opens again
    other: CropReader = pickle.loads(pickle.dumps(reader))
    assert other.read(1) == content(1, 5)  # as a data loader's worker does


def test_tar_is_a_plain_one(store: ClipStore) -> None:
    with tarfile.open(store.crops_path("a"), "r:") as archive:
        members = {m.name: archive.extractfile(m) for m in archive.getmembers()}
        found = {name: file.read() for name, file in members.items() if file is not None}
    assert found == {f"{person}/{frame}.jpg": content(person, frame) for person, frame in CROPS}


def test_a_clip_without_faces_and_sound(tmp_path: Path) -> None:
    store = ClipStore.create(tmp_path / "store", CONFIG)
    with store.write_clip("a") as writer:
        writer.finish(manifest("a", n_crops=0, n_samples=None))
    faces = store.faces("a")
    assert len(faces) == 0
    assert (faces.box.shape, faces.region.shape, faces.picture.shape) == ((0, 4),) * 3
    assert faces.persons() == []
    assert faces.rows_of(1) == slice(0, 0)
    with pytest.raises(StoreError, match=r"sound\.wav: cannot be read .*; delete the clip"):
        store.sound("a", 0, 10)
    with tarfile.open(store.crops_path("a")) as archive:
        assert archive.getmembers() == []


@pytest.mark.parametrize(
    ("start", "end", "first", "n"),
    [
        (0, 1000, 0, 1000),
        (10, 20, 10, 10),
        (990, 1010, 990, 10),
        (1000, 1010, 1000, 0),
        (5000, 6000, 0, 0),
        (-5, 5, 0, 5),
        (7, 7, 7, 0),
        (9, 3, 0, 0),
    ],
)
def test_sound(store: ClipStore, start: int, end: int, first: int, n: int) -> None:
    samples = store.sound("a", start, end)
    assert samples.dtype == np.float32
    expected = (np.arange(first, first + n) - 500) * 60 / 32_768
    np.testing.assert_allclose(samples, expected.astype(np.float32), atol=0)


def test_sound_is_a_plain_wav(store: ClipStore) -> None:
    with wave.open(str(store.folder("a") / "sound.wav")) as file:
        assert file.getparams()[:4] == (1, 2, 16_000, 1000)


def test_sound_in_pieces_is_the_same_file(store: ClipStore, tmp_path: Path) -> None:
    whole = np.arange(-500, 500, dtype=np.int16) * 60
    other = ClipStore.create(tmp_path / "other", CONFIG)
    with other.write_clip("a") as writer:
        assert writer.add_sound_chunks([]) is None
        assert not (writer.folder / "sound.wav").exists()
        assert writer.add_sound_chunks(iter([whole[:1], whole[1:1], whole[1:]])) == len(whole)
        writer.finish(manifest("a", n_crops=0))
    written = (s.folder("a") / "sound.wav" for s in (store, other))
    assert len({path.read_bytes() for path in written}) == 1


def test_clips_by_split(store: ClipStore) -> None:
    write(store, "c", split="val")
    write(store, "b")
    assert store.clips() == ["a", "b", "c"]
    assert store.clips("train") == ["a", "b"]
    assert store.clips("test") == []


def test_the_same_content_gives_the_same_bytes(tmp_path: Path) -> None:
    for name in ("one", "two"):
        write(ClipStore.create(tmp_path / name, CONFIG))
    assert files(tmp_path / "one") == files(tmp_path / "two")
    assert sorted(files(tmp_path / "one")) == [
        "clips/a/clip.json",
        "clips/a/crops.tar",
        "clips/a/faces.parquet",
        "clips/a/sound.wav",
        "store.json",
    ]


class Interrupted(BaseException):
    """Like KeyboardInterrupt, which would end the tests."""


def interrupt(store: ClipStore, after: str) -> None:
    with store.write_clip("a") as writer:
        if after != "nothing":
            writer.add_crop(1, 5, 0.0, NOWHERE, b"x" * 5000)
        if after in ("sound", "finish"):
            writer.add_sound(np.zeros(10, np.int16))
        if after == "finish":
            writer.finish(manifest("a", n_crops=1, n_samples=10))
        raise Interrupted


@pytest.mark.parametrize("after", ["nothing", "a crop", "sound", "finish"])
def test_what_is_not_finished_leaves_nothing(tmp_path: Path, after: str) -> None:
    store = ClipStore.create(tmp_path / "store", CONFIG)
    with pytest.raises(Interrupted):
        interrupt(store, after)
    assert store.clips() == []
    assert sorted(files(store.path)) == ["store.json"]


def test_an_older_clip_survives_a_failure_and_goes_with_success(store: ClipStore) -> None:
    store.write_quality("a", "light", np.zeros(5), {})
    before = files(store.path)
    with pytest.raises(Interrupted):
        interrupt(store, "sound")
    assert files(store.path) == before
    write(store, fingerprint="f2")
    assert store.is_current("a", "f2")
    assert not store.is_current("a", "f1")
    assert store.scorers() == []  # scores of crops that are gone


@pytest.mark.parametrize("n_bytes", [0, 300, 1000, 3000, 6000])
def test_full_disk(tmp_path: Path, n_bytes: int) -> None:
    """One error that names the place, wherever in the clip it strikes; nothing half-written."""
    store = ClipStore.create(tmp_path / "store", CONFIG)
    with full_disk(n_bytes), pytest.raises(QuavfError, match=r"cannot write .*File too large"):
        write(store)
    assert sorted(files(store.path)) == ["store.json"]
    write(store)
    assert store.clips() == ["a"]


def test_full_disk_while_sound_is_written(tmp_path: Path) -> None:
    store = ClipStore.create(tmp_path / "store", CONFIG)
    with (
        full_disk(20_000),
        pytest.raises(QuavfError, match=r"cannot write .*File too large"),
        store.write_clip("a") as writer,
    ):
        writer.add_sound(np.zeros(100_000, np.int16))
    assert sorted(files(store.path)) == ["store.json"]


def test_full_disk_while_the_table_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(table: pa.Table, path: Path, **options: Any) -> None:
        path.write_bytes(b"half")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    store = ClipStore.create(tmp_path / "store", CONFIG)
    write(store, "b")
    before = files(store.path)
    monkeypatch.setattr(pq, "write_table", full)
    with pytest.raises(QuavfError, match=r"clips/a: cannot write \(No space left"):
        write(store)
    with pytest.raises(QuavfError, match=r"light\.parquet: cannot write \(No space left"):
        store.write_quality("b", "light", np.zeros(5), {})
    assert files(store.path) == before


def test_full_disk_at_the_very_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = ClipStore.create(tmp_path / "store", CONFIG)

    def rename(self: Path, target: Path) -> Path:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(Path, "rename", rename)
        with pytest.raises(QuavfError, match=r"clips/a: cannot write \(No space left"):
            write(store)
    assert sorted(files(store.path)) == ["store.json"]


def test_leftovers_of_a_killed_run_are_removed(store: ClipStore) -> None:
    before = files(store.path)
    for name in (
        "clips/.b.x1.tmp/crops.tar",
        "clips/.a.x1.old.tmp/clip.json",
        ".summary.json.x.tmp",
        "clips/a/quality/.light.parquet.x.tmp",
    ):
        path = store.path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("half")
        os.utime(path, (1, 1))
    assert store.clips() == ["a"]
    assert ClipStore.create(store.path, CONFIG).clips() == ["a"]
    assert files(store.path) == before


def refused(store: ClipStore) -> None:
    says = r"store: another process is writing clips into this store; wait until it ends, or choose"
    with pytest.raises(StoreError, match=says), store.lock():
        pass


def test_what_others_are_writing_is_left_alone(store: ClipStore) -> None:
    """Another `prepare` of the same store takes away neither a clip nor a table half-done."""
    table = store.folder("a") / "quality" / ".light.parquet.x.tmp"
    table.parent.mkdir()
    table.write_text("half")
    with store.write_clip("b") as writer:
        writer.add_crop(1, 5, 0.0, NOWHERE, b"x")
        other = ClipStore.create(store.path, CONFIG)
        refused(other)
        write(other, "c")
        writer.finish(manifest("b", n_crops=1, n_samples=None))
    assert store.clips() == ["a", "b", "c"]
    assert table.is_file()
    with other.lock():
        write(other, "b")


def test_a_store_is_held_for_a_whole_block(store: ClipStore) -> None:
    other = ClipStore.open(store.path)
    with store.lock():
        write(store, "b")
        with pytest.raises(StoreError, match="another process"):
            write(other, "c")
        write(store, "c")
    write(other, "d")
    assert store.clips() == ["a", "b", "c", "d"]


def test_a_killed_process_holds_nothing(store: ClipStore) -> None:
    script = (
        "import os, sys\n"
        "from quavf.store import ClipStore\n"
        "with ClipStore.open(sys.argv[1]).write_clip('b'):\n"
        "    print('writing', flush=True)\n"
        "    sys.stdin.read()\n"
    )
    command = [sys.executable, "-c", script, str(store.path)]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "writing\n"
        other = ClipStore.create(store.path, CONFIG)
        assert len(list((store.path / "clips").glob(".b.*.tmp"))) == 1
        refused(other)
        process.kill()
    write(ClipStore.create(store.path, CONFIG), "b")
    assert not list((store.path / "clips").glob(".*"))


def test_a_disk_without_locks(store: ClipStore, monkeypatch: pytest.MonkeyPatch) -> None:
    def unsupported(handle: int, operation: int) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", unsupported)
    write(ClipStore.create(store.path, CONFIG), "b")
    assert store.clips() == ["a", "b"]


def test_creating_again_changes_nothing(store: ClipStore) -> None:
    os.utime(store.path / "store.json", (1, 1))
    before = files(store.path)
    assert ClipStore.create(store.path, CONFIG).config == CONFIG
    assert files(store.path) == before
    assert (store.path / "store.json").stat().st_mtime == 1


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"semantics": "reference"}, "semantics='fixed', now asked for semantics='reference'"),
        ({"kind": "challenge"}, "kind='ego4d', now asked for kind='challenge'"),
        ({"framing": "face"}, "framing='grown', now asked for framing='face'"),
    ],
)
def test_other_settings_are_refused(store: ClipStore, changes: dict[str, str], says: str) -> None:
    with pytest.raises(StoreError, match=f"store: made with {says}; choose another --store"):
        ClipStore.create(store.path, replace(CONFIG, **changes))


def test_a_clip_of_another_store_is_refused(store: ClipStore, tmp_path: Path) -> None:
    other = ClipStore.create(tmp_path / "other", replace(CONFIG, semantics="reference"))
    with other.write_clip("b") as writer:
        writer.finish(manifest("b", n_crops=0, n_samples=None, config_hash=other.config.hash))
    other.folder("b").rename(store.folder("b"))
    with pytest.raises(StoreError, match=r"b/clip\.json: made with other settings than the store"):
        store.manifest("b")


def test_a_renamed_clip_is_refused(store: ClipStore) -> None:
    store.folder("a").rename(store.folder("b"))
    with pytest.raises(StoreError, match=r"b/clip\.json: this is clip 'a' under another name"):
        store.manifest("b")


def test_no_store(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(StoreError, match=r"no store here .*make it with `quavf prepare`"):
            ClipStore.open(path)


@pytest.mark.parametrize("kind", ["folder", "file"])
def test_what_is_no_store_is_not_written_into(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "thesis"
    if kind == "folder":
        path.mkdir()
        (path / "chapter1").write_text("mine")
    else:
        path.write_text("mine")
    with pytest.raises(StoreError, match="thesis: exists and is not a store; choose a new"):
        ClipStore.create(path, CONFIG)
    expected = ["thesis", "chapter1"] if kind == "folder" else ["thesis"]
    assert [p.name for p in tmp_path.rglob("*")] == expected


def test_an_empty_folder_becomes_a_store(tmp_path: Path) -> None:
    assert ClipStore.create(tmp_path, CONFIG).clips() == []


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", r"store\.json: damaged .*empty.*; delete the store"),
        ("{", r"store\.json: damaged .*not valid JSON"),
        ("[]", r"store\.json: damaged"),
        ("null", r"store\.json: damaged"),
        ("{}", r"store\.json: damaged .*'format'"),
        (f'{{"format": {FORMAT}}}', r"store\.json: damaged .*kind"),
        (
            f'{{"format": {FORMAT}, "kind": "ego4d", "semantics": "new", "framing": "x"}}',
            "'new' is",
        ),
        ('{"format": 99, "later": 1}', rf"store format 99, this version reads {FORMAT}; choose"),
    ],
)
def test_damaged_store_file(store: ClipStore, text: str, says: str) -> None:
    (store.path / "store.json").write_text(text)
    with pytest.raises(StoreError, match=says) as caught:
        ClipStore.open(store.path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"clip": 3}, "clip"),
        ({"split": None}, "split"),
        ({"clock": "0"}, "clock"),
        ({"clock": "-30"}, "clock"),
        ({"clock": "30/0"}, "clock"),
        ({"clock": "fast"}, "clock"),
        ({"clock": None}, "clock"),
        ({"segments": None}, "segments"),
        ({"segments": [3]}, "segments"),
        ({"segments": [[1, 2, 3]]}, "segments"),
        ({"segments": [[1, 2, 3, 2]]}, "segments"),
        ({"segments": [[1, 2, float("inf"), 1]]}, "segments"),
        ({"n_samples": "many"}, "n_samples"),
        ({"n_samples": 3.5}, "n_samples"),
        ({"n_crops": None}, "n_crops"),
        ({"n_crops": True}, "n_crops"),
        ({"frame_size": [640]}, "frame_size"),
        ({"frame_size": "x"}, "frame_size"),
        ({"fingerprint": 5}, "fingerprint"),
        ({"config_hash": None}, "config_hash"),
        ({"notes": []}, "notes"),
    ],
)
def test_damaged_manifest_field(store: ClipStore, change: dict[str, Any], field: str) -> None:
    path = store.folder("a") / "clip.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    says = rf"a/clip\.json: damaged at '{field}' .*; delete the clip's folder and prepare again"
    with pytest.raises(StoreError, match=says):
        store.manifest("a")


@pytest.mark.parametrize("field", sorted({*manifest("a").to_json()} - {"speaking", "looking"}))
def test_missing_manifest_field(store: ClipStore, field: str) -> None:
    path = store.folder("a") / "clip.json"
    raw = json.loads(path.read_text())
    del raw[field]
    path.write_text(json.dumps(raw))
    says = "was edited" if field == "files" else f"damaged at '{field}'"
    with pytest.raises(StoreError, match=rf"a/clip\.json: {says}"):
        store.manifest("a")


@pytest.mark.parametrize("text", ["", "{", "[]", "null", "3"])
def test_damaged_manifest(store: ClipStore, text: str) -> None:
    (store.folder("a") / "clip.json").write_text(text)
    with pytest.raises(StoreError, match=r"a/clip\.json: .*; delete the clip's folder and prepare"):
        store.manifest("a")


def cut(path: Path, n_bytes: int) -> None:
    path.write_bytes(path.read_bytes()[:n_bytes])


def without_column(path: Path) -> None:
    pq.write_table(pq.read_table(path).drop_columns(["offset"]), path)


def words_for_numbers(path: Path) -> None:
    table = pq.read_table(path)
    words = pa.array(["x"] * len(table))
    pq.write_table(table.set_column(table.column_names.index("frame"), "frame", words), path)


@pytest.mark.parametrize(
    "spoil",
    [
        Path.unlink,
        lambda path: cut(path, 0),
        lambda path: cut(path, 500),
        lambda path: path.write_bytes(b"no parquet" * 100),
        without_column,
        words_for_numbers,
    ],
    ids=["gone", "empty", "cut", "other", "column gone", "wrong type"],
)
def test_damaged_faces(store: ClipStore, spoil: Callable[[Path], Any]) -> None:
    spoil(store.folder("a") / "faces.parquet")
    with pytest.raises(
        StoreError,
        match=r"a/faces\.parquet: (cannot be read|has \d+ bytes).*; delete the clip's folder and",
    ):
        store.faces("a")


@pytest.mark.parametrize(
    ("n_bytes", "says"),
    [(None, "cannot be read .No such file"), (0, "truncated"), (700, "truncated")],
)
def test_damaged_tar(store: ClipStore, n_bytes: int | None, says: str) -> None:
    faces, path = store.faces("a"), store.crops_path("a")
    path.unlink() if n_bytes is None else cut(path, n_bytes)
    with pytest.raises(StoreError, match=rf"a/crops\.tar: {says}.*; delete the clip's folder"):
        CropReader(store, "a", faces).read(4)


def test_offset_that_cannot_be(store: ClipStore) -> None:
    faces = store.faces("a")
    broken = replace(faces, offset=faces.offset * -1)
    with pytest.raises(StoreError, match=r"crops\.tar: cannot be read"):
        CropReader(store, "a", broken).read(0)


@pytest.mark.parametrize("n_bytes", [0, 20, 43, 45, 1001, 1500])
def test_damaged_sound(store: ClipStore, n_bytes: int) -> None:
    cut(store.folder("a") / "sound.wav", n_bytes)
    with pytest.raises(StoreError, match=r"a/sound\.wav: (cannot be read|has \d+ bytes).*; delete"):
        store.sound("a", 0, 1000)


def test_unknown_clip(store: ClipStore) -> None:
    with pytest.raises(StoreError, match="store: clip b is not in this store"):
        store.manifest("b")
    assert not store.is_current("b", "f1")


@pytest.mark.parametrize("name", ["../x", "/abs", "a/b", "", "..", "x" * 300])
def test_names_that_would_leave_the_store(store: ClipStore, name: str) -> None:
    """Sources refuse them with a message; the store itself never follows one."""
    with pytest.raises(AssertionError):
        store.folder(name)
    with pytest.raises(AssertionError):
        store.quality("a", name)


def test_quality_there_and_back(store: ClipStore) -> None:
    scores = np.array([0.0, 0.25, np.nan, 1.0, 1 / 3])
    assert store.scorers() == []
    store.write_quality("a", "light", scores, {"grid": 64})
    np.testing.assert_array_equal(store.quality("a", "light"), scores)
    assert store.scorers() == ["light"]
    assert store.has_quality("a", "light", {"grid": 64})
    assert not store.has_quality("a", "light", {"grid": 32})
    assert not store.has_quality("a", "fan", {"grid": 64})
    metadata = pq.read_schema(store.folder("a") / "quality" / "light.parquet").metadata
    assert json.loads(metadata[b"settings_json"]) == {"grid": 64}


def test_scorers_have_scored_every_clip(store: ClipStore) -> None:
    write(store, "b")
    for clip, scorer in (("a", "light"), ("b", "light"), ("a", "fan")):
        store.write_quality(clip, scorer, np.zeros(5), {})
    assert store.scorers() == ["light"]
    assert ClipStore.create(store.path.parent / "empty", CONFIG).scorers() == []


def test_damaged_quality(store: ClipStore) -> None:
    """It can be made again: the message says how, and `quavf quality` does not skip it."""
    with pytest.raises(StoreError, match="clip a has no quality from 'light'; run `quavf"):
        store.quality("a", "light")
    store.write_quality("a", "light", np.zeros(5), {})
    path = store.folder("a") / "quality" / "light.parquet"
    cut(path, 100)
    with pytest.raises(StoreError, match=r"light\.parquet: cannot be read .*; run `quavf quality"):
        store.quality("a", "light")
    assert not store.has_quality("a", "light", {})


def test_a_table_belongs_to_its_clip(store: ClipStore) -> None:
    """What was computed from other faces counts as absent, and can neither be read nor written."""
    before = store.fingerprint("a")
    store.write_quality("a", "light", np.zeros(5), {"grid": 64}, before)
    old = (store.folder("a") / "quality" / "light.parquet").read_bytes()
    write(store, fingerprint="f2")  # the same number of crops
    assert store.fingerprint("a") != before
    with pytest.raises(StoreError, match="prepared again in the meantime; repeat the command"):
        store.write_quality("a", "light", np.zeros(5), {"grid": 64}, before)
    path = store.folder("a") / "quality" / "light.parquet"
    assert not path.exists()
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(old)
    assert not store.has_quality("a", "light", {"grid": 64})
    assert store.scorers() == []
    with pytest.raises(StoreError, match=r"made from an earlier version of the clip; run `quavf q"):
        store.quality("a", "light")


def test_a_table_of_an_earlier_version_is_read(store: ClipStore) -> None:
    """It knows no fingerprint; the number of its rows must fit."""
    path = store.folder("a") / "quality" / "light.parquet"
    path.parent.mkdir()
    for n_scores in (5, 4):
        pq.write_table(pa.table({"quality": np.linspace(0, 1, n_scores)}), path)
        assert store.has_quality("a", "light") is (n_scores == 5)
        assert store.scorers() == (["light"] if n_scores == 5 else [])
    with pytest.raises(StoreError, match=r"light\.parquet: 4 scores for 5 crops; run `quavf"):
        store.quality("a", "light")


def test_tables_of_any_name(store: ClipStore) -> None:
    table, schema = pa.table({"yaw": [0.5, np.nan]}), pa.schema([("yaw", pa.float64())])
    assert not store.has_table("a", "cues.parquet")
    with pytest.raises(StoreError, match=r"cues\.parquet: no such table; run it"):
        store.table("a", "cues.parquet", schema, "run it")
    store.write_table("a", "cues.parquet", table, {"rate": 15})
    assert store.has_table("a", "cues.parquet", {"rate": 15})
    assert not store.has_table("a", "cues.parquet", {"rate": 30})
    assert store.table("a", "cues.parquet", schema, "run it")["yaw"][0].as_py() == 0.5
    with store.write_clip("b") as writer:
        writer.add_table("cues.parquet", table, {"rate": 15})
        writer.finish(manifest("b", n_crops=0, n_samples=None))
    assert store.has_table("b", "cues.parquet", {"rate": 15})


def test_a_table_of_a_clip_that_is_gone(store: ClipStore) -> None:
    """It would leave a folder in the way of the next `prepare`."""
    with pytest.raises(StoreError, match="clip b is not in this store"):
        store.write_quality("b", "light", np.zeros(5), {})
    assert not store.folder("b").exists()
