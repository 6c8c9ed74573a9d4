"""Options of moments."""

from __future__ import annotations

from dataclasses import dataclass

from quavf.core.errors import ConfigError


@dataclass(frozen=True)
class MomentsConfig:
    """How scores become moments.

    A moment starts where the score reaches `threshold` and ends where it falls below `threshold -
    margin`, so that a score that wavers around the threshold makes one moment, not ten. The
    defaults follow from speech: pauses within a sentence are mostly under 0.5 s, and a listener
    would hardly call a shorter word being talked to.

    Scores distinguish addressees well, but speakers from listeners poorly: a silent look at the
    wearer can score as high as speech. No other threshold was better on all data (see
    docs/experiments/raw_video.md).

    Args:
        threshold: Fused score at which a moment starts, 0 to 1.
        margin: A moment ends when the score falls this far below the threshold, 0 to 1.
        max_gap: Moments of a person that are closer than this are joined, s.
        min_length: Shorter moments are left out, after joining, s.
        max_unseen: A moment ends when the person has no score for longer than this, s.
        min_face: People whose face stays smaller have no moments, pixels of its longer side.
        min_face_share: People whose face is mostly smaller than this share of the largest face
            seen at the same time, such as a crowd on a screen, have no moments, 0 to 1.
        still_faces: Whether faces that never move, such as posters, can have moments.
    """

    threshold: float = 0.5
    margin: float = 0.1
    max_gap: float = 0.5
    min_length: float = 0.5
    max_unseen: float = 1.0
    min_face: float = 32.0
    min_face_share: float = 0.2
    still_faces: bool = False

    def __post_init__(self) -> None:
        if not 0 < self.threshold <= 1:
            raise ConfigError(f"moments.threshold: {self.threshold} is not in (0, 1]")
        if not 0 <= self.margin <= 1:
            raise ConfigError(f"moments.margin: {self.margin} is not in [0, 1]")
        if not 0 <= self.min_face_share <= 1:
            raise ConfigError(f"moments.min_face_share: {self.min_face_share} is not in [0, 1]")
        for name in ("max_gap", "min_length", "max_unseen", "min_face"):
            if not getattr(self, name) >= 0:
                raise ConfigError(f"moments.{name}: {getattr(self, name)} is under 0")
