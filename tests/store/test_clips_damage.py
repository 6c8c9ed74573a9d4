"""Damage that leaves files readable: named when the clip is read, never scored."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from quavf.core.errors import StoreError
from quavf.store import ClipStore, CropReader
from tests.helpers.stores import forget_sums, make_store, make_tiny_store

REMEDY = "; delete the clip's folder and prepare again"


@pytest.fixture
def store(tmp_path: Path) -> ClipStore:
    return make_store(tmp_path / "store", {1: [0, 5, 9], 2: [3, 4]}, n_samples=4000)


def read_all(store: ClipStore, clip: str = "clip") -> None:
    faces = store.faces(clip)
    reader = CropReader(store, clip, faces)
    for row in range(len(faces)):
        reader.read(row)
    store.sound(clip, 0, 100)
    store.quality(clip, "light")


def change_table(change: Callable[[pa.Table], pa.Table]) -> Callable[[Path], None]:
    def spoil(folder: Path) -> None:
        path = folder / "faces.parquet"
        pq.write_table(change(pq.read_table(path)), path)

    return spoil


def with_value(name: str, row: int, value: Any) -> Callable[[Path], None]:
    def change(table: pa.Table) -> pa.Table:
        values = table[name].to_pylist()
        values[row] = value
        column = pa.array(values, table.schema.field(name).type)
        return table.set_column(table.column_names.index(name), name, column)

    return change_table(change)


def flip(name: str, position: int) -> Callable[[Path], None]:
    def spoil(folder: Path) -> None:
        data = bytearray((folder / name).read_bytes())
        data[position] ^= 0xFF
        (folder / name).write_bytes(data)

    return spoil


def shrink_wav(folder: Path) -> None:
    """Both sizes in the header say 1000 samples; the file keeps its length."""
    data = bytearray((folder / "sound.wav").read_bytes())
    data[4:8], data[40:44] = (2036).to_bytes(4, "little"), (2000).to_bytes(4, "little")
    (folder / "sound.wav").write_bytes(data)


def edit_manifest(**changes: Any) -> Callable[[Path], None]:
    def spoil(folder: Path) -> None:
        path = folder / "clip.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | changes))

    return spoil


STRUCTURE: dict[str, tuple[Callable[[Path], None], str]] = {
    "emptied table": (change_table(lambda t: t.slice(0, 0)), "0 rows, clip.json says 5"),
    "half a table": (change_table(lambda t: t.slice(0, 2)), "2 rows, clip.json says 5"),
    "unsorted rows": (
        change_table(lambda t: t.take([1, 0, 2, 3, 4])),
        "row 1 is out of order, or twice there",
    ),
    "unsorted persons": (
        change_table(lambda t: t.take([3, 4, 0, 1, 2])),
        "row 2 is out of order, or twice there",
    ),
    "a row twice": (change_table(lambda t: t.take([0, 0, 2, 3, 4])), "row 1 is out of order"),
    "empty cells": (with_value("frame", 1, None), "empty cells in frame"),
    "a huge size": (with_value("size", 2, 2**62), "the crop of row 2 lies outside crops.tar"),
    "a negative size": (with_value("size", 2, -1), "the crop of row 2 lies outside"),
    "a huge offset": (with_value("offset", 4, 2**62), "the crop of row 4 lies outside"),
    "a negative offset": (with_value("offset", 0, -5), "the crop of row 0 lies outside"),
    "a shrunken header": (shrink_wav, r"1000 samples .*clip.json says 4000 samples"),
    "another rate": (flip("sound.wav", 24), r"16 bit, \d+ Hz\); clip.json says 4000"),
    "tar gone": (lambda folder: (folder / "crops.tar").unlink(), "No such file"),
}


@pytest.mark.parametrize("earlier", [False, True], ids=["", "of an earlier version"])
@pytest.mark.parametrize("fault", STRUCTURE)
def test_damaged_structure(store: ClipStore, fault: str, earlier: bool) -> None:
    """Clips of earlier versions have no sums: what does not fit together is found all the same."""
    spoil, says = STRUCTURE[fault]
    if earlier:
        forget_sums(store)
        read_all(store)
    spoil(store.folder("clip"))
    if not earlier and fault != "tar gone":
        says = "(has|its content has|samples|out of order|lies outside|empty cells|clip.json says)"
    with pytest.raises(StoreError, match=rf"clip/\S+: .*{says}.*{REMEDY}") as caught:
        read_all(store)
    assert "\n" not in str(caught.value)


CONTENT: dict[str, tuple[Callable[[Path], None], str]] = {
    "sound bytes": (flip("sound.wav", 3000), r"sound\.wav: its content has changed"),
    "a byte of a crop": (flip("crops.tar", 1200), r"crops\.tar: crop 0 is damaged"),
    "a box": (with_value("box_x1", 0, 3.0), r"faces\.parquet: (has|its content has)"),
    "the segments": (edit_manifest(segments=[[1, 0, 5, 1]]), r"clip\.json: was edited after"),
    "the split": (edit_manifest(split="train"), r"clip\.json: was edited after"),
    "the counts": (edit_manifest(n_crops=4), r"clip\.json: was edited after"),
    "a sum": (edit_manifest(files={}), r"clip\.json: was edited after"),
}


@pytest.mark.parametrize("what", CONTENT)
def test_changed_content(store: ClipStore, what: str) -> None:
    spoil, says = CONTENT[what]
    read_all(store)
    spoil(store.folder("clip"))
    with pytest.raises(StoreError, match=rf"{says}.*{REMEDY}"):
        read_all(store)


def test_another_clips_sound(tmp_path: Path) -> None:
    store = make_tiny_store(tmp_path / "store", ("train", "val"), faces=False)
    other = tmp_path / "other.wav"
    shutil.copyfile(store.folder("clip1") / "sound.wav", other)
    flip("other.wav", 5000)(tmp_path)
    shutil.copyfile(other, store.folder("clip0") / "sound.wav")
    with pytest.raises(StoreError, match=r"clip0/sound\.wav: its content has changed"):
        store.sound("clip0", 0, 10)
    store.sound("clip1", 0, 10)


def test_counts_of_an_earlier_version_are_compared(store: ClipStore) -> None:
    forget_sums(store)
    edit_manifest(n_crops=4)(store.folder("clip"))
    with pytest.raises(StoreError, match=r"5 rows, clip\.json says 4"):
        store.faces("clip")
    edit_manifest(n_crops=5, n_samples=3999)(store.folder("clip"))
    store.faces("clip")
    with pytest.raises(StoreError, match=r"4000 samples .*clip\.json says 3999 samples"):
        store.sound("clip", 0, 10)


def test_a_table_without_the_later_column(store: ClipStore) -> None:
    forget_sums(store)
    change_table(lambda table: table.drop_columns(["crc32"]))(store.folder("clip"))
    assert store.faces("clip").crc32 is None
    read_all(store)


def test_sound_is_compared_again_when_it_changes(store: ClipStore) -> None:
    """And only then: a clip's windows are read many times."""
    store.sound("clip", 0, 10)
    known = dict(store._sounds._verified)
    store.sound("clip", 10, 20)
    assert store._sounds._verified == known
    flip("sound.wav", 3000)(store.folder("clip"))
    with pytest.raises(StoreError, match="its content has changed"):
        store.sound("clip", 0, 10)


def test_a_clip_without_its_manifest(store: ClipStore) -> None:
    (store.folder("clip") / "clip.json").unlink()
    with pytest.raises(StoreError, match=rf"clips/clip: has no clip\.json{REMEDY}"):
        store.clips()
    assert store.finished_clips() == []


@pytest.mark.parametrize("name", ["Neuer Ordner", "@eaDir", ".Trash"])
def test_stray_folders(store: ClipStore, name: str) -> None:
    """Those without a clip in them are passed over; a clip under such a name is refused."""
    stray = store.path / "clips" / name
    stray.mkdir()
    (stray / "notes.txt").write_text("mine")
    (store.path / "clips" / "a file").write_text("mine")
    assert store.clips() == ["clip"]
    shutil.copytree(store.folder("clip"), stray, dirs_exist_ok=True)
    if name.startswith("."):
        assert store.clips() == ["clip"]
        return
    with pytest.raises(StoreError, match="this is not the name of a clip; move the folder out"):
        store.clips()


def test_confidences_of_another_length(tmp_path: Path) -> None:
    store = make_store(tmp_path / "store", {1: [0, 1]}, n_samples=None)
    with store.write_clip("clip2") as writer:
        writer.add_crop(1, 0, 0.0, store.faces("clip").geometry(0), b"x")
        writer.add_confidences([0.5])
        writer.finish(replace(store.manifest("clip"), clip="clip2", n_crops=1))
    assert store.confidences("clip2") == [0.5]
    path = store.folder("clip2") / "confidence.parquet"
    pq.write_table(pa.table({"confidence": np.zeros(2)}), path)
    with pytest.raises(StoreError, match=r"confidence\.parquet: (has|its content)"):
        store.confidences("clip2")
    forget_sums(store, "clip2")
    with pytest.raises(StoreError, match=r"confidence\.parquet: 2 rows, clip\.json says 1"):
        store.confidences("clip2")
    path.unlink()
    assert store.confidences("clip2") is None


def test_a_flipped_bit_in_a_quality_table(store: ClipStore) -> None:
    path = store.folder("clip") / "quality" / "light.parquet"
    scores, n_found = store.quality("clip", "light"), 0
    whole = path.read_bytes()
    for position in range(0, len(whole), 7):
        data = bytearray(whole)
        data[position] ^= 1
        path.write_bytes(data)
        try:
            found = store.quality("clip", "light")
        except StoreError:
            n_found += 1
        else:
            np.testing.assert_array_equal(found, scores)
    assert n_found > 20
