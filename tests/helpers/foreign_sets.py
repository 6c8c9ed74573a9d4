"""Simulated conversations in the layouts of other datasets, with their media."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from fractions import Fraction
from itertools import chain, repeat
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pyarrow.parquet as pq

from quavf.core.records import Array
from quavf.sources.media.clip import open_clip_video
from quavf.sources.media.file import open_video_file
from quavf.sources.media.sound import SoundFormat
from tests.helpers import ava_files as ava
from tests.helpers import easycom_files as easycom

EASYCOM_FPS = Fraction(20)
SESSIONS = {"train": 1, "val": 4, "test": 10}


def list_clips(simulated: Path) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Split, id and annotations of each clip that `simulate_clips` made."""
    for split, path in (
        ("train", "annotations/av_train.json"),
        ("val", "annotations/av_val.json"),
        ("test", "answers/av_test.json"),
    ):
        if (simulated / path).is_file():
            for video in json.loads((simulated / path).read_text())["videos"]:
                for clip in video["clips"]:
                    yield split, clip["clip_uid"], clip


def read_truth(simulated: Path, clip: str) -> list[dict[str, Any]]:
    """One row for each frame (30 a second) and person."""
    rows: list[dict[str, Any]] = pq.read_table(simulated / "truth" / f"{clip}.parquet").to_pylist()
    return rows


def copy_video(
    source: Path, target: Path, fps: Fraction, *, dark_s: int = 0, sound: bool = False
) -> int:
    """Encode a video again, at another rate, after some seconds of darkness and silence.

    Returns the number of its pictures without the dark ones.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    video = open_clip_video(source, fps, timed=True)
    n_frames = round((video.file.declared_s or 0) * float(fps))
    width, height = video.size
    dark = np.zeros((height, width, 3), np.uint8)
    shown = (p.bgr((0, 0, width, height)) for _, p in video.pictures(set(range(n_frames))))
    with av.open(str(target), "w") as out:
        stream = out.add_stream("libx264", rate=fps, options={"preset": "ultrafast", "crf": "17"})
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        heard = out.add_stream("aac", rate=48_000, layout="mono") if sound else None
        for picture in chain(repeat(dark, round(dark_s * fps)), shown):
            frame = av.VideoFrame.from_ndarray(picture, format="bgr24")
            out.mux(stream.encode(frame))
        out.mux(stream.encode())
        if heard is not None:
            samples = np.concatenate([np.zeros(48_000 * dark_s), read_sound(source, 48_000)])
            for first in range(0, len(samples), 1024):
                piece = samples[None, first : first + 1024].astype(np.float32)
                sound_frame = av.AudioFrame.from_ndarray(piece, format="fltp", layout="mono")
                sound_frame.sample_rate, sound_frame.pts = 48_000, first
                out.mux(heard.encode(sound_frame))
            out.mux(heard.encode())
    return n_frames


def read_sound(source: Path, rate: int) -> Array:
    """(N,) samples in [-1, 1] of a video's sound."""
    pieces = open_video_file(source).sound_as(SoundFormat(rate=rate))
    return np.concatenate([piece[0] for piece in pieces]) / 32_768


def make_easycom_set(root: Path, simulated: Path) -> Path:
    """EasyCom's layout; what is heard at the ears is the clip's sound, elsewhere it is noise."""
    counts: dict[str, int] = {}
    for split, clip, labels in list_clips(simulated):
        session = SESSIONS[split]
        number = counts[split] = counts.get(split, -1) + 1
        piece = f"{number:02}-00-000"
        source = simulated / "clips" / f"{clip}.mp4"
        name = f"Session_{session}/{piece}"
        n_frames = copy_video(source, root / "Main/Video_Compressed" / f"{name}.mp4", EASYCOM_FPS)
        ears = read_sound(source, 48_000)
        noise = np.random.default_rng(number).normal(0, 0.1, (4, len(ears))).clip(-1, 1)
        array = np.vstack([noise, ears, ears])
        sound = root / "Main/Glasses_Microphone_Array_Audio" / f"{name}.wav"
        easycom.write_array_sound(sound, array)
        truth = read_truth(simulated, clip)
        faces, heads = _easycom_faces(truth, n_frames), _easycom_heads(truth, n_frames)
        easycom.write(root, "Face_Bounding_Boxes", session, faces, piece)
        easycom.write(root, "Tracked_Poses", session, heads, piece)
        said = list(_easycom_speech(labels))
        easycom.write(root, "Speech_Transcriptions", session, said, piece)
    return root


def cut_box(row: dict[str, Any], scale: float = 1.0) -> easycom.Box:
    """The part of a face's box that is in the picture of 1280 x 720, in other pixels."""
    x1, x2 = (min(max(row[edge], 0.0), 1280.0) * scale for edge in ("x1", "x2"))
    y1, y2 = (min(max(row[edge], 0.0), 720.0) * scale for edge in ("y1", "y2"))
    return x1, y1, x2, y2


def _is_seen(row: dict[str, Any]) -> bool:
    """Whether a face detector would find the face."""
    return bool(row["visible"] > 0.5 and abs(row["yaw_deg"]) < 80)


def _participant(person: int) -> int:
    """EasyCom's number of a simulated person: 2 is the wearer, so 2 is 7 there."""
    return {0: 2, 2: 7}.get(person, person)


def _at_frames(
    truth: list[dict[str, Any]], n_frames: int, fps: Fraction
) -> Iterator[tuple[int, list[dict[str, Any]]]]:
    """The rows of the simulated frame nearest to each frame at another rate."""
    by_frame: dict[int, list[dict[str, Any]]] = {}
    for row in truth:
        by_frame.setdefault(row["frame"], []).append(row)
    for frame in range(n_frames):
        yield frame, by_frame.get(round(frame * 30 / float(fps)), [])


def _easycom_faces(truth: list[dict[str, Any]], n_frames: int) -> list[easycom.Entry]:
    """The faces that a detector would find, on pictures of 1920 x 1080."""
    people: dict[int, Any] = {}
    for frame, rows in _at_frames(truth, n_frames, EASYCOM_FPS):
        found = []
        for row in rows:
            if _is_seen(row):
                box = cut_box(row, 1.5)
                found.append(easycom.face(_participant(row["person"]), box))
        people[frame + 1] = found[0] if len(found) == 1 else found
    return easycom.frames(people)


def _easycom_heads(truth: list[dict[str, Any]], n_frames: int) -> list[easycom.Entry]:
    """Everybody straight ahead of the wearer: only where heads point matters."""
    people: dict[int, Any] = {}
    for frame, rows in _at_frames(truth, n_frames, EASYCOM_FPS):
        heads = [easycom.pose(2, (0, 1.2, 0), 0)]
        for row in rows:
            place = (0.0, 1.2, float(row["distance_m"]))
            heads.append(easycom.pose(_participant(row["person"]), place, 180 + row["yaw_deg"]))
        people[frame + 1] = heads
    return easycom.frames(people)


def _easycom_speech(labels: dict[str, Any]) -> Iterable[easycom.Entry]:
    """The talking segments, with targets spelled in turn as the dataset does."""
    spellings = ["[2]", 2, ["Group"], "Group"], ["None", None, 9, "[9]"]
    for index, item in enumerate(labels["social_segments_talking"]):
        start, end = (int(item[key] * 20 / 30) + 1 for key in ("start_frame", "end_frame"))
        target = spellings[item["target"] is None][index % 4]
        yield easycom.speech(_participant(int(item["person"])), start, end, target)


AVA_FPS = Fraction(25)
AVA_START_S = 2  # of silence and darkness before each simulated clip, as a movie before its scene
AVA_SPLITS = ("train", "val")


def make_ava_set(root: Path, simulated: Path) -> Path:
    """AVA's layout: `videos/`, `train.csv` and `val.csv`; an entity is a person."""
    lines: dict[str, list[str]] = {split: [] for split in AVA_SPLITS}
    for split, clip, _ in list_clips(simulated):
        if split not in AVA_SPLITS:
            continue
        source, target = simulated / "clips" / f"{clip}.mp4", root / "videos" / f"{clip}.mp4"
        n_frames = copy_video(source, target, AVA_FPS, dark_s=AVA_START_S, sound=True)
        for frame, rows in _at_frames(read_truth(simulated, clip), n_frames, AVA_FPS):
            lines[split] += [_ava_row(clip, frame, row) for row in rows if _is_seen(row)]
    for split, written in lines.items():
        ava.write_rows(root / f"{split}.csv", sorted(written))
    return root


def _ava_row(clip: str, frame: int, row: dict[str, Any]) -> str:
    x1, y1, x2, y2 = cut_box(row)
    box = tuple(round(v, 6) for v in (x1 / 1280, y1 / 720, x2 / 1280, y2 / 720))
    label = ava.SPEAKS if row["speaking"] else ava.SILENT
    time_s = AVA_START_S + frame / float(AVA_FPS)
    return ava.row(clip, time_s, box, label, f"{clip}:{row['person']}")  # type: ignore[arg-type]


def make_lam_set(root: Path, simulated: Path, every: int = 3) -> Path:
    """The layout of the looking-at-me challenge: faces cut at their boxes, a person is a track."""
    for split, clip, _ in list_clips(simulated):
        if split == "test":
            continue
        video = open_clip_video(simulated / "clips" / f"{clip}.mp4")
        rows: dict[int, list[dict[str, Any]]] = {}
        for row in read_truth(simulated, clip):
            if row["frame"] % every == 0 and _is_seen(row):
                rows.setdefault(row["frame"], []).append(row)
        for frame, picture in video.pictures(set(rows)):
            for row in rows[frame]:
                x1, y1, x2, y2 = map(int, cut_box(row))
                track = root / clip / str(row["person"])
                track.mkdir(parents=True, exist_ok=True)
                face = cv2.resize(picture.bgr((x1, y1, x2, y2)), (224, 224))
                cv2.imwrite(str(track / f"{frame:05}_{row['person']}x{frame}.jpg"), face)
    return root
