"""Options of face search and tracking."""

from __future__ import annotations

from dataclasses import dataclass

from quavf.core.errors import ConfigError


@dataclass(frozen=True)
class SearchConfig:
    """How faces are searched for.

    Args:
        detector: Name of the face detector, such as retinaface.
        min_score: Lowest detector score that counts as a face, 0 to 1.
        scan_height: Height at which whole pictures are searched, pixels; 864 finds faces of 40
            pixels at 1080p.
        scan_rate: Whole pictures searched per second.
        look_rate: Pictures per second in which known faces are followed, at most 30; 15 sample
            lips well enough to tell speech.
        mesh: Whether the face mesh follows faces and reads their cues; else the detector follows
            them, and there are no cues.
        cut_change: Share of a picture's colours that changes at a camera cut, 0 to 1.
    """

    detector: str = "retinaface"
    min_score: float = 0.5
    scan_height: int = 864
    scan_rate: float = 1.0
    look_rate: float = 15.0
    mesh: bool = True
    cut_change: float = 0.4

    def __post_init__(self) -> None:
        if not 0 < self.min_score < 1:
            raise ConfigError(f"search.min_score: {self.min_score} is not between 0 and 1")
        if not 64 <= self.scan_height <= 4320:
            raise ConfigError(f"search.scan_height: {self.scan_height} is not in 64 to 4320")
        if not 0 < self.scan_rate <= self.look_rate <= 30:
            raise ConfigError(
                f"search: scan_rate {self.scan_rate} and look_rate {self.look_rate} must be over "
                "0 and at most 30, and look_rate the higher one"
            )
        if not 0 < self.cut_change <= 1:
            raise ConfigError(f"search.cut_change: {self.cut_change} is not in (0, 1]")


@dataclass(frozen=True)
class TrackConfig:
    """How faces become persons.

    Args:
        min_length: Persons seen for less time are left out, s.
        max_gap: Longest time without a face over which boxes are interpolated, s.
        join_gap: Longest time without a face over which tracks of one person are joined, s; 0:
            never.
    """

    min_length: float = 0.7
    max_gap: float = 1.0
    join_gap: float = 60.0

    def __post_init__(self) -> None:
        for name in ("min_length", "max_gap", "join_gap"):
            if getattr(self, name) < 0:
                raise ConfigError(f"track.{name}: {getattr(self, name)} is under 0")


@dataclass(frozen=True)
class DetectorOptions:
    """Options of any detector. Raises ConfigError where a value cannot be used."""

    min_score: float = 0.5  # faces that the detector is less sure of are not reported, 0 to 1
    n_threads: int = 0  # of the CPU; 0: the detector's own choice

    def __post_init__(self) -> None:
        if not 0 < self.min_score < 1:
            raise ConfigError(f"detector min_score: {self.min_score} is not between 0 and 1")
        if self.n_threads < 0:
            raise ConfigError(f"detector n_threads: {self.n_threads} is under 0")
