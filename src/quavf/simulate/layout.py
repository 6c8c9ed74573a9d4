"""A simulated clip in the shapes of Ego4D: annotations and challenge test folders."""

from __future__ import annotations

from typing import Any

import numpy as np

from quavf.core.records import WEARER, Array
from quavf.simulate.truth import Annotation
from quavf.simulate.world import ClipWorld

Json = dict[str, Any]


def ego4d_clip(world: ClipWorld, annotation: Annotation, *, labels: bool = True) -> Json:
    """The entry of `videos[]` of one clip, as av_train.json has it."""
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
    people = [_person(world, annotation, p) for p in range(world.scene.n_people)]
    clip: Json = {"clip_uid": name, "source_clip_uid": name, "video_uid": name, **span}
    clip |= {"valid": True, "camera_wearer": people[WEARER], "persons": people}
    clip |= {
        "missing_voice_segments": [],
        "transcriptions": [
            {"transcription": said.text, "person_id": str(said.utterance.speaker)}
            | _times(world, said.utterance.start_s, said.utterance.end_s)
            for said in world.speech
        ],
        "social_segments_talking": _talking(world, annotation) if labels else [],
        "social_segments_looking": _looking(world) if labels else [],
    }
    return {"video_uid": name, "split": world.key.split, "clips": [clip]}


def frame_span(world: ClipWorld, start_s: float, end_s: float) -> tuple[int, int]:
    """The first and the last frame of a time span, rounded down."""
    fps = float(world.fps)
    return int(start_s * fps), int(end_s * fps)


def _times(world: ClipWorld, start_s: float, end_s: float) -> Json:
    start, end = frame_span(world, start_s, end_s)
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


def _person(world: ClipWorld, annotation: Annotation, person: int) -> Json:
    tracks = annotation.tracks.get(person, [])
    voice = [
        {"person": str(person), **_times(world, u.start_s, u.end_s)}
        for u in world.talk.utterances
        if u.speaker == person
    ]
    return {
        "person_id": str(person),
        "camera_wearer": person == WEARER,
        "tracking_paths": [
            {
                "track_id": f"track_{person}_{number}",
                "suspect": False,
                "unmapped_frames_count": 0,
                "unmapped_frames": [],
                "track": [_row(f, box) for f, box in zip(frames, boxes, strict=True)],
            }
            for number, (frames, boxes) in enumerate(tracks)
        ],
        "voice_segments": voice,
    }


def _row(frame: int, box: Array) -> Json:
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


def _talking(world: ClipWorld, annotation: Annotation) -> list[Json]:
    """Who talks when; `target` is "0" when the wearer is addressed, alone or in the group."""
    return [
        {
            "person": str(person),
            "target": "0" if label else None,
            "is_at_me": bool(label),
            **_times(world, start, end),
        }
        for person, start, end, label in annotation.segments
    ]


def _looking(world: ClipWorld) -> list[Json]:
    """Every look of a partner at the wearer of at least a third of a second."""
    out = []
    for person in range(1, world.scene.n_people):
        at_me = np.concatenate([[0], world.motion.gaze[person] == WEARER, [0]])
        edges = np.flatnonzero(np.diff(at_me))
        for start, end in zip(edges[::2], edges[1::2], strict=True):
            if end - start >= 10:
                times = _times(world, start / float(world.fps), end / float(world.fps))
                out.append({"person": str(person), "target": "0", "is_at_me": True, **times})
    return out


def test_segments(world: ClipWorld, annotation: Annotation) -> list[Json]:
    """The labelled segments of a clip that the challenge would ask about, with their answers.

    A segment has a face in at least one frame; its frames count from its start, as its sound does.
    """
    out = []
    for number, (person, start_s, end_s, label) in enumerate(annotation.segments):
        if person == WEARER:
            continue
        times = _times(world, start_s, end_s)
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
