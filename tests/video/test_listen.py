from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from quavf.cues.tracks import sound_levels
from quavf.cues.voice import VoiceDetector
from quavf.video.listen import AT_ONCE, Listener


def noise(n: int) -> Any:
    return np.random.default_rng(0).integers(-3000, 3000, n).astype(np.int16)


@pytest.mark.parametrize("sizes", [[5000], [341] * 60, [AT_ONCE, 100], [512] * 4, [1]])
def test_cues_do_not_depend_on_the_chunks(sizes: list[int]) -> None:
    samples = noise(sum(sizes))
    listener = Listener(VoiceDetector())
    passed = list(listener.watch(np.split(samples, np.cumsum(sizes)[:-1])))
    np.testing.assert_array_equal(np.concatenate(passed), samples)
    cues = listener.cues()
    heard = (samples / 32768).astype(np.float32)
    np.testing.assert_allclose(cues.voice, VoiceDetector().run(heard), atol=1e-6)
    np.testing.assert_allclose(cues.level_db, sound_levels(heard), atol=1e-4)
    assert not listener.is_silent


def test_silence_and_no_sound() -> None:
    listener = Listener(VoiceDetector())
    list(listener.watch([np.zeros(1000, np.int16)]))
    assert listener.is_silent
    assert len(listener.cues()) == 2
    deaf = Listener()
    list(deaf.watch([noise(1000)]))
    assert not deaf.is_silent
    assert len(deaf.cues()) == 0
    nothing = Listener(VoiceDetector())
    assert list(nothing.watch([])) == []
    assert len(nothing.cues()) == 0
