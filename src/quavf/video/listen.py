"""Listen to the sound of a raw video while it is stored: its cues, and whether it is silent."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

import numpy as np

from quavf.core.records import Floats
from quavf.cues.tracks import SoundCues, sound_levels
from quavf.cues.voice import STEP_SAMPLES, VoiceDetector
from quavf.sources.media.sound import Samples, is_silent

AT_ONCE = 64 * STEP_SAMPLES  # 2 s: sound that is heard in one call
FULL_SCALE = 32768  # of 16-bit samples


@dataclass
class Listener:
    """Takes notes of a sound that passes through `watch`; without a detector, of silence alone."""

    detector: VoiceDetector | None = None
    is_silent: bool = True
    _voice: list[Floats] = field(default_factory=list)
    _levels: list[Floats] = field(default_factory=list)
    _waiting: list[Samples] = field(default_factory=list)

    def watch(self, chunks: Iterable[Samples]) -> Iterator[Samples]:
        """Pass the chunks on, and hear them."""
        for chunk in chunks:
            self.is_silent = self.is_silent and is_silent(chunk)
            if self.detector is not None:
                self._waiting.append(chunk)
                if sum(len(waiting) for waiting in self._waiting) >= AT_ONCE:
                    self._hear()
            yield chunk
        self._hear(is_last=True)

    def cues(self) -> SoundCues:
        """Of the sound that has passed; empty without any."""
        nothing = np.empty(0, np.float32)
        return SoundCues(
            np.concatenate([*self._voice, nothing]), np.concatenate([*self._levels, nothing])
        )

    def _hear(self, is_last: bool = False) -> None:
        if self.detector is None or not self._waiting:
            return
        samples = np.concatenate(self._waiting)
        n_whole = len(samples) // STEP_SAMPLES * STEP_SAMPLES
        n_heard = len(samples) if is_last else n_whole
        heard = samples[:n_heard].astype(np.float32) / FULL_SCALE
        self._waiting = [samples[n_heard:]]
        self._levels.append(sound_levels(heard))
        self._voice.append(self.detector.step(np.pad(heard, (0, -len(heard) % STEP_SAMPLES))))
