"""Judge the ticks of the grid one by one, each from the same bounded past and the look-ahead."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from quavf.core.branches import CUES
from quavf.core.records import Floats
from quavf.cues.grid import COLUMNS, CONFIDENCE, SIZE, CueGrid, reach
from quavf.cues.tracks import LOWEST_DB
from quavf.live.people import SeenFace
from quavf.results.fusion import Fusion

if TYPE_CHECKING:
    from quavf.inference.cues import CuesPredictor

# The network reaches back 17 s, and its features another 10; what is older than this changes a
# score by about 0.001, and reading it would take twice as long.
PAST_S = 10.0
HOLD_TICKS = 1  # that a face holds when the next picture does not show it
MUTED_S = 0.5  # digital silence for so long is a muted microphone: nobody is heard
MUTED_DB = -80.0


@dataclass(frozen=True)
class TickScores:
    """The scores of one person at one tick, NaN: not known; and the face that was judged."""

    face: SeenFace
    talking: float
    speaking: float
    looking: float
    cues: float  # the branch's own score


@dataclass
class _Past:
    """What is kept of a person: one row a tick, the newest last; NaN where not seen."""

    rows: Floats  # (n_ticks, len(COLUMNS))
    faces: deque[SeenFace | None]
    seen: int  # the last tick with a face


@dataclass
class Judge:
    """Takes ticks in order and judges each when the look-ahead is there."""

    predictor: CuesPredictor
    fusion: Fusion
    look_ahead: int  # ticks

    def __post_init__(self) -> None:
        self.n_ticks = reach(PAST_S) + self.look_ahead
        self._past: dict[int, _Past] = {}
        self._sound: deque[tuple[float, float]] = deque(maxlen=self.n_ticks)  # voice, level
        self._tick: int | None = None  # the newest
        self.first_tick = 0

    def take(
        self, tick: int, faces: Sequence[SeenFace], sound: tuple[float, float]
    ) -> list[TickScores]:
        """Take the next tick, and judge the one that lies the look-ahead before it.

        `faces` may have some of earlier ticks, of persons who are new. Returns the scores of the
        persons seen at the judged tick.
        """
        assert self._tick in (None, tick - 1), (self._tick, tick)
        self.first_tick = tick if self._tick is None else self.first_tick
        self._tick = tick
        self._sound.append(sound)
        for past in self._past.values():
            past.rows[:-1] = past.rows[1:]
            past.rows[-1] = np.nan
            past.faces.append(None)
        for face in faces:
            self._set(face)
        for past in self._past.values():
            if past.faces[-1] is None and tick - past.seen <= HOLD_TICKS:
                past.rows[-1], past.faces[-1] = past.rows[-2], past.faces[-2]
        self._past = {p: own for p, own in self._past.items() if tick - own.seen < self.n_ticks}
        return self.judge(self.look_ahead)

    def judge(self, back: int) -> list[TickScores]:
        """The scores of the persons seen `back` ticks before the newest one."""
        at = len(self._sound) - 1 - back
        if at < 0:
            return []
        faces = [own.faces[-1 - back] for own in self._past.values()]
        if not any(faces):
            return []
        n = len(self._sound)
        rows = np.stack([own.rows[-n:] for own in self._past.values()])  # (P, n, columns)
        voice, level = np.array(self._sound).T
        grid = CueGrid(rows, voice, level)
        judged = self.predictor.judge_grid(grid, self.look_ahead)[:, :, at]  # (P, 3)
        if self._is_muted(at):
            judged[:, :2] = np.where(np.isnan(judged[:, :2]), np.nan, 0.0)
        measures = {"confidence": rows[:, at, CONFIDENCE], "face_size": rows[:, at, SIZE]}
        fused = self.fusion.fuse({CUES.name: judged[:, 0], **measures})
        return [
            TickScores(face, float(talks), float(speaks), float(looks), float(cues))
            for face, talks, (cues, speaks, looks) in zip(faces, fused, judged, strict=True)
            if face is not None
        ]

    def _is_muted(self, at: int) -> bool:
        """Whether there was nothing but digital silence for a while, up to a tick."""
        levels = [level for _, level in list(self._sound)[max(at - reach(MUTED_S), 0) : at + 1]]
        return bool(np.nanmax([LOWEST_DB, *levels]) < MUTED_DB)

    def _set(self, face: SeenFace) -> None:
        assert self._tick is not None
        own = self._past.get(face.person)
        if own is None:
            nothing: list[SeenFace | None] = [None] * self.n_ticks
            rows = np.full((self.n_ticks, len(COLUMNS)), np.nan)
            own = _Past(rows, deque(nothing, self.n_ticks), face.tick)
            self._past[face.person] = own
        row = face.tick - self._tick - 1  # from the end
        if -row <= min(self.n_ticks, len(self._sound)):
            own.rows[row], own.faces[row] = face.cues, face
            own.seen = max(own.seen, face.tick)
