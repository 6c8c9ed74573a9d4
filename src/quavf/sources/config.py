"""The options of `quavf prepare SOURCE`, one dataclass for each built-in source, and of media."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from quavf.core.errors import ConfigError
from quavf.core.semantics import FIXED, get_semantics

FRAME_SIZE = re.compile(r"[1-9]\d{0,4}[xX][1-9]\d{0,4}")
TURNS = (0, 90, 180, 270)
CHALLENGES = ("ttm", "lam")


@dataclass(frozen=True)
class MediaOptions:
    """How a media file is read where it does not say so itself, or says it wrong.

    Args:
        turn: Degrees clockwise by which to turn the pictures: 0, 90, 180 or 270.
        audio_track: Number of the sound track, from 1; default: the one that players choose.
    """

    turn: int = 0
    audio_track: int | None = None

    def __post_init__(self) -> None:
        if self.turn not in TURNS:
            raise ConfigError(f"turn: {self.turn} is not one of {', '.join(map(str, TURNS))}")
        if self.audio_track is not None and self.audio_track < 1:
            raise ConfigError(f"audio_track: {self.audio_track} is under 1, the first track")


@dataclass(frozen=True)
class Ego4dConfig:
    """Ego4D's audio-visual annotations and clips.

    Args:
        annotations: Folder that holds av_train.json and av_val.json.
        clips: Folder that holds <clip_uid>.mp4.
        semantics: Tracks and quality regions: fixed, or reference, exactly as published.
        splits: Folder of train.txt, val.txt (valid.txt), test.txt with one clip id per line;
            default: av_train.json is train, av_val.json is val.
        every: Also keep every N-th frame's faces outside labelled segments, to train on and judge
            who speaks and who looks at the wearer; 0: none.
        frame_size: Size of the annotated pictures, such as 1920x1080, if the clips were made
            smaller or larger; boxes are scaled.
    """

    annotations: Path
    clips: Path
    semantics: str = FIXED.name
    splits: Path | None = None
    every: int = 0
    frame_size: str = ""

    def __post_init__(self) -> None:
        get_semantics(self.semantics)
        if self.every < 0:
            raise ConfigError(f"prepare.every is {self.every}, expected 0 or more")
        if self.frame_size and not FRAME_SIZE.fullmatch(self.frame_size):
            raise ConfigError(f"frame_size: {self.frame_size!r} is not WIDTHxHEIGHT, as 1920x1080")

    @property
    def size(self) -> tuple[int, int] | None:
        """The annotated width and height, pixels; None: as the annotations say."""
        width, _, height = self.frame_size.lower().partition("x")
        return (int(width), int(height)) if height else None


@dataclass(frozen=True)
class ChallengeConfig:
    """The test set of one of the challenges.

    Args:
        root: Folder of <segment>/face/<frame>.jpg and <segment>/audio/aud.wav, such as
            social_test/final_test_data; with task lam, of <video>/<track>/<frame>_<id>.jpg, such as
            videos_challenge.
        task: Challenge: ttm, talking to me, or lam, looking at me.
    """

    root: Path
    task: str = "ttm"

    def __post_init__(self) -> None:
        if self.task not in CHALLENGES:
            raise ConfigError(f"task: {self.task!r} is not one of {', '.join(CHALLENGES)}")


@dataclass(frozen=True)
class EasyComConfig:
    """EasyCom's sessions.

    Args:
        root: Folder of the dataset, with its files of Git LFS: it holds Main/Face_Bounding_Boxes,
            Main/Video_Compressed and so on.
        channels: Microphones whose mean is the sound, from 1: 5 and 6 are at the wearer's ears, 1
            to 4 in the frame of the glasses.
        look_angle: A person looks at the wearer when the head points within so many degrees of the
            wearer's.
        every: Keep every N-th frame's faces outside speech, to train on and judge who speaks and
            who looks at the wearer; 0: none.
    """

    root: Path
    channels: tuple[int, ...] = (5, 6)
    look_angle: float = 20.0
    every: int = 1

    def __post_init__(self) -> None:
        object.__setattr__(self, "channels", tuple(self.channels))
        if not self.channels or min(self.channels) < 1:
            raise ConfigError(f"channels: {self.channels} must be numbers from 1 on")
        if not 0 < self.look_angle <= 180:
            raise ConfigError(f"look_angle: {self.look_angle} is not in (0, 180] degrees")
        if self.every < 0:
            raise ConfigError(f"every: {self.every} is under 0")


@dataclass(frozen=True)
class AvaConfig:
    """AVA-ActiveSpeaker's movies.

    Args:
        videos: Folder of the movies, <video_id>.mp4 (also .mkv, .webm, .mov, .avi).
        train: CSV file of the training rows, or folder of such files, one for each movie.
        val: CSV file or folder of the validation rows.
        test: CSV file or folder of the test rows.
        start: Second of the movie with which the video files start: 900 for files that were cut to
            the annotated minutes 15 to 30.
        every: Keep every N-th frame's faces; rows in between take their scores from their
            neighbours.
    """

    videos: Path
    train: Path | None = None
    val: Path | None = None
    test: Path | None = None
    start: float = 0.0
    every: int = 1

    def __post_init__(self) -> None:
        if self.start < 0:
            raise ConfigError(f"start: {self.start} is under 0")
        if self.every < 1:
            raise ConfigError(f"every: {self.every} is under 1")


@dataclass(frozen=True)
class PublishedConfig:
    """The data that the published code has prepared.

    Args:
        root: Folder of faceCrops, metaData.json, wave, ttm and split, as data/ of the published
            code.
        metadata: The metaData.json, if it is elsewhere.
    """

    root: Path
    metadata: Path | None = None


@dataclass(frozen=True)
class OwnConfig:
    """Videos that you labelled yourself.

    Args:
        videos: Folder of the videos, for those that are not where `quavf run` found them.
        labels: Folder of the labels, *.labels.json or *.csv, such as that of `quavf run`'s outputs
            after `quavf label`; folders inside count, too.
        runs: Folder of `quavf run`'s outputs, one for each video; default: below labels and videos.
        val: Share of each video's labels, from its end, to validate on; 0: none.
        every: Also keep every N-th frame's faces near labelled time, as context; 0: none.
    """

    videos: Path
    labels: Path
    runs: Path | None = None
    val: float = 0.2
    every: int = 2

    def __post_init__(self) -> None:
        if not 0 <= self.val < 1:
            raise ConfigError(f"val: {self.val} is not in [0, 1)")
        if self.every < 0:
            raise ConfigError(f"every: {self.every} is under 0")
