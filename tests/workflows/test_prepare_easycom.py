"""EasyCom's pieces in a store: the right faces at the right time, and the right microphones."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from quavf.cli import main
from quavf.core.records import Interval, Segment
from quavf.faces.crop import decode_jpeg
from quavf.sources.config import EasyComConfig
from quavf.store import ClipStore, CropReader
from quavf.workflows.prepare import prepare_source
from tests.helpers.easycom_files import (
    every_frame,
    face,
    frames,
    pose,
    speech,
    write,
    write_array_sound,
)
from tests.helpers.face_videos import FACE, write_video

CLIP, PIECE = "Session_4_00-00-000", "Session_4/00-00-000"
SECONDS = 2.0
BOXES = {4: (240, 120, 540, 480), 5: (1200, 120, 1500, 480)}  # of 1920 x 1080


def make_set(root: Path, banner: int = 0, sound: bool = True) -> Path:
    """Participants 4 and 5, of whom 5 shows for the first second; pictures of 320 x 180."""
    small = {p: tuple(edge // 6 for edge in box) for p, box in BOXES.items()}

    def faces(time_s: float) -> list[tuple[int, int, int, int]]:
        shown = [small[4], *([small[5]] if time_s < 1 - 1e-6 else [])]
        return [(x1 + banner, y1, x2 + banner, y2) for x1, y1, x2, y2 in shown]

    path = root / "Main" / "Video_Compressed" / f"{PIECE}.mp4"
    path.parent.mkdir(parents=True)
    write_video(path, seconds=SECONDS, fps=20, size=(320 + banner, 180), faces=faces)
    both = [face(p, BOXES[p]) for p in (4, 5)]
    rows = {n: both if n <= 20 else both[:1] for n in range(1, 41)}
    write(root, "Face_Bounding_Boxes", 4, frames(rows))
    write(root, "Speech_Transcriptions", 4, [speech(4, 11, 20, "[2]"), speech(5, 1, 10, [4])])
    heads = [pose(2, (0, 1, 0), 0), pose(4, (0, 1, 2), 175), pose(5, (1, 1, 1), 275)]
    write(root, "Tracked_Poses", 4, every_frame(range(1, 41), *heads))
    if sound:
        levels = np.array([0.9, 0.8, 0.7, 0.6, 0.1, 0.3])  # of a tone, by channel
        tone = np.sin(np.arange(round(SECONDS * 48_000)) / 48_000 * 2 * np.pi * 1000)
        array = root / "Main" / "Glasses_Microphone_Array_Audio" / f"{PIECE}.wav"
        write_array_sound(array, levels[:, None] * tone)
    return root


def prepare(root: Path, tmp_path: Path, **options: object) -> tuple[ClipStore, dict[str, int]]:
    config = EasyComConfig(root, **options)  # type: ignore[arg-type]
    summary = prepare_source("easycom", tmp_path / "store", config)
    assert not summary.failed
    return ClipStore.open(tmp_path / "store"), summary.notes


def loudness(store: ClipStore) -> float:
    """Amplitude of the tone."""
    middle: npt.NDArray[np.floating] = store.sound(CLIP, 8000, 24_000)
    return float(np.sqrt(2 * np.mean(middle**2)))


def share_of_face(store: ClipStore, person: int, frame: int) -> float:
    """Share of the middle of a crop, where the box is, that has the colour of faces."""
    faces = store.faces(CLIP)
    reader = CropReader(store, CLIP, faces)
    picture = decode_jpeg(reader.read(faces.row_of()[person, frame]))
    reader.close()
    assert picture is not None
    middle = picture[60:164, 60:164].astype(int)
    return float((np.abs(middle - FACE).max(axis=2) < 70).mean())


def test_a_piece_becomes_a_clip(tmp_path: Path) -> None:
    store, notes = prepare(make_set(tmp_path / "set"), tmp_path)
    manifest = store.manifest(CLIP)
    assert (manifest.split, manifest.clock.fps, manifest.frame_size) == (
        "val",
        Fraction(20),
        (320, 180),
    )
    assert manifest.segments == (Segment(4, 10, 19, 1), Segment(5, 0, 9, 0))
    assert manifest.speaking == (Interval(4, 10, 19), Interval(5, 0, 9))
    assert manifest.looking == (Interval(4, 0, 39),)
    assert manifest.unlabelled == {
        "looking": (Interval(4, 40, 1199), Interval(5, 40, 1199)),
    }
    faces = store.faces(CLIP)
    assert faces.frame[faces.rows_of(4)].tolist() == list(range(40))
    assert faces.frame[faces.rows_of(5)].tolist() == list(range(20))
    np.testing.assert_allclose(faces.time_s[faces.rows_of(4)], np.arange(40) / 20, atol=1e-9)
    assert faces.box[0].tolist() == [40, 20, 90, 80]
    for person, frame in ((4, 0), (4, 39), (5, 0), (5, 19)):
        assert share_of_face(store, person, frame) > 0.95
    assert manifest.n_samples == 32_000
    assert loudness(store) == pytest.approx(0.2, abs=0.005), "the mean of channels 5 and 6"
    assert notes == {"clips of another size than annotated, boxes scaled": 1}


def test_other_microphones_and_fewer_faces(tmp_path: Path) -> None:
    root = make_set(tmp_path / "set")
    store, _ = prepare(root, tmp_path, channels=(1, 2, 3), every=0)
    assert loudness(store) == pytest.approx(0.8, abs=0.01)
    faces = store.faces(CLIP)
    assert faces.frame[faces.rows_of(4)].tolist() == list(range(10, 20))


@pytest.mark.parametrize("channels", [(5, 6), (9,)])
def test_without_the_microphones_the_video_is_heard(
    tmp_path: Path, channels: tuple[int, ...]
) -> None:
    root = make_set(tmp_path / "set", sound=channels == (9,))
    store, notes = prepare(root, tmp_path, channels=channels)
    assert loudness(store) == pytest.approx(0.3, abs=0.02)
    assert notes["clips without a usable file of sound, heard by their video's own"] == 1
    assert ("sound files that cannot be read" in notes) == (channels == (9,))


def test_a_banner_on_the_left_is_passed_over(tmp_path: Path) -> None:
    store, notes = prepare(make_set(tmp_path / "set", banner=40), tmp_path)
    assert notes["videos with a banner on the left, boxes moved to the right by its width"] == 1
    assert store.faces(CLIP).box[0].tolist() == [80, 20, 130, 80]
    assert share_of_face(store, 4, 5) > 0.95


def test_another_angle_changes_the_labels_alone(tmp_path: Path) -> None:
    root = make_set(tmp_path / "set")
    store, _ = prepare(root, tmp_path)
    before = store.crops_path(CLIP).stat().st_mtime_ns
    store, _ = prepare(root, tmp_path, look_angle=120.0)
    assert store.manifest(CLIP).looking == (Interval(4, 0, 39), Interval(5, 0, 39))
    assert store.crops_path(CLIP).stat().st_mtime_ns == before


def test_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root, store = make_set(tmp_path / "set"), tmp_path / "store"
    words = ["prepare", "easycom", "--root", str(root), "--store", str(store)]
    assert main([*words, "--channels", "[5,6]", "--every", "5", "--look-angle", "15"]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert main(["prepare", "easycom", "--help"]) == 0
    assert "--channels [A, B, ...]" in capsys.readouterr().out
    assert "labelled segments 2 (1 talking to me)" in said
    assert "face crops 28" in said  # 10 of a segment and 6 outside; 10 and 2
