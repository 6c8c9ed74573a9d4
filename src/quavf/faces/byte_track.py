"""ByteTrack: link the boxes of one moment to those before it (Zhang et al. 2022).

Follows the release 2.6 of Roboflow's `trackers` (Apache-2.0), with its noise settings, its handling
of irregular time steps and overlaps of enlarged boxes (BIoU, Yang et al. 2023), and nothing else:
that package brings 300 MB of others. `tests/faces/test_byte_track.py` compares the two.
"""

from __future__ import annotations

import numpy as np

from quavf.core.records import Array, Floats, Ints

SURE = 0.5  # scores from here on are matched first, and start tracks
MIN_OVERLAP = 0.1  # of enlarged boxes that are the same face
ENLARGE = 0.5  # of a box's sides, added on each of them
KEPT_S = 1.0  # that a track without a match is kept
MEASUREMENT_NOISE, PROCESS_NOISE = 0.1, 0.01  # variances: of a box, of a state in one step
EVEN_S = 0.004  # steps that differ by less from the usual one are usual
N_STATE, N_BOX = 8, 4  # x1, y1, x2, y2 and their velocities a step


class ByteTracker:
    """Numbers the faces of consecutive moments; `step_rate` is the usual number a second."""

    def __init__(self, step_rate: float) -> None:
        self._step_rate = step_rate
        self.reset()

    def reset(self) -> None:
        """End all tracks; numbers start again."""
        self._tracks: list[_Track] = []
        self._time_s: float | None = None
        self._n_numbered = 0

    def update(self, time_s: float, boxes: Floats, scores: Floats) -> Ints:
        """Track numbers (N,) at a later moment than the last one, of boxes (N, 4), scores (N,).

        -1 is a face without a track; a track has a number from its second face on.
        """
        elapsed_s = 1 / self._step_rate if self._time_s is None else time_s - self._time_s
        assert elapsed_s > 0, (time_s, self._time_s)
        self._time_s = time_s
        noise = _process_noise(elapsed_s, self._step_rate)
        for track in self._tracks:
            track.predict(elapsed_s, elapsed_s * self._step_rate, noise)
        self._tracks = [track for track in self._tracks if track.missed_s <= KEPT_S]
        numbers = np.full(len(boxes), -1)
        sure = scores >= SURE
        left, unmatched = self._match(self._tracks, np.flatnonzero(sure), boxes, numbers)
        self._match(left, np.flatnonzero(~sure), boxes, numbers)
        self._tracks += [_Track(boxes[row]) for row in unmatched]
        self._tracks = [track for track in self._tracks if track.is_alive]
        return numbers

    def _match(
        self, tracks: list[_Track], rows: Ints, boxes: Floats, numbers: Ints
    ) -> tuple[list[_Track], Ints]:
        """Give some rows of boxes to tracks; return the tracks and rows that are left."""
        if not tracks or not len(rows):
            return tracks, rows
        overlaps = _enlarged_overlaps(np.array([t.box for t in tracks]), boxes[rows])
        pairs = [(t, r) for t, r in assign(overlaps) if overlaps[t, r] >= MIN_OVERLAP]
        for t, r in pairs:
            track = tracks[t]
            track.correct(boxes[rows[r]])
            if track.number < 0:
                track.number = self._n_numbered
                self._n_numbered += 1
            numbers[rows[r]] = track.number
        matched, taken = {t for t, _ in pairs}, [r for _, r in pairs]
        return [t for k, t in enumerate(tracks) if k not in matched], np.delete(rows, taken)


class _Track:
    """A face that moves evenly: a Kalman filter of its box and the box's velocity."""

    def __init__(self, box: Floats) -> None:
        self.number = -1
        self.missed_s = 0.0
        self._n_missed = 0
        self._n_in_a_row = 1
        self._state = np.zeros((N_STATE, 1))
        self._state[:N_BOX, 0] = box
        self._covariance = np.eye(N_STATE)

    @property
    def box(self) -> Floats:
        """(4,) where the face is expected, or was corrected to."""
        return self._state[:N_BOX, 0]

    @property
    def is_alive(self) -> bool:
        confirmed = self.number >= 0 or self._n_in_a_row >= 1
        return self.missed_s <= KEPT_S and (confirmed or self._n_missed == 0)

    def predict(self, elapsed_s: float, step: float, noise: Floats) -> None:
        move = np.eye(N_STATE)
        move[range(N_BOX), range(N_BOX, N_STATE)] = step
        self._state = move @ self._state
        self._covariance = move @ self._covariance @ move.T + noise
        if self._n_missed:
            self._n_in_a_row = 0
        self._n_missed += 1
        self.missed_s += elapsed_s

    def correct(self, box: Floats) -> None:
        observe, measurement = np.eye(N_BOX, N_STATE), np.eye(N_BOX) * MEASUREMENT_NOISE
        shared = self._covariance @ observe.T
        gain = shared @ np.linalg.inv(observe @ shared + measurement)
        self._state = self._state + gain @ (box.reshape(-1, 1) - observe @ self._state)
        kept = np.eye(N_STATE) - gain @ observe
        self._covariance = kept @ self._covariance @ kept.T + gain @ measurement @ gain.T
        self._n_missed, self.missed_s = 0, 0.0
        self._n_in_a_row += 1


def _process_noise(elapsed_s: float, step_rate: float) -> Floats:
    """(8, 8) covariance that a step adds; of another than the usual length: by its acceleration."""
    step = elapsed_s * step_rate
    if abs(step - 1.0) <= EVEN_S * step_rate:
        return np.eye(N_STATE) * PROCESS_NOISE
    shares = np.array([[step**4 / 4, step**3 / 2], [step**3 / 2, step**2]]) * PROCESS_NOISE
    return np.kron(shares, np.eye(N_BOX))


def _enlarged_overlaps(a: Floats, b: Floats) -> Floats:
    """Intersection over union (N, M) of enlarged boxes (N, 4) and (M, 4), float32."""
    a, b = _enlarge(a)[:, None], _enlarge(b)[None]
    inner = np.minimum(a[..., 2:], b[..., 2:]) - np.maximum(a[..., :2], b[..., :2])  # (N, M, 2)
    shared = inner.clip(0).prod(axis=-1)
    areas = [(boxes[..., 2:] - boxes[..., :2]).prod(axis=-1) for boxes in (a, b)]
    union = areas[0] + areas[1] - shared
    found = np.divide(shared, union, out=np.zeros_like(shared), where=union > 0)
    return np.asarray(found, np.float32)


def _enlarge(boxes: Floats) -> Floats:
    margin = ENLARGE * (boxes[:, 2:] - boxes[:, :2])
    return np.concatenate([boxes[:, :2] - margin, boxes[:, 2:] + margin], axis=1)


def assign(values: Array) -> list[tuple[int, int]]:
    """Pairs of a row and a column of (N, M) with the highest sum, by ascending rows.

    Each row and column is used once, as far as there are as many (Kuhn 1955; shortest augmenting
    paths as in Jonker and Volgenant 1987).
    """
    n_rows, n_columns = values.shape
    if n_rows > n_columns:
        return sorted((row, column) for column, row in assign(values.T))
    costs = -np.asarray(values, float)
    row_prices, column_prices = np.zeros(n_rows), np.zeros(n_columns)
    owner = np.full(n_columns, -1)  # the row of each column
    for row in range(n_rows):
        lowest, before = np.full(n_columns, np.inf), np.full(n_columns, -1)
        done = np.zeros(n_columns, bool)
        column, current = -1, row
        while True:
            reduced = costs[current] - row_prices[current] - column_prices
            better = ~done & (reduced < lowest)
            lowest[better], before[better] = reduced[better], column
            column = int(np.where(done, np.inf, lowest).argmin())
            step = lowest[column]
            row_prices[[row, *owner[done]]] += step
            column_prices[done] -= step
            lowest[~done] -= step
            done[column] = True
            current = int(owner[column])
            if current < 0:
                break
        while column >= 0:
            last = int(before[column])
            owner[column] = row if last < 0 else owner[last]
            column = last
    return sorted((int(row), column) for column, row in enumerate(owner) if row >= 0)
