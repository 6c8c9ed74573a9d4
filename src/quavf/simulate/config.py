"""Settings of simulated worlds: every probability and range, with its source if there is one.

Probabilities are in [0, 1]. Units: `_s` seconds, `_m` metres, `_deg` degrees, `_db` decibels, `_hz`
hertz. Each clip draws a value uniformly from a range (low, high).
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields, replace
from typing import Any

from quavf.core.errors import ConfigError

Range = tuple[float, float]


class _ValidatedConfig:
    """Raises ConfigError for a probability outside [0, 1] or a range with low > high."""

    def __post_init__(self) -> None:
        for item in fields(self):  # type: ignore[arg-type]
            value: Any = getattr(self, item.name)
            name = f"{type(self).__name__}.{item.name}"
            if item.name.startswith("p_") and not 0.0 <= value <= 1.0:
                raise ConfigError(f"{name} is {value}; a probability must be between 0 and 1")
            if isinstance(value, tuple) and (len(value) != 2 or value[0] > value[1]):
                raise ConfigError(f"{name} is {value}; expected (low, high) with low <= high")


@dataclass(frozen=True)
class TalkConfig(_ValidatedConfig):
    """Turn-taking: who speaks when, and to whom.

    Args:
        partners: minimum and maximum number of people besides the wearer.
        turn_median_s: median length of a turn (mean 1.7-2 s: Levinson & Torreira 2015).
        turn_sigma: standard deviation of the logarithm of turn lengths.
        gap_mean_s: mean pause between turns (about 0.2 s: Stivers et al. 2009).
        gap_sd_s: standard deviation of the pause; negative pauses are overlaps (about 40 % of
            speaker changes overlap: Heldner & Edlund 2010).
        p_silence: probability of a lapse after a turn.
        silence_mean_s: mean length of a lapse.
        p_continue: probability that the speaker continues after a pause instead of yielding.
        p_keep_addressee: probability that a continuing speaker keeps the addressee.
        p_answer: probability that a single addressee speaks next (Sacks, Schegloff & Jefferson
            1974: current speaker selects next).
        p_reply_to_previous: probability that the next speaker addresses the previous one.
        p_group: probability that a turn addresses everybody (about half of the dialogue acts in
            AMI meetings; fewer at a table).
        p_backchannel: probability that the addressee says "mm-hm" during a turn (19 % of
            utterances in Switchboard: Jurafsky et al. 1997); a third of it for other people.
        p_schism: probability that four or more people split into two conversations
            (conversations rarely exceed four people: Dunbar et al. 1995).
        wearer_share: talkativeness of the wearer relative to a partner.
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
class GazeConfig(_ValidatedConfig):
    """Where people look. With the remaining probability they look at nobody.

    Vertegaal et al. (2001) observed groups of four: listeners look at the speaker 62 % of the time,
    speakers at the addressee 40 % and at each other person 12 %; speakers to the group look at each
    person 20 %.

    Args:
        p_speaker_addressee: probability that a speaker looks at the addressee.
        p_speaker_others: probability that a speaker looks at anybody else.
        p_speaker_group: probability that a speaker to the group looks at one of its members.
        p_listener_speaker: probability that a listener looks at the speaker.
        p_listener_others: probability that a listener looks at anybody else.
        p_idle_person: probability that somebody looks at another person during silence.
        p_reorient: probability that a new turn makes a person choose a new gaze target.
        dwell_person_s: mean duration of a gaze at a person.
        dwell_away_s: mean duration of a gaze at nobody.
        head_gain: share of a gaze shift made by the head (69 %: Stiefelhagen & Zhu 2002).
        head_gain_sd: standard deviation of `head_gain` between people.
        head_tau_s: time constant of head turns.
        head_noise_deg: standard deviation of the head around its target.
        wearer_gain: share of the wearer's gaze shifts that the camera follows.
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
class PictureConfig(_ValidatedConfig):
    """The camera and what it records.

    Args:
        width: width of the picture, pixels.
        height: height of the picture, pixels.
        fov_deg: horizontal field of view, from smart glasses to wide action cameras.
        distance_m: distance of partners from the wearer.
        spread_deg: largest angle between a partner and the wearer's forward axis.
        light: brightness of the room; 1 is well lit.
        flatness: share of ambient light.
        camera_jitter_deg: standard deviation of the wearer's head tremor.
        exposure_ms: shutter time, which causes motion blur; longer in dim rooms.
        focus_blur_px: lens blur.
        sensor_noise: standard deviation of pixel noise, of 255; higher in dim rooms.
        hands_per_min: rate at which a person's hand covers the face.
        passers_per_min: rate of people walking past, close to the camera.
        crf: H.264 quality; lower is better.
    """

    width: int = 1280
    height: int = 720
    fov_deg: Range = (64.0, 110.0)
    distance_m: Range = (0.7, 4.0)
    spread_deg: float = 65.0
    light: Range = (0.5, 1.15)
    flatness: Range = (0.35, 0.8)
    camera_jitter_deg: float = 0.35
    exposure_ms: Range = (6.0, 28.0)
    focus_blur_px: Range = (0.0, 2.2)
    sensor_noise: Range = (0.5, 8.0)
    hands_per_min: float = 0.5
    passers_per_min: float = 0.3
    crf: int = 27

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.width < 64 or self.height < 64 or self.width % 2 or self.height % 2:
            size = f"{self.width}x{self.height}"
            raise ConfigError(f"PictureConfig: {size}; H.264 needs even sizes of at least 64")


@dataclass(frozen=True)
class SoundConfig(_ValidatedConfig):
    """The wearer's microphone signal.

    Args:
        rt60_s: reverberation time of the room.
        speech_db: level of a partner at 1 m, dB of full scale.
        speech_sd_db: standard deviation of levels between people.
        wearer_db: level of the wearer's own voice relative to a partner at 1 m (about 12 dB for a
            mouth 0.2 m from the microphone).
        snr_db: level of speech at 1 m over noise and babble.
        babble_share: share of babble in the noise power.
        directivity: 1 for an omnidirectional voice, 0.5 for one with no sound to the rear (0.8:
            4.4 dB less to the rear; Chu & Warnock 2002 measured 5-7 dB).
        averted_cutoff_hz: low-pass cutoff for the direct sound of a face turned away.
        aac_kbps: bit rate of the audio track.
    """

    rt60_s: Range = (0.25, 0.55)
    speech_db: float = -26.0
    speech_sd_db: float = 2.5
    wearer_db: float = 10.0
    snr_db: Range = (8.0, 22.0)
    babble_share: Range = (0.0, 0.8)
    directivity: float = 0.8
    averted_cutoff_hz: float = 4000.0
    aac_kbps: int = 96


@dataclass(frozen=True)
class TruthConfig(_ValidatedConfig):
    """Errors of annotators and face trackers.

    Args:
        join_s: an annotator joins a person's turns with the same target if the pause between them
            is shorter, so segments may include answers by the wearer.
        edge_sd_s: standard deviation of a segment's annotated start and end.
        p_label_flip: probability of a wrong label.
        box_noise: scatter of box edges, relative to the box height.
        losses_per_min: rate at which the tracker loses a face.
        lost_mean_s: mean duration of such a loss.
        lost_yaw_deg: faces at a larger yaw are not tracked.
        lost_height_px: smaller faces are not tracked.
        p_gap: probability that a frame of a track has no row.
        challenge_stride: frames between the stored faces of test segments.
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
    """All settings of a world."""

    talk: TalkConfig = field(default_factory=TalkConfig)
    gaze: GazeConfig = field(default_factory=GazeConfig)
    picture: PictureConfig = field(default_factory=PictureConfig)
    sound: SoundConfig = field(default_factory=SoundConfig)
    truth: TruthConfig = field(default_factory=TruthConfig)


def _clean() -> WorldConfig:
    """Close, well-lit people who look at their addressee, in a quiet room with little reverb."""
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
    """A loud, dim room with restless gaze and often two simultaneous conversations."""
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
MIXTURE = ("table", "clean", "table", "party")  # preset of each clip, repeated


@dataclass(frozen=True)
class SimulateConfig:
    """How much to simulate, and in which world.

    Args:
        seed: random seed; it determines every clip.
        clips: total number of clips in all splits.
        seconds: length of each clip.
        preset: the world: clean (easy), table (medium), party (hard) or mixed (each clip uses one
            of these; half use table).
        val_share: share of the clips for validation.
        test_share: share of the clips for testing, in the layout of the challenge.
        world: all settings of the world; defaults to those of the preset.
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
            raise ConfigError(f"seed is {self.seed}; it must not be negative")
        if self.clips < 1:
            raise ConfigError(f"clips is {self.clips}; simulate at least one")
        if not 1.0 <= self.seconds <= 3600.0:
            raise ConfigError(f"seconds is {self.seconds}; a clip lasts 1 to 3600 s")
        shares = (self.val_share, self.test_share)
        if min(shares) < 0 or sum(shares) > 1:
            raise ConfigError(
                f"val_share and test_share are {shares}; each must be at least 0, "
                "and their sum at most 1"
            )
        if self.world is None and self.preset != MIXED:
            object.__setattr__(self, "world", PRESETS[self.preset]())

    def select_world(self, index: int) -> WorldConfig:
        """The world of a clip, by its index in its split."""
        return self.world or PRESETS[MIXTURE[index % len(MIXTURE)]]()

    def count_clips(self) -> dict[str, int]:
        """Clips by split. Validation and test are rounded; training has the rest."""
        val = int(self.clips * self.val_share + 0.5)
        test = min(int(self.clips * self.test_share + 0.5), self.clips - val)
        return {"train": self.clips - val - test, "val": val, "test": test}
