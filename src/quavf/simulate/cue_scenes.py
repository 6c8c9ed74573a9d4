"""Scenes of cue-level simulation: who speaks, to whom, and where people look, without pictures.

Two families. A *conversation* is an egocentric one, drawn by the same models of turn-taking, gaze
and motion as the rendered clips. *Footage* covers what other videos show: people who talk to the
camera, people who talk to each other or to somebody beside the camera, silent faces, split screens,
and voices from outside the picture.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np

from quavf.core.records import WEARER, Array, Floats, Ints
from quavf.cues.grid import RATE
from quavf.simulate.config import (
    PRESETS,
    PictureConfig,
    WorldConfig,
)
from quavf.simulate.conversation import GROUP, Conversation, draw_conversation
from quavf.simulate.gaze import draw_gaze
from quavf.simulate.scene import (
    Scene,
    SceneMotion,
    compute_forward,
    draw_motion,
    draw_scene,
    draw_smooth_noise,
)

HEAD_M = 0.21  # height of the face box of a grown-up
UNKNOWN = -1  # label
P_MUTED = 0.1  # share of scenes without any sound
P_PICTURE = 0.08  # share of scenes in which one of the faces is a picture
SHORT_PAUSE_S, LONG_PAUSE_S = 0.5, 1.0  # within a turn, and perhaps within one


@dataclass(frozen=True)
class CueScene:
    """The truth of one clip for P people in the picture over T ticks of 1/15 s.

    A turn lasts through its short pauses: whoever talks to the wearer still does in them.
    """

    lips: Array  # (P, T) bool: they move as in speech, heard or not
    speaking: Array  # (P, T) bool: heard to speak
    to_me: Ints  # (P, T) 1: talks to the wearer, 0: not, UNKNOWN
    looking: Ints  # (P, T) 1: looks at the wearer, 0: not, UNKNOWN
    wearer: Array  # (T,) bool: the wearer speaks
    offscreen: Array  # (T,) bool: somebody outside the picture speaks
    angles: Floats  # (P, T, 3) yaw, pitch, roll of the face relative to the camera, degrees
    size: Floats  # (P, T) face box, pixels; NaN while out of the picture
    place: Floats  # (P, T, 2) middle of the face, share of the picture
    pictures: Array  # (P,) bool: a photograph or a poster, that never moves

    @property
    def n_people(self) -> int:
        return int(self.speaking.shape[0])

    @property
    def n_ticks(self) -> int:
        return int(self.speaking.shape[1])


def draw_scene_truth(rng: np.random.Generator, seconds: float, p_footage: float) -> CueScene:
    """Draw a scene: footage with a probability of `p_footage`, else a conversation; some muted."""
    draw = draw_footage if rng.random() < p_footage else draw_talk
    scene = draw(rng, seconds)
    if rng.random() < P_PICTURE:
        scene = hang_picture(scene, int(rng.integers(scene.n_people)))
    if rng.random() < P_MUTED:
        return mute(scene)
    return replace(scene, to_me=bridge_pauses(scene.to_me))


def mute(scene: CueScene) -> CueScene:
    """Turn a scene's sound off: lips move, and nobody is heard."""
    silent = np.zeros_like(scene.speaking)
    return replace(
        scene,
        speaking=silent,
        to_me=silent.astype(np.int64),
        wearer=silent[0],
        offscreen=silent[0],
    )


def hang_picture(scene: CueScene, person: int) -> CueScene:
    """Replace a person of a scene with a still picture; the voice can still be heard."""
    at = int(np.argmax(~np.isnan(scene.size[person])))  # the first tick in view
    mine = np.arange(scene.n_people) == person  # (P,)
    rows = np.broadcast_to(mine[:, None], scene.speaking.shape)  # (P, T)
    size = np.where(np.isnan(scene.size) | ~rows, scene.size, scene.size[:, at : at + 1])
    return replace(
        scene,
        lips=scene.lips & ~rows,
        speaking=scene.speaking & ~rows,
        to_me=np.where(rows, 0, scene.to_me),
        looking=np.where(rows, UNKNOWN, scene.looking),
        offscreen=scene.offscreen | scene.speaking[person],
        angles=np.where(rows[..., None], scene.angles[:, at : at + 1], scene.angles),
        size=size,
        place=np.where(rows[..., None], scene.place[:, at : at + 1], scene.place),
        pictures=scene.pictures | mine,
    )


def bridge_pauses(to_me: Ints, rate: float = RATE) -> Ints:
    """Count a person's short pauses (P, T) as part of the turn; of longer ones nobody can tell.

    `rate` is in ticks a second.
    """
    bridged = to_me.copy()
    for row, out in zip(to_me, bridged, strict=True):
        ends = np.flatnonzero(np.diff((row == 1).astype(int), prepend=0, append=0))
        for stop, start in zip(ends[1:-1:2], ends[2::2], strict=True):
            pause_s = (start - stop) / rate
            if pause_s <= SHORT_PAUSE_S:
                out[stop:start] = 1
            elif pause_s <= LONG_PAUSE_S:
                out[stop:start] = UNKNOWN
    return bridged


def draw_talk(
    rng: np.random.Generator, seconds: float, world: WorldConfig | None = None
) -> CueScene:
    """Draw an egocentric conversation; with no world, its habits vary widely."""
    world = world or _draw_world(rng)
    talk = draw_conversation(world.talk, rng, seconds)
    n_ticks = round(seconds * RATE)
    scene = draw_scene(talk, world.picture, rng)
    gaze = draw_gaze(talk, world.gaze, rng, n_ticks, RATE)
    motion = draw_motion(scene, gaze, (world.gaze, world.picture), rng, RATE)
    speaking, to_me = _trace_speech(talk, n_ticks)
    angles, size, place = _project(scene, motion, world.picture)
    looking = (gaze == WEARER).astype(np.int64)
    return CueScene(
        speaking[1:],
        speaking[1:],
        to_me[1:],
        looking[1:],
        speaking[WEARER],
        np.zeros(n_ticks, bool),
        angles[1:],
        size[1:],
        place[1:],
        np.zeros(len(speaking) - 1, bool),
    )


def _draw_world(rng: np.random.Generator) -> WorldConfig:
    """A world around one of the presets, with habits of its own."""
    name = str(rng.choice(["table", "table", "clean", "party"]))
    world = PRESETS[name]()
    talk, gaze, picture = world.talk, world.gaze, world.picture

    def vary(value: float, by: float = 0.35) -> float:
        return float(np.clip(value * np.exp(rng.normal(0, by)), 0.01, 0.97))

    low, high = talk.partners
    n = int(rng.integers(1, 7)) if rng.random() < 0.4 else int(rng.integers(low, high + 1))
    return replace(
        world,
        talk=replace(
            talk,
            partners=(n, n),
            turn_median_s=talk.turn_median_s * float(np.exp(rng.normal(0, 0.3))),
            p_continue=vary(talk.p_continue),
            p_answer=vary(talk.p_answer, 0.2),
            p_group=vary(max(talk.p_group, 0.02)),
            p_backchannel=vary(talk.p_backchannel),
            p_schism=vary(max(talk.p_schism, 0.02)),
            wearer_share=float(np.exp(rng.normal(0, 0.5))),
        ),
        gaze=replace(
            gaze,
            p_speaker_addressee=vary(gaze.p_speaker_addressee, 0.25),
            p_speaker_others=vary(gaze.p_speaker_others) * 0.8,
            p_listener_speaker=vary(gaze.p_listener_speaker, 0.2) * 0.9,
            p_idle_person=vary(gaze.p_idle_person, 0.2),
            head_gain=float(np.clip(gaze.head_gain + rng.normal(0, 0.1), 0.3, 1.0)),
            head_noise_deg=gaze.head_noise_deg * float(np.exp(rng.normal(0, 0.3))),
        ),
        picture=replace(picture, width=int(rng.choice([640, 960, 1280, 1920]))),
    )


def _trace_speech(talk: Conversation, n_ticks: int) -> tuple[Array, Ints]:
    """Who speaks, (people, T), and whether to the wearer."""
    shape = (talk.n_partners + 1, n_ticks)
    speaking, to_me = np.zeros(shape, bool), np.zeros(shape, np.int64)
    for utterance in talk.utterances:
        start, end = round(utterance.start_s * RATE), round(utterance.end_s * RATE)
        speaking[utterance.speaker, start:end] = True
        to_me[utterance.speaker, start:end] = utterance.addressee in (WEARER, GROUP)
    return speaking, to_me


def _project(
    scene: Scene, motion: SceneMotion, picture: PictureConfig
) -> tuple[Floats, Floats, Floats]:
    """Angles (people, T, 3), sizes (people, T) and places (people, T, 2) in the picture."""
    to = motion.heads[WEARER] - motion.heads  # (people, T, 3) from each head to the camera
    ahead = compute_forward(motion.turns)
    right, down = _camera_axes(-ahead)  # a head that faces the camera has its orientation
    x, y, z = (np.sum(to * axis, axis=-1) for axis in (right, down, -ahead))
    yaw = np.degrees(np.arctan2(-x, -z))
    pitch = np.degrees(np.arctan2(y, np.hypot(x, z)))
    roll = np.degrees(motion.turns[..., 2])
    camera = compute_forward(motion.turns[WEARER])  # (T, 3)
    across, below = _camera_axes(camera)
    u, v, depth = (-np.sum(to * axis, axis=-1) for axis in (across, below, camera))
    depth = np.maximum(depth, 0.05)
    size = scene.focal_px * HEAD_M / depth
    wide, high = picture.width, picture.height * picture.width / 1280
    focal = scene.focal_px * picture.width / 1280
    size = size * picture.width / 1280
    place = np.stack([0.5 + focal * u / depth / wide, 0.5 + focal * v / depth / high], axis=-1)
    inside = np.all((place > 0) & (place < 1), axis=-1) & (np.abs(yaw) < 100) & (depth > 0.2)
    return np.stack([yaw, pitch, roll], axis=-1), np.where(inside, size, np.nan), place


def _camera_axes(view: Floats) -> tuple[Floats, Floats]:
    """Right and down axes of a camera with the view (..., 3)."""
    flat = np.maximum(np.hypot(view[..., 0], view[..., 1]), 1e-6)
    right = np.stack([view[..., 1] / flat, -view[..., 0] / flat, np.zeros_like(flat)], axis=-1)
    return right, np.cross(view, right)


ADDRESSES, CONVERSES, LISTENS, IDLES = range(4)  # roles of people in footage
ROLE_SETS = (  # how often, roles by person
    (0.24, (ADDRESSES,)),
    (0.10, (ADDRESSES, LISTENS)),
    (0.08, (ADDRESSES, ADDRESSES)),
    (0.10, (CONVERSES,)),
    (0.16, (CONVERSES, CONVERSES)),
    (0.06, (CONVERSES, CONVERSES, LISTENS)),
    (0.06, (CONVERSES, LISTENS, IDLES)),
    (0.10, (IDLES,)),
    (0.04, (IDLES, IDLES, IDLES)),
    (0.06, (ADDRESSES, CONVERSES, CONVERSES)),
)


def draw_footage(rng: np.random.Generator, seconds: float) -> CueScene:
    """Draw footage: people who talk to the camera, to each other, or not at all."""
    n_ticks = round(seconds * RATE)
    chances = np.array([chance for chance, _ in ROLE_SETS])
    roles: tuple[int, ...] = ROLE_SETS[int(rng.choice(len(ROLE_SETS), p=chances / chances.sum()))][
        1
    ]
    if roles == (ADDRESSES, ADDRESSES) and rng.random() < 0.5:  # a split screen
        roles = (ADDRESSES,) * int(rng.integers(2, 7))
    speakers = [p for p, role in enumerate(roles) if role in (ADDRESSES, CONVERSES)]
    turns, offscreen = _draw_turns(rng, speakers, n_ticks)
    speaking = np.zeros((len(roles), n_ticks), bool)
    for person, row in turns.items():
        speaking[person] = row
    angles = np.zeros((len(roles), n_ticks, 3))
    at_camera = np.zeros((len(roles), n_ticks), bool)
    for person, role in enumerate(roles):
        angles[person], at_camera[person] = _draw_head(rng, role, speaking[person], n_ticks)
    to_me = np.zeros(speaking.shape, np.int64)
    for person, role in enumerate(roles):
        if role == ADDRESSES:
            to_me[person] = speaking[person]
        elif role == CONVERSES:  # to others, but nobody could tell while they look this way
            to_me[person] = np.where(speaking[person] & at_camera[person], UNKNOWN, 0)
    size, place = _draw_framing(rng, roles, n_ticks)
    asks = offscreen & (rng.random() < 0.3)  # the wearer may be the one who asks
    return CueScene(
        speaking,
        speaking,
        to_me,
        at_camera.astype(np.int64),
        asks,
        offscreen & ~asks,
        angles,
        size,
        place,
        np.zeros(len(roles), bool),
    )


def _draw_turns(
    rng: np.random.Generator, speakers: list[int], n_ticks: int
) -> tuple[dict[int, Array], Array]:
    """Ticks (T,) at which each speaker speaks, and at which a voice from elsewhere does."""
    elsewhere = -1
    kind = rng.random()
    voices = list(speakers)
    if not speakers:
        voices = [elsewhere] if kind < 0.6 else []
    elif kind < 0.3:
        voices.append(elsewhere)
    rows = {voice: np.zeros(n_ticks, bool) for voice in voices}
    if not voices:
        return {}, np.zeros(n_ticks, bool)
    weights = np.exp(rng.normal(0, 0.6, len(voices)))
    median_s = float(np.exp(rng.uniform(np.log(1.0), np.log(6.0))))
    silence = float(np.exp(rng.uniform(np.log(0.15), np.log(2.5))))
    now = float(rng.exponential(1.0)) if rng.random() < 0.6 else 0.0
    while now * RATE < n_ticks:
        voice = voices[int(rng.choice(len(voices), p=weights / weights.sum()))]
        length = float(np.clip(median_s * np.exp(rng.normal(0, 0.7)), 0.4, 20.0))
        rows[voice][round(now * RATE) : round((now + length) * RATE)] = True
        overlap = rng.random() < 0.1 and len(voices) > 1
        now += length + (-0.5 * length if overlap else float(rng.exponential(silence)))
    offscreen = rows.pop(elsewhere, np.zeros(n_ticks, bool))
    return rows, offscreen


def _draw_head(
    rng: np.random.Generator, role: int, speaking: Array, n_ticks: int
) -> tuple[Floats, Array]:
    """Angles (T, 3) of a head, degrees, and whether its eyes are on the camera, (T,)."""
    partner = float(rng.choice([-1, 1]) * rng.uniform(14, 75))
    calm = float(np.exp(rng.uniform(np.log(1.5), np.log(25.0))))  # s between glances
    p_camera = {ADDRESSES: 0.93, CONVERSES: 0.06, LISTENS: 0.25, IDLES: 0.6}[role]
    if role == IDLES:
        p_camera = float(rng.choice([0.0, 0.2, 0.9, 1.0]))
    goal, on_camera = np.zeros((n_ticks, 3)), np.zeros(n_ticks, bool)
    tick = 0
    while tick < n_ticks:
        looks = rng.random() < p_camera
        long = looks == (p_camera > 0.5)
        length = max(round(rng.exponential(calm if long else 0.9) * RATE), 4)
        part = slice(tick, tick + length)
        on_camera[part] = looks
        goal[part] = _draw_aim(rng, role, looks, partner)
        tick += length
    smooth = _pursue(goal, rng.uniform(1.2, 3.5))
    lively = rng.uniform(0.6, 5.0)
    still = rng.random() < 0.06
    wander = draw_smooth_noise(rng, n_ticks, 3, 0.5 * RATE) * lively * np.array([1.0, 0.8, 0.6])
    beat = draw_smooth_noise(rng, n_ticks, 3, 0.15 * RATE) * speaking[:, None] * 0.3 * lively
    return smooth + (0 if still else wander + beat), on_camera


def _draw_aim(rng: np.random.Generator, role: int, looks: bool, partner: float) -> Floats:
    """Goal of a head: yaw, pitch, roll in degrees."""
    if looks:
        return np.array([rng.normal(0, 4), rng.normal(0, 5), rng.normal(0, 4)])
    if role == ADDRESSES:  # to notes, to the side
        side = float(rng.choice([-1, 1])) * rng.uniform(10, 40)
        if rng.random() < 0.4:
            return np.array([rng.normal(0, 6), -rng.uniform(12, 35), 0.0])
        return np.array([side, rng.normal(0, 8), rng.normal(0, 4)])
    if rng.random() < 0.8:
        return np.array([partner + rng.normal(0, 6), rng.normal(0, 7), rng.normal(0, 5)])
    return np.array([rng.uniform(-70, 70), rng.normal(-8, 12), rng.normal(0, 5)])


def _pursue(goal: Floats, tau: float) -> Floats:
    """Smooth a path of goals (T, k) with a time constant of `tau` ticks."""
    path, at = np.empty_like(goal), goal[0]
    for tick, aim in enumerate(goal):
        at = at + (aim - at) / tau
        path[tick] = at
    return path


def _draw_framing(
    rng: np.random.Generator, roles: tuple[int, ...], n_ticks: int
) -> tuple[Floats, Floats]:
    """Sizes (P, T), pixels, and places (P, T, 2), with cuts that move or hide people."""
    n = len(roles)
    size, place = np.empty((n, n_ticks)), np.empty((n, n_ticks, 2))
    n_cuts = int(rng.poisson(0.5)) if rng.random() < 0.4 else 0
    edges = [0, *sorted(rng.integers(0, n_ticks, n_cuts).tolist()), n_ticks]
    for start, end in pairwise(edges):
        common = float(np.exp(rng.uniform(np.log(30), np.log(420))))
        for person in range(n):
            own = common * float(np.exp(rng.normal(0, 0.25)))
            hidden = start > 0 and n > 1 and rng.random() < 0.4
            size[person, start:end] = np.nan if hidden else own
            place[person, start:end, 0] = (person + 0.5) / n + rng.normal(0, 0.05)
            place[person, start:end, 1] = rng.uniform(0.2, 0.6)
    drift = draw_smooth_noise(rng, n_ticks, n, 3 * RATE).T
    return size * np.exp(0.04 * drift), np.clip(place, 0, 1)
