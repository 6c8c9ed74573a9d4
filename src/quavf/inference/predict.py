"""What the branches say of a clip in a store: each crop encoded once, sound in 30 s windows."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from quavf.core.clock import SAMPLE_RATE, TICKS_PER_SECOND
from quavf.core.errors import StoreError
from quavf.core.records import CROP_SIZE, Array, Floats, Image, Ints
from quavf.core.semantics import get_semantics
from quavf.core.windows import (
    WINDOW_SAMPLES,
    AudioWindow,
    Span,
    audio_read,
    audio_windows,
    frame_to_sample,
    frames_to_ticks,
    span_windows,
    spans,
    visual_windows,
)
from quavf.faces.crop import decode_jpeg
from quavf.inference.loading import AudioModel, VisualModel
from quavf.inference.window_queue import Laid, WindowQueue, needed_rows
from quavf.models.audio import AudioBranch, log_mel
from quavf.models.transforms import face_part, normalised
from quavf.models.visual import VisualBranch
from quavf.store import ClipStore, CropReader, Faces, Manifest
from quavf.utils.memory import release_memory
from quavf.utils.threads import map_ahead

WINDOWS = 256  # that are classified at once: their attention takes memory
GIVE_BACK_EVERY = 16  # batches: what the network frees comes back in other sizes


@dataclass
class ClipData:
    """One clip of a store, read as far as it is needed."""

    store: ClipStore
    clip: str

    @cached_property
    def manifest(self) -> Manifest:
        return self.store.manifest(self.clip)

    @cached_property
    def faces(self) -> Faces:
        return self.store.faces(self.clip)

    @cached_property
    def spans(self) -> list[Span]:
        frames = {p: self.faces.frame[self.faces.rows_of(p)] for p in self.faces.persons()}
        return spans(self.manifest.segments, frames)

    def rows(self, span: Span) -> slice:
        """The rows of `faces` inside a span."""
        own = self.faces.rows_of(span.person)
        inside = span.rows(self.faces.frame[own])
        return slice(own.start + inside.start, own.start + inside.stop)

    def scored(self) -> Array:
        """(N,) mask of the faces inside any span: those that get a score."""
        mask = np.zeros(len(self.faces), bool)
        for span in self.spans:
            mask[self.rows(span)] = True
        return mask


class AudioPredictor:
    """Scores the faces of a clip by what is heard while they are seen."""

    def __init__(self, branch: AudioModel, device: str = "cpu", batch_size: int = 4) -> None:
        self.branch = branch.to(device) if isinstance(branch, AudioBranch) else branch
        self.device, self.batch_size = device, batch_size
        self.semantics = get_semantics(branch.settings.semantics)
        self.n_repaired = 0  # scores that were not a number

    def faces(self, data: ClipData) -> Floats:
        """(N,) scores of the clip's faces, NaN outside spans or without sound.

        A face in several spans gets the score of the span that starts first.
        """
        scores = np.full(len(data.faces), np.nan)
        if data.manifest.n_samples is None:
            return scores
        if self.branch.settings.context == "clip":
            return self._faces_in_clip(data, scores)
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
            bad[rows] = np.isnan(line)[at]
            repair(line)
            scores[rows] = line[at]
        self.n_repaired += int(bad.sum())
        return scores

    def _faces_in_clip(self, data: ClipData, scores: Floats) -> Floats:
        """The same when the branch hears whole clips: the faces of one moment score alike."""
        rows = np.flatnonzero(data.scored())
        ticks = frames_to_ticks(data.faces.frame[rows], data.manifest.clock)
        wanted, at = np.unique(ticks, return_inverse=True)
        found = self.ticks(data, wanted)
        last = found[~np.isnan(found)][-1:]  # a face later than the sound has the last score
        scores[rows] = np.where(np.isnan(found), last if len(last) else np.nan, found)[at]
        return scores

    def spans(self, data: ClipData, wanted: Sequence[tuple[Span, int]]) -> list[Floats]:
        """For each (span, number of ticks) its scores (ticks,), one every 1/30 s."""
        if self.branch.settings.context == "clip":
            clock = data.manifest.clock
            starts = frames_to_ticks(np.array([span.start_frame for span, _ in wanted]), clock)
            ticks = [start + np.arange(n) for start, (_, n) in zip(starts, wanted, strict=True)]
            every = np.unique(np.concatenate([np.empty(0, np.int64), *ticks]))
            heard = self.ticks(data, every)
            lines = [heard[np.searchsorted(every, line)] for line in ticks]
        else:
            lines = self._lines(data, wanted)
        for line in lines:
            self.n_repaired += repair(line)
        return lines

    def _lines(self, data: ClipData, wanted: Sequence[tuple[Span, int]]) -> list[Floats]:
        """The same as the network gives them."""
        lines = [np.full(n_ticks, np.nan) for _, n_ticks in wanted]
        jobs = [
            (line, window, span)
            for line, (span, n_ticks) in zip(lines, wanted, strict=True)
            for window in audio_windows(n_ticks)
        ]
        heard = self._heard(data, [(span, window) for _, window, span in jobs])
        for (line, window, _), row in zip(jobs, heard, strict=True):
            line[window.use_from : window.end] = row[
                window.use_from - window.start : window.end - window.start
            ]
        return lines

    def ticks(
        self, data: ClipData, wanted: Ints, report: Callable[[int], None] = lambda _: None
    ) -> Floats:
        """(T,) scores at ascending ticks `wanted` (T,), 1/30 s from the start of the clip's sound.

        Windows lie back to back from the clip's start, whoever is seen: each is heard once for all
        persons, and not at all when it holds no wanted tick. NaN where the sound has ended.
        `report` is told of each window that is done.
        """
        scores = np.full(len(wanted), np.nan)
        n_ticks = -(-(data.manifest.n_samples or 0) * TICKS_PER_SECOND // SAMPLE_RATE)
        whole = Span(0, 0, max(n_ticks - 1, 0))
        windows = [
            w for w in audio_windows(n_ticks) if np.any((wanted >= w.use_from) & (wanted < w.end))
        ]
        heard = self._heard(data, [(whole, window) for window in windows])
        for window, line in zip(windows, heard, strict=True):
            inside = (wanted >= window.use_from) & (wanted < window.end)
            scores[inside] = line[wanted[inside] - window.start]
            self.n_repaired += repair_part(scores, inside)
            report(1)
        return scores

    def _heard(self, data: ClipData, jobs: Sequence[tuple[Span, AudioWindow]]) -> Iterator[Floats]:
        """(900,) scores of each window of a span, as the network gives them."""
        for first in range(0, len(jobs), self.batch_size):
            batch = jobs[first : first + self.batch_size]
            yield from self._windows(np.stack([self._sound(data, *job) for job in batch]))

    def _sound(self, data: ClipData, span: Span, window: AudioWindow) -> Floats:
        """(480000,) samples of one window, silence where there is none."""
        clock, n_samples = data.manifest.clock, data.manifest.n_samples or 0
        start = frame_to_sample(span.start_frame, clock, self.semantics)
        end = min(frame_to_sample(span.last_frame + 1, clock, self.semantics), n_samples)
        low, high = audio_read(window, max(end - start, 0), self.semantics)
        samples = data.store.sound(data.clip, start + low, start + high)
        return np.pad(samples, (0, WINDOW_SAMPLES - len(samples)))

    @torch.inference_mode()
    def _windows(self, sounds: Floats) -> Floats:
        mel = log_mel(torch.from_numpy(sounds).to(self.device))  # (B, 80, 3000)
        return tick_scores(self.branch(mel))


class VisualPredictor:
    """Scores the faces of a clip by the windows of crops around them."""

    def __init__(
        self, branch: VisualModel, scorer: str, device: str = "cpu", batch_size: int = 64
    ) -> None:
        self.branch = branch.to(device) if isinstance(branch, VisualBranch) else branch
        self.scorer, self.device, self.batch_size = scorer, device, batch_size
        self.semantics = get_semantics(branch.settings.semantics)
        self.n_repaired = 0
        self.n_unscored = 0  # crops without a quality: they count 0

    def faces(self, data: ClipData) -> tuple[Floats, Floats]:
        """(N,) scores and (N,) window qualities of the clip's faces, NaN outside spans.

        A face in several spans gets the score of the span that starts first.
        """
        scores, qualities = np.full((2, len(data.faces)), np.nan)
        quality = data.store.quality(data.clip, self.scorer)
        self.n_unscored += int(np.isnan(quality[data.scored()]).sum())
        found_spans = list(reversed(data.spans))
        laid = []
        for span in found_spans:
            own = data.faces.rows_of(span.person)
            windows = span_windows(
                data.faces.frame[own],
                quality[own],
                span,
                self.branch.settings.windows,
                data.manifest.clock,
                beyond=self.branch.settings.context == "clip",
            )
            laid.append((windows.rows_from(own.start), windows.quality))
        bad = np.zeros(len(scores), bool)
        for span, found, (_, window_quality) in zip(
            found_spans, self._judged(data, laid), laid, strict=True
        ):
            rows = data.rows(span)
            bad[rows] = np.isnan(found)
            repair(found)
            scores[rows], qualities[rows] = found, window_quality
        self.n_repaired += int(bad.sum())
        return scores, qualities

    def centres(
        self, data: ClipData, wanted: Sequence[tuple[Span, Ints]]
    ) -> list[tuple[Floats, Floats]]:
        """For each (span, ascending centre frames (C,)) scores (C,) and window qualities (C,).

        Only crops that a window needs are encoded, and each of them once.
        """
        quality, faces = data.store.quality(data.clip, self.scorer), data.faces
        laid = []
        for span, centres in wanted:
            own = faces.rows_of(span.person)
            windows = visual_windows(
                faces.frame[own],
                quality[own],
                centres,
                span,
                self.branch.settings.windows.offsets(data.manifest.clock),
            )
            laid.append((windows.rows_from(own.start), windows.quality))
        self.n_unscored += int(np.isnan(quality[needed_rows(laid)]).sum())
        results = []
        for scores, (_, window_quality) in zip(self._judged(data, laid), laid, strict=True):
            self.n_repaired += repair(scores)
            results.append((scores, window_quality))
        return results

    @torch.inference_mode()
    def _judged(self, data: ClipData, laid: Sequence[Laid]) -> list[Floats]:
        """(W,) scores for each of `laid`.

        Windows are classified soon after their last crop is encoded, and features held for as long
        as windows need them: some hundreds, however long the clip.
        """
        queue = WindowQueue(laid, self.branch.settings.windows.n_slots)
        scores = np.empty(len(queue))
        rows = queue.rows
        batches = [rows[i : i + self.batch_size] for i in range(0, len(rows), self.batch_size)]
        encoded = self._encode(data, batches)
        held = next(encoded)  # (1, D), an empty slot's; then (1 + H, D)
        for features in encoded:
            held = torch.cat([held, features])
            if queue.n_ready(len(held) - 1) >= WINDOWS:
                self._classify(queue, held, scores)
                held = torch.cat([held[:1], held[1 + queue.forget() :]])
        self._classify(queue, held, scores)
        return queue.by_part(scores)

    def _encode(self, data: ClipData, batches: Sequence[Ints]) -> Iterator[Tensor]:
        """(1, D) features of an empty slot, then those of each batch of rows, (B, D)."""
        reader = CropReader(data.store, data.clip, data.faces)
        empty = torch.zeros(1, 3, CROP_SIZE, CROP_SIZE)
        yield self._network(empty.to(self.device))
        for k, crops in enumerate(self._crops(reader, batches, data), 1):
            yield self._network(crops.to(self.device))
            if k % GIVE_BACK_EVERY == 0:
                release_memory()
        reader.close()

    def _network(self, crops: Tensor) -> Tensor:
        """crops (N, 3, 224, 224) -> features (N, D)."""
        return self.branch.encode(crops)

    def _crops(
        self, reader: CropReader, batches: Sequence[Ints], data: ClipData
    ) -> Iterator[Tensor]:
        """Batches of pictures (B, 3, 224, 224), the next ones decoded while one is encoded."""
        grown = data.store.config.framing == "grown"

        def load(batch: Ints) -> Tensor:
            shape = len(batch), 3, CROP_SIZE, CROP_SIZE
            crops = torch.empty(shape, memory_format=torch.channels_last)
            for k, row in enumerate(batch):
                crop = load_crop(reader, int(row))
                crops[k] = face_part(crop[None], self.semantics)[0] if grown else crop
            return crops

        return map_ahead(load, batches, n_threads=1, ahead=1)

    def _classify(self, queue: WindowQueue, held: Tensor, scores: Floats) -> None:
        """Score the windows that are ready, a group at a time."""
        while queue.n_ready(len(held) - 1):
            windows, slots, quality = queue.take(len(held) - 1, WINDOWS)
            features = held[torch.from_numpy(slots).to(held.device)]  # (W, T, D)
            logits = self.branch.classify(features, torch.from_numpy(quality).to(held.device))
            scores[windows] = logits.float().softmax(dim=1)[:, 1].cpu().numpy()


def tick_scores(logits: Tensor) -> Floats:
    """logits (B, 2, 900) -> scores (B, 900)."""
    return np.asarray(logits.float().softmax(dim=1)[:, 1].cpu().numpy(), float)


def load_picture(reader: CropReader, row: int) -> Image:
    """(224, 224, 3) RGB, one stored crop. Raises StoreError when it is damaged."""
    picture = decode_jpeg(reader.read(row))
    if picture is None or picture.shape != (CROP_SIZE, CROP_SIZE, 3):
        raise StoreError(
            f"{reader.path}: crop {row} is damaged; delete the clip's folder and prepare again"
        )
    return picture


def load_crop(reader: CropReader, row: int) -> Tensor:
    """(3, 224, 224) one stored crop, normalised."""
    return normalised(load_picture(reader, row))


def repair_part(scores: Floats, part: Array) -> int:
    """`repair` of the masked scores only, in place; how many."""
    own = scores[part]
    n_bad = repair(own)
    scores[part] = own
    return n_bad


def repair(scores: Floats) -> int:
    """Replace, in place, what is not a number by the score before it, else 0.5; how many."""
    bad = np.isnan(scores)
    if bad.any():
        last_good = np.maximum.accumulate(np.where(bad, -1, np.arange(len(scores))))
        filled = np.where(last_good >= 0, scores[np.maximum(last_good, 0)], 0.5)
        scores[bad] = filled[bad]
    return int(bad.sum())
