"""Scores of the visual branch: each crop encoded once, windows gathered from the features."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from quavf.core.branches import QUALITY
from quavf.core.records import Floats, Ints
from quavf.core.windows import span_windows, visual_windows
from quavf.inference.clip import ClipData, load_picture
from quavf.inference.predictor import Columns, Predictor, Spans, repair
from quavf.inference.remote import VisualModel
from quavf.inference.window_queue import SlotRows, WindowQueue, needed_rows
from quavf.store import CropReader
from quavf.utils.memory import release_memory
from quavf.utils.threads import map_ahead

WINDOWS = 256  # classified at once: their attention takes memory
GIVE_BACK_EVERY = 16  # batches, after which freed memory is returned to the system


class VisualPredictor(Predictor):
    """Scores faces by the windows of crops around them."""

    name = "visual"
    action = "Looking"
    model: VisualModel

    def score_faces(self, data: ClipData) -> Columns:
        """`visual` and the `quality` of the windows, (N,) each, NaN outside spans.

        A face in several spans gets the score of the span that starts first.
        """
        scores, qualities = np.full((2, len(data.faces)), np.nan)
        quality = data.store.quality(data.clip, self.scorer)
        self.n_unscored += int(np.isnan(quality[data.scored_mask()]).sum())
        reversed_spans = list(reversed(data.spans))  # of several scores, the first span's stays
        windows_of = []
        for span in reversed_spans:
            own = data.faces.rows_of(span.person)
            windows = span_windows(
                data.faces.frame[own],
                quality[own],
                span,
                self.model.settings.windows,
                data.manifest.clock,
                beyond=self.model.settings.context == "clip",
            )
            windows_of.append((windows.rows_from(own.start), windows.quality))
        bad = np.zeros(len(scores), bool)
        for span, found, (_, window_quality) in zip(
            reversed_spans, self._score_windows(data, windows_of), windows_of, strict=True
        ):
            rows = data.rows(span)
            bad[rows] = ~np.isfinite(found)
            repair(found)
            scores[rows], qualities[rows] = found, window_quality
        self.n_repaired += int(bad.sum())
        return {self.name: scores, QUALITY: qualities}

    def score_person(self, data: ClipData, spans: Spans) -> Columns:
        """`visual` and the `quality` of the windows, (S,) each, around the ticks of one person.

        Only crops that a window needs are encoded, each of them once.
        """
        quality, faces = data.store.quality(data.clip, self.scorer), data.faces
        windows_of = []
        for span, centres in spans:
            own = faces.rows_of(span.person)
            windows = visual_windows(
                faces.frame[own],
                quality[own],
                centres,
                span,
                self.model.settings.windows.offsets(data.manifest.clock),
            )
            windows_of.append((windows.rows_from(own.start), windows.quality))
        self.n_unscored += int(np.isnan(quality[needed_rows(windows_of)]).sum())
        found = self._score_windows(data, windows_of)
        for scores in found:
            self.n_repaired += repair(scores)
        return {
            self.name: np.concatenate([np.empty(0), *found]),
            QUALITY: np.concatenate([np.empty(0), *(values for _, values in windows_of)]),
        }

    @property
    def batch_size(self) -> int:
        """Crops that the image network sees at once."""
        return self.config.batch_size

    def _score_windows(self, data: ClipData, windows_of: Sequence[SlotRows]) -> list[Floats]:
        """Scores (W,) for the windows of each part.

        Windows are classified soon after their last crop is encoded, and features are held only
        while a window needs them: some hundreds, however long the clip.
        """
        queue = WindowQueue(windows_of, self.model.settings.windows.n_slots)
        scores = np.empty(len(queue))
        rows = queue.rows
        batches = [rows[i : i + self.batch_size] for i in range(0, len(rows), self.batch_size)]
        encoded = self._encode(data, batches)
        held = next(encoded)  # (1, D), an empty slot's; then (1 + H, D)
        for features in encoded:
            held = np.concatenate([held, features])
            if queue.n_ready(len(held) - 1) >= WINDOWS:
                self._classify(queue, held, scores)
                held = np.concatenate([held[:1], held[1 + queue.forget() :]])
        self._classify(queue, held, scores)
        return queue.by_part(scores)

    def _encode(self, data: ClipData, batches: Sequence[Ints]) -> Iterator[Floats]:
        """Features of an empty slot (1, D), then those of each batch of rows (B, D)."""
        yield from map(self.model.encode, self._crops(data, batches))

    def _crops(self, data: ClipData, batches: Sequence[Ints]) -> Iterator[Any]:
        """An empty slot, then batches of crops; the next one is decoded while one is encoded."""
        reader = CropReader(data.store, data.clip, data.faces)
        grown = self.semantics if data.store.config.framing == "grown" else None

        def load(batch: Ints) -> Any:
            return self.model.stack([load_picture(reader, int(row)) for row in batch], grown)

        yield self.model.stack([None], grown)
        for k, crops in enumerate(map_ahead(load, batches, n_threads=1, ahead=1), 1):
            yield crops
            if k % GIVE_BACK_EVERY == 0:
                release_memory()
        reader.close()

    def _classify(self, queue: WindowQueue, held: Floats, scores: Floats) -> None:
        """Write the scores of the windows that are ready, a group at a time."""
        while queue.n_ready(len(held) - 1):
            windows, slots, quality = queue.take(len(held) - 1, WINDOWS)
            scores[windows] = self.model.score(held[slots], quality)  # of features (W, T, D)
