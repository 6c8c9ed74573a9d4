"""Options of a raw video's preparation."""

from __future__ import annotations

from dataclasses import dataclass, field

from quavf.core.clock import TICKS_PER_SECOND
from quavf.core.errors import ConfigError
from quavf.faces.config import SearchConfig, TrackConfig
from quavf.sources.config import MediaOptions


@dataclass(frozen=True)
class VideoConfig:
    """How a raw video is searched and scored.

    Args:
        rate: Scores per second for each person, 0 to 30; 0: every picture (at most 30 per second).
        search: How faces are searched for.
        track: How faces become persons.
        media: How the file is read, where it says nothing or something wrong.
    """

    rate: float = 10.0
    search: SearchConfig = field(default_factory=SearchConfig)
    track: TrackConfig = field(default_factory=TrackConfig)
    media: MediaOptions = field(default_factory=MediaOptions)

    def __post_init__(self) -> None:
        if not 0 <= self.rate <= TICKS_PER_SECOND:
            raise ConfigError(
                f"rate: {self.rate} is not in 0 to {TICKS_PER_SECOND} (the models' own rate); "
                "0 scores every picture"
            )
