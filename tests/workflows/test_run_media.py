"""Square and beep stay together: in the store, at the scored times, and in the annotated video."""

from __future__ import annotations

import wave
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from quavf.core.records import Image
from quavf.core.windows import WindowConfig
from quavf.faces.config import SearchConfig
from quavf.faces.crop import decode_jpeg
from quavf.report.annotate import write_annotated_video
from quavf.results.video import VideoResult
from quavf.sources.media.file import open_video_file
from quavf.store import CropReader
from quavf.video.config import VideoConfig
from quavf.video.prepare import prepare_video
from quavf.video.prepared import PreparedVideo
from tests.helpers.cue_media import look, start_of_beep
from tests.helpers.face_videos import BLOCKS
from tests.helpers.odd_media import KINDS, Kind

TICK_S = 1 / 30
NAMES = (
    "h264.mp4",
    "anamorphic.mp4",
    "turned90.mp4",
    "mirrored.mp4",
    "sideways.mp4",
    "smaller.webm",
    "midgroup.ts",
    "restart.ts",
    "back.ts",
    "cover.mp4",
    "lateones.mp4",
    "default.mkv",
    "spatial.mkv",
    "opposite.mov",
    "6khz.mov",
    "11khz.avi",
)
QUICK = NAMES[1:8:2] + NAMES[11:16:2]
FIELD = [
    pytest.param(kind, id=kind.name, marks=() if kind.name in QUICK else pytest.mark.slow)
    for kind in KINDS
    if kind.name in NAMES
]


@pytest.mark.parametrize("kind", FIELD)
def test_square_and_beep_stay_together(tmp_path: Path, kind: Kind) -> None:
    path = tmp_path / kind.name
    kind.make(path)
    options = kind.options
    search = SearchConfig(detector=BLOCKS, mesh=False)
    config = VideoConfig(rate=30, search=search, media=options)
    video = prepare_video(path, tmp_path / "store", config, WindowConfig(n_slots=1))
    square_s, beep_s = square_in_crops(video), beep_in_store(video)
    assert square_s is not None
    assert beep_s == pytest.approx(square_s, abs=TICK_S + 0.005)
    scored = video.schedules[1].scored.ticks / 30
    assert np.abs(scored - square_s).min() < 1e-6
    file = open_video_file(path, options)
    result = VideoResult(path, 1.6, Fraction(30), file.size)
    seen = look(write_annotated_video(result, tmp_path / "annotated.mp4", options=options))
    assert seen.size == file.size
    assert seen.square_s == pytest.approx(square_s, abs=TICK_S)
    assert seen.beep_s == pytest.approx(beep_s, abs=TICK_S)


def square_in_crops(video: PreparedVideo) -> float | None:
    """Time of the first crop in which the square is above the left half of the face."""
    faces = video.store.faces(video.clip)
    reader = CropReader(video.store, video.clip, faces)
    for row in range(len(faces)):
        picture = decode_jpeg(reader.read(row))
        assert picture is not None
        if is_square(picture):
            return float(faces.frame[row]) / 30
    return None


def is_square(crop: Image) -> bool:
    return bool(crop[10:38, 64:104].mean() > 190 and crop[10:38, 125:165].mean() < 160)


def beep_in_store(video: PreparedVideo) -> float | None:
    with wave.open(str(video.store.folder(video.clip) / "sound.wav")) as file:
        return start_of_beep(np.frombuffer(file.readframes(file.getnframes()), "<i2"))
