"""The queue before a session: bounded, in order, thinned out evenly."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from quavf.live.serve.inbox import MOST_PICTURES, MOST_SOUND_S, Allowance, Inbox
from quavf.live.serve.protocol import HEADER_BYTES, Kind, Packet


def picture(time_s: float) -> Packet:
    return Packet(Kind.JPEG, time_s, bytes(20))


def sound(time_s: float, seconds: float = 0.5) -> Packet:
    data = bytes(HEADER_BYTES + 2 * round(seconds * 16_000))
    return Packet(Kind.PCM, time_s, data, channels=1, rate=16_000)


def run_apart(work: Coroutine[Any, Any, None]) -> None:
    """Run in a thread of its own: a browser of other tests may occupy this one's event loop."""
    with ThreadPoolExecutor(1) as pool:
        pool.submit(asyncio.run, work).result()


async def drain(inbox: Inbox) -> list[Packet]:
    inbox.finish()
    found = []
    while (packet := await inbox.get()) is not None:
        found.append(packet)
    return found


def test_order_is_kept() -> None:
    async def run() -> None:
        inbox = Inbox()
        packets = [picture(0), sound(0), picture(0.1), sound(0.5)]
        for packet in packets:
            inbox.put(packet)
        assert await drain(inbox) == packets
        assert (inbox.dropped_pictures, inbox.dropped_sound) == (0, 0)

    run_apart(run())


def test_pictures_are_dropped_evenly() -> None:
    """No gap between two kept pictures is over twice another, but for the newest's."""

    async def run() -> None:
        inbox = Inbox()
        for k in range(MOST_PICTURES + 1):
            inbox.put(picture(k))
            inbox.put(sound(k, 0.1))
        kept = [p.time_s for p in await drain(inbox) if p.is_picture]
        assert kept == [1, 3, 5]
        assert inbox.dropped_pictures == 4

    run_apart(run())


def test_nothing_queues_without_end() -> None:
    async def run() -> None:
        inbox = Inbox()
        for k in range(1000):
            inbox.put(picture(k))
            inbox.put(sound(k))
        packets = await drain(inbox)
        assert sum(p.is_picture for p in packets) <= MOST_PICTURES
        assert sum(p.duration_s for p in packets) <= MOST_SOUND_S
        assert packets[-1] == sound(999)  # the newest stays
        n_pictures = sum(p.is_picture for p in packets)
        assert inbox.dropped_pictures + n_pictures == 1000
        assert inbox.dropped_sound + len(packets) - n_pictures == 1000

    run_apart(run())


def test_get_waits_for_the_first() -> None:
    async def run() -> None:
        inbox = Inbox()
        waiting = asyncio.create_task(inbox.get())
        await asyncio.sleep(0)
        inbox.put(picture(3))
        assert await waiting == picture(3)

    run_apart(run())


def test_allowance(monkeypatch: pytest.MonkeyPatch) -> None:
    now_s = 100.0
    monkeypatch.setattr("time.monotonic", lambda: now_s)
    allowance = Allowance(10.0)
    assert [allowance.can_spend(1) for _ in range(12)] == [True] * 10 + [False] * 2
    now_s += 0.25
    assert [allowance.can_spend(1) for _ in range(3)] == [True, True, False]
    now_s += 1000
    assert allowance.spend(10) == 0  # no more than a second's worth is saved up
    assert allowance.spend(5) == pytest.approx(0.5)
