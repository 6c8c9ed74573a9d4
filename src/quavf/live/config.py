"""Options of a live session."""

from __future__ import annotations

from dataclasses import dataclass

from quavf.core.errors import ConfigError

LONGEST_LOOK_AHEAD_S = 5.0


@dataclass(frozen=True)
class LiveConfig:
    """How a live session judges.

    Args:
        look_ahead: Seconds of the future that a judgement waits for; 0.3 is a good compromise
            between speed and accuracy.
        real_time: Whether the input comes as it happens: when the machine is too slow, pictures
            are left out evenly. Else none is, however long it takes.
        record: Keep all scores and boxes for a result at the end; memory grows with time.
    """

    look_ahead: float = 0.3
    real_time: bool = True
    record: bool = False

    def __post_init__(self) -> None:
        if not 0 <= self.look_ahead <= LONGEST_LOOK_AHEAD_S:
            raise ConfigError(
                f"look_ahead: {self.look_ahead} is not in 0 to {LONGEST_LOOK_AHEAD_S:g} seconds"
            )
