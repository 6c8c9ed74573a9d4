"""One clip's world, drawn from its seed and ready to render."""

from __future__ import annotations

from dataclasses import dataclass, replace
from fractions import Fraction

import numpy as np

from quavf.core.clock import Clock
from quavf.core.records import SPLITS, WEARER, Floats
from quavf.simulate.acoustics import Recording, mix_recording
from quavf.simulate.appearance import Appearance, draw_appearance
from quavf.simulate.config import Range, SimulateConfig, WorldConfig
from quavf.simulate.conversation import Conversation, draw_conversation
from quavf.simulate.gaze import draw_gaze
from quavf.simulate.room import Room, draw_room
from quavf.simulate.scene import Scene, SceneMotion, draw_motion, draw_scene, draw_smooth_noise
from quavf.simulate.voices import (
    Speech,
    Voice,
    compute_mouth,
    draw_voice,
    synthesise_conversation,
)

FPS = Clock().fps
STREAMS = (
    "talk",
    "gaze",
    "scene",
    "motion",
    "appearance",
    "voices",
    "words",
    "room",
    "picture",
    "sound",
    "truth",
)


@dataclass(frozen=True)
class ClipKey:
    """Identifies a clip. Its random streams depend on nothing else."""

    seed: int
    split: str
    index: int

    @property
    def name(self) -> str:
        return f"sim-{self.seed}-{self.split}-{self.index:05d}"

    def create_rng(self, name: str) -> np.random.Generator:
        """Create the random generator for one purpose, independent of all other purposes."""
        entropy = (self.seed, SPLITS.index(self.split), self.index, STREAMS.index(name))
        return np.random.default_rng(np.random.SeedSequence(entropy))


@dataclass(frozen=True)
class Occlusion:
    """A hand in front of a face, or a passer-by in front of the camera, for some frames."""

    start: int
    end: int
    offset: tuple[float, float, float]  # metres: hand from the face's centre, or passer-by's path

    def phase_at(self, frame: int) -> float:
        """Progress from 0 to 1 during the occlusion; outside that range it is not visible."""
        return (frame - self.start) / max(self.end - self.start, 1)


@dataclass(frozen=True)
class ClipWorld:
    """Everything seen and heard in one clip. Lists are indexed by person; 0 is the wearer."""

    key: ClipKey
    config: WorldConfig
    conversation: Conversation  # utterances end when the synthesised speech ends
    speech: list[Speech]
    voices: list[Voice]
    appearances: list[Appearance]
    scene: Scene
    motion: SceneMotion
    room: Room
    faces: Floats  # (people, frames, 3): lids open, mouth open, mouth wide
    hands: list[list[Occlusion]]
    passers: list[Occlusion]
    passer_appearance: Appearance
    blur_ms: float
    focus_px: float
    noise: float

    @property
    def n_frames(self) -> int:
        return self.motion.n_frames

    @property
    def fps(self) -> Fraction:
        return FPS

    def record_sound(self) -> Recording:
        """Mix the wearer's microphone signal. Repeated calls return the same sound."""
        sound = self.config.sound
        rng = self.key.create_rng("sound")
        return mix_recording(
            self.scene, self.motion, self.speech, self.voices, sound, rng, float(FPS)
        )


def draw_world(config: SimulateConfig, key: ClipKey) -> ClipWorld:
    """Draw the world of one clip."""
    world = config.select_world(key.index)
    n_frames = round(config.seconds * FPS)
    seconds, minutes = n_frames / float(FPS), n_frames / float(FPS) / 60
    plan = draw_conversation(world.talk, key.create_rng("talk"), seconds)
    rng = key.create_rng("appearance")
    people = [draw_appearance(rng) for _ in range(plan.n_partners + 1)]
    passer = draw_appearance(rng)
    rng = key.create_rng("voices")
    spread_db = world.sound.speech_sd_db
    voices = [draw_voice(rng, key.split, person.is_male, spread_db) for person in people]
    speech = synthesise_conversation(plan, voices, key.create_rng("words"))
    conversation = replace(plan, utterances=tuple(item.utterance for item in speech))
    scene = draw_scene(conversation, world.picture, key.create_rng("scene"))
    gaze = draw_gaze(conversation, world.gaze, key.create_rng("gaze"), n_frames, float(FPS))
    settings = (world.gaze, world.picture)
    motion = draw_motion(scene, gaze, settings, key.create_rng("motion"), float(FPS))
    room = draw_room(scene, world.picture, key.create_rng("room"))
    rng = key.create_rng("picture")
    hands, passers = world.picture.hands_per_min, world.picture.passers_per_min
    return ClipWorld(
        key=key,
        config=world,
        conversation=conversation,
        speech=speech,
        voices=voices,
        appearances=people,
        scene=scene,
        motion=motion,
        room=room,
        faces=_draw_faces(speech, scene.n_people, n_frames, rng),
        hands=[_draw_occlusions(hands * minutes, n_frames, rng) for _ in people],
        passers=_draw_occlusions(passers * minutes, n_frames, rng),
        passer_appearance=passer,
        blur_ms=_draw_exposure(world.picture.exposure_ms, room.dimness, rng),
        focus_px=float(rng.uniform(*world.picture.focus_blur_px)),
        noise=_draw_exposure(world.picture.sensor_noise, room.dimness, rng),
    )


def _draw_faces(
    speech: list[Speech], n_people: int, n_frames: int, rng: np.random.Generator
) -> Floats:
    """(people, frames, 3) opening of the lids, opening of the mouth, width of the mouth.

    Silent people still smile, chew and press their lips.
    """
    out = np.ones((n_people, n_frames, 3))
    for person in range(n_people):
        out[person, :, 1:] = compute_mouth(speech, person, n_frames, float(FPS))
        idle = draw_smooth_noise(rng, n_frames, 2, 8.0)
        out[person, :, 2] += 0.06 * draw_smooth_noise(rng, n_frames, 1, 25.0)[:, 0]
        out[person, :, 1] = np.clip(
            out[person, :, 1] + 0.05 * np.maximum(idle[:, 0] - 0.8, 0), 0, 2
        )
        frame = int(rng.exponential(100))
        while frame < n_frames:  # 15-20 blinks per minute
            for step, lid in enumerate((0.5, 0.05, 0.05, 0.4, 0.8)):
                if frame + step < n_frames:
                    out[person, frame + step, 0] = lid
            frame += 10 + int(rng.exponential(95))
    out[WEARER, :, 0] = 1.0
    return out


def _draw_exposure(limits: Range, dimness: float, rng: np.random.Generator) -> float:
    """Draw a setting of automatic exposure: close to the upper limit in a dim room."""
    low, high = limits
    return low + (high - low) * (0.75 * dimness + 0.25 * float(rng.random()))


def _draw_occlusions(expected: float, n_frames: int, rng: np.random.Generator) -> list[Occlusion]:
    events = []
    for _ in range(int(rng.poisson(expected))):
        start = int(rng.integers(n_frames))
        length = int(rng.uniform(0.6, 2.0) * float(FPS))
        side = 1.0 if rng.random() < 0.5 else -1.0
        offset = (side * rng.uniform(0.0, 0.05), rng.uniform(0.05, 0.11), side)
        events.append(Occlusion(start, start + length, offset))
    return events
