"""Processes of sessions, as the server sees them.

On Linux, one process loads the networks, and forks another for each session: it starts at once, and
shares the memory of the networks. Elsewhere, where forking is not safe, each loads its own.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import socket
import sys
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Protocol

from quavf.live.serve.channel import (
    ENDED,
    ERROR,
    FORK,
    LONGEST_LINE,
    READY,
    START,
    STOP,
    pack_frame,
)
from quavf.live.serve.config import LimitsConfig

START_S = 120.0  # to load the networks on a machine under load
CLOSE_S = 15.0  # to judge what a session still holds
SENT_BYTES = 1 << 16  # that wait in the socket of a process; more wait where they are thinned out


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


class Process(Protocol):
    """What `asyncio.subprocess.Process` and `ForkedProcess` have in common."""

    @property
    def pid(self) -> int: ...

    def kill(self) -> None: ...

    async def wait(self) -> object: ...


class ForkedProcess:
    """A process that is no child of this one; it must be alive when this is made."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self._handle = os.pidfd_open(pid)  # a number may be given again, this means one process
        self._has_ended = asyncio.Event()
        asyncio.get_running_loop().add_reader(self._handle, self._note_end)

    def kill(self) -> None:
        """Raises ProcessLookupError if it has ended."""
        if self._has_ended.is_set():
            raise ProcessLookupError(self.pid)
        signal.pidfd_send_signal(self._handle, signal.SIGKILL)

    async def wait(self) -> None:
        await self._has_ended.wait()

    def _note_end(self) -> None:
        asyncio.get_running_loop().remove_reader(self._handle)
        os.close(self._handle)
        self._has_ended.set()


@dataclass
class WorkerProcess:
    """One process that runs sessions, one after the other."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    process: Process

    @property
    def pid(self) -> int:
        return self.process.pid

    def kill(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            self.process.kill()

    async def open(self, look_ahead: float) -> None:
        """Start a session."""
        await self.send(START, json.dumps({"look_ahead": look_ahead}).encode())
        await self.wait_for(READY, START_S)

    async def send(self, kind: bytes, body: bytes = b"") -> None:
        """Send a frame; waits while the process is busy."""
        try:
            self.writer.write(pack_frame(kind, body))
            await self.writer.drain()
        except OSError as error:
            raise WorkerDiedError(str(error)) from error

    async def receive(self) -> dict[str, Any]:
        """The next line of the process."""
        return await receive_line(self.reader)

    async def close(self) -> None:
        """End the session, if one is open; the process is ready for another."""
        await self.send(STOP)
        await self.wait_for(ENDED, CLOSE_S)

    async def end(self) -> None:
        """End the process, and wait until it is gone."""
        self.writer.close()
        try:
            await asyncio.wait_for(self.process.wait(), CLOSE_S)
        except TimeoutError:
            self.kill()
            await self.process.wait()

    async def wait_for(self, kind: str, timeout_s: float) -> None:
        """Pass over lines until one of this kind."""
        await receive_kind(self.reader, kind, timeout_s)


async def receive_line(reader: asyncio.StreamReader) -> dict[str, Any]:
    """The next line of a process. Raises WorkerDiedError."""
    try:
        line = await reader.readline()
    except (ValueError, OSError) as error:  # longer than LONGEST_LINE, or reset
        raise WorkerDiedError(f"its answer cannot be read ({error})") from error
    if not line:
        raise WorkerDiedError("the process has ended")
    return dict(json.loads(line))


async def receive_kind(reader: asyncio.StreamReader, kind: str, timeout_s: float) -> dict[str, Any]:
    """The next line of this kind; others are passed over. Raises WorkerDiedError."""
    try:
        async with asyncio.timeout(timeout_s):
            while (line := await receive_line(reader))["kind"] != kind:
                if line["kind"] == ERROR:
                    raise WorkerDiedError(line["message"])
            return line
    except TimeoutError as error:
        raise WorkerDiedError(f"no answer within {timeout_s:g} s") from error


class Origin(ABC):
    """Where processes of sessions come from."""

    def __init__(self, loader: Loader, limits: LimitsConfig, threads: int) -> None:
        self.loader, self.limits, self.threads = loader, limits, threads

    @abstractmethod
    async def start(self) -> WorkerProcess:
        """A process whose networks are loaded. Raises WorkerDiedError."""

    async def close(self) -> None:
        """Release what is held, if anything; the processes go on."""
        return

    async def _spawn(self, *passed: int) -> WorkerProcess:
        """A new process, which gets the file descriptors `passed`, if any."""
        process = await asyncio.create_subprocess_exec(
            sys.executable,  # -P: what lies in the working folder is not imported
            *("-P", "-m", "quavf.live.serve.worker", self.loader.place),
            *(json.dumps(dict(self.loader.options)), json.dumps(asdict(self.limits))),
            *map(str, passed),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            limit=LONGEST_LINE,
            pass_fds=passed,
            env={**os.environ, "OMP_NUM_THREADS": str(self.threads)},
        )
        assert process.stdin is not None
        assert process.stdout is not None
        worker = WorkerProcess(process.stdout, process.stdin, process)
        try:
            await worker.wait_for(READY, START_S)
        except BaseException:
            worker.kill()
            await worker.end()
            raise
        return worker


class Spawning(Origin):
    """Each process loads its own networks."""

    async def start(self) -> WorkerProcess:
        return await self._spawn()


class Forking(Origin):
    """One process, the template, loads the networks and forks the others."""

    def __init__(self, loader: Loader, limits: LimitsConfig, threads: int) -> None:
        super().__init__(loader, limits, threads)
        self._template: WorkerProcess | None = None
        self._control: socket.socket | None = None
        self._lock = asyncio.Lock()

    async def start(self) -> WorkerProcess:
        async with self._lock:
            try:
                if self._template is None:
                    await self._load()
                return await self._fork()
            except BaseException:
                await self._drop()  # whatever is wrong with it, another one is loaded next time
                raise

    async def close(self) -> None:
        async with self._lock:
            await self._drop()

    async def _load(self) -> None:
        self._control, theirs = socket.socketpair()
        with theirs:
            self._template = await self._spawn(theirs.fileno())

    async def _fork(self) -> WorkerProcess:
        assert self._control is not None
        ours, theirs = socket.socketpair()
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SENT_BYTES)
        try:
            with theirs:
                socket.send_fds(self._control, [FORK], [theirs.fileno()])
            reader, writer = await asyncio.open_connection(sock=ours, limit=LONGEST_LINE)
        except OSError as error:
            ours.close()
            raise WorkerDiedError(f"the process with the networks has ended ({error})") from error
        try:
            ready = await receive_kind(reader, READY, START_S)
            return WorkerProcess(reader, writer, ForkedProcess(ready["pid"]))
        except BaseException as error:
            writer.close()
            if isinstance(error, OSError):
                raise WorkerDiedError(str(error)) from error
            raise

    async def _drop(self) -> None:
        template, control = self._template, self._control
        self._template = self._control = None
        if control is not None:
            control.close()
        if template is not None:
            template.kill()
            await template.end()


def open_origin(loader: Loader, limits: LimitsConfig, threads: int) -> Origin:
    """Forking where it is safe, else spawning."""
    is_safe = sys.platform == "linux" and hasattr(os, "pidfd_open")
    return (Forking if is_safe else Spawning)(loader, limits, threads)
