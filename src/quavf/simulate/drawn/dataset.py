"""A toy egocentric dataset in the Ego4D layout: cartoon partners who talk to the wearer, or not.

Clips with H.264 pictures and AAC sound, AV annotations, split lists, and a challenge test set with
its answers apart. Who talks to the wearer shows a frontal face with centred pupils and sounds loud
and bright; who talks to another partner turns away and sounds quiet, dull and reverberant. Some
faces are small, blurred or dark, so that their picture deserves less trust than their sound.
"""

from __future__ import annotations

import uuid
import wave
from dataclasses import asdict, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np

from quavf.clock import SAMPLE_RATE, Clock
from quavf.errors import ConfigError
from quavf.files import config_hash, read_json, replacing, replacing_folder, write_json, write_text
from quavf.records import WEARER, Floats
from quavf.simulate.drawn.cartoon import render
from quavf.simulate.drawn.scene import Actor, DrawnConfig, Scene, Turn, clip_scene, stage, syllables
from quavf.simulate.drawn.voices import CLIP_RATE, mix

__all__ = ["DrawnConfig", "draw_dataset"]

VERSION = 1  # raise it when the same settings draw something else
CROP_PX = 224  # side of a test picture


def draw_dataset(out: Path, config: DrawnConfig) -> None:
    """Write clips/, annotations/, split/ and social_test/ under `out`; finished clips are kept.

    The same config gives the same annotations, frames and samples. Raises ConfigError when `out`
    holds a dataset drawn with other settings.
    """
    out = Path(out)
    settings = _settings(config)
    if (out / "drawn.json").exists() and read_json(out / "drawn.json") != settings:
        raise ConfigError(f"{out}: drawn with other settings; delete it or choose another folder")
    write_json(out / "drawn.json", settings)
    n_val = max(1, config.n_clips // 4)
    videos: dict[str, dict[str, Any]] = {"train": {}, "val": {}}
    for index in range(config.n_clips):
        uid = _uid(config, "clip", index)
        scene = clip_scene(config, index)
        split = "val" if index >= config.n_clips - n_val else "train"
        videos[split][uid] = _annotate(scene, uid, _uid(config, "video", index))
        if not (out / "clips" / f"{uid}.mp4").exists():
            _write_clip(out / "clips" / f"{uid}.mp4", scene, config)
    for split, by_clip in videos.items():
        content = {"version": "v1", "description": "drawn", "videos": list(by_clip.values())}
        write_json(out / "annotations" / f"av_{split}.json", content)
        write_text(out / "split" / f"{split}.txt", "".join(f"{uid}\n" for uid in by_clip))
    _write_test_set(out / "social_test", config)


def _settings(config: DrawnConfig) -> dict[str, Any]:
    """The config as JSON holds it: the same for equal configs, 12 s or 12.0 s."""
    exact = {"seconds": float(config.seconds), "fps": str(Fraction(config.fps))}
    return {**asdict(config), **exact, "version": VERSION}


def _uid(config: DrawnConfig, kind: str, index: int) -> str:
    return str(uuid.uuid5(uuid.NAMESPACE_OID, f"{config_hash(_settings(config))}/{kind}/{index}"))


def _write_clip(path: Path, scene: Scene, config: DrawnConfig) -> None:
    with replacing(path) as temporary, av.open(str(temporary), "w", format="mp4") as container:
        video = container.add_stream("libx264", rate=scene.clock.fps)
        video.width, video.height, video.pix_fmt = config.width, config.height, "yuv420p"
        video.thread_count = 1  # more would make the bytes depend on the machine
        video.options = {"preset": "ultrafast", "crf": "24"}
        if config.with_audio:
            layout = str(scene.rng(4).choice(["mono", "stereo"]))
            audio = container.add_stream("aac", rate=CLIP_RATE, layout=layout)
            mixed = np.repeat(mix(scene)[None].astype(np.float32), audio.channels, axis=0)
            sound = av.AudioFrame.from_ndarray(mixed, format="fltp", layout=layout)
            sound.sample_rate = CLIP_RATE
        for image in render(scene, config, range(len(scene.sway))):
            container.mux(video.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(video.encode())
        if config.with_audio:
            container.mux([*audio.encode(sound), *audio.encode()])


def _annotate(scene: Scene, uid: str, video_uid: str) -> dict[str, Any]:
    """One entry of `videos[]` with one clip, as the Ego4D AV benchmark lays it out."""
    rng = scene.rng(5)
    offset = int(rng.integers(1, 60)) * 30  # where in the video the clip starts, frames
    spans = [(turn, _times(scene.clock, *scene.frames_of(turn), offset)) for turn in scene.turns]
    persons = [_person(WEARER, [], spans)]
    for number, actor in enumerate(scene.actors, 1):
        persons.append(_person(number, _tracks(rng, scene, actor, offset), spans))
    talking = []
    for turn, span in spans:
        is_at_me = turn.addressee == WEARER
        who = {"person": str(turn.speaker), "target": "0" if is_at_me else None}
        talking.append({**span, **who, "is_at_me": is_at_me})
    whole = _times(scene.clock, 0, len(scene.sway), offset)
    clip = {
        "clip_uid": uid,
        "source_clip_uid": uid,
        "video_uid": video_uid,
        **{f"clip_{k.replace('_time', '_sec')}": v for k, v in whole.items() if k[0] != "v"},
        **{k.replace("_time", "_sec"): v for k, v in whole.items() if k[0] == "v"},
        "valid": True,
        "camera_wearer": persons[0],
        "persons": persons,
        "missing_voice_segments": [],
        "transcriptions": [],
        "social_segments_talking": talking,
        "social_segments_looking": [],
    }
    return {"video_uid": video_uid, "clips": [clip]}


def _times(clock: Clock, start: int, end: int, offset: int) -> dict[str, Any]:
    """Two frames as the clip and the video count them, with their times in seconds."""
    ends = {"start": start, "end": end}
    by_frame = {f"{k}_frame": f for k, f in ends.items()}
    by_frame |= {f"video_{k}_frame": f + offset for k, f in ends.items()}
    by_time = {k.replace("_frame", "_time"): clock.frame_to_s(f) for k, f in by_frame.items()}
    return {**by_time, **by_frame}


def _person(
    number: int, tracks: list[dict[str, Any]], spans: list[tuple[Turn, dict[str, Any]]]
) -> dict[str, Any]:
    voice = [{**span, "person": str(number)} for turn, span in spans if turn.speaker == number]
    return {
        "person_id": str(number),
        "camera_wearer": number == WEARER,
        "tracking_paths": tracks,
        "voice_segments": voice,
    }


def _tracks(
    rng: np.random.Generator, scene: Scene, actor: Actor, offset: int
) -> list[dict[str, Any]]:
    """Noisy boxes while the face is in the picture: some sparse, some in two paths with a gap."""
    n, step = len(scene.sway), int(rng.choice([1, 1, 1, 3, 5]))
    gap = range(n // 2, n // 2 + int(n * rng.choice([0, 0, 0.08])))
    paths: list[list[dict[str, Any]]] = [[], []]
    for frame in range(0, n, step):
        x1, y1, x2, y2 = actor.box(frame)
        if frame in gap or not 0 < actor.centres[frame, 0] < scene.width:
            continue
        noise = rng.normal(0, 0.03 * actor.radius, 4)
        x, y, w, h = (np.array([x1, y1, x2 - x1, y2 - y1]) + noise).round(2).tolist()
        row = {"x": x, "y": y, "width": w, "height": h}
        row |= {"frame": frame, "video_frame": frame + offset, "clip_frame": frame}
        paths[bool(gap) and frame >= gap.stop].append(row)
    return [
        {
            "track_id": f"{part}_{actor.pitch_hz:.0f}",
            "suspect": False,
            "unmapped_frames_count": 0,
            "unmapped_frames": [],
            "track": track,
        }
        for part, track in enumerate(paths)
        if track
    ]


def _write_test_set(out: Path, config: DrawnConfig) -> None:
    """Segments of one speaker each, with alternating labels; pictures at sparse frames only."""
    answers = {}
    for index in range(config.n_test_segments):
        uid, seeds = _uid(config, "segment", index), (config.seed, 1, index)
        rng = np.random.default_rng(seeds)
        seconds = max(1.0, float(rng.uniform(2, 4)) * min(1.0, config.seconds / 10))
        turn = Turn(1, 2 * (index % 2), syllables(rng, 0.0, seconds))
        scene = stage(rng, replace(config, seconds=seconds), seeds, [turn], 2)
        answers[uid] = int(turn.addressee == WEARER)
        if (out / "final_test_data" / uid).exists():
            continue
        with replacing_folder(out / "final_test_data" / uid) as folder:
            _write_faces(folder / "face", scene, config)
            if config.with_audio:
                _write_wav(folder / "audio" / "aud.wav", mix(scene))
    write_json(out / "answers.json", answers)


def _write_faces(folder: Path, scene: Scene, config: DrawnConfig) -> None:
    folder.mkdir()
    rng = scene.rng(6)
    n, actor = len(scene.sway), scene.actors[0]
    is_kept = rng.random(n) < 0.8
    is_kept[n // 3 : n // 3 + n // 8] = False
    frames = np.flatnonzero(is_kept).tolist()
    for frame, image in zip(frames, render(scene, config, frames), strict=True):
        corners = actor.box(frame) + rng.normal(0, 0.03 * actor.radius, 4)
        x1, y1, x2, y2 = corners.clip(0, [config.width, config.height] * 2).astype(int)
        if x2 - x1 > 2 and y2 - y1 > 2:
            face = cv2.resize(image[y1:y2, x1:x2, ::-1], (CROP_PX, CROP_PX))
            cv2.imwrite(str(folder / f"{frame}.jpg"), face)


def _write_wav(path: Path, sound: Floats) -> None:
    """Mono 16 bit at SAMPLE_RATE, from sound at CLIP_RATE."""
    n = len(sound) * SAMPLE_RATE // CLIP_RATE
    low = np.fft.irfft(np.fft.rfft(sound)[: n // 2 + 1], n) * n / len(sound)
    path.parent.mkdir()
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(SAMPLE_RATE)
        file.writeframes((low.clip(-1, 1) * 32767).astype("<i2").tobytes())
