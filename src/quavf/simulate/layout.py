"""Simulated clips in the Ego4D layout: annotations and challenge test segments."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from quavf.core.records import WEARER, Array, Interval
from quavf.simulate.truth import Annotation, list_looking, list_speaking
from quavf.simulate.world import ClipWorld

Json = dict[str, Any]


def build_ego4d_video(world: ClipWorld, annotation: Annotation, *, labels: bool = True) -> Json:
    """Build the entry of one clip in `videos[]` of av_train.json."""
    name, seconds = world.key.name, world.n_frames / float(world.fps)
    span = {
        "video_start_sec": 0.0,
        "video_end_sec": seconds,
        "video_start_frame": 0,
        "video_end_frame": world.n_frames,
        "clip_start_sec": 0.0,
        "clip_end_sec": seconds,
        "clip_start_frame": 0,
        "clip_end_frame": world.n_frames,
    }
    speaking = list_speaking(world) if labels else ()
    people = [_format_person(world, annotation, speaking, p) for p in range(world.scene.n_people)]
    clip: Json = {"clip_uid": name, "source_clip_uid": name, "video_uid": name, **span}
    clip |= {"valid": True, "camera_wearer": people[WEARER], "persons": people}
    clip |= {
        "missing_voice_segments": [],
        "transcriptions": [
            {"transcription": item.text, "person_id": str(item.utterance.speaker)}
            | _format_times(world, item.utterance.start_s, item.utterance.end_s)
            for item in world.speech
        ],
        "social_segments_talking": _list_talking(world, annotation) if labels else [],
        "social_segments_looking": [
            {"target": "0", "is_at_me": True, **_format_interval(world, interval)}
            for interval in (list_looking(world) if labels else ())
        ],
    }
    return {"video_uid": name, "split": world.key.split, "clips": [clip]}


def to_frame_span(world: ClipWorld, start_s: float, end_s: float) -> tuple[int, int]:
    """The first and last frame of a time span, rounded down."""
    fps = float(world.fps)
    return int(start_s * fps), int(end_s * fps)


def _format_times(world: ClipWorld, start_s: float, end_s: float) -> Json:
    start, end = to_frame_span(world, start_s, end_s)
    return {
        "start_time": round(start_s, 3),
        "end_time": round(end_s, 3),
        "start_frame": start,
        "end_frame": end,
        "video_start_time": round(start_s, 3),
        "video_end_time": round(end_s, 3),
        "video_start_frame": start,
        "video_end_frame": end,
    }


def _format_interval(world: ClipWorld, interval: Interval) -> Json:
    """An exact interval: its last frame is the last in which it is true."""
    start, end = (f / float(world.fps) for f in (interval.start_frame, interval.last_frame + 1))
    times = _format_times(world, start, end)
    for prefix in ("", "video_"):
        times[f"{prefix}start_frame"] = interval.start_frame
        times[f"{prefix}end_frame"] = interval.last_frame
    return {"person": str(interval.person), **times}


def _format_person(
    world: ClipWorld, annotation: Annotation, speaking: Sequence[Interval], person: int
) -> Json:
    tracks = annotation.tracks.get(person, [])
    voice = [_format_interval(world, i) for i in speaking if i.person == person]
    return {
        "person_id": str(person),
        "camera_wearer": person == WEARER,
        "tracking_paths": [
            {
                "track_id": f"track_{person}_{number}",
                "suspect": False,
                "unmapped_frames_count": 0,
                "unmapped_frames": [],
                "track": [_format_row(f, box) for f, box in zip(frames, boxes, strict=True)],
            }
            for number, (frames, boxes) in enumerate(tracks)
        ],
        "voice_segments": voice,
    }


def _format_row(frame: int, box: Array) -> Json:
    x1, y1, x2, y2 = (round(float(v), 2) for v in box)
    return {
        "x": x1,
        "y": y1,
        "width": round(x2 - x1, 2),
        "height": round(y2 - y1, 2),
        "frame": int(frame),
        "video_frame": int(frame),
        "clip_frame": int(frame),
    }


def _list_talking(world: ClipWorld, annotation: Annotation) -> list[Json]:
    """List the talking segments; `target` is "0" if the wearer is addressed, also in a group."""
    return [
        {
            "person": str(person),
            "target": "0" if label else None,
            "is_at_me": bool(label),
            **_format_times(world, start, end),
        }
        for person, start, end, label in annotation.segments
    ]


def build_test_segments(world: ClipWorld, annotation: Annotation) -> list[Json]:
    """Build the challenge's test segments of a clip, with their labels.

    Segments without any face are left out. Frames are numbered in the clip.
    """
    out = []
    for number, (person, start_s, end_s, label) in enumerate(annotation.segments):
        if person == WEARER:
            continue
        times = _format_times(world, start_s, end_s)
        first, last = times["start_frame"], times["end_frame"]
        boxes: dict[int, list[float]] = {}
        for frames, places in annotation.tracks[person]:
            inside = (frames >= first) & (frames <= last)
            boxes |= dict(zip(frames[inside].tolist(), places[inside].tolist(), strict=True))
        stride = world.config.truth.challenge_stride
        faces = {f: boxes[f] for f in sorted(boxes) if (f - first) % stride == 0}
        if faces:
            out.append(
                {
                    "segment": f"{world.key.name}-{number:03d}",
                    "clip": world.key.name,
                    "person": person,
                    "start_frame": first,
                    "end_frame": last,
                    "label": label,
                    "faces": faces,
                }
            )
    return out
