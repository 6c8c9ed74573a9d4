"""The options of `quavf prepare SOURCE`: one dataclass for each built-in source."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from quavf.core.semantics import FIXED, get_semantics


@dataclass(frozen=True)
class Ego4dConfig:
    """Ego4D's audio-visual annotations and clips.

    Args:
        annotations: Folder that holds av_train.json and av_val.json.
        clips: Folder that holds <clip_uid>.mp4.
        semantics: Tracks and quality regions: fixed, or reference, exactly as published.
        splits: Folder of train.txt, val.txt (valid.txt), test.txt with one clip id per line;
            default: av_train.json is train, av_val.json is val.
    """

    annotations: Path
    clips: Path
    semantics: str = FIXED.name
    splits: Path | None = None

    def __post_init__(self) -> None:
        get_semantics(self.semantics)


@dataclass(frozen=True)
class ChallengeConfig:
    """The challenge's test set.

    Args:
        root: Folder of <segment>/face/<frame>.jpg and <segment>/audio/aud.wav, such as
            social_test/final_test_data.
    """

    root: Path


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
