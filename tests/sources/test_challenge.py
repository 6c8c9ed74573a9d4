"""Challenge segments: face pictures and sound as they lie on disk."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from quavf.core.errors import AnnotationError, StoreError
from quavf.core.records import CroppedClip
from quavf.faces.crop import decode_jpeg
from quavf.sources.challenge import read_challenge
from quavf.store import ClipStore, CropReader
from quavf.workflows.prepare import PrepareSummary, prepare_challenge
from tests.helpers.media_files import jpeg, tone, write_wav


def segment(root: Path, name: str, *files: str, data: bytes | None = None) -> Path:
    folder = root / name / "face"
    folder.mkdir(parents=True)
    for file in files:
        (folder / file).write_bytes(jpeg() if data is None else data)
    return root / name


def read_one(root: Path) -> CroppedClip:
    (found,) = read_challenge(root)
    return found


def test_segments_by_name_and_faces_by_number(tmp_path: Path) -> None:
    segment(tmp_path, "b", "10.jpg", "9.jpg", "100.JPG", "0.jpeg")
    segment(tmp_path, "a")
    assert [s.clip for s in read_challenge(tmp_path)] == ["a", "b"]
    b = list(read_challenge(tmp_path))[1]
    assert list(b.faces[1]) == [0, 9, 10, 100]
    assert b.sound is None
    assert b.notes == {}


def test_other_files_are_counted_and_left_out(tmp_path: Path) -> None:
    folder = segment(
        tmp_path,
        "a",
        *("5.jpg", "x.jpg", "-1.jpg", "1.5.jpg", "6.png", "seven.jpg", ".DS_Store", "٣.jpg"),
        "99999999999999999999.jpg",  # no frame number: it would not fit into the store
    )
    (folder / "face" / "8.jpg").mkdir()
    (folder / "face" / "9.jpg").symlink_to("nowhere")
    found = read_one(tmp_path)
    assert list(found.faces[1]) == [5]
    assert found.notes == {"files in face/ that are not named <frame>.jpg": 10}


def test_two_pictures_of_one_frame(tmp_path: Path) -> None:
    """The same one every time, whatever the order on disk."""
    segment(tmp_path, "a", "7.jpg", "007.jpg", "07.jpg", "7.jpeg")
    found = read_one(tmp_path)
    assert {frame: path.name for frame, path in found.faces[1].items()} == {7: "007.jpg"}
    assert found.notes == {"frames with two pictures": 3}


@pytest.mark.parametrize("extra", ["seg_info.json", "README", "empty/", "sound_only/audio/"])
def test_what_is_no_segment_is_ignored(tmp_path: Path, extra: str) -> None:
    segment(tmp_path, "a", "5.jpg")
    if extra.endswith("/"):
        (tmp_path / extra).mkdir(parents=True)
    else:
        (tmp_path / extra).write_text('{"a": {"frame_list": [1, 2], "frame_num": 2}}')
    assert list(read_one(tmp_path).faces[1]) == [5]


@pytest.mark.parametrize("kind", ["missing", "empty", "file", "one segment"])
def test_no_segments(tmp_path: Path, kind: str) -> None:
    root = tmp_path / "root"
    if kind == "empty":
        root.mkdir()
    if kind == "file":
        root.write_text("")
    if kind == "one segment":  # the folder below the right one
        root = segment(tmp_path, "a", "5.jpg")
    with pytest.raises(AnnotationError, match=r": no .*; pass .*social_test/final_test_data"):
        list(read_challenge(root))


@pytest.mark.parametrize("name", [".hidden", "a b", "-x", "é", "x" * 201])
def test_hostile_names(tmp_path: Path, name: str) -> None:
    segment(tmp_path, name, "5.jpg")
    with pytest.raises(AnnotationError, match="cannot be a segment id; rename the folder"):
        list(read_challenge(tmp_path))


def test_fingerprint_follows_the_files(tmp_path: Path) -> None:
    folder = segment(tmp_path, "a", "5.jpg", "6.jpg")
    prints = [read_one(tmp_path).fingerprint for _ in range(2)]
    (folder / "face" / "6.jpg").write_bytes(jpeg() + b"0")
    prints.append(read_one(tmp_path).fingerprint)
    (folder / "face" / "6.jpg").rename(folder / "face" / "7.jpg")
    prints.append(read_one(tmp_path).fingerprint)
    write_wav(folder / "audio" / "aud.wav", np.zeros((1, 50), np.float32))
    prints.append(read_one(tmp_path).fingerprint)
    assert prints[0] == prints[1]
    assert len(set(prints)) == 4


def prepare(tmp_path: Path) -> tuple[ClipStore, PrepareSummary]:
    summary = prepare_challenge(tmp_path / "root", tmp_path / "store")
    return ClipStore.open(tmp_path / "store"), summary


def test_pictures_are_stored_as_they_are(tmp_path: Path) -> None:
    """Byte for byte, so that no second compression changes a score."""
    folder = segment(tmp_path / "root", "a", "3.jpg")
    (folder / "face" / "40.jpg").write_bytes(jpeg(200))
    write_wav(folder / "audio" / "aud.wav", np.stack([tone(0.5, 16_000)]))
    (tmp_path / "root" / "seg_info.json").write_text("{}")
    store, summary = prepare(tmp_path)
    faces, manifest = store.faces("a"), store.manifest("a")
    assert faces.frame.tolist() == [3, 40]
    assert faces.person.tolist() == [1, 1]
    assert faces.time_s.tolist() == pytest.approx([0.1, 40 / 30])
    assert faces.box.tolist() == [[0, 0, 224, 224]] * 2
    assert faces.picture.tolist() == [[0, 224, 0, 224]] * 2
    assert [CropReader(store, "a", faces).read(row) for row in (0, 1)] == [jpeg(), jpeg(200)]
    assert (manifest.split, manifest.segments, manifest.n_samples) == ("test", (), 8000)
    assert (summary.clips, summary.crops, summary.notes) == (1, 2, {})
    assert store.config.framing == "face"


def test_44_khz_stereo_sound(tmp_path: Path) -> None:
    folder = segment(tmp_path / "root", "a", "3.jpg")
    write_wav(folder / "audio" / "aud.wav", np.stack([tone(1, 44_100, 0.5)] * 2), 44_100)
    store, _ = prepare(tmp_path)
    samples = store.sound("a", 0, 10**6)
    assert store.manifest("a").n_samples == len(samples)
    assert abs(len(samples) - 16_000) <= 1
    assert (
        np.abs(samples[1000:-1000] - tone(1, 16_000, 0.5)[1000:-1000][: len(samples)]).max() < 0.01
    )


def test_pictures_of_another_size(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    segment(tmp_path / "root", "a", "3.jpg", data=jpeg(200, (100, 50)))
    store, summary = prepare(tmp_path)
    picture = decode_jpeg(CropReader(store, "a", store.faces("a")).read(0))
    assert picture is not None
    assert picture.shape == (224, 224, 3)
    assert abs(int(picture[100, 200, 0]) - 200) < 5
    assert summary.notes == {"clips without sound": 1, "pictures brought to 224 x 224": 1}
    assert "clip a: pictures brought to 224 x 224: 1" in caplog.text
    assert "clip a: no sound" in caplog.text


def test_damaged_pictures_and_sound(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The segment keeps what can be used."""
    folder = segment(tmp_path / "root", "a", "3.jpg")
    for name, data in (("4.jpg", b""), ("5.jpg", b"no picture"), ("6.jpg", jpeg()[:100])):
        (folder / "face" / name).write_bytes(data)
    (folder / "audio").mkdir()
    (folder / "audio" / "aud.wav").write_bytes(b"no sound")
    store, summary = prepare(tmp_path)
    assert store.faces("a").frame.tolist() == [3]
    assert store.manifest("a").n_samples is None
    assert summary.notes == {
        "clips without sound": 1,
        "pictures that cannot be read": 3,
        "sound files that cannot be read": 1,
    }
    assert "aud.wav: not a readable media file" in caplog.text


def test_segment_without_faces(tmp_path: Path) -> None:
    folder = segment(tmp_path / "root", "a")
    write_wav(folder / "audio" / "aud.wav", np.stack([tone(0.5, 16_000)]))
    store, summary = prepare(tmp_path)
    assert len(store.faces("a")) == 0
    assert (summary.clips, summary.crops) == (1, 0)
    assert summary.notes == {"segments without a face picture": 1}
    assert store.faces("a").box.shape == (0, 4)


def test_folders_without_faces_are_counted(tmp_path: Path) -> None:
    folder = segment(tmp_path / "root", "a", "3.jpg")
    write_wav(folder / "audio" / "aud.wav", np.stack([tone(0.5, 16_000)]))
    write_wav(tmp_path / "root" / "b" / "audio" / "aud.wav", np.stack([tone(0.5, 16_000)]))
    for name in ("c", ".git"):
        (tmp_path / "root" / name).mkdir()
    store, summary = prepare(tmp_path)
    assert store.clips() == ["a"]
    assert summary.notes == {"folders without face/, left out": 2}


def patch(path: Path, at: int, value: int, n_bytes: int = 4) -> None:
    data = bytearray(path.read_bytes())
    data[at : at + n_bytes] = value.to_bytes(n_bytes, "little")
    path.write_bytes(data)


@pytest.mark.parametrize(
    ("at", "value", "n_bytes", "says"),
    [
        (24, 2**31 - 1, 4, "a rate of 2147483647 Hz, which no sound has"),
        (24, 1, 4, "a rate of 1 Hz, which no sound has"),
        (24, 0, 4, "a rate of 0 Hz"),
        (22, 0, 2, "0 channels; its header is damaged"),
        (22, 65_535, 2, "65535 channels"),
    ],
)
def test_a_damaged_header_of_a_sound(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, at: int, value: int, n_bytes: int, says: str
) -> None:
    """One segment loses its sound; neither the run nor the memory ends."""
    for name in ("a", "b"):
        folder = segment(tmp_path / "root", name, "3.jpg")
        write_wav(folder / "audio" / "aud.wav", np.stack([tone(2.0, 16_000)]))
    patch(tmp_path / "root" / "a" / "audio" / "aud.wav", at, value, n_bytes)
    store, summary = prepare(tmp_path)
    assert store.manifest("a").n_samples is None
    assert store.manifest("b").n_samples == 32_000
    assert summary.notes == {"clips without sound": 1, "sound files that cannot be read": 1}
    assert says in caplog.text


def test_a_sound_that_was_cut_short(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    sound = segment(tmp_path / "root", "a", "3.jpg") / "audio" / "aud.wav"
    write_wav(sound, np.stack([tone(2.0, 16_000)]))
    sound.write_bytes(sound.read_bytes()[:30_000])
    store, summary = prepare(tmp_path)
    assert summary.notes == {"sound files that were cut short": 1}
    assert "aud.wav ends 1.1 s early" in caplog.text
    assert 14_000 < (store.manifest("a").n_samples or 0) < 15_000


def test_a_sound_of_unknown_length(tmp_path: Path) -> None:
    """Programs that write WAV into a pipe do not know it; it is no fault."""
    sound = segment(tmp_path / "root", "a", "3.jpg") / "audio" / "aud.wav"
    write_wav(sound, np.stack([tone(1.0, 16_000)]))
    for at in (4, 40):
        patch(sound, at, 0xFFFFFFFF)
    store, summary = prepare(tmp_path)
    assert summary.notes == {}
    assert store.manifest("a").n_samples == 16_000


@pytest.mark.parametrize("kind", ["jpeg", "png"])
def test_a_picture_that_would_fill_the_memory(tmp_path: Path, kind: str) -> None:
    folder = segment(tmp_path / "root", "a", "3.jpg")
    if kind == "jpeg":
        data = bytearray(jpeg())
        at = data.index(b"\xff\xc0") + 5
        data[at : at + 4] = b"\xff\xff" * 2
    else:
        data = bytearray(cv2.imencode(".png", np.zeros((9, 9), np.uint8))[1].tobytes())
        data[16:24] = (60_000).to_bytes(4, "big") * 2
    (folder / "face" / "4.jpg").write_bytes(data)
    store, summary = prepare(tmp_path)
    assert store.faces("a").frame.tolist() == [3]
    assert summary.notes["pictures that cannot be read"] == 1


def test_picture_that_cannot_be_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is a fault of reading: the message does not speak of writing, and the rest goes on."""
    segment(tmp_path / "root", "a", "3.jpg")
    segment(tmp_path / "root", "b", "4.jpg")
    read_bytes = Path.read_bytes

    def denied(self: Path) -> bytes:
        if self.name == "3.jpg":
            raise PermissionError(13, "Permission denied", str(self))
        return read_bytes(self)

    monkeypatch.setattr(Path, "read_bytes", denied)
    store, summary = prepare(tmp_path)
    assert store.clips() == ["b"]
    assert list(summary.failed) == ["a"]
    assert summary.failed["a"].endswith("3.jpg: cannot be read (Permission denied); copy it again")


def test_changed_segments_are_made_again(tmp_path: Path) -> None:
    folder = segment(tmp_path / "root", "a", "3.jpg")
    segment(tmp_path / "root", "b", "3.jpg")
    prepare(tmp_path)
    (folder / "face" / "4.jpg").write_bytes(jpeg())
    store, summary = prepare(tmp_path)
    assert summary.skipped == 1
    assert store.faces("a").frame.tolist() == [3, 4]


def test_store_of_another_kind(tmp_path: Path) -> None:
    segment(tmp_path / "root", "a", "3.jpg")
    prepare(tmp_path)
    path = tmp_path / "store" / "store.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"kind": "ego4d"}))
    with pytest.raises(StoreError, match="kind='ego4d', now asked for kind='challenge'; choose"):
        prepare(tmp_path)


def test_as_published(e2e_root: Path, e2e_challenge_store: Path) -> None:
    """Every segment and frame that has a published quality, and no other."""
    golden = json.loads((e2e_root / "qualityScoreTest_scaled.json").read_text())
    store = ClipStore.open(e2e_challenge_store)
    assert store.clips() == sorted(golden)
    for name in store.clips():
        faces = store.faces(name)
        assert faces.frame.tolist() == sorted(map(int, golden[name]))
        reader = CropReader(store, name, faces)
        root = e2e_root / "social_test" / "final_test_data" / name / "face"
        assert reader.read(0) == (root / f"{faces.frame[0]}.jpg").read_bytes()
        scores = store.quality(name, "imported")
        assert scores.tolist() == [golden[name][str(frame)] for frame in faces.frame]
