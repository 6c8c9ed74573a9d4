"""The voice activity detector against the original, whole and in pieces."""

from __future__ import annotations

import numpy as np
import pytest

from quavf.cues.voice import STEP_SAMPLES, VoiceDetector

CLOSE = 1e-4


@pytest.fixture(scope="module")
def detector() -> VoiceDetector:
    return VoiceDetector()


@pytest.fixture(scope="module")
def reference(originals):
    return originals["sound"] / np.float32(32768), originals["voice"]


def test_equals_stored_outputs_of_the_original(detector, reference) -> None:
    sound, voice = reference
    assert np.abs(detector.run(sound) - voice).max() < CLOSE


def test_pieces_give_the_same_as_the_whole(detector, reference) -> None:
    sound, voice = reference
    detector.reset()
    pieces = [detector.step(sound[:STEP_SAMPLES]), detector.step(sound[STEP_SAMPLES:])]
    assert np.abs(np.concatenate(pieces) - voice).max() < CLOSE


def test_sounds_do_not_depend_on_each_other(detector, reference) -> None:
    sound, voice = reference
    detector.run(sound[::-1].copy())
    assert np.abs(detector.run(sound) - voice).max() < CLOSE


@pytest.mark.parametrize(("n", "steps"), [(0, 0), (1, 1), (512, 1), (513, 2)])
def test_number_of_steps(detector, n: int, steps: int) -> None:
    assert detector.run(np.zeros(n, np.float32)).shape == (steps,)
