"""Simulated clips without video: labels, sound and face crops from a seed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from quavf.core.records import WEARER, Array, Floats, Interval, Segment, Track
from quavf.simulate.config import SimulateConfig
from quavf.simulate.layout import to_frame_span
from quavf.simulate.picture import ClipRenderer, RenderedFace, render_faces
from quavf.simulate.truth import (
    Annotation,
    TruthTable,
    build_truth_table,
    draw_annotation,
    list_looking,
    list_speaking,
)
from quavf.simulate.world import ClipKey, ClipWorld, draw_world


@dataclass(frozen=True)
class SimulatedClip:
    """One clip without video: labels, tracks, truth, sound, and a renderer of faces."""

    key: ClipKey
    segments: tuple[Segment, ...]  # of the partners
    tracks: dict[int, Track]  # by person
    table: TruthTable
    sound: Floats  # float32 mono at 16 kHz
    renderer: ClipRenderer
    speaking: tuple[Interval, ...]  # of everyone, the wearer included
    looking: tuple[Interval, ...]  # at the wearer

    def render_faces(self, stride: int = 1, *, everywhere: bool = False) -> Iterator[RenderedFace]:
        """Render tracked faces every `stride` frames, in labelled segments or `everywhere`."""
        boxes: dict[int, tuple[Array, Floats]] = {}
        for person, track in self.tracks.items():
            inside = np.full(len(track.frames), everywhere)
            for segment in self.segments:
                if segment.person == person:
                    inside |= segment.covers(track.frames)
            inside &= track.frames % stride == 0
            boxes[person] = (track.frames[inside], track.boxes[inside])
        return render_faces(self.renderer, boxes)


def build_simulated_clip(config: SimulateConfig, key: ClipKey) -> SimulatedClip:
    """Build the clip that `simulate_clips` makes for a key, without encoding its video.

    Labels, boxes, truth and sound (before AAC) are equal; crops lack H.264 artefacts.
    """
    world = draw_world(config, key)
    renderer, recording = ClipRenderer(world), world.record_sound()
    table = build_truth_table(world, renderer, recording)
    annotation = draw_annotation(world, table)
    segments, tracks = _list_segments(world, annotation), _join_tracks(annotation)
    return SimulatedClip(
        key,
        segments,
        tracks,
        table,
        recording.sound,
        renderer,
        speaking=list_speaking(world),
        looking=list_looking(world),
    )


def _list_segments(world: ClipWorld, annotation: Annotation) -> tuple[Segment, ...]:
    return tuple(
        Segment(person, *to_frame_span(world, start_s, end_s), label)
        for person, start_s, end_s, label in annotation.segments
        if person != WEARER
    )


def _join_tracks(annotation: Annotation) -> dict[int, Track]:
    tracks = {}
    for person, parts in annotation.tracks.items():
        if parts:
            frames = np.concatenate([frames for frames, _ in parts])
            boxes = np.concatenate([boxes for _, boxes in parts])
            tracks[person] = Track(frames, boxes)
    return tracks
