"""Voice activity: the probability of speech in each 32 ms of sound (Silero VAD 6)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from quavf.core.clock import SAMPLE_RATE
from quavf.cues.network import Network, open_network

STEP_SAMPLES = 512  # of 16 kHz: one probability
STEP_S = STEP_SAMPLES / SAMPLE_RATE  # 0.032
CONTEXT_SAMPLES = 64  # before each step that the network also hears
STEPS_A_CALL = 1024  # 33 s; bounds memory


class VoiceDetector:
    """Speech probabilities of one sound after another, or of one sound piece by piece.

    The network remembers what it heard; `reset` makes it forget. The wheel's file for sequences
    runs all steps of a call at once, with the result of the file for single steps.

    Several detectors may share a `network`; None: one of its own, on one thread.
    """

    def __init__(self, network: Network | None = None) -> None:
        self._network = network or open_network("voice", 1)
        self.reset()

    def reset(self) -> None:
        """Forget the sound heard so far."""
        self._h = np.zeros((1, 1, 128), np.float32)
        self._c = np.zeros((1, 1, 128), np.float32)
        self._context = np.zeros(CONTEXT_SAMPLES, np.float32)

    def run(self, samples: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the speech probability (ceil(N / 512),) of a whole sound (N,) at 16 kHz.

        Samples are mono float32 in [-1, 1]; the last step is filled up with silence.
        """
        self.reset()
        missing = -len(samples) % STEP_SAMPLES
        return self.step(np.pad(np.asarray(samples, np.float32), (0, missing)))

    def step(self, samples: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the probabilities (S,) of the next S * 512 samples."""
        assert len(samples) % STEP_SAMPLES == 0, len(samples)
        steps = samples.astype(np.float32, copy=False).reshape(-1, STEP_SAMPLES)
        found = [
            self._some(steps[start : start + STEPS_A_CALL])
            for start in range(0, len(steps), STEPS_A_CALL)
        ]
        return np.concatenate([*found, np.empty(0, np.float32)])

    def _some(self, steps: NDArray[np.float32]) -> NDArray[np.float32]:
        ends = np.concatenate([self._context[None], steps[:-1, -CONTEXT_SAMPLES:]])
        feed = {"input": np.concatenate([ends, steps], axis=1), "h": self._h, "c": self._c}
        probabilities, self._h, self._c = self._network(feed)
        self._context = steps[-1, -CONTEXT_SAMPLES:]
        return np.asarray(probabilities, np.float32)
