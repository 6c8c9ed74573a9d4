"""Processes of sessions: started as they are needed, used again, replaced when they fail."""

from __future__ import annotations

import asyncio
import logging
import os
from typing import Any

from quavf.live.serve.config import LimitsConfig
from quavf.live.serve.processes import Loader, WorkerDiedError, WorkerProcess, open_origin
from quavf.live.serve.protocol import FAILED, FULL, ProtocolError

log = logging.getLogger(__name__)

SESSIONS = "quavf.workflows.serve:open_sessions"  # what a process loads; not known here
SPARES = 1  # processes kept ready for the next client


class Pool:
    """At most `most` sessions at once, each in a process of its own."""

    def __init__(self, loader: Loader, limits: LimitsConfig, most: int) -> None:
        self.most = most
        self._origin = open_origin(loader, limits, max(1, (os.cpu_count() or 1) // most))
        self._spares: list[WorkerProcess] = []
        self._cleaning: set[asyncio.Task[None]] = set()
        self.active = 0

    async def warm_up(self) -> None:
        """Start a process ahead of its first session. Raises WorkerDiedError if it cannot run."""
        self._spares.append(await self._origin.start())

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
            worker = worker or await self._origin.start()
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
        await self._origin.close()

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
