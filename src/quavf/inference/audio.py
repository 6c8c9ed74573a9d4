"""Scores of the audio branch: sound in windows of 30 s, an output every 1/30 s."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np

from quavf.core.clock import SAMPLE_RATE, TICKS_PER_SECOND
from quavf.core.records import Floats, Ints
from quavf.core.windows import (
    WINDOW_SAMPLES,
    WINDOW_TICKS,
    AudioWindow,
    Span,
    audio_read,
    audio_windows,
    frame_to_sample,
    frames_to_ticks,
)
from quavf.inference.clip import ClipData
from quavf.inference.predictor import Columns, Once, Predictor, Spans, repair, repair_part
from quavf.inference.remote import AudioModel
from quavf.utils.progress import show_progress

NO_TICKS = np.empty(0, np.int64)


class AudioPredictor(Predictor):
    """Scores faces by the sound that is heard while they are seen."""

    name = "audio"
    action = "Listening"
    model: AudioModel

    def score_faces(self, data: ClipData) -> Columns:
        """`audio` (N,), NaN outside spans or without sound.

        A face in several spans gets the score of the span that starts first.
        """
        scores = np.full(len(data.faces), np.nan)
        if data.manifest.n_samples is not None:
            if self.model.settings.context == "clip":
                self._score_in_clip(data, scores)
            else:
                self._score_in_spans(data, scores)
        return {self.name: scores}

    def score_person(self, data: ClipData, spans: Spans) -> Columns:
        """`audio` (S,) at the ticks of one person."""
        ticks = np.concatenate([NO_TICKS, *(own for _, own in spans)])
        return {self.name: self.score_ticks(data, ticks)}

    def score_video(
        self, data: ClipData, schedule: Mapping[int, Spans], once: Once, *, is_silent: bool = False
    ) -> dict[int, Columns]:
        """People who are seen at the same time share a score, so each window runs once.

        NaN without sound, and for silent sound unless the branch was trained on silence.
        """
        ticks = {
            person: np.concatenate([NO_TICKS, *(own for _, own in spans)])
            for person, spans in schedule.items()
        }
        every = np.unique(np.concatenate([NO_TICKS, *ticks.values()]))
        scores = np.full(len(every), np.nan)
        has_sound = data.manifest.n_samples is not None
        if has_sound and (self.judges_silence or not is_silent) and len(every):

            def listen() -> Columns:
                n_windows = len(np.unique(every // WINDOW_TICKS))
                with show_progress(self.action, n_windows, unit="windows of 30 s") as bar:
                    return {self.name: self.score_ticks(data, every, lambda: bar.advance(1))}

            scores = once(self.name, listen)[self.name]
        return {p: {self.name: scores[np.searchsorted(every, own)]} for p, own in ticks.items()}

    @property
    def judges_silence(self) -> bool:
        """Silence was part of its training only if that was on whole clips."""
        return self.model.settings.context == "clip"

    def score_labelled(self, data: ClipData) -> tuple[Ints, Ints, Floats]:
        """The faces in spans; in a clip without faces, every frame of its labelled segments."""
        return super().score_labelled(data) if len(data.faces) else self._score_frames(data)

    def _score_frames(self, data: ClipData) -> tuple[Ints, Ints, Floats]:
        """Person, frame and score (N,) of all frames in spans, each frame once."""
        persons, frames, scores = [], [], []
        if data.manifest.n_samples is not None:
            inside = [np.arange(s.last_frame - s.start_frame + 1) for s in data.spans]
            ticks = [frames_to_ticks(frame, data.manifest.clock) for frame in inside]
            asked = [(s, int(t[-1]) + 1) for s, t in zip(data.spans, ticks, strict=True)]
            for span, frame, tick, line in zip(
                data.spans, inside, ticks, self.score_spans(data, asked), strict=True
            ):
                persons.append(np.full(len(frame), span.person))
                frames.append(frame + span.start_frame)
                scores.append(line[tick])
        empty = np.empty(0, int)
        columns = np.concatenate([empty, *persons]), np.concatenate([empty, *frames])
        keys, first = np.unique(np.stack(columns, axis=1), axis=0, return_index=True)
        return keys[:, 0], keys[:, 1], np.concatenate([np.empty(0), *scores])[first]

    def _score_in_spans(self, data: ClipData, scores: Floats) -> None:
        """Fill `scores` (N,) of faces, each span's sound scored on its own."""
        found = [(span, data.rows(span)) for span in data.spans]
        found = [(span, rows) for span, rows in found if rows.stop > rows.start]
        clock = data.manifest.clock
        ticks = [
            frames_to_ticks(data.faces.frame[rows] - span.start_frame, clock)
            for span, rows in found
        ]
        lines = self._lines(
            data, [(s, int(t[-1]) + 1) for (s, _), t in zip(found, ticks, strict=True)]
        )
        bad = np.zeros(len(scores), bool)
        for (_, rows), at, line in reversed(list(zip(found, ticks, lines, strict=True))):
            bad[rows] = ~np.isfinite(line)[at]
            repair(line)
            scores[rows] = line[at]
        self.n_repaired += int(bad.sum())

    def _score_in_clip(self, data: ClipData, scores: Floats) -> None:
        """Fill `scores` (N,) of faces from windows of the whole clip: one score for each moment."""
        rows = np.flatnonzero(data.scored_mask())
        ticks = frames_to_ticks(data.faces.frame[rows], data.manifest.clock)
        asked, at = np.unique(ticks, return_inverse=True)
        found = self.score_ticks(data, asked)
        last = found[~np.isnan(found)][-1:]  # a face later than the sound has the last score
        scores[rows] = np.where(np.isnan(found), last if len(last) else np.nan, found)[at]

    def score_spans(self, data: ClipData, asked: Sequence[tuple[Span, int]]) -> list[Floats]:
        """Scores (n_ticks,) for each (span, n_ticks), one every 1/30 s."""
        if self.model.settings.context == "clip":
            clock = data.manifest.clock
            starts = frames_to_ticks(np.array([span.start_frame for span, _ in asked]), clock)
            ticks = [start + np.arange(n) for start, (_, n) in zip(starts, asked, strict=True)]
            every = np.unique(np.concatenate([NO_TICKS, *ticks]))
            scores = self.score_ticks(data, every)
            lines = [scores[np.searchsorted(every, line)] for line in ticks]
        else:
            lines = self._lines(data, asked)
        for line in lines:
            self.n_repaired += repair(line)
        return lines

    def _lines(self, data: ClipData, asked: Sequence[tuple[Span, int]]) -> list[Floats]:
        """Score each span on its own; NaN of the network is not repaired."""
        lines = [np.full(n_ticks, np.nan) for _, n_ticks in asked]
        jobs = [
            (line, window, span)
            for line, (span, n_ticks) in zip(lines, asked, strict=True)
            for window in audio_windows(n_ticks)
        ]
        rows = self._score_windows(data, [(span, window) for _, window, span in jobs])
        for (line, window, _), row in zip(jobs, rows, strict=True):
            line[window.use_from : window.end] = row[
                window.use_from - window.start : window.end - window.start
            ]
        return lines

    def score_ticks(
        self, data: ClipData, ticks: Ints, on_window: Callable[[], None] = lambda: None
    ) -> Floats:
        """Scores (T,) at ascending `ticks` (T,), in 1/30 s from the start of the clip's sound.

        Windows lie back to back from the clip's start; those without any of the ticks do not run.
        NaN after the end of the sound. `on_window` is called after each window.
        """
        scores = np.full(len(ticks), np.nan)
        n_ticks = -(-(data.manifest.n_samples or 0) * TICKS_PER_SECOND // SAMPLE_RATE)
        whole = Span(0, 0, max(n_ticks - 1, 0))
        windows = [
            w for w in audio_windows(n_ticks) if np.any((ticks >= w.use_from) & (ticks < w.end))
        ]
        lines = self._score_windows(data, [(whole, window) for window in windows])
        for window, line in zip(windows, lines, strict=True):
            inside = (ticks >= window.use_from) & (ticks < window.end)
            scores[inside] = line[ticks[inside] - window.start]
            self.n_repaired += repair_part(scores, inside)
            on_window()
        return scores

    def _score_windows(
        self, data: ClipData, jobs: Sequence[tuple[Span, AudioWindow]]
    ) -> Iterator[Floats]:
        """Scores (900,) of each window of a span, as the network gives them."""
        for first in range(0, len(jobs), self.batch_size):
            batch = jobs[first : first + self.batch_size]
            yield from self._run_network(np.stack([self._sound(data, *job) for job in batch]))

    @property
    def batch_size(self) -> int:
        """Windows that the network sees at once."""
        return self.config.audio_batch_size

    def _sound(self, data: ClipData, span: Span, window: AudioWindow) -> Floats:
        """(480000,) samples of one window, silence where there is none."""
        clock, n_samples = data.manifest.clock, data.manifest.n_samples or 0
        start = frame_to_sample(span.start_frame, clock, self.semantics)
        end = min(frame_to_sample(span.last_frame + 1, clock, self.semantics), n_samples)
        low, high = audio_read(window, max(end - start, 0), self.semantics)
        samples = data.store.sound(data.clip, start + low, start + high)
        return np.pad(samples, (0, WINDOW_SAMPLES - len(samples)))

    def _run_network(self, sounds: Floats) -> Floats:
        """sounds (B, 480000) -> scores (B, 900)."""
        return self.model.score(sounds)
