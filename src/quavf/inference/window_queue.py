"""Windows in the order in which their crops come, so that no crop's features are held for long."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from quavf.core.records import Floats, Ints
from quavf.core.windows import EMPTY

SlotRows = tuple[Ints, Floats]  # windows: rows of the faces in their slots (W, T), quality (W,)


class WindowQueue:
    """Windows of several parts, first those whose last crop comes first.

    `rows` (N,) are the faces that they need, ascending, the order in which crops are expected.
    """

    def __init__(self, windows_of: Sequence[SlotRows], n_slots: int) -> None:
        self.rows = needed_rows(windows_of)
        self._sizes = [len(quality) for _, quality in windows_of]
        slots = np.concatenate(
            [np.empty((0, n_slots), np.int64), *(slots for slots, _ in windows_of)]
        )
        quality = np.concatenate([np.empty(0), *(quality for _, quality in windows_of)])
        crops = np.where(slots == EMPTY, -1, np.searchsorted(self.rows, slots))  # (W, T)
        last = crops.max(axis=1)
        self._order = np.argsort(last, kind="stable")
        self._crops, self._last = crops[self._order], last[self._order]
        self._quality = quality[self._order]
        first = np.where(self._crops < 0, len(self.rows), self._crops).min(axis=1)
        self._first = np.minimum.accumulate(first[::-1])[::-1]  # that a window or a later one needs
        self._n_taken = self._n_forgotten = 0

    def __len__(self) -> int:
        return len(self._order)

    def n_ready(self, n_held: int) -> int:
        """Windows not taken yet that need none but these crops: forgotten ones and `n_held`."""
        n_come = self._n_forgotten + n_held
        return int(np.searchsorted(self._last, n_come)) - self._n_taken

    def take(self, n_held: int, n_most: int) -> tuple[Ints, Ints, Floats]:
        """The next ready windows: their numbers (W,), slots (W, T) and qualities (W,).

        Slots count the held crops from 1; 0 is an empty slot.
        """
        start = self._n_taken
        self._n_taken += min(self.n_ready(n_held), n_most)
        part = slice(start, self._n_taken)
        slots = np.where(self._crops[part] < 0, 0, self._crops[part] - self._n_forgotten + 1)
        return self._order[part], slots, self._quality[part]

    def forget(self) -> int:
        """The number of held crops, from the first, that no window needs."""
        before = self._n_forgotten
        left = self._first[self._n_taken :]
        self._n_forgotten = int(left[0]) if len(left) else len(self.rows)
        return self._n_forgotten - before

    def by_part(self, scores: Floats) -> list[Floats]:
        """(N,) values by window number, cut into the parts that came in."""
        return np.split(scores, np.cumsum(self._sizes)[:-1]) if self._sizes else []


def needed_rows(windows_of: Sequence[SlotRows]) -> Ints:
    """Ascending rows of the faces that lie in any window."""
    slots = [np.empty(0, np.int64), *(slots.ravel() for slots, _ in windows_of)]
    rows = np.unique(np.concatenate(slots))
    return np.asarray(rows[rows != EMPTY])
