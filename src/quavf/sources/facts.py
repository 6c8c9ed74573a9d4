"""What Ego4D's annotations say of the media that they were made on."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from fractions import Fraction
from typing import Any

import numpy as np

from quavf.core.records import MediaFacts

COMMON_RATES = [Fraction(n) for n in (10, 12, 15, 20, 24, 25, 30, 48, 50, 60, 90, 100, 120)]
COMMON_RATES += [Fraction(n * 1000, 1001) for n in (24, 30, 60)]
CLOSE = 0.01  # to a common rate, as a share of it
AGREED = 0.02  # spread of the rates of single labels, as a share
EARLIEST_S = 1.0  # labels before it are too coarse to tell a rate


def read_facts(raw: Any, video: Any = None, size: tuple[int, int] | None = None) -> MediaFacts:
    """The facts that a clip of `av_train.json` states, and its video's `video_metadata`.

    `size` is that of the annotated pictures, if it is known otherwise.
    """
    stated = (_read_size(item) for item in (raw, raw.get("video_metadata"), video))
    size = size or next((found for found in stated if found is not None), None)
    start_s, end_s = _number(raw, "clip_start_sec"), _number(raw, "clip_end_sec")
    known = start_s is not None and end_s is not None and end_s > start_s
    return MediaFacts(_read_rate(raw), (end_s or 0) - (start_s or 0) if known else None, size)


def _read_rate(raw: Any) -> Fraction | None:
    """Frames a second, from labels that have both a time and a frame; None if they disagree."""
    rates = np.array([frame / time_s for time_s, frame in _find_times(raw)])
    if not len(rates):
        return None
    rate = float(np.median(rates))
    if rate <= 0 or np.mean(np.abs(rates - rate) > AGREED * rate) > 0.1:
        return None
    nearest = min(COMMON_RATES, key=lambda common: abs(float(common) - rate))
    if abs(float(nearest) - rate) <= CLOSE * rate:
        return nearest
    return Fraction(rate).limit_denominator(100)


def _find_times(raw: Any) -> Iterator[tuple[float, float]]:
    """(time in seconds, frame) of all labels that have both."""
    for item in _labels(raw):
        for edge in ("start", "end"):
            time_s, frame = _number(item, f"{edge}_time"), _number(item, f"{edge}_frame")
            if time_s is not None and frame is not None and time_s >= EARLIEST_S and frame > 0:
                yield time_s, frame


def _labels(raw: Any) -> Iterable[Any]:
    for name in ("social_segments_talking", "social_segments_looking"):
        yield from _items(raw, name)
    for person in _items(raw, "persons"):
        yield from _items(person, "voice_segments")


def _items(holder: Any, name: str) -> list[Any]:
    found = holder.get(name) if isinstance(holder, dict) else None
    return found if isinstance(found, list) else []


def _read_size(item: Any) -> tuple[int, int] | None:
    for prefix in ("", "frame_", "display_resolution_"):
        width, height = _number(item, f"{prefix}width"), _number(item, f"{prefix}height")
        if width is not None and height is not None and min(width, height) >= 1:
            return int(width), int(height)
    return None


def _number(item: Any, name: str) -> float | None:
    value = item.get(name) if isinstance(item, dict) else None
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if math.isfinite(number) else None
