"""Processes of sessions: started as they are needed, used again, replaced when they fail."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from quavf.live.serve.channel import (
    ENDED,
    ERROR,
    LONGEST_LINE,
    READY,
    START,
    STOP,
    pack_frame,
)
from quavf.live.serve.config import LimitsConfig
from quavf.live.serve.protocol import FAILED, FULL, ProtocolError

log = logging.getLogger(__name__)

START_S = 120.0  # to load the networks on a machine under load
CLOSE_S = 15.0  # to judge what a session still holds
SESSIONS = "quavf.workflows.serve:open_sessions"  # what a process loads; not known here
SPARES = 1  # processes kept ready for the next client


@dataclass(frozen=True)
class Loader:
    """Where a process gets its sessions from: `function(**options)` returns what opens one.

    Args:
        place: `module:function`.
        options: Plain values.
    """

    place: str
    options: Mapping[str, Any]


class WorkerDiedError(Exception):
    """The process of a session ended, or does not answer."""


class WorkerProcess:
    """One process, as the server sees it."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    @classmethod
    async def start(cls, loader: Loader, limits: LimitsConfig, threads: int) -> WorkerProcess:
        """Start a process and wait until its networks are loaded."""
        process = await asyncio.create_subprocess_exec(
            sys.executable,  # -P: what lies in the working folder is not imported
            *("-P", "-m", "quavf.live.serve.worker", loader.place),
            *(json.dumps(dict(loader.options)), json.dumps(asdict(limits))),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            limit=LONGEST_LINE,
            env={**os.environ, "OMP_NUM_THREADS": str(threads)},
        )
        worker = cls(process)
        try:
            await worker._wait_for(READY, START_S)
        except BaseException:
            worker.kill()
            raise
        return worker

    @property
    def pid(self) -> int:
        return self._process.pid

    async def open(self, look_ahead: float) -> None:
        """Start a session."""
        await self.send(START, json.dumps({"look_ahead": look_ahead}).encode())
        await self._wait_for(READY, START_S)

    async def send(self, kind: bytes, body: bytes = b"") -> None:
        """Send a frame; waits while the process is busy."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(pack_frame(kind, body))
            await self._process.stdin.drain()
        except OSError as error:
            raise WorkerDiedError(str(error)) from error

    async def receive(self) -> dict[str, Any]:
        """The next line of the process."""
        assert self._process.stdout is not None
        try:
            line = await self._process.stdout.readline()
        except ValueError as error:  # longer than LONGEST_LINE
            raise WorkerDiedError("a line without end") from error
        if not line:
            raise WorkerDiedError(f"exit code {await self._process.wait()}")
        return dict(json.loads(line))

    async def close(self) -> None:
        """End the session, if one is open; the process is ready for another."""
        await self.send(STOP)
        await self._wait_for(ENDED, CLOSE_S)

    def kill(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()

    async def end(self) -> None:
        """End the process, and wait until it is gone."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            await asyncio.wait_for(self._process.wait(), CLOSE_S)
        except TimeoutError:
            self.kill()
            await self._process.wait()

    async def _wait_for(self, kind: str, timeout_s: float) -> None:
        """Pass over lines until one of this kind."""
        try:
            async with asyncio.timeout(timeout_s):
                while (line := await self.receive())["kind"] != kind:
                    if line["kind"] == ERROR:
                        raise WorkerDiedError(line["message"])
        except TimeoutError as error:
            raise WorkerDiedError(f"no answer within {timeout_s:g} s") from error


class Pool:
    """At most `most` sessions at once, each in a process of its own."""

    def __init__(self, loader: Loader, limits: LimitsConfig, most: int) -> None:
        self._loader, self._limits, self.most = loader, limits, most
        self._threads = max(1, (os.cpu_count() or 1) // most)
        self._spares: list[WorkerProcess] = []
        self._cleaning: set[asyncio.Task[None]] = set()
        self.active = 0

    async def warm_up(self) -> None:
        """Start a process ahead of its first session. Raises WorkerDiedError if it cannot run."""
        self._spares.append(await self._start())

    async def take(self, look_ahead: float) -> WorkerProcess:
        """Open a session; give its process back in the end. Raises ProtocolError if full."""
        if self.active >= self.most:
            raise ProtocolError(FULL, f"all {self.most} sessions are taken; try again later")
        self.active += 1
        try:
            return await self._open(look_ahead)
        except BaseException:
            self.active -= 1
            raise

    async def _open(self, look_ahead: float) -> WorkerProcess:
        worker = self._spares.pop() if self._spares else None
        try:
            worker = worker or await self._start()
            await worker.open(look_ahead)
        except BaseException as error:
            if worker is not None:
                self._clean(self._kill(worker))
            if isinstance(error, WorkerDiedError):
                log.error("a session cannot start: %s", error)
                raise ProtocolError(FAILED, "the session cannot start") from error
            raise
        return worker

    def give_back(self, worker: WorkerProcess, *, is_sound: bool) -> None:
        """End a session; its process is kept for another, or replaced if it is not sound."""
        self.active -= 1
        self._clean(self._tidy(worker) if is_sound else self._kill(worker))

    async def close(self) -> None:
        """End all processes."""
        while self._cleaning:
            await asyncio.wait(self._cleaning)
        spares, self._spares = self._spares, []
        await asyncio.gather(*(worker.end() for worker in spares))

    def _start(self) -> Any:
        return WorkerProcess.start(self._loader, self._limits, self._threads)

    async def _tidy(self, worker: WorkerProcess) -> None:
        try:
            await worker.close()
        except WorkerDiedError:
            await self._kill(worker)
            return
        if len(self._spares) < SPARES:
            self._spares.append(worker)
        else:
            await worker.end()

    async def _kill(self, worker: WorkerProcess) -> None:
        worker.kill()
        await worker.end()

    def _clean(self, work: Any) -> None:
        task = asyncio.create_task(work)
        self._cleaning.add(task)
        task.add_done_callback(self._cleaning.discard)
