"""Made-up results over made-up videos, for the tests of what people look at."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np

from quavf.results.records import Moment, Person, PersonBoxes, PersonScores
from quavf.results.video import VideoResult

THRESHOLD = 0.5


def made_up(
    video: Path,
    *,
    n_persons: int = 2,
    duration_s: float = 6.0,
    fps: Fraction = Fraction(30),
    size: tuple[int, int] = (320, 180),
    rate: float = 10.0,
    has_sound: bool = True,
    has_truth: bool = False,
    has_cues: bool = False,
    seed: int = 0,
) -> VideoResult:
    """Persons side by side whose scores wander; moments where the fused score is high."""
    random = np.random.default_rng(seed)
    persons, scores, boxes, moments, truth = [], {}, {}, [], []
    for number in range(1, n_persons + 1):
        rows = _scores(random, number, n_persons, duration_s, fps, size, rate, has_sound)
        scores[number] = rows
        own = moments_of(rows, number)
        moments += own
        shift = random.uniform(-0.3, 0.5, len(own))
        truth += [
            Moment(number, max(0.0, m.start_s + d), min(duration_s, m.end_s + d / 2))
            for m, d in zip(own, shift, strict=True)
        ]
        frames = np.arange(int(duration_s * fps))
        box = _boxes(frames / float(fps), number, n_persons, size)
        after = np.clip(np.searchsorted(rows.time_s, frames / float(fps)), 1, len(rows) - 1)
        gaps = [np.abs(rows.time_s[i] - frames / float(fps)) for i in (after - 1, after)]
        seen = np.minimum(*gaps) <= 1 / rate
        boxes[number] = PersonBoxes(frames[seen], frames[seen] / float(fps), box[seen])
        persons.append(
            Person(number, float(rows.time_s[0]), float(rows.time_s[-1]), thumbnail(number))
        )
    return VideoResult(
        video=video,
        duration_s=duration_s,
        fps=fps,
        frame_size=size,
        persons=tuple(persons),
        scores=scores,
        boxes=boxes,
        moments=tuple(sorted(moments, key=lambda m: m.start_s)),
        truth=tuple(truth) if has_truth else None,
        speaking=_shift(moments, -0.4, 1.1) if has_cues else None,
        looking=_shift(moments, 0.2, 2.0) if has_cues else None,
        threshold=THRESHOLD,
        models={"audio": "small", "visual": "small", "quality": "light", "faces": "retinaface"},
        has_sound=has_sound,
    )


def _shift(moments: list[Moment], start_s: float, end_s: float) -> tuple[Moment, ...]:
    """The moments with other ends, by start."""
    found = [Moment(m.person, max(0.0, m.start_s + start_s), m.end_s + end_s, 0.8) for m in moments]
    return tuple(sorted(found, key=lambda m: m.start_s))


def moments_of(rows: PersonScores, number: int) -> list[Moment]:
    """Stretches of at least half a second above the threshold."""
    on = np.concatenate([[False], np.nan_to_num(rows.fused) >= THRESHOLD, [False]])
    edges = np.flatnonzero(np.diff(on.astype(int)))
    found = []
    for first, last in edges.reshape(-1, 2):
        start, end = rows.time_s[first], rows.time_s[last - 1] + 0.1
        if end - start >= 0.5:
            sure = float(np.nanmean(rows.fused[first:last]))
            found.append(Moment(number, float(start), float(end), sure))
    return found


def silent(result: VideoResult) -> VideoResult:
    """The same with nobody talking to the wearer."""
    scores = {
        n: replace(rows, columns={**rows.columns, "fused": rows.fused * 0.4})
        for n, rows in result.scores.items()
    }
    return replace(result, scores=scores, moments=())


def thumbnail(number: int) -> bytes:
    """A JPEG of a drawn face."""
    picture = np.full((96, 96, 3), (70 + 17 * number % 90, 90, 110), np.uint8)
    cv2.circle(picture, (48, 50), 32, (150, 180, 225), -1, cv2.LINE_AA)
    for x in (37, 59):
        cv2.circle(picture, (x, 44), 4, (60, 50, 40), -1, cv2.LINE_AA)
    cv2.ellipse(picture, (48, 62), (12, 5), 0, 0, 180, (70, 60, 170), -1, cv2.LINE_AA)
    return bytes(cv2.imencode(".jpg", picture)[1])


def write_video(
    path: Path,
    *,
    seconds: float = 2.0,
    fps: Fraction = Fraction(30),
    size: tuple[int, int] = (320, 180),
    codec: str = "libx264",
    sound: str | None = "aac",
    times: list[Fraction] | None = None,
) -> Path:
    """A small video with a moving pattern and a tone; `times` are the pictures' own, if given."""
    width, height = size
    times = times or [i / fps for i in range(int(seconds * fps))]
    with av.open(str(path), "w") as output:
        stream = output.add_stream(codec, rate=fps)
        assert isinstance(stream, av.VideoStream)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.codec_context.time_base = Fraction(1, 60_000)
        tone = output.add_stream(sound, rate=48_000) if sound else None
        if tone is not None:
            assert isinstance(tone, av.AudioStream)
            tone.layout = "mono"
            wave = np.sin(np.arange(int(48_000 * float(times[-1]))) / 48_000 * 440 * 2 * np.pi)
            frame = av.AudioFrame.from_ndarray(
                (wave * 8000).astype(np.int16)[None], format="s16", layout="mono"
            )
            frame.sample_rate, frame.pts = 48_000, 0
        for index, time in enumerate(times):
            picture = np.full((height, width, 3), 90, np.uint8)
            picture[:, (index * 4) % width :][:, :8] = 200
            shown = av.VideoFrame.from_ndarray(picture, format="rgb24")
            shown.pts, shown.time_base = round(time * 60_000), Fraction(1, 60_000)
            output.mux(stream.encode(shown))
        output.mux(stream.encode(None))
        if tone is not None:
            output.mux(tone.encode(frame))
            output.mux(tone.encode(None))
    return path


def _scores(
    random: np.random.Generator,
    number: int,
    n_persons: int,
    duration_s: float,
    fps: Fraction,
    size: tuple[int, int],
    rate: float,
    has_sound: bool,
) -> PersonScores:
    time_s = np.arange(0, duration_s, 1 / rate)
    n = len(time_s)
    if duration_s > 60:  # people come and go
        mask = _wander(random, n, 30 * rate) > 0.35
        time_s = time_s[mask] if mask.sum() > 20 else time_s
        n = len(time_s)
    base = _wander(random, n, 1.6 * rate) * (1.1 if number % 3 == 2 else 0.75)
    noise = lambda: random.normal(0, 0.05, n)  # noqa: E731
    audio = np.clip(base + noise() + 0.15 * (_wander(random, n, rate) - 0.5), 0.01, 0.99)
    visual = np.clip(base * 1.05 + noise(), 0.01, 0.99)
    quality = np.clip(0.25 + 0.7 * _wander(random, n, 2 * rate), 0.02, 0.98)
    if not has_sound:
        audio = np.full(n, np.nan)
    fused = visual if not has_sound else (1 - quality) * audio + quality * visual
    frame = np.round(time_s * float(fps)).astype(int)
    columns = {"audio": audio, "visual": visual, "quality": quality, "fused": fused}
    return PersonScores(time_s, frame, _boxes(time_s, number, n_persons, size), columns)


def _wander(random: np.random.Generator, n: int, scale: float) -> np.ndarray:
    """A smooth path in [0, 1] that often rests near either end."""
    knots = random.normal(0, 1.6, max(4, int(n / scale) + 4))
    path = np.interp(np.arange(n) / scale, np.arange(len(knots)), knots)
    kernel = np.hanning(max(3, int(scale / 2) | 1))
    smooth = np.convolve(
        np.pad(path, len(kernel) // 2, mode="edge"), kernel / kernel.sum(), "valid"
    )
    return 1 / (1 + np.exp(-1.6 * smooth[:n]))


def _boxes(time_s: np.ndarray, number: int, n_persons: int, size: tuple[int, int]) -> np.ndarray:
    width, height = size
    side = min(width / (n_persons + 1) * 0.5, height * 0.35)
    x = width * number / (n_persons + 1) + np.sin(time_s * 0.7 + number) * side * 0.3
    y = height * 0.42 + np.cos(time_s * 0.5 + number) * side * 0.2
    return np.stack([x - side / 2, y - side / 2, x + side / 2, y + side / 2], axis=1)
