"""What a simulated world is like: every probability and range, with its source where there is one.

Probabilities are in [0, 1]; `_s` are seconds, `_m` metres, `_deg` degrees, `_db` decibels, `_hz`
hertz. A pair is the range that a clip draws from, evenly unless said otherwise.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields, replace
from typing import Any

from quavf.core.errors import ConfigError

Pair = tuple[float, float]


class _Checked:
    """Raises ConfigError for a probability outside [0, 1] or a pair that descends."""

    def __post_init__(self) -> None:
        for item in fields(self):  # type: ignore[arg-type]
            value: Any = getattr(self, item.name)
            name = f"{type(self).__name__}.{item.name}"
            if item.name.startswith("p_") and not 0.0 <= value <= 1.0:
                raise ConfigError(f"{name} is {value}; a probability lies between 0 and 1")
            if isinstance(value, tuple) and (len(value) != 2 or value[0] > value[1]):
                raise ConfigError(f"{name} is {value}; expected (low, high) with low <= high")


@dataclass(frozen=True)
class TalkConfig(_Checked):
    """Who speaks when, and to whom.

    Args:
        partners: fewest and most people beside the wearer.
        turn_median_s: median length of a turn (means near 1.7-2 s: Levinson & Torreira 2015).
        turn_sigma: spread of the logarithm of turn lengths.
        gap_mean_s: mean of the pause between turns (about 0.2 s: Stivers et al. 2009).
        gap_sd_s: its deviation; negative pauses are overlaps (some 40 % of the changes of speaker
            overlap in Heldner & Edlund 2010).
        p_silence: chance that the talk lapses after a turn.
        silence_mean_s: mean length of a lapse.
        p_continue: chance that the speaker goes on after a pause instead of yielding.
        p_keep_addressee: chance that a speaker who goes on still talks to the same person.
        p_answer: chance that a single addressee speaks next (Sacks, Schegloff & Jefferson 1974:
            current speaker selects next).
        p_reply_to_previous: chance that whoever speaks next talks to the one who just spoke.
        p_group: chance that a turn is for everybody (about half of the addressed acts in the AMI
            meetings; fewer at a table).
        p_backchannel: chance that the addressee says "mm-hm" during a turn (19 % of Switchboard's
            utterances: Jurafsky et al. 1997); the others do so a third as often.
        p_schism: chance that four or more people split into two conversations (groups seldom hold
            more than four: Dunbar et al. 1995).
        wearer_share: how talkative the wearer is, relative to a partner.
    """

    partners: tuple[int, int] = (2, 4)
    turn_median_s: float = 1.8
    turn_sigma: float = 0.65
    gap_mean_s: float = 0.2
    gap_sd_s: float = 0.4
    p_silence: float = 0.08
    silence_mean_s: float = 2.5
    p_continue: float = 0.2
    p_keep_addressee: float = 0.75
    p_answer: float = 0.7
    p_reply_to_previous: float = 0.6
    p_group: float = 0.2
    p_backchannel: float = 0.25
    p_schism: float = 0.1
    wearer_share: float = 1.0


@dataclass(frozen=True)
class GazeConfig(_Checked):
    """Where people look. What a row of chances leaves over is a look at nobody.

    Vertegaal et al. 2001, four people in talk: a listener looks at the speaker 62 % of the time, a
    speaker at the one addressed 40 %, at each other person 12 %; speakers to a group at each 20 %.

    Args:
        p_speaker_addressee: a speaker looks at the one addressed.
        p_speaker_others: a speaker looks at someone else (all the others together).
        p_speaker_group: a speaker to the group looks at one of them.
        p_listener_speaker: a listener looks at the speaker.
        p_listener_others: a listener looks at someone else (all together).
        p_idle_person: in silence, someone looks at another person.
        p_reorient: chance that a new turn makes a person choose anew where to look.
        dwell_person_s: mean length of a look at a person.
        dwell_away_s: mean length of a look at nobody.
        head_gain: part of a turn of gaze that the head makes (69 %: Stiefelhagen & Zhu 2002).
        head_gain_sd: spread of that between people.
        head_tau_s: time constant of head turns.
        head_noise_deg: wandering of the head about its aim (standard deviation).
        wearer_gain: part of the wearer's turns of gaze that the camera follows.
    """

    p_speaker_addressee: float = 0.62
    p_speaker_others: float = 0.15
    p_speaker_group: float = 0.65
    p_listener_speaker: float = 0.6
    p_listener_others: float = 0.2
    p_idle_person: float = 0.45
    p_reorient: float = 0.7
    dwell_person_s: float = 1.8
    dwell_away_s: float = 0.9
    head_gain: float = 0.69
    head_gain_sd: float = 0.12
    head_tau_s: float = 0.18
    head_noise_deg: float = 4.0
    wearer_gain: float = 0.7


@dataclass(frozen=True)
class PictureConfig(_Checked):
    """What the camera sees.

    Args:
        width: of the picture, pixels.
        height: of the picture, pixels.
        fov_deg: horizontal field of view, from smart glasses' to wide action cameras'.
        distance_m: how far partners are from the wearer.
        spread_deg: most that a partner stands to the side of the middle of the group.
        light: strength of the room's light, 1 being well lit.
        flatness: share of the light that has no direction.
        camera_jitter_deg: trembling of the wearer's head (standard deviation).
        exposure_ms: shutter time, which makes the motion blur; the dimmer the room, the longer.
        focus_blur_px: blur of the lens.
        sensor_noise: deviation of the pixel noise, of 255; the dimmer the room, the more.
        hands_per_min: how often a person's hand comes before the face.
        passers_per_min: how often somebody walks past, close to the camera.
        crf: H.264 quality, lower is better.
    """

    width: int = 1280
    height: int = 720
    fov_deg: Pair = (64.0, 110.0)
    distance_m: Pair = (0.7, 4.0)
    spread_deg: float = 65.0
    light: Pair = (0.5, 1.15)
    flatness: Pair = (0.35, 0.8)
    camera_jitter_deg: float = 0.35
    exposure_ms: Pair = (6.0, 28.0)
    focus_blur_px: Pair = (0.0, 2.2)
    sensor_noise: Pair = (0.5, 8.0)
    hands_per_min: float = 0.5
    passers_per_min: float = 0.3
    crf: int = 27

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.width < 64 or self.height < 64 or self.width % 2 or self.height % 2:
            size = f"{self.width}x{self.height}"
            raise ConfigError(f"PictureConfig: {size}; H.264 needs even sizes, 64 at the least")


@dataclass(frozen=True)
class SoundConfig(_Checked):
    """What the wearer's microphone hears.

    Args:
        rt60_s: reverberation time of the room.
        speech_db: level of a partner at 1 m, in decibels of full scale.
        speech_sd_db: spread of levels between people.
        wearer_db: how much louder the wearer's own voice is than a partner's at 1 m (a mouth 0.2 m
            from the microphone: some 12 dB).
        snr_db: speech at 1 m over the noise and babble together.
        babble_share: part of the noise power that is other people's talk.
        directivity: 1 for a voice that goes everywhere alike, 0.5 for one that sends nothing
            behind (0.8: 4.4 dB less behind; Chu & Warnock 2002 measured 5-7 dB).
        averted_cutoff_hz: above this the direct sound of a face turned right away is lost, too.
        aac_kbps: bit rate of the sound track.
    """

    rt60_s: Pair = (0.25, 0.55)
    speech_db: float = -26.0
    speech_sd_db: float = 2.5
    wearer_db: float = 10.0
    snr_db: Pair = (8.0, 22.0)
    babble_share: Pair = (0.0, 0.8)
    directivity: float = 0.8
    averted_cutoff_hz: float = 4000.0
    aac_kbps: int = 96


@dataclass(frozen=True)
class TruthConfig(_Checked):
    """How annotators and trackers see the truth.

    Args:
        join_s: an annotator joins a person's turns with the same target when less than this lies
            between them, so that answers of the wearer fall inside a segment.
        edge_sd_s: scatter of a segment's annotated start and end.
        p_label_flip: chance that an annotator mistakes the target.
        box_noise: scatter of box edges, of the box height.
        losses_per_min: how often the tracker loses a face for a while.
        lost_mean_s: for how long.
        lost_yaw_deg: faces turned further away than this are not tracked.
        lost_height_px: faces lower than this are not tracked.
        p_gap: chance that a frame of a track has no row.
        challenge_stride: a test face is stored every so many frames.
    """

    join_s: float = 3.0
    edge_sd_s: float = 0.12
    p_label_flip: float = 0.03
    box_noise: float = 0.02
    losses_per_min: float = 0.8
    lost_mean_s: float = 1.5
    lost_yaw_deg: float = 100.0
    lost_height_px: float = 20.0
    p_gap: float = 0.01
    challenge_stride: int = 1


@dataclass(frozen=True)
class WorldConfig:
    """Everything that makes a world easy or hard."""

    talk: TalkConfig = field(default_factory=TalkConfig)
    gaze: GazeConfig = field(default_factory=GazeConfig)
    picture: PictureConfig = field(default_factory=PictureConfig)
    sound: SoundConfig = field(default_factory=SoundConfig)
    truth: TruthConfig = field(default_factory=TruthConfig)


def _clean() -> WorldConfig:
    """People who look at whom they address, close, well lit, in a dry and quiet room."""
    return WorldConfig(
        TalkConfig(partners=(2, 3), p_group=0.1, p_schism=0.0, p_reply_to_previous=0.75),
        GazeConfig(
            p_speaker_addressee=0.85,
            p_speaker_others=0.05,
            p_listener_speaker=0.8,
            p_listener_others=0.1,
            head_gain=0.9,
            head_gain_sd=0.05,
            head_noise_deg=2.0,
        ),
        replace(
            PictureConfig(),
            fov_deg=(70.0, 95.0),
            distance_m=(0.8, 1.6),
            light=(0.85, 1.15),
            exposure_ms=(4.0, 8.0),
            focus_blur_px=(0.0, 0.4),
            sensor_noise=(0.3, 1.0),
            hands_per_min=0.1,
            passers_per_min=0.0,
        ),
        replace(SoundConfig(), rt60_s=(0.2, 0.35), snr_db=(22.0, 35.0), babble_share=(0.0, 0.2)),
        replace(
            TruthConfig(), edge_sd_s=0.05, p_label_flip=0.0, box_noise=0.01, losses_per_min=0.2
        ),
    )


def _party() -> WorldConfig:
    """Standing people in a loud dim room, two conversations at once, restless looks."""
    return WorldConfig(
        TalkConfig(
            partners=(3, 4),
            p_schism=0.35,
            p_group=0.15,
            p_answer=0.6,
            p_reply_to_previous=0.5,
            gap_mean_s=0.05,
            gap_sd_s=0.5,
        ),
        GazeConfig(
            p_speaker_addressee=0.4,
            p_speaker_others=0.25,
            p_listener_speaker=0.5,
            head_gain=0.6,
            dwell_person_s=1.3,
            head_noise_deg=6.0,
        ),
        replace(
            PictureConfig(),
            distance_m=(0.7, 4.0),
            light=(0.45, 0.9),
            exposure_ms=(10.0, 25.0),
            sensor_noise=(2.0, 8.0),
            hands_per_min=1.0,
            passers_per_min=1.0,
        ),
        replace(SoundConfig(), rt60_s=(0.4, 0.9), snr_db=(-2.0, 8.0), babble_share=(0.5, 1.0)),
        replace(TruthConfig(), p_label_flip=0.05, losses_per_min=2.0, box_noise=0.03),
    )


PRESETS = {"clean": _clean, "table": WorldConfig, "party": _party}
MIXED = "mixed"
MIXTURE = ("table", "clean", "table", "party")  # clip by clip, again and again


@dataclass(frozen=True)
class SimulateConfig:
    """How much to simulate, and of which world.

    Args:
        seed: everything follows from it.
        clips: clips in all, over the three splits.
        seconds: length of a clip.
        preset: the world: clean (easy), table (middling), party (hard), or mixed: clip by clip one
            of these, half of them table.
        val_share: part of the clips that is for validation.
        test_share: part of the clips that is for testing, in the layout of the challenge.
        world: the world in full; nothing means that of the preset.
    """

    seed: int = 0
    clips: int = 20
    seconds: float = 30.0
    preset: str = "table"
    val_share: float = 0.2
    test_share: float = 0.2
    world: WorldConfig | None = None

    def __post_init__(self) -> None:
        known = (*PRESETS, MIXED)
        if self.preset not in known:
            raise ConfigError(f"preset is {self.preset!r}; choose one of {', '.join(known)}")
        if self.seed < 0:
            raise ConfigError(f"seed is {self.seed}; it cannot be negative")
        if self.clips < 1:
            raise ConfigError(f"clips is {self.clips}; simulate at least one")
        if not 1.0 <= self.seconds <= 3600.0:
            raise ConfigError(f"seconds is {self.seconds}; a clip lasts 1 to 3600 s")
        shares = (self.val_share, self.test_share)
        if min(shares) < 0 or sum(shares) > 1:
            raise ConfigError(f"val_share and test_share are {shares}; together at most 1")
        if self.world is None and self.preset != MIXED:
            object.__setattr__(self, "world", PRESETS[self.preset]())

    def world_of(self, index: int) -> WorldConfig:
        """The world of the clip of that number in its split."""
        return self.world or PRESETS[MIXTURE[index % len(MIXTURE)]]()

    def counts(self) -> dict[str, int]:
        """Clips by split; validation and test round to the nearest, training has the rest."""
        val = int(self.clips * self.val_share + 0.5)
        test = min(int(self.clips * self.test_share + 0.5), self.clips - val)
        return {"train": self.clips - val - test, "val": val, "test": test}
