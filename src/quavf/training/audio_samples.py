"""Training samples of the audio branch: pieces of sound with a label every 1/30 s."""

from __future__ import annotations

import random

import numpy as np
import torch
from torch import Tensor

from quavf.core.clock import SAMPLE_RATE, TICKS_PER_SECOND, Clock
from quavf.core.records import TALKING, WEARER
from quavf.core.semantics import get_semantics
from quavf.core.windows import (
    WINDOW_SAMPLES,
    WINDOW_TICKS,
    AudioItem,
    audio_items,
    audio_read,
    audio_windows,
    n_labelled_ticks,
    training_piece,
)
from quavf.store import ClipStore
from quavf.training.augment import change_sound, seed_sample
from quavf.training.config import TrainAudioConfig
from quavf.training.datasets import IGNORED, UNKNOWN, Sample, TrainSet, count_classes


class AudioTrainSet(TrainSet):
    """Samples (sound (480000,), labels (900,)) of labelled segments, or of whole clips.

    Segments count with or without faces.
    """

    def __init__(self, store: ClipStore, config: TrainAudioConfig) -> None:
        self.store, self.context = store, config.context
        self.semantics = get_semantics(config.semantics)
        self.augment, self.seed = config.augment, config.trainer.seed
        self.unlabelled = config.unlabelled
        self.clips: list[str] = []
        rows: list[tuple[int, int, int, int]] = []  # clip, start, end, label or UNKNOWN
        positive = negative = 0
        for clip in store.clips("train"):
            manifest = store.manifest(clip)
            if manifest.n_samples is None:
                continue
            items = audio_items(manifest.spoken, manifest.n_samples, manifest.clock, self.semantics)
            for item in items:
                n_frames = item.segment.last_frame - item.segment.start_frame
                positive += n_frames * item.segment.label
                negative += n_frames * (1 - item.segment.label)
            rows += [(len(self.clips), *row) for row in self._pieces(items, manifest.n_samples)]
            self.clips.append(clip)
        negative += round((positive + negative) * self.unlabelled / (1 - self.unlabelled))
        self.counts = count_classes(positive, negative, store, "labelled sound")
        self.items = np.array(rows, np.int64)  # (N, 4)

    def _pieces(self, items: list[AudioItem], n_samples: int) -> list[tuple[int, int, int]]:
        """Start, end and label of the stretches that a clip's training pieces are drawn from."""
        if self.context == "segment":
            return [(item.start_sample, item.end_sample, item.segment.label) for item in items]
        windows = audio_windows(Clock().sample_to_frame(n_samples)) if items else []
        return [(*audio_read(window, n_samples, self.semantics), UNKNOWN) for window in windows]

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, index: int) -> Sample:
        clip, start, end, label = self.items[index].tolist()
        with seed_sample(self.seed, self.epoch, index) as rng:
            low, high = training_piece(end - start, rng)
            sound = torch.from_numpy(self.store.sound(self.clips[clip], start + low, start + high))
            sound = change_sound(sound, self.augment, rng)
            labels = torch.full((WINDOW_TICKS,), IGNORED)
            n_ticks = n_labelled_ticks(len(sound), self.semantics)
            labels[:n_ticks] = label
            if label == UNKNOWN:
                labels[:n_ticks] = self._label_ticks(self.clips[clip], start + low, n_ticks, rng)
                if self.augment.mute and rng.random() < self.augment.mute:
                    sound = torch.zeros_like(sound)
                    labels[:n_ticks] = 0
        samples = torch.zeros(WINDOW_SAMPLES)
        samples[: len(sound)] = sound
        return samples, labels

    def _label_ticks(self, clip: str, start: int, n_ticks: int, rng: random.Random) -> Tensor:
        """Labels (n_ticks,) from the sample `start` on; IGNORED where two segments disagree.

        Of the ticks without a segment a random part counts as not to me, so that it has its share;
        where part of the clip is unlabelled, only if somebody is labelled there, as silent.
        """
        manifest = self.store.manifest(clip)
        fps = manifest.clock.fps
        time = start * TICKS_PER_SECOND + np.arange(n_ticks) * SAMPLE_RATE  # in 1/480000 s: exact
        frames = time * fps.numerator // (TICKS_PER_SECOND * SAMPLE_RATE * fps.denominator)
        claimed = np.zeros((2, n_ticks), bool)
        for segment in manifest.spoken:
            if segment.person > WEARER:
                claimed[segment.label] |= segment.covers(frames)
        labels = np.where(claimed[1], 1, np.where(claimed[0], 0, IGNORED))
        labels[claimed.all(axis=0)] = IGNORED
        known = np.ones(n_ticks, bool)
        if TALKING in manifest.unlabelled:
            known = np.any(
                [np.zeros(n_ticks, bool), *(s.covers(frames) for s in manifest.segments)], axis=0
            )
        free = np.flatnonzero(known & ~claimed.any(axis=0))
        n_free = round((n_ticks - len(free)) * self.unlabelled / (1 - self.unlabelled))
        labels[rng.sample(free.tolist(), min(n_free, len(free)))] = 0
        return torch.from_numpy(labels)
