"""Voices, room acoustics and the mix."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("numba", reason="the renderer needs pip install 'quavf[simulate]'")
pytest.importorskip("espeakng_loader", reason="speech needs pip install 'quavf[simulate]'")
pytest.importorskip("pyroomacoustics", reason="sound needs pip install 'quavf[simulate]'")

from quavf.core.clock import SAMPLE_RATE
from quavf.core.errors import QuavfError
from quavf.simulate import voices
from quavf.simulate.acoustics import BEARINGS, compute_room_responses
from quavf.simulate.config import SimulateConfig, SoundConfig
from quavf.simulate.voices import TEST_MEN, TEST_WOMEN, Voice, draw_voice, synthesise_text
from quavf.simulate.world import ClipKey, draw_world

VOICE = Voice("en-us+f3", 175, 50, 50, 1.0, 1.0)
WORDS = "did you see the match last night"


@pytest.mark.parametrize("name", ["f3", "Reed"])  # Reed breathes at random
def test_speech_does_not_depend_on_earlier_speech(name: str) -> None:
    voice = replace(VOICE, name=f"en-us+{name}")
    first, events = synthesise_text(WORDS, voice, 175)
    synthesise_text("something else entirely", Voice("en+Gene", 160, 30, 40, 1.0, 1.0), 160)
    again, _ = synthesise_text(WORDS, voice, 175)
    np.testing.assert_array_equal(first, again)
    assert 1.0 < len(first) / SAMPLE_RATE < 3.0
    assert len(events) > 15
    assert 0.5 < np.sqrt(np.mean(first**2)) < 1.5


def test_error_names_an_unknown_voice() -> None:
    with pytest.raises(QuavfError, match="xx"):
        synthesise_text(WORDS, replace(VOICE, name="xx+nobody"), 175)


@pytest.mark.parametrize("name", [*voices.MEN, *voices.WOMEN])
def test_every_voice_exists(name: str) -> None:
    sound, _ = synthesise_text("yes", replace(VOICE, name=f"en-us+{name}"), 175)
    assert len(sound) > 1000


@pytest.mark.parametrize("accent", voices.ACCENTS)
def test_every_accent_exists(accent: str) -> None:
    sound, _ = synthesise_text("yes", replace(VOICE, name=f"{accent}+f2"), 175)
    assert len(sound) > 1000


def test_test_voices_are_held_out() -> None:
    kept = {*TEST_MEN, *TEST_WOMEN}
    assert kept < {*voices.MEN, *voices.WOMEN}
    for split in ("train", "val", "test"):
        rng = np.random.default_rng(0)
        drawn = {draw_voice(rng, split, k % 2 == 0, 2.0).name.split("+")[1] for k in range(200)}
        assert (drawn <= kept) if split == "test" else not (drawn & kept)


def test_a_face_turned_away_is_more_reverberant() -> None:
    """Turning away costs about 5 dB of direct-to-reverberant ratio."""
    world = draw_world(SimulateConfig(seconds=2.0), ClipKey(1, "train", 0))
    drops = []
    for person in range(1, world.scene.n_people):
        responses, ratios = compute_room_responses(
            world.scene, world.motion, person, SoundConfig(), 0.4
        )
        to_ear = world.scene.places[0] - world.scene.places[person]
        facing = round(np.arctan2(to_ear[1], to_ear[0]) / (2 * np.pi) * BEARINGS) % BEARINGS
        averted = (facing + BEARINGS // 2) % BEARINGS
        drops.append(ratios[facing] - ratios[averted])
        assert ratios.argmax() in {(facing + k) % BEARINGS for k in (-1, 0, 1)}
        assert responses.shape[0] == BEARINGS
    assert 4.0 < np.mean(drops) < 8.0


def test_the_mix_repeats_and_the_wearer_is_loudest() -> None:
    world = draw_world(SimulateConfig(seconds=12.0), ClipKey(5, "train", 1))
    recording = world.record_sound()
    np.testing.assert_array_equal(recording.sound, world.record_sound().sound)
    assert recording.sound.dtype == np.float32
    assert len(recording.sound) == 12 * SAMPLE_RATE
    assert 0.02 < np.abs(recording.sound).max() <= 1.0
    partners = recording.voice_db[1:][np.isfinite(recording.voice_db[1:])]
    assert np.isfinite(recording.voice_db[0])
    assert recording.voice_db[0] > partners.mean() + 3
    assert np.isnan(recording.direct_db[0]).all()


def test_noise_is_as_loud_as_configured() -> None:
    """Without speech, the level of the mix is that of the noise."""
    world = draw_world(SimulateConfig(seconds=2.0), ClipKey(1, "train", 0))
    quiet = replace(world, speech=[])
    recording = quiet.record_sound()
    level = 20 * np.log10(np.sqrt(np.mean(recording.sound.astype(float) ** 2)))
    assert level == pytest.approx(world.config.sound.speech_db - recording.snr_db, abs=1.0)
