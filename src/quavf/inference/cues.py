"""Scores of the cues branch: all people of a clip judged together, stretch by stretch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from quavf.core.clock import TICKS_PER_SECOND
from quavf.core.records import Floats, Ints
from quavf.cues.features import OFFLINE, compute_features
from quavf.cues.grid import RATE, CueGrid, build_grid, count_ticks, reach, rolling_mean
from quavf.inference.clip import ClipData
from quavf.inference.predictor import Columns, Once, Predictor, Spans
from quavf.inference.remote import CuesModel
from quavf.results.turns import pool_turns

STRETCH_S = 60.0  # judged at once, to bound memory
CONTEXT_S = 30.0  # read before and after each stretch
TRUST_S = 0.5  # a judgement holds this far from a face that the mesh can read
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
        for inner, outer in _stretches(n_ticks):
            near = (faces.time_s >= outer.start / RATE) & (faces.time_s <= outer.stop / RATE)
            seen = np.unique(faces.person[near])
            if not len(seen):
                continue
            rows = self.judge_answers(build_grid(faces, sound, seen, outer))
            part = slice(inner.start - outer.start, inner.stop - outer.start)
            for k, person in enumerate(seen):
                found[int(person)][:, inner.start : inner.stop] = rows[k, :, part]
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
        read = np.nan_to_num(rolling_mean(grid.is_read.astype(float), reach(TRUST_S))) > 0
        found[:, :TURN][~np.broadcast_to(read[:, None], found[:, :TURN].shape)] = np.nan
        deaf = np.isnan(grid.level_db)  # (T,) without sound, only looks can be judged
        for answer in (0, 1, TURN):
            found[:, answer, deaf] = np.nan
        return found


def _stretches(n_ticks: int) -> Iterator[tuple[range, range]]:
    """Stretches of a clip, each with its surroundings."""
    step, context = reach(STRETCH_S), reach(CONTEXT_S)
    for start in range(0, n_ticks, step):
        inner = range(start, min(start + step, n_ticks))
        yield inner, range(max(start - context, 0), min(inner.stop + context, n_ticks))


def _pick(judged: Mapping[int, Floats], schedule: Mapping[int, Spans]) -> dict[int, Columns]:
    """The columns (S,) of each person at the ticks to score, 1/30 s."""
    columns: dict[int, Columns] = {}
    for person, spans in schedule.items():
        ticks: Ints = np.concatenate([np.empty(0, np.int64), *(own for _, own in spans)])
        rows: Any = judged.get(person, np.full((TURN + 1, 1), np.nan))
        at = np.round(ticks * RATE / TICKS_PER_SECOND).astype(int).clip(0, rows.shape[1] - 1)
        columns[person] = {name: row[at] for name, row in zip(COLUMNS, rows, strict=False)}
    return columns
