"""Processes of sessions: forked from one that has loaded the networks, or started one by one."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from quavf.live.serve.channel import PACKET, STATE
from quavf.live.serve.config import LimitsConfig
from quavf.live.serve.processes import (
    Forking,
    Loader,
    Origin,
    Spawning,
    WorkerDiedError,
    WorkerProcess,
    open_origin,
)
from quavf.live.serve.protocol import Kind, pack_picture
from tests.helpers.data import ROOT
from tests.helpers.live_sessions import FAKE

PICTURE = pack_picture(Kind.RGB, bytes(64 * 48 * 3), 0.0, (64, 48))
needs_linux = pytest.mark.skipif(not Path("/proc/self").exists(), reason="forks on Linux alone")


@pytest.fixture(autouse=True)
def _fake_sessions(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", f"{ROOT / 'src'}{os.pathsep}{ROOT}")


def run(
    origin_type: Callable[[Loader, LimitsConfig, int], Origin],
    act: Callable[[Origin], Awaitable[None]],
    place: str = FAKE,
) -> None:
    async def main() -> None:
        origin = origin_type(Loader(place, {}), LimitsConfig(), 1)
        try:
            await act(origin)
        finally:
            await origin.close()

    asyncio.run(main())


async def judge(worker: WorkerProcess) -> None:
    """A session that says something about a picture."""
    await worker.open(0.3)
    await worker.send(PACKET, PICTURE)
    await worker.wait_for(STATE, 20)


@pytest.mark.parametrize(
    "origin_type", [Spawning, pytest.param(Forking, marks=needs_linux), open_origin]
)
def test_two_sessions_one_of_which_is_killed(
    origin_type: Callable[[Loader, LimitsConfig, int], Origin],
) -> None:
    async def act(origin: Origin) -> None:
        first, second = await origin.start(), await origin.start()
        await judge(first)
        first.kill()
        await first.process.wait()
        first.kill()  # harmless
        with pytest.raises(WorkerDiedError):
            await first.wait_for(STATE, 5)
        await first.end()
        await judge(second)
        await second.close()
        await judge(second)  # another session
        await second.end()
        with pytest.raises(ProcessLookupError):
            os.kill(second.pid, 0)

    run(origin_type, act)


@needs_linux
def test_sessions_outlive_the_process_with_the_networks() -> None:
    async def act(origin: Origin) -> None:
        assert isinstance(origin, Forking)
        first = await origin.start()
        template = origin._template
        assert template is not None
        template.kill()
        await template.process.wait()
        await judge(first)
        with pytest.raises(WorkerDiedError):
            await origin.start()
        second = await origin.start()  # loads another one
        await judge(second)
        for worker in (first, second):
            await worker.end()

    run(Forking, act)


@pytest.mark.parametrize("origin_type", [Spawning, pytest.param(Forking, marks=needs_linux)])
def test_sessions_that_cannot_be_loaded(
    origin_type: Callable[[Loader, LimitsConfig, int], Origin],
) -> None:
    async def act(origin: Origin) -> None:
        with pytest.raises(WorkerDiedError):
            await origin.start()

    run(origin_type, act, "tests.helpers.fake_sessions:missing")
