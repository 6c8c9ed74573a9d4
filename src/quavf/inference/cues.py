"""Scores of the cues branch: all people of a clip judged together, stretch by stretch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from quavf.core.clock import TICKS_PER_SECOND
from quavf.core.records import Floats, Ints
from quavf.cues.features import OFFLINE, compute_features
from quavf.cues.grid import RATE, CueGrid, count_ticks, split_clip
from quavf.inference.clip import ClipData
from quavf.inference.predictor import Columns, Once, Predictor, Spans
from quavf.inference.remote import CuesModel
from quavf.results.turns import pool_turns

COLUMNS = ("cues", "speaking", "looking")  # talks to me, speaks, looks at me
TURN = len(COLUMNS)  # of the answers: talks to me, if the person has the turn


class CuesPredictor(Predictor):
    """Judges all people of a clip by their cues, which the store holds."""

    name = "cues"
    action = "Reading cues"
    model: CuesModel

    def score_faces(self, data: ClipData) -> Columns:
        """`cues`, `speaking` and `looking` (N,), in spans and outside; NaN where no face was read.

        What cannot be read has no score, so that the fusion falls back on the other branches.
        Inside a labelled span, `cues` judges the whole turn: to whom somebody talks who is known
        to talk, also where the face cannot be read, unless the configuration's `whole_turns` is
        false.
        """
        faces = data.faces
        found = {name: np.full(len(faces), np.nan) for name in COLUMNS}
        turns = np.full(len(faces), np.nan)
        for person, rows in self._judge(data).items():
            own = faces.rows_of(person)
            ticks = np.round(faces.time_s[own] * RATE).astype(int).clip(0, rows.shape[1] - 1)
            for name, row in zip(COLUMNS, rows, strict=False):
                found[name][own] = row[ticks]
            turns[own] = rows[TURN, ticks]
        if getattr(self.config, "whole_turns", True):
            found[self.name] = pool_turns(turns, data.turns, found[self.name])
        return found

    def score_person(self, data: ClipData, spans: Spans) -> Columns:
        """Columns (S,) at the ticks of one person."""
        person = next((span.person for span, _ in spans), 0)
        return _pick(self._judge(data), {person: spans})[person]

    def score_video(
        self, data: ClipData, schedule: Mapping[int, Spans], once: Once, *, is_silent: bool = False
    ) -> dict[int, Columns]:
        """Columns of everybody; people are judged together, so the clip runs once."""
        if not any(schedule.values()):
            return {person: {} for person in schedule}

        def judge() -> Columns:
            return {str(person): rows for person, rows in self._judge(data).items()}

        judged = {int(person): rows for person, rows in once(self.name, judge).items()}
        return _pick(judged, schedule)

    def _judge(self, data: ClipData) -> dict[int, Floats]:
        """(4, T) answers of each person at each tick of the grid, see `judge_answers`."""
        faces, sound = data.store.cues(data.clip), data.store.sound_cues(data.clip)
        people = np.unique(faces.person)
        n_ticks = count_ticks(faces, data.manifest.n_samples)
        found = {int(person): np.full((TURN + 1, n_ticks), np.nan) for person in people}
        for part in split_clip(faces, sound, n_ticks):
            rows = self.judge_answers(part.grid)
            for person, own in zip(part.people.tolist(), rows, strict=True):
                found[person][:, part.ticks] = own[:, part.inner]
        return found

    def judge_grid(self, grid: CueGrid, look_ahead: int = OFFLINE) -> Floats:
        """(P, 3, T) probabilities of COLUMNS, NaN where no face was read nearby."""
        return self.judge_answers(grid, look_ahead)[:, : len(COLUMNS)]

    def judge_answers(self, grid: CueGrid, look_ahead: int = OFFLINE) -> Floats:
        """(P, 4, T) probabilities: COLUMNS, NaN where no face was read nearby, and TURN.

        TURN takes for granted that the person talks. Who answers tells something of it, so it is
        judged wherever there is sound.
        """
        features = compute_features(grid, None if look_ahead == OFFLINE else look_ahead)
        found = self.model.score(features, look_ahead).transpose(0, 2, 1).astype(float)
        read = grid.is_near_read
        found[:, :TURN][~np.broadcast_to(read[:, None], found[:, :TURN].shape)] = np.nan
        for answer in (0, 1, TURN):
            found[:, answer, ~grid.is_heard] = np.nan
        return found


def _pick(judged: Mapping[int, Floats], schedule: Mapping[int, Spans]) -> dict[int, Columns]:
    """The columns (S,) of each person at the ticks to score, 1/30 s."""
    columns: dict[int, Columns] = {}
    for person, spans in schedule.items():
        ticks: Ints = np.concatenate([np.empty(0, np.int64), *(own for _, own in spans)])
        rows: Any = judged.get(person, np.full((TURN + 1, 1), np.nan))
        at = np.round(ticks * RATE / TICKS_PER_SECOND).astype(int).clip(0, rows.shape[1] - 1)
        columns[person] = {name: row[at] for name, row in zip(COLUMNS, rows, strict=False)}
    return columns
