"""Cut the faces of a raw video, frame by frame."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields

import numpy as np

from quavf.core.clock import TICKS_PER_SECOND
from quavf.core.records import CropGeometry, Floats, Ints
from quavf.faces.crop import crop_geometry, encode_jpeg, render_crop
from quavf.faces.follow import box_side
from quavf.sources.media.pictures import Frame
from quavf.video.prepared import PreparedVideo
from quavf.video.schedule import N_SAMPLES, FaceTicks


@dataclass(frozen=True)
class RenderedFace:
    """A face crop, ready to be stored."""

    person: int
    tick: int
    score: float  # the detector's
    geometry: CropGeometry
    jpeg: bytes

    @property
    def time_s(self) -> float:
        return self.tick / TICKS_PER_SECOND


@dataclass(frozen=True)
class CropRequests:
    """The faces to cut, one per row, sorted by tick and person."""

    tick: Ints  # (N,)
    person: Ints  # (N,)
    box: Floats  # (N, 4)
    score: Floats  # (N,) the detector's

    @classmethod
    def of(cls, faces: Mapping[int, FaceTicks]) -> CropRequests:
        """The faces of some persons."""
        parts = [cls(*(np.empty((0, *shape)) for shape in ((), (), (4,), ())))]
        for person, own in faces.items():
            parts.append(cls(own.ticks, np.full(len(own), person), own.boxes, own.scores))
        names = [f.name for f in fields(cls)]
        columns = {name: np.concatenate([getattr(part, name) for part in parts]) for name in names}
        order = np.lexsort([columns["person"], columns["tick"]])
        return cls(**{name: column[order] for name, column in columns.items()})

    def rows_at(self, ticks: range) -> range:
        """The rows of a stretch of ticks."""
        return range(*np.searchsorted(self.tick, [ticks.start, ticks.stop]).tolist())


def render_faces(requests: CropRequests, frame: Frame) -> tuple[Frame, list[RenderedFace | None]]:
    """The faces of one frame, by tick; None where the box lies outside."""
    return frame, [
        _render_face(
            frame,
            int(requests.tick[row]),
            int(requests.person[row]),
            requests.box[row],
            float(requests.score[row]),
        )
        for row in requests.rows_at(frame.ticks)
    ]


def cut_samples(video: PreparedVideo, pictures: Iterable[Frame]) -> list[RenderedFace]:
    """The largest faces of each person in a few pictures, `N_SAMPLES` at most.

    Empty for somebody who is in none of them.
    """
    found: dict[int, list[tuple[float, RenderedFace]]] = {}  # sizes in pixels, falling
    for frame in pictures:
        for person in range(1, len(video.persons) + 1):
            boxes, scores = video.boxes_at(person, np.array([frame.time_s]))
            own = found.setdefault(person, [])
            size = float(box_side(boxes[0]))
            if np.isnan(size) or (len(own) == N_SAMPLES and size <= own[-1][0]):
                continue
            face = _render_face(frame, frame.ticks.start, person, boxes[0], float(scores[0]))
            if face is not None:
                own.append((size, face))
                own.sort(key=lambda one: -one[0])
                del own[N_SAMPLES:]
    return [face for own in found.values() for _, face in own]


def _render_face(
    frame: Frame, tick: int, person: int, box: Floats, score: float
) -> RenderedFace | None:
    geometry = crop_geometry(box, frame.size)
    if geometry is None:
        return None
    jpeg = encode_jpeg(render_crop(frame.bgr(geometry.region), geometry))
    return RenderedFace(person, tick, score, geometry, jpeg)
