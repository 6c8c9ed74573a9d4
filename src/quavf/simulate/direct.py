"""Simulated clips without video: labels, sound and face crops, straight from a seed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from quavf.records import WEARER, Array, ClipRecord, Floats, Segment, Track
from quavf.simulate.config import SimulateConfig
from quavf.simulate.layout import frame_span
from quavf.simulate.picture import Crop, Painter, render_crops
from quavf.simulate.truth import Annotation, TruthTable, annotate, observe
from quavf.simulate.world import ClipKey, ClipWorld, imagine


@dataclass(frozen=True)
class DirectClip:
    """One clip as annotators and trackers have it, its truth, its sound and its faces."""

    record: ClipRecord  # `media` names no file: there is none
    table: TruthTable
    sound: Floats  # float32 mono at 16 kHz
    painter: Painter

    def crops(self, stride: int = 1) -> Iterator[Crop]:
        """The tracked faces in labelled segments, every `stride` frames, drawn one by one."""
        boxes: dict[int, tuple[Array, Floats]] = {}
        for person, track in self.record.tracks.items():
            inside = np.zeros(len(track.frames), bool)
            for segment in self.record.segments:
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
    return DirectClip(_record(world, annotate(world, table)), table, heard.sound, painter)


def _record(world: ClipWorld, annotation: Annotation) -> ClipRecord:
    segments = [
        Segment(person, *frame_span(world, start_s, end_s), label)
        for person, start_s, end_s, label in annotation.segments
        if person != WEARER
    ]
    tracks = {}
    for person, parts in annotation.tracks.items():
        if parts:
            frames = np.concatenate([frames for frames, _ in parts])
            boxes = np.concatenate([boxes for _, boxes in parts])
            tracks[person] = Track(frames, boxes)
    key = world.key
    return ClipRecord(key.name, key.split, Path(key.name), tuple(segments), tracks)
