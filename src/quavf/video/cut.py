"""Which faces of a prepared video are cut, and the cutting, picture by picture."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np

from quavf.core.records import Floats, Ints
from quavf.core.windows import WindowConfig
from quavf.faces.crop import crop_geometry, crop_regions, encode_jpeg, render_crop
from quavf.sources.video import Shown
from quavf.video.prepared import TICKS_A_SECOND, PreparedVideo


@dataclass(frozen=True)
class CutFace:
    """A face as it goes into the store."""

    person: int
    tick: int
    score: float  # the detector's
    where: tuple[list[float], Sequence[int], Sequence[int]]  # box, region, picture part
    jpeg: bytes

    @property
    def time_s(self) -> float:
        return self.tick / TICKS_A_SECOND


@dataclass(frozen=True)
class Wanted:
    """The faces to cut, a row each, by tick and person."""

    tick: Ints  # (N,)
    person: Ints  # (N,)
    box: Floats  # (N, 4)
    score: Floats  # (N,) the detector's

    def rows(self, ticks: range) -> range:
        """Those of a stretch of ticks."""
        return range(*np.searchsorted(self.tick, [ticks.start, ticks.stop]).tolist())


def wanted_faces(video: PreparedVideo, windows: WindowConfig) -> Wanted:
    """Those of all persons that the scores need, seen through `windows`."""
    found = [Wanted(*(np.empty((0, *shape)) for shape in ((), (), (4,), ())))]
    for person in range(1, len(video.persons) + 1):
        ticks = video.wanted_ticks(person, windows)
        found.append(Wanted(ticks, np.full(len(ticks), person), *video.boxes_of(person, ticks)))
    names = [f.name for f in fields(Wanted)]
    columns = {name: np.concatenate([getattr(part, name) for part in found]) for name in names}
    order = np.lexsort([columns["person"], columns["tick"]])
    return Wanted(**{name: column[order] for name, column in columns.items()})


def cut_faces(wanted: Wanted, shown: Shown) -> tuple[Shown, list[CutFace | None]]:
    """The faces of one picture, by tick; None where the box lies outside."""
    return shown, [
        _cut_face(
            shown,
            int(wanted.tick[row]),
            int(wanted.person[row]),
            wanted.box[row],
            float(wanted.score[row]),
        )
        for row in wanted.rows(shown.ticks)
    ]


def _cut_face(shown: Shown, tick: int, person: int, box: Floats, score: float) -> CutFace | None:
    region = crop_regions(box[None], shown.size)[0]
    geometry = crop_geometry(region, shown.size)
    if geometry is None:
        return None
    jpeg = encode_jpeg(render_crop(shown.bgr(geometry.region), geometry))
    return CutFace(person, tick, score, (box.tolist(), geometry.region, geometry.picture), jpeg)
