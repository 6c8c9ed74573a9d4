"""The queue between a client and its session: bounded, and thinned out evenly when it is full."""

from __future__ import annotations

import asyncio
import time
from collections import deque

from quavf.live.serve.protocol import Packet

MOST_PICTURES = 6
MOST_SOUND_S = 5.0
BURST_S = 1.0  # that a client may run ahead of its rate


class Inbox:
    """Pictures and sound that wait for their session, in order of arrival.

    When more than MOST_PICTURES wait, every second picture is dropped; when more than MOST_SOUND_S
    of sound wait, the oldest of it.
    """

    def __init__(self) -> None:
        self._waiting: deque[Packet] = deque()
        self._is_filled = asyncio.Event()
        self._is_finished = False
        self._n_pictures = 0
        self._sound_s = 0.0
        self.dropped_pictures = 0
        self.dropped_sound = 0  # blocks

    def __len__(self) -> int:
        return len(self._waiting)

    def put(self, packet: Packet) -> None:
        """Add a packet; drop others if there are too many."""
        self._waiting.append(packet)
        self._n_pictures += packet.is_picture
        self._sound_s += packet.duration_s
        if self._n_pictures > MOST_PICTURES:
            self._thin_out()
        while self._sound_s > MOST_SOUND_S:
            self._drop_sound()
        self._is_filled.set()

    def finish(self) -> None:
        """Say that no more comes."""
        self._is_finished = True
        self._is_filled.set()

    async def get(self) -> Packet | None:
        """Wait for a packet and take the oldest; None after the last."""
        while not self._waiting:
            if self._is_finished:
                return None
            self._is_filled.clear()
            await self._is_filled.wait()
        packet = self._waiting.popleft()
        self._n_pictures -= packet.is_picture
        self._sound_s -= packet.duration_s
        return packet

    def _thin_out(self) -> None:
        kept: deque[Packet] = deque()
        is_dropped = True  # the oldest goes first
        for packet in self._waiting:
            if not packet.is_picture or not is_dropped:
                kept.append(packet)
            else:
                self.dropped_pictures += 1
                self._n_pictures -= 1
            is_dropped ^= packet.is_picture
        self._waiting = kept

    def _drop_sound(self) -> None:
        oldest = next(p for p in self._waiting if not p.is_picture)
        self._waiting.remove(oldest)
        self._sound_s -= oldest.duration_s
        self.dropped_sound += 1


class Allowance:
    """A rate that may be exceeded for a moment: BURST_S worth of it can be spent at once."""

    def __init__(self, per_s: float) -> None:
        self._per_s = per_s
        self._left = per_s * BURST_S
        self._at_s = time.monotonic()

    def spend(self, amount: float) -> float:
        """Spend an amount; return the seconds to wait until it is earned (0: at once)."""
        now_s = time.monotonic()
        earned = (now_s - self._at_s) * self._per_s
        self._left = min(self._left + earned, self._per_s * BURST_S) - amount
        self._at_s = now_s
        return max(0.0, -self._left / self._per_s)

    def can_spend(self, amount: float) -> bool:
        """Spend an amount if it is there; else spend nothing."""
        if self.spend(amount) == 0:
            return True
        self._left += amount
        return False
