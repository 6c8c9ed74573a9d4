"""Drawing of a result on each picture: boxes, labels, and a strip of the recent past."""

from __future__ import annotations

import math

import cv2
import numpy as np

from quavf.core.branches import FUSED, QUALITY, BranchSpec
from quavf.core.records import Array, Floats, Image
from quavf.report.canvas import (
    Canvas,
    Sprites,
    draw_bar,
    draw_disc,
    draw_eye,
    draw_text,
    draw_waves,
    render_text,
)
from quavf.results.fusion import compute_shares
from quavf.results.records import Moment, PersonScores
from quavf.results.video import VideoResult

# BGR. Grey to orange differ in lightness and in blue against yellow: apart for colour-blind eyes.
NO, YES = np.array((175.0, 160.0, 148.0)), np.array((26.0, 118.0, 255.0))
PALE = 0.65  # what stays of a branch's colour, the rest is white
INK, PAPER, FAINT = (20, 23, 26), (255, 255, 255), (120, 114, 108)
NO_BELOW, YES_ABOVE = 0.25, 0.75  # scores between them are mixed
PAST_S = 10.0  # the strip's length
MAX_ROWS = 4  # of the strip
STEADY_S = 0.5  # scores and boxes nearer than this are joined by a line
REFERENCE_PX = 460  # shorter side at which sizes below are pixels
LABEL_RATE, STRIP_RATE = 10, 15  # a second: how often labels and strip change
DIM = 0.38  # what stays of the picture behind text


def pick_colour(scores: Array) -> Floats:
    """(..., 3) BGR in [0, 255] of scores in [0, 1]; missing ones are as 0."""
    known = np.where(np.isnan(scores), 0.0, scores)
    share = np.minimum(np.maximum((known - NO_BELOW) / (YES_ABOVE - NO_BELOW), 0), 1)
    return np.asarray(NO + (YES - NO) * share[..., None])


def pick_tone(score: float) -> Floats:
    """(3,) the colour of one score, as `pick_colour`, in a fifth of the time."""
    known = 0.0 if math.isnan(score) else score
    return np.asarray(NO + (YES - NO) * min(max((known - NO_BELOW) / (YES_ABOVE - NO_BELOW), 0), 1))


def lighten_colour(spec: BranchSpec) -> tuple[int, int, int]:
    """BGR of a branch's bar, lighter than on paper: it lies on a dark ground."""
    red, green, blue = (int(spec.colour[i : i + 2], 16) for i in (1, 3, 5))
    lighter = (round(255 - PALE * (255 - value)) for value in (blue, green, red))
    blue, green, red = lighter
    return blue, green, red


class Overlay:
    """Draws a result onto the pictures of its video, of `size` (width, height) pixels."""

    def __init__(self, result: VideoResult, size: tuple[int, int]) -> None:
        self.result = result
        self.scale = max(0.75, min(size) / REFERENCE_PX)  # of text and lines
        self.zoom = np.array([size[0] / result.frame_size[0], size[1] / result.frame_size[1]] * 2)
        self.period_s = float(1 / result.fps)
        self.sprites = Sprites()
        self.numbers = [p.number for p in result.persons]
        self.moments = {n: result.moments_of(n) for n in self.numbers}
        self.speaking = {n: result.speaking_of(n) for n in self.numbers}
        self.looking = {n: result.looking_of(n) for n in self.numbers}
        self.branches = result.branches
        self.columns = (*(spec.name for spec in self.branches), QUALITY, FUSED)
        self.tables = {
            n: np.stack([rows[name] for name in self.columns], axis=1)  # (N, columns)
            for n, rows in result.scores.items()
        }

    def draw(self, canvas: Canvas, time_s: float) -> None:
        """Draw boxes and labels of those in view, and the strip of the recent past."""
        self._draw_strip(canvas, time_s)
        for number in self.numbers:
            box = self._box(number, time_s)
            if box is not None:
                self._draw_person(canvas, number, box * self.zoom, time_s)

    def _box(self, number: int, time_s: float) -> Floats | None:
        rows = self.result.boxes.get(number) or self.result.scores.get(number)
        if rows is None or not len(rows):
            return None
        return interpolate_at(rows.time_s, rows.box, time_s, 0.6 * self.period_s)

    def _score(self, number: int, time_s: float) -> dict[str, float]:
        rows = self.result.scores.get(number)
        if rows is None or not len(rows):
            return dict.fromkeys(self.columns, np.nan)
        values = interpolate_at(rows.time_s, self.tables[number], time_s, STEADY_S / 2)
        return (
            dict.fromkeys(self.columns, np.nan)
            if values is None
            else dict(zip(self.columns, values.tolist(), strict=True))
        )

    def _is_moment(self, number: int, time_s: float) -> bool:
        return _holds(self.moments[number], time_s)

    def _draw_person(self, canvas: Canvas, number: int, box: Floats, time_s: float) -> None:
        values, s = self._score(number, time_s), self.scale
        colour = pick_tone(values[FUSED])
        thick = 2 * max(1, round((1.5 if self._is_moment(number, time_s) else 0.8) * s))
        canvas.frame(box, thick, colour)
        self._draw_label(canvas, number, box, thick, values, time_s)

    def _draw_label(
        self,
        canvas: Canvas,
        number: int,
        box: Floats,
        gap: int,
        values: dict[str, float],
        time_s: float,
    ) -> None:
        """Draw number and score, the score as a bar, and below it each branch's share.

        Small signs beside the score tell that the person speaks, and looks at the wearer.
        """
        s, (height, width) = self.scale, canvas.y.shape
        wide, high = 88 * s, 36 * s
        left = float(np.clip(box[0] - gap, 0, max(0.0, width - wide)))
        top = box[1] - gap - high - 2 * s
        if top < 0:  # no room above: below the box, or inside it when it fills the picture
            top = min(box[3] + gap + 2 * s, height - high)
        fused = values[FUSED]
        colour = pick_tone(fused)
        place = (left, top, left + wide, top + high)
        with self.sprites.region(canvas, place, DIM, number, int(time_s * LABEL_RATE)) as chip:
            if not chip.size:
                return
            draw_disc(chip, 14 * s, 13 * s, 9 * s, colour)
            draw_text(chip, str(number), 14 * s, 13 * s, 12 * s, INK)
            words = "–" if np.isnan(fused) else f"{fused * 100:.0f} %"
            draw_text(chip, words, 28 * s, 13 * s, 15 * s, PAPER, centred=False)
            if _holds(self.speaking[number], time_s):
                draw_waves(chip, 77 * s, 8 * s, s, PAPER)
            if _holds(self.looking[number], time_s):
                draw_eye(chip, 79 * s, 18 * s, s, PAPER)
            inner = wide - 10 * s
            draw_bar(chip, 5 * s, 25 * s, inner, 4 * s, FAINT)
            if not np.isnan(fused):
                draw_bar(chip, 5 * s, 25 * s, inner * fused, 4 * s, colour)
            for spec, share in self._stack_shares(values):
                draw_bar(chip, 5 * s, 31 * s, inner * share, 2 * s, lighten_colour(spec))

    def _stack_shares(self, values: dict[str, float]) -> list[tuple[BranchSpec, float]]:
        """Each branch with its share of the fused score and those of later branches together.

        Empty without any score, and with a learned fusion, which has no shares.
        """
        if self.result.fusion != "published":
            return []
        shares = compute_shares({name: np.array([value]) for name, value in values.items()})
        own = np.array([shares[spec.name][0] for spec in self.branches])
        if np.isnan(own).any():
            return []
        return list(zip(self.branches, np.cumsum(own[::-1])[::-1].tolist(), strict=True))

    def _draw_strip(self, canvas: Canvas, time_s: float) -> None:
        """Draw one row per person of the last seconds: score over time, the latest at the right."""
        shown = [n for n in self.numbers if self._recent(n, time_s)]
        if not shown:
            return
        if len(shown) > MAX_ROWS:
            shown = sorted(sorted(shown, key=lambda n: -self._peak(n, time_s))[:MAX_ROWS])
        s, (height, width) = self.scale, canvas.y.shape
        row, pad, foot = 22 * s, 5 * s, 14 * s
        high = row * len(shown) + pad + foot
        place = (0, height - high, width, height)
        with self.sprites.region(canvas, place, DIM, "strip", int(time_s * STRIP_RATE)) as strip:
            if not strip.size:
                return
            for index, number in enumerate(shown):
                self._draw_row(strip, number, pad + index * row, time_s)
            self._draw_key(strip, pad + len(shown) * row + foot * 0.38)

    def _draw_row(self, strip: Image, number: int, top: float, time_s: float) -> None:
        s, width = self.scale, strip.shape[1]
        left, right = round(32 * s), round(width - 60 * s)
        now = self._score(number, time_s)[FUSED]
        times = time_s - PAST_S * (1 - np.linspace(0, 1, max(2, (right - left) // 2)))
        values = sample_scores(self.result.scores[number], times)
        _area(strip[round(top) : round(top + 18 * s), left:right], values)
        for moment in self.moments[number]:
            _mark(strip, moment, (time_s - PAST_S, time_s), (left, right), top, s)
        middle = top + 10 * s
        draw_disc(strip, 17 * s, middle, 8 * s, pick_tone(now))
        draw_text(strip, str(number), 17 * s, middle, 11 * s, INK)
        if not np.isnan(now):
            draw_text(
                strip, f"{now * 100:.0f} %", right + 10 * s, middle, 13 * s, PAPER, centred=False
            )

    def _draw_key(self, strip: Image, middle: float) -> None:
        s = self.scale
        size, grey = max(9.0, 9 * s), (200, 200, 200)
        draw_text(strip, f"last {PAST_S:.0f} s", 32 * s, middle, size, grey, centred=False)
        if self.result.fusion != "published":
            return
        x = strip.shape[1] - 60 * s
        for spec in self.branches:
            words, colour = spec.title.lower(), lighten_colour(spec)
            x -= render_text(words, round(size)).shape[1]
            draw_text(strip, words, x, middle, size, grey, centred=False)
            x -= 14 * s
            draw_bar(strip, x, middle - s, 10 * s, 2 * s, colour)
            x -= 10 * s
        words = "trusted more:"
        x -= render_text(words, round(size)).shape[1]
        if x > 110 * s:
            draw_text(strip, words, x, middle, size, grey, centred=False)

    def _recent(self, number: int, time_s: float) -> bool:
        rows = self.result.scores.get(number)
        if rows is None:
            return False
        first, last = np.searchsorted(rows.time_s, (time_s - PAST_S, time_s + 1e-6))
        return bool(last > first)

    def _peak(self, number: int, time_s: float) -> float:
        rows = self.result.scores[number]
        first, last = np.searchsorted(rows.time_s, (time_s - PAST_S, time_s + 1e-6))
        values = rows.fused[first:last]
        return -1.0 if np.isnan(values).all() else float(np.nanmax(values))


def _holds(stretches: tuple[Moment, ...], time_s: float) -> bool:
    """Whether a time lies in one of the stretches."""
    return any(m.start_s <= time_s < m.end_s for m in stretches)


def interpolate_at(times: Floats, table: Floats, time_s: float, reach_s: float) -> Floats | None:
    """The row (K,) of `table` (N, K) at a time, on the line between its neighbours.

    Neighbours further apart than `STEADY_S` are not joined: the nearest counts within `reach_s`,
    else None.
    """
    right = int(np.searchsorted(times, time_s))
    left = right - 1
    if left >= 0 and right < len(times) and times[right] - times[left] <= STEADY_S:
        share = (time_s - times[left]) / (times[right] - times[left])
        return np.asarray(table[left] * (1 - share) + table[right] * share)
    near = [i for i in (left, right) if 0 <= i < len(times) and abs(times[i] - time_s) <= reach_s]
    return np.asarray(table[min(near, key=lambda i: abs(times[i] - time_s))]) if near else None


def sample_scores(rows: PersonScores, times: Floats) -> Floats:
    """Fused scores (M,) at ascending times; NaN where the nearest row is too far."""
    first = max(0, int(np.searchsorted(rows.time_s, times[0])) - 1)
    last = int(np.searchsorted(rows.time_s, times[-1])) + 1
    own, fused = rows.time_s[first:last], rows.fused[first:last]
    if not len(own):
        return np.full(len(times), np.nan)
    right = np.clip(np.searchsorted(own, times), 0, len(own) - 1)
    left = np.maximum(right - 1, 0)
    distance = np.minimum(np.abs(own[right] - times), np.abs(own[left] - times))
    return np.where(distance <= STEADY_S / 2, np.interp(times, own, fused), np.nan)


def _area(part: Image, values: Floats) -> None:
    """Fill a row (h, w, 3) up to the values (w/2,), coloured by them; nothing where missing."""
    high, wide = part.shape[:2]
    part[-1:] = FAINT
    known = ~np.isnan(values)
    tall = np.where(known, np.maximum(np.nan_to_num(values) * high, 2), 0)  # never quite nothing
    inside = (np.arange(high, 0, -1)[:, None] <= tall).astype(np.uint8)  # (h, w/2)
    colours = pick_colour(values).astype(np.uint8)[None]  # (1, w/2, 3)
    mask = cv2.resize(inside, (wide, high), interpolation=cv2.INTER_NEAREST)
    cv2.copyTo(cv2.resize(colours, (wide, high), interpolation=cv2.INTER_NEAREST), mask, part)


def _mark(
    strip: Image,
    moment: Moment,
    span: tuple[float, float],
    edges: tuple[int, int],
    top: float,
    scale: float,
) -> None:
    """A line above the part of a moment that the strip shows."""
    start, end = max(moment.start_s, span[0]), min(moment.end_s, span[1])
    if end > start:
        left, right = np.interp((start, end), span, edges)
        draw_bar(strip, left, top - 1.5 * scale, right - left, 2 * scale, YES)
