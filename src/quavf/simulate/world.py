"""One clip's world before it is rendered: everything that follows from its seed."""

from __future__ import annotations

from dataclasses import dataclass, replace
from fractions import Fraction

import numpy as np

from quavf.core.clock import Clock
from quavf.core.records import SPLITS, WEARER, Floats
from quavf.simulate.acoustics import Heard, hear
from quavf.simulate.appearance import Look, draw_look
from quavf.simulate.config import Pair, SimulateConfig, WorldConfig
from quavf.simulate.conversation import Conversation, converse
from quavf.simulate.gaze import look
from quavf.simulate.room import Room, furnish
from quavf.simulate.scene import Motion, Scene, move, place, smooth_noise
from quavf.simulate.voices import Speech, Voice, draw_voice, lips, speak

FPS = Clock().fps
STREAMS = (
    "talk",
    "gaze",
    "scene",
    "motion",
    "looks",
    "voices",
    "words",
    "room",
    "picture",
    "sound",
    "truth",
)


@dataclass(frozen=True)
class ClipKey:
    """Which clip of a simulation: its random streams depend on nothing else."""

    seed: int
    split: str
    index: int

    @property
    def name(self) -> str:
        return f"sim-{self.seed}-{self.split}-{self.index:05d}"

    def stream(self, name: str) -> np.random.Generator:
        """Random numbers for one purpose, so that a change of one part leaves the others alone."""
        entropy = (self.seed, SPLITS.index(self.split), self.index, STREAMS.index(name))
        return np.random.default_rng(np.random.SeedSequence(entropy))


@dataclass(frozen=True)
class Event:
    """Something that passes: from frame to frame, for one person (or the camera)."""

    start: int
    end: int
    offset: tuple[float, float, float]  # metres: a hand from the face's middle, a passer's path

    def phase(self, frame: int) -> float:
        """0 to 1 through the event; outside it is not in the picture."""
        return (frame - self.start) / max(self.end - self.start, 1)


@dataclass(frozen=True)
class ClipWorld:
    """What is to be seen and heard in one clip. Lists are by person, 0 the wearer."""

    key: ClipKey
    config: WorldConfig
    talk: Conversation  # with the ends that the speech really has
    speech: list[Speech]
    voices: list[Voice]
    looks: list[Look]
    scene: Scene
    motion: Motion
    room: Room
    faces: Floats  # (people, frames, 3): lids open, mouth open, mouth wide
    hands: list[list[Event]]
    passers: list[Event]
    passer_look: Look
    blur_ms: float
    focus_px: float
    noise: float

    @property
    def n_frames(self) -> int:
        return self.motion.n_frames

    @property
    def fps(self) -> Fraction:
        return FPS

    def listen(self) -> Heard:
        """What the microphone hears; the same at every call."""
        world = self.config.sound
        rng = self.key.stream("sound")
        return hear(self.scene, self.motion, self.speech, self.voices, world, rng, float(FPS))


def imagine(config: SimulateConfig, key: ClipKey) -> ClipWorld:
    """The world of one clip."""
    world = config.world_of(key.index)
    n_frames = round(config.seconds * FPS)
    seconds = n_frames / float(FPS)
    plan = converse(world.talk, key.stream("talk"), seconds)
    rng = key.stream("looks")
    looks = [draw_look(rng) for _ in range(plan.n_partners + 1)]
    passer = draw_look(rng)
    rng = key.stream("voices")
    spread = world.sound.speech_sd_db
    voices = [draw_voice(rng, key.split, person.man, spread) for person in looks]
    speech = speak(plan, voices, key.stream("words"))
    talk = replace(plan, utterances=tuple(said.utterance for said in speech))
    scene = place(talk, world.picture, key.stream("scene"))
    looked = look(talk, world.gaze, key.stream("gaze"), n_frames, float(FPS))
    motion = move(scene, looked, (world.gaze, world.picture), key.stream("motion"), float(FPS))
    room = furnish(scene, world.picture, key.stream("room"))
    rng = key.stream("picture")
    minutes = seconds / 60
    return ClipWorld(
        key=key,
        config=world,
        talk=talk,
        speech=speech,
        voices=voices,
        looks=looks,
        scene=scene,
        motion=motion,
        room=room,
        faces=_faces(speech, scene.n_people, n_frames, rng),
        hands=[_events(world.picture.hands_per_min * minutes, n_frames, rng) for _ in looks],
        passers=_events(world.picture.passers_per_min * minutes, n_frames, rng),
        passer_look=passer,
        blur_ms=_exposed(world.picture.exposure_ms, room.dimness, rng),
        focus_px=float(rng.uniform(*world.picture.focus_blur_px)),
        noise=_exposed(world.picture.sensor_noise, room.dimness, rng),
    )


def _faces(speech: list[Speech], n_people: int, n_frames: int, rng: np.random.Generator) -> Floats:
    """Lids, mouth opening and width; people who do not speak still smile, chew and press lips."""
    out = np.ones((n_people, n_frames, 3))
    for person in range(n_people):
        out[person, :, 1:] = lips(speech, person, n_frames, float(FPS))
        idle = smooth_noise(rng, n_frames, 2, 8.0)
        out[person, :, 2] += 0.06 * smooth_noise(rng, n_frames, 1, 25.0)[:, 0]
        out[person, :, 1] = np.clip(
            out[person, :, 1] + 0.05 * np.maximum(idle[:, 0] - 0.8, 0), 0, 2
        )
        frame = int(rng.exponential(100))
        while frame < n_frames:  # blinks, some 15-20 a minute
            for step, lid in enumerate((0.5, 0.05, 0.05, 0.4, 0.8)):
                if frame + step < n_frames:
                    out[person, frame + step, 0] = lid
            frame += 10 + int(rng.exponential(95))
    out[WEARER, :, 0] = 1.0
    return out


def _exposed(limits: Pair, dimness: float, rng: np.random.Generator) -> float:
    """What a camera's automatic exposure makes of a room: longest and noisiest in a dim one."""
    low, high = limits
    return low + (high - low) * (0.75 * dimness + 0.25 * float(rng.random()))


def _events(expected: float, n_frames: int, rng: np.random.Generator) -> list[Event]:
    events = []
    for _ in range(int(rng.poisson(expected))):
        start = int(rng.integers(n_frames))
        length = int(rng.uniform(0.6, 2.0) * float(FPS))
        side = 1.0 if rng.random() < 0.5 else -1.0
        offset = (side * rng.uniform(0.0, 0.05), rng.uniform(0.05, 0.11), side)
        events.append(Event(start, start + length, offset))
    return events
