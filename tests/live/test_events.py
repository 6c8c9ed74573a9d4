"""Events of a live session as JSON."""

from __future__ import annotations

import json

import pytest

from quavf.core.errors import ConfigError
from quavf.live.config import LiveConfig
from quavf.live.events import LiveEvent, LivePerson


def test_event_is_one_line_of_json() -> None:
    event = LiveEvent("addressed", 12.34567, 2, 12.1, 0.912345, 0.8, None, (1, 2.04, 30, 40))
    assert "\n" not in event.to_line()
    assert json.loads(event.to_line()) == {
        "format": 1,
        "event": "addressed",
        "time_s": 12.346,
        "person": 2,
        "since_s": 12.1,
        "talking": 0.9123,
        "speaking": 0.8,
        "looking": None,
        "box": [1, 2.0, 30, 40],
        "detail": "",
    }


def test_person_as_json() -> None:
    found = LivePerson(3, (0, 0, 9.99, 5), 1.0, is_speaking=True).to_json()
    assert found["box"] == [0, 0, 10.0, 5]
    assert (found["talking"], found["is_speaking"]) == (None, True)


@pytest.mark.parametrize("seconds", [-0.1, 5.1, float("nan")])
def test_look_ahead_out_of_range(seconds: float) -> None:
    with pytest.raises(ConfigError, match="look_ahead"):
        LiveConfig(look_ahead=seconds)
