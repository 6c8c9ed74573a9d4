"""Window arithmetic: against the published item lists, plain loops, and tables of edge cases."""

from __future__ import annotations

import gzip
import json
import math
import random
from dataclasses import replace
from fractions import Fraction
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from quavf.core.clock import Clock
from quavf.core.errors import ConfigError
from quavf.core.records import Segment
from quavf.core.semantics import FIXED, REFERENCE
from quavf.core.windows import (
    EMPTY,
    AudioWindow,
    Span,
    VisualWindows,
    WindowConfig,
    audio_items,
    audio_read,
    audio_windows,
    frame_to_sample,
    frames_to_ticks,
    n_labelled_ticks,
    random_crop,
    span_windows,
    spans,
    training_piece,
    training_windows,
    visual_windows,
)
from quavf.store import ClipStore
from tests.helpers.data import GOLDEN, needs_golden

CLOCK = Clock()
NTSC = Clock(Fraction(30000, 1001))
CONFIG = WindowConfig()
NAN = float("nan")
SECOND = 16_000  # samples


@cache
def golden() -> Any:
    with gzip.open(GOLDEN / "dataset_lists.json.gz", "rt") as file:
        return json.load(file)


def named(windows: VisualWindows, frames: np.ndarray) -> list[list[int | None]]:
    """The frame in each slot, None in an empty one."""
    return [
        [None if row == EMPTY else int(frames[row]) for row in slots]
        for slots in windows.slots.tolist()
    ]


@needs_golden
@pytest.mark.parametrize(("split", "name"), [("train", "visual_train"), ("val", "visual_valid")])
def test_published_visual_items(e2e_store: Path, split: str, name: str) -> None:
    store = ClipStore.open(e2e_store)
    items, counts = [], [0, 0]
    for file in golden()["listdir_order_ttm"]:
        clip = file.removesuffix(".json")
        manifest = store.manifest(clip)
        if manifest.split != split:
            continue
        faces, quality = store.faces(clip), store.quality(clip, "imported")
        for segment in manifest.segments:
            own = faces.rows_of(segment.person)
            frames = faces.frame[own]
            if segment.person < 1 or not len(frames):
                continue
            windows = training_windows(frames, quality[own], segment, CONFIG, REFERENCE, CLOCK)
            counts[segment.label] += len(windows.centres)
            for slots, value in zip(named(windows, frames), windows.quality.tolist(), strict=True):
                items.append([clip, str(segment.person), segment.label, slots, value])
    assert len(items) > 300
    assert items == golden()[name]["items"]
    assert counts == [golden()[name]["neg"], golden()[name]["pos"]]


@needs_golden
@pytest.mark.parametrize(("split", "name"), [("train", "audio_train"), ("val", "audio_valid")])
def test_published_audio_items(e2e_store: Path, split: str, name: str) -> None:
    store = ClipStore.open(e2e_store)
    items, counts = [], [0, 0]
    for file in golden()["listdir_order_ttm"]:
        manifest = store.manifest(file.removesuffix(".json"))
        if manifest.split != split or manifest.n_samples is None:
            continue
        for item in audio_items(manifest.segments, manifest.n_samples, CLOCK, REFERENCE):
            segment = item.segment
            n_frames = segment.last_frame - segment.start_frame
            counts[segment.label] += n_frames
            items.append(
                {
                    "uid": manifest.clip,
                    "label": segment.label,
                    "start": item.start_sample,
                    "end": item.end_sample,
                    "length": n_frames,
                }
            )
    assert items == golden()[name]["items"]
    assert counts == [golden()[name]["neg"], golden()[name]["pos"]]


@needs_golden
def test_published_test_windows(e2e_challenge_store: Path) -> None:
    store = ClipStore.open(e2e_challenge_store)
    items = []
    for clip in golden()["listdir_order_test"]:
        faces, quality = store.faces(clip), store.quality(clip, "imported")
        (span,) = spans((), {1: faces.frame})
        windows = span_windows(faces.frame, quality, span, CONFIG, CLOCK)
        for centre, slots, value in zip(
            windows.centres.tolist(),
            named(windows, faces.frame),
            windows.quality.tolist(),
            strict=True,
        ):
            items.append([clip, centre, slots, value])
    assert items == golden()["visual_test"]["items"]


@needs_golden
def test_published_test_sound(e2e_challenge_store: Path) -> None:
    """`startIdx` is the first output that counts. For a segment under 900 frames the list holds
    its length there, although its predictions begin with the first face: so do ours."""
    store = ClipStore.open(e2e_challenge_store)
    wanted = golden()["audio_test"]["items"]
    found = []
    for clip in golden()["listdir_order_test"]:
        frames = store.faces(clip).frame
        found += [(clip, frames, window) for window in audio_windows(int(frames[-1]) + 1)]
    for (clip, frames, window), item in zip(found, wanted, strict=True):
        assert (clip, window.start, window.end) == (item["sid"], item["start"], item["end"])
        face_frames = set(frames.tolist())
        inside = [f if f in face_frames else None for f in range(window.start, window.end)]
        assert item["fid2pred"] == inside
        first = window.use_from - window.start
        assert item["startIdx"] == first or (len(inside) < 900 and first == 0)


# Visual windows.


@pytest.mark.parametrize(
    ("fps", "expected"),
    [
        (Fraction(30), [0, 15, 30, 45, 60, 75, 90, 105]),
        (Fraction(30000, 1001), [0, 15, 30, 45, 60, 75, 90, 105]),
        (Fraction(25), [0, 12, 25, 38, 50, 62, 75, 88]),
        (Fraction(60), [0, 30, 60, 90, 120, 150, 180, 210]),
        (Fraction(1), [0, 0, 1, 2, 2, 2, 3, 4]),
    ],
)
def test_offsets_are_half_seconds_at_any_rate(fps: Fraction, expected: list[int]) -> None:
    offsets = CONFIG.offsets(Clock(fps)).tolist()
    assert offsets[7:] == expected
    assert offsets[:8] == [-offset for offset in reversed(expected)]


def test_offsets_of_other_layouts() -> None:
    assert WindowConfig(n_slots=1).offsets(CLOCK).tolist() == [0]
    assert WindowConfig(n_slots=5, stride=4).offsets(CLOCK).tolist() == [-8, -4, 0, 4, 8]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"n_slots": 0}, "n_slots: 0 is not an odd number"),
        ({"n_slots": 14}, "n_slots: 14 is not an odd number"),
        ({"n_slots": -1}, "n_slots: -1 is not an odd number"),
        ({"stride": 0}, "stride 0, step 8"),
        ({"step": 0}, "stride 15, step 0"),
        ({"min_quality": -0.1}, "min_quality: -0.1 is not in"),
        ({"min_quality": 1.1}, "min_quality: 1.1 is not in"),
        ({"min_quality": NAN}, "min_quality: nan is not in"),
    ],
)
def test_impossible_layouts(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        WindowConfig(**values)


def segment(first: int, last: int, label: int = 1, person: int = 1) -> Segment:
    return Segment(person, first, last, label)


def train(
    frames: list[int],
    quality: float | list[float],
    item: Segment,
    config: WindowConfig = CONFIG,
    semantics: Any = FIXED,
) -> VisualWindows:
    values = np.full(len(frames), quality) if isinstance(quality, float) else np.array(quality)
    return training_windows(np.array(frames, int), values, item, config, semantics, CLOCK)


@pytest.mark.parametrize(
    ("first", "last", "fixed", "reference"),
    [
        (5, 5, [5], []),  # one frame
        (5, 6, [5, 6], []),  # two
        (5, 7, [5, 6, 7], [5]),  # three: as published, only one centre is tried
        (5, 4, [], []),  # reversed
        (5, 0, [], []),
    ],
)
def test_scan_two_frames_short(first: int, last: int, fixed: list[int], reference: list[int]):
    """The flag alone: every other setting is the same."""
    config = WindowConfig(step=1, min_quality=0.0)
    frames = list(range(20))
    for semantics, centres in (
        (FIXED, fixed),
        (replace(FIXED, scan_two_frames_short=True), reference),
        (replace(REFERENCE, scan_two_frames_short=False), fixed),
    ):
        windows = train(frames, 1.0, segment(first, last), config, semantics)
        assert windows.centres.tolist() == centres


def test_face_at_the_last_frame_of_a_segment() -> None:
    """It fills a slot of windows before it, and is a centre itself unless scanned short."""
    config = WindowConfig(n_slots=3, stride=2, step=1, min_quality=0.0)
    windows = train([4, 10], 1.0, segment(0, 10), config)
    assert windows.centres.tolist() == list(range(11))
    assert named(windows, np.array([4, 10]))[8] == [None, None, 10]
    assert named(windows, np.array([4, 10]))[10] == [None, 10, None]
    short = train([4, 10], 1.0, segment(0, 10), config, REFERENCE)
    assert short.centres.tolist() == list(range(9))
    assert named(short, np.array([4, 10]))[8] == [None, None, 10]


def test_faces_outside_the_segment_do_not_count() -> None:
    config = WindowConfig(n_slots=3, stride=1, min_quality=0.0)
    windows = train([3, 4, 5, 6, 7], 1.0, segment(4, 6), config)
    assert named(windows, np.arange(3, 8)) == [[None, 4, 5]]
    assert windows.quality.tolist() == [2 / 3]


@pytest.mark.parametrize("min_quality", [0.0, 0.3])
def test_segment_without_faces(min_quality: float) -> None:
    windows = train([], 1.0, segment(0, 99), WindowConfig(min_quality=min_quality))
    assert windows.slots.shape == (13 if min_quality == 0 else 0, 15)
    assert (windows.slots == EMPTY).all()
    assert windows.quality.tolist() == [0.0] * len(windows.slots)


def test_one_face_cannot_fill_a_window_of_quality() -> None:
    """One crop of quality 1 makes a window of quality 1/15, on whichever slot it falls."""
    assert len(train([50], 1.0, segment(0, 99)).centres) == 0
    config = WindowConfig(min_quality=1 / 15)
    windows = train([50], 1.0, segment(0, 99), config)
    assert windows.centres.tolist() == [5, 20, 35, 50, 65, 80, 95]
    assert windows.quality.tolist() == [1 / 15] * 7


def test_centre_may_be_empty() -> None:
    windows = train([0, 30], 1.0, segment(15, 15), WindowConfig(n_slots=3, min_quality=0.0))
    assert named(windows, np.array([0, 30])) == [[None, None, None]]  # both outside the segment
    windows = train([0, 30], 1.0, segment(0, 30), WindowConfig(n_slots=3, step=15, min_quality=0.0))
    assert named(windows, np.array([0, 30])) == [[None, 0, None], [0, None, 30], [None, 30, None]]


def test_step_counts_from_the_window_that_was_kept() -> None:
    """Quality is too low at frames 0 to 4: the centre moves by 1 there, then by 8."""
    frames = list(range(40))
    quality = [0.0] * 5 + [1.0] * 35
    windows = train(frames, quality, segment(0, 39), WindowConfig(n_slots=1))
    assert windows.centres.tolist() == [5, 13, 21, 29, 37]


def test_quality_at_the_threshold_is_kept() -> None:
    for quality, n_kept in ((0.3, 1), (np.nextafter(0.3, 0), 0)):
        windows = train([0], [quality], segment(0, 0), WindowConfig(n_slots=1))
        assert len(windows.centres) == n_kept


def test_crops_without_a_quality_count_0_but_stay_in_the_window() -> None:
    config = WindowConfig(n_slots=3, stride=1, min_quality=0.0)
    windows = train([0, 1, 2], [0.6, NAN, 0.9], segment(0, 2), config)
    centre = visual_windows(
        np.arange(3), np.array([0.6, NAN, 0.9]), np.array([1]), Span(1, 0, 2), config.offsets(CLOCK)
    )
    assert centre.quality.tolist() == [(0.6 + 0.0 + 0.9) / 3]
    assert centre.slots.tolist() == [[0, 1, 2]]
    assert not np.isnan(windows.quality).any()


Crops = dict[int, float]  # frame: quality


def naive_window(
    crops: Crops, centre: int, first: int, last: int
) -> tuple[list[int | None], float]:
    ids: list[int | None] = []
    total = 0.0
    for offset in range(-105, 106, 15):
        frame = centre + offset
        there = first <= frame <= last and frame in crops
        ids.append(frame if there else None)
        total += 0.0 if not there or math.isnan(crops[frame]) else crops[frame]
    return ids, total / 15


def naive_training(crops: Crops, first: int, last: int, short: bool) -> list[Any]:
    found = []
    centre, n_frames = first, last - first + 1
    while centre - first < (n_frames - 2 if short else n_frames):
        ids, quality = naive_window(crops, centre, first, last)
        if quality >= 0.3:
            found.append((centre, ids, quality))
            centre += 8
        else:
            centre += 1
    return found


def ours(windows: VisualWindows, frames: np.ndarray) -> list[Any]:
    return list(
        zip(windows.centres.tolist(), named(windows, frames), windows.quality.tolist(), strict=True)
    )


CROPS = st.dictionaries(
    st.integers(0, 260), st.sampled_from([0.0, 0.3, 0.61, 0.97, 1.0, NAN]), max_size=200
) | st.builds(
    lambda gap, quality: {f: quality for f in range(260) if f % 40 != gap},
    st.integers(0, 39),
    st.floats(0.25, 1),
)


@given(CROPS, st.integers(0, 250), st.integers(-2, 200), st.booleans())
@example({}, 0, 0, True)
@example({7: 1.0}, 7, 0, False)
@example(dict.fromkeys(range(100), 0.3), 0, 99, False)
def test_training_windows_equal_a_plain_loop(
    crops: Crops, first: int, length: int, short: bool
) -> None:
    frames = np.array(sorted(crops), int)
    quality = np.array([crops[f] for f in sorted(crops)])
    semantics = replace(FIXED, scan_two_frames_short=short)
    item = segment(first, first + length)
    found = training_windows(frames, quality, item, CONFIG, semantics, CLOCK)
    assert ours(found, frames) == naive_training(crops, first, first + length, short)


@given(CROPS, st.integers(0, 250), st.integers(0, 260))
@example({}, 0, 0)
@example({7: 1.0}, 0, 7)
def test_span_windows_equal_a_plain_loop(crops: Crops, first: int, last: int) -> None:
    frames = np.array(sorted(crops), int)
    quality = np.array([crops[f] for f in sorted(crops)])
    inside = [f for f in sorted(crops) if first <= f <= last]
    expected = [(f, *naive_window(crops, f, inside[0], inside[-1])) for f in inside]
    found = span_windows(frames, quality, Span(1, first, last), CONFIG, CLOCK)
    assert ours(found, frames) == expected


@pytest.mark.parametrize(
    ("frames", "first", "last", "expected"),
    [
        ([], 0, 9, slice(0, 0)),
        ([3], 0, 9, slice(0, 1)),
        ([3], 4, 9, slice(1, 1)),
        ([3, 5, 9, 12], 5, 9, slice(1, 3)),
        ([3, 5, 9, 12], 10, 11, slice(3, 3)),
    ],
)
def test_rows_of_a_span(frames: list[int], first: int, last: int, expected: slice) -> None:
    assert Span(1, first, last).rows(np.array(frames, int)) == expected


# Audio windows.


@pytest.mark.parametrize(
    ("semantics", "expected"),
    [
        (FIXED, 516_800),
        (replace(FIXED, float_sample_times=True), 516_799),
        (replace(REFERENCE, float_sample_times=False), 516_800),
        (REFERENCE, 516_799),
    ],
)
def test_float_sample_times_at_frame_969(semantics: Any, expected: int) -> None:
    assert frame_to_sample(969, CLOCK, semantics) == expected
    assert audio_read(AudioWindow(900, 900, 969), 10**6, semantics) == (480_000, expected)
    (item,) = audio_items([segment(0, 969)], 10**6, CLOCK, semantics)
    assert item.end_sample == expected


@pytest.mark.parametrize(
    ("semantics", "expected"), [(FIXED, 123), (replace(FIXED, float_sample_times=True), 122)]
)
def test_float_sample_times_of_labels(semantics: Any, expected: int) -> None:
    assert n_labelled_ticks(65_600, semantics) == expected


@pytest.mark.parametrize("semantics", [FIXED, REFERENCE])
@pytest.mark.parametrize(
    ("n_samples", "expected"),
    [(0, 0), (533, 0), (534, 1), (16_000, 30), (479_999, 899), (480_000, 900), (500_000, 900)],
)
def test_labelled_ticks(n_samples: int, expected: int, semantics: Any) -> None:
    assert n_labelled_ticks(n_samples, semantics) == expected


@given(st.integers(0, 10_000))
def test_float_times_are_at_most_one_sample_early(frame: int) -> None:
    exact = frame_to_sample(frame, CLOCK, FIXED)
    assert exact == frame * 16_000 // 30
    assert exact - frame_to_sample(frame, CLOCK, REFERENCE) in (0, 1)


@pytest.mark.parametrize(
    ("clock", "frame", "sample"),
    [(Clock(Fraction(25)), 25, SECOND), (NTSC, 30_000, 1001 * SECOND), (NTSC, 1, 533)],
)
def test_frames_become_samples_at_other_rates(clock: Clock, frame: int, sample: int) -> None:
    assert frame_to_sample(frame, clock, FIXED) == sample


@pytest.mark.parametrize(
    ("fps", "frames", "ticks"),
    [
        (Fraction(30), [0, 1, 29, 900], [0, 1, 29, 900]),
        (Fraction(25), [0, 1, 24, 25], [0, 1, 28, 30]),
        (Fraction(60), [0, 1, 2, 119], [0, 0, 1, 59]),
        (Fraction(30000, 1001), [0, 999, 1000], [0, 999, 1001]),
    ],
)
def test_frames_become_ticks(fps: Fraction, frames: list[int], ticks: list[int]) -> None:
    assert frames_to_ticks(np.array(frames), Clock(fps)).tolist() == ticks


@pytest.mark.parametrize(
    ("n_ticks", "expected"),
    [
        (0, []),
        (1, [(0, 0, 1)]),
        (899, [(0, 0, 899)]),
        (900, [(0, 0, 900)]),
        (901, [(0, 0, 900), (1, 900, 901)]),
        (1800, [(0, 0, 900), (900, 900, 1800)]),
        (1801, [(0, 0, 900), (900, 900, 1800), (901, 1800, 1801)]),
    ],
)
def test_audio_windows(n_ticks: int, expected: list[tuple[int, int, int]]) -> None:
    assert audio_windows(n_ticks) == [AudioWindow(*window) for window in expected]


@given(st.integers(0, 5000))
def test_audio_windows_use_every_tick_once(n_ticks: int) -> None:
    windows = audio_windows(n_ticks)
    assert [t for w in windows for t in range(w.use_from, w.end)] == list(range(n_ticks))
    assert all(0 <= w.start <= w.use_from < w.end <= w.start + 900 for w in windows)
    assert [w.start for w in windows] == [
        min(k * 900, max(0, n_ticks - 900)) for k in range(len(windows))
    ]


@pytest.mark.parametrize(
    ("window", "n_samples", "fixed", "shifted"),
    [
        ((0, 0, 900), 480_000, (0, 480_000), (0, 480_000)),  # to the sample
        ((0, 0, 900), 479_000, (0, 479_000), (0, 479_000)),  # no earlier than 0
        ((900, 900, 1800), 960_000, (480_000, 960_000), (480_000, 960_000)),
        ((900, 900, 1800), 959_999, (480_000, 959_999), (479_999, 959_999)),
        ((900, 900, 1800), 500_000, (480_000, 500_000), (20_000, 500_000)),
        ((900, 900, 1800), 300_000, (300_000, 300_000), (0, 300_000)),  # ends before the window
        ((900, 900, 1800), 0, (0, 0), (0, 0)),  # no sound at all
        ((5, 900, 905), 482_000, (2_666, 482_000), (2_000, 482_000)),
    ],
)
def test_shift_short_reads(
    window: tuple[int, int, int],
    n_samples: int,
    fixed: tuple[int, int],
    shifted: tuple[int, int],
) -> None:
    """The flag alone; a shifted read is not longer than a window either."""
    assert audio_read(AudioWindow(*window), n_samples, FIXED) == fixed
    semantics = replace(FIXED, shift_short_reads=True)
    assert audio_read(AudioWindow(*window), n_samples, semantics) == shifted
    assert shifted[1] - shifted[0] <= 480_000


@pytest.mark.parametrize(
    ("first", "last", "person", "n_samples", "kept"),
    [
        (0, 0, 1, SECOND, False),
        (0, 3, 1, SECOND, False),  # three frames are too few
        (0, 4, 1, SECOND, True),
        (10, 4, 1, SECOND, False),  # reversed
        (0, 30, 0, 2 * SECOND, False),  # the wearer
        (0, 30, -1, 2 * SECOND, True),  # an unknown person
        (0, 30, 1, SECOND, False),  # ends with the file's last sample
        (0, 30, 1, SECOND + 1, True),
        (40, 60, 1, SECOND, False),  # lies behind the sound
    ],
)
def test_audio_items(first: int, last: int, person: int, n_samples: int, kept: bool) -> None:
    items = audio_items([segment(first, last, person=person)], n_samples, CLOCK, FIXED)
    assert len(items) == kept
    if kept:
        assert (items[0].start_sample, items[0].end_sample) == (
            first * SECOND // 30,
            last * SECOND // 30,
        )


class Always(random.Random):
    """A generator whose coin says crop (0.0) or not (0.9)."""

    def __init__(self, coin: float) -> None:
        super().__init__(0)
        self.coin = coin

    def random(self) -> float:
        return self.coin


@pytest.mark.parametrize("n_samples", [0, 1, 3 * SECOND - 1, 3 * SECOND])
def test_short_sounds_stay_whole(n_samples: int) -> None:
    assert random_crop(n_samples, Always(0.0)) == (0, n_samples)
    assert training_piece(n_samples, Always(0.0)) == (0, n_samples)


def test_crop_probability_is_nine_in_ten() -> None:
    assert random_crop(10 * SECOND, Always(0.9)) == (0, 10 * SECOND)
    assert random_crop(10 * SECOND, Always(np.nextafter(0.9, 0))) != (0, 10 * SECOND)
    rng = random.Random(0)
    whole = [random_crop(10 * SECOND, rng) == (0, 10 * SECOND) for _ in range(4000)]
    assert 0.08 < np.mean(whole) < 0.12


@given(st.integers(0, 100 * SECOND), st.integers(0, 2**32))
def test_training_pieces_lie_inside(n_samples: int, seed: int) -> None:
    start, end = training_piece(n_samples, random.Random(seed))
    assert 0 <= start <= end <= n_samples
    assert end - start <= 30 * SECOND
    assert end - start >= min(n_samples, 3 * SECOND)


def test_pieces_reach_both_ends_of_a_long_sound() -> None:
    rng = random.Random(0)
    n_samples = 31 * SECOND
    pieces = [training_piece(n_samples, rng) for _ in range(3000)]
    assert min(start for start, _ in pieces) < SECOND // 10
    assert max(end for _, end in pieces) > n_samples - SECOND // 10


# Spans.


@pytest.mark.parametrize(
    ("segments", "frames", "expected"),
    [
        ([], {}, []),
        ([], {1: []}, []),  # a challenge segment without a face
        ([], {1: [4, 9]}, [(1, 0, 9)]),  # to the last face, from the clip's start
        ([], {2: [3], 1: [8]}, [(1, 0, 8), (2, 0, 3)]),
        ([(1, 5, 9, 1)], {}, [(1, 5, 9)]),  # labelled, never seen
        ([(0, 5, 9, 1), (-1, 5, 9, 0)], {1: [4]}, []),  # the wearer and unknown people
        ([(2, 0, 5, 0), (1, 7, 9, 1), (1, 0, 5, 1)], {}, [(1, 0, 5), (1, 7, 9), (2, 0, 5)]),
        ([(1, 0, 5, 0), (1, 0, 5, 1)], {}, [(1, 0, 5)]),  # both labels: scored once
        ([(1, 0, 5, 0), (1, 0, 3, 1)], {}, [(1, 0, 3), (1, 0, 5)]),
    ],
)
def test_spans(segments: list[Any], frames: dict[int, list[int]], expected: list[Any]) -> None:
    found = spans([Segment(*s) for s in segments], {p: np.array(f) for p, f in frames.items()})
    assert found == [Span(*span) for span in expected]
