"""Simulated clips without video: labels, sound and face crops, straight from a seed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from quavf.core.records import WEARER, Array, Floats, Segment, Track
from quavf.simulate.config import SimulateConfig
from quavf.simulate.layout import frame_span
from quavf.simulate.picture import Crop, Painter, render_crops
from quavf.simulate.truth import Annotation, TruthTable, annotate, observe
from quavf.simulate.world import ClipKey, ClipWorld, imagine


@dataclass(frozen=True)
class DirectClip:
    """One clip as annotators and trackers have it, its truth, its sound and its faces."""

    key: ClipKey
    segments: tuple[Segment, ...]  # of the partners
    tracks: dict[int, Track]  # by person
    table: TruthTable
    sound: Floats  # float32 mono at 16 kHz
    painter: Painter

    def crops(self, stride: int = 1, *, everywhere: bool = False) -> Iterator[Crop]:
        """The tracked faces in labelled segments, or `everywhere`, drawn every `stride` frames."""
        boxes: dict[int, tuple[Array, Floats]] = {}
        for person, track in self.tracks.items():
            inside = np.full(len(track.frames), everywhere)
            for segment in self.segments:
                if segment.person == person:
                    after = track.frames >= segment.start_frame
                    inside |= after & (track.frames <= segment.last_frame)
            inside &= track.frames % stride == 0
            boxes[person] = (track.frames[inside], track.boxes[inside])
        return render_crops(self.painter, boxes)


def direct_clip(config: SimulateConfig, key: ClipKey) -> DirectClip:
    """The clip that `simulate` would make of this key, without its video.

    Labels, boxes, truth and sound (before AAC) are the same; crops lack the traces of H.264.
    """
    world = imagine(config, key)
    painter, heard = Painter(world), world.listen()
    table = observe(world, painter, heard)
    annotation = annotate(world, table)
    segments, tracks = _segments(world, annotation), _tracks(annotation)
    return DirectClip(key, segments, tracks, table, heard.sound, painter)


def _segments(world: ClipWorld, annotation: Annotation) -> tuple[Segment, ...]:
    return tuple(
        Segment(person, *frame_span(world, start_s, end_s), label)
        for person, start_s, end_s, label in annotation.segments
        if person != WEARER
    )


def _tracks(annotation: Annotation) -> dict[int, Track]:
    tracks = {}
    for person, parts in annotation.tracks.items():
        if parts:
            frames = np.concatenate([frames for frames, _ in parts])
            boxes = np.concatenate([boxes for _, boxes in parts])
            tracks[person] = Track(frames, boxes)
    return tracks
