"""One client's WebSocket, from hello to close."""

from __future__ import annotations

import asyncio
import hmac
import logging

from starlette.websockets import WebSocket, WebSocketDisconnect

from quavf.core.version import __version__
from quavf.live.serve.channel import ENDED, EVENT, PACKET, STATE, STOP
from quavf.live.serve.config import LimitsConfig, ServeConfig
from quavf.live.serve.inbox import Allowance, Inbox
from quavf.live.serve.pool import Pool
from quavf.live.serve.processes import WorkerDiedError, WorkerProcess
from quavf.live.serve.protocol import (
    BAD_MESSAGE,
    BAD_TOKEN,
    CLOCK,
    FAILED,
    IDLE,
    LONGEST_LEAP_S,
    SLOW,
    VERSION,
    Ending,
    Hello,
    Packet,
    ProtocolError,
    check_bye,
    parse_hello,
    parse_packet,
    write_error,
    write_message,
)

log = logging.getLogger(__name__)

MESSAGES_PER_S = 500.0  # that the server reads of one client
STUCK_S = 30.0  # after which a session that takes nothing counts as failed
WRONG_TOKEN_S = 1.0  # before the answer to a wrong token
GOODBYE_S = 2.0  # for the last message to a client
LOOKS_PER_S = 15.0  # more pictures a second are not looked at
LONGER_SIDE = 960  # px: advice to clients
TOLD_LIMITS = ("picture_bytes", "picture_pixels", "pictures_per_s", "bytes_per_s", "idle_s")


class Conversation:
    """Runs one connection; `run` returns when it is over."""

    def __init__(self, websocket: WebSocket, pool: Pool, config: ServeConfig) -> None:
        self._websocket, self._pool, self._config = websocket, pool, config
        self._limits: LimitsConfig = config.limits
        self._inbox = Inbox()
        self._too_fast = 0  # pictures
        self._newest_s: float | None = None  # time stamp

    async def run(self) -> None:
        """Serve the client until either side ends. Raises nothing but cancellation."""
        try:
            await self._websocket.accept()
            hello = await self._receive_hello()
            look_ahead = self._config.look_ahead if hello.look_ahead is None else hello.look_ahead
            worker = await self._pool.take(look_ahead)
            is_sound = True
            try:
                await self._send(self._write_welcome(look_ahead))
                await self._pass_messages(worker)
            except WorkerDiedError as error:
                is_sound = False
                log.error("a session failed: %s", error)
                raise ProtocolError(FAILED, "the session failed; connect again") from error
            finally:
                self._pool.give_back(worker, is_sound=is_sound)
        except ProtocolError as error:
            await self._say_goodbye(error.ending, str(error))
        except (WebSocketDisconnect, OSError):
            pass  # the client has gone

    async def _receive_hello(self) -> Hello:
        message = await self._receive(self._limits.hello_s)
        if not isinstance(message, str):
            raise ProtocolError(BAD_MESSAGE, 'the first message must be of type "hello"')
        hello = parse_hello(message)
        wanted = self._config.token
        if wanted is not None and not hmac.compare_digest(hello.token.encode(), wanted.encode()):
            await asyncio.sleep(WRONG_TOKEN_S)
            raise ProtocolError(BAD_TOKEN, "the token is missing or wrong")
        return hello

    async def _pass_messages(self, worker: WorkerProcess) -> None:
        """Pass messages both ways until the client says bye, or something ends it early."""
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._read())
                group.create_task(self._feed(worker))
                group.create_task(self._tell(worker))
        except BaseExceptionGroup as errors:
            raise errors.exceptions[0] from None
        await self._websocket.close(1000)

    async def _read(self) -> None:
        """Put what the client sends into the inbox, until it says bye."""
        messages, data = Allowance(MESSAGES_PER_S), Allowance(self._limits.bytes_per_s)
        pictures = Allowance(self._limits.pictures_per_s)
        while True:
            message = await self._receive(self._limits.idle_s)
            if isinstance(message, str):
                check_bye(message)
                self._inbox.finish()
                return
            packet = parse_packet(message, self._limits)
            self._check_time(packet)
            if packet.is_picture and not pictures.can_spend(1):
                self._too_fast += 1
            else:
                self._inbox.put(packet)
            if wait_s := max(messages.spend(1), data.spend(len(message))):
                await asyncio.sleep(wait_s)

    def _check_time(self, packet: Packet) -> None:
        """End a session whose clock leaps: filling the time between would take long."""
        newest_s = packet.time_s if self._newest_s is None else self._newest_s
        if abs(packet.time_s - newest_s) > LONGEST_LEAP_S:
            raise ProtocolError(CLOCK, f"time_s leaps by over {LONGEST_LEAP_S:g} s; connect again")
        self._newest_s = max(newest_s, packet.time_s)

    async def _feed(self, worker: WorkerProcess) -> None:
        """Pass the inbox on to the session's process, which takes its time."""
        while True:
            packet = await self._inbox.get()
            try:
                async with asyncio.timeout(STUCK_S):
                    if packet is None:
                        await worker.send(STOP)
                        return
                    await worker.send(PACKET, packet.data)
            except TimeoutError as error:
                raise WorkerDiedError(f"nothing taken for {STUCK_S:g} s") from error

    async def _tell(self, worker: WorkerProcess) -> None:
        """Pass on what the session says, until it has ended."""
        while True:
            line = await worker.receive()
            if line["kind"] == EVENT:
                await self._send(write_message("event", **line["event"]))
            elif line["kind"] == STATE:
                counts = {**line["counts"], **self._count()}
                await self._send(write_message("state", people=line["people"], counts=counts))
            elif line["kind"] == ENDED:
                await self._send(write_message("end"))
                return

    def _count(self) -> dict[str, int]:
        """What was left out on the way to the session."""
        return {
            "queue_dropped": self._inbox.dropped_pictures,
            "queue_dropped_sound": self._inbox.dropped_sound,
            "too_fast": self._too_fast,
        }

    def _write_welcome(self, look_ahead: float) -> str:
        limits = {name: getattr(self._limits, name) for name in TOLD_LIMITS}
        return write_message(
            "welcome",
            version=VERSION,
            server=f"quavf {__version__}",
            look_ahead=look_ahead,
            limits=limits,
            advice={"pictures_per_s": LOOKS_PER_S, "longer_side": LONGER_SIDE},
        )

    async def _receive(self, timeout_s: float) -> str | bytes:
        """The next message. Raises ProtocolError after a time without any."""
        try:
            async with asyncio.timeout(timeout_s):
                message = await self._websocket.receive()
        except TimeoutError as error:
            raise ProtocolError(IDLE, f"nothing came for {timeout_s:g} s") from error
        if message["type"] == "websocket.disconnect":
            raise WebSocketDisconnect(message.get("code", 1006))
        data: bytes | None = message.get("bytes")
        return str(message["text"]) if data is None else data

    async def _send(self, message: str) -> None:
        try:
            async with asyncio.timeout(self._limits.send_s):
                await self._websocket.send_text(message)
        except TimeoutError as error:
            raise ProtocolError(SLOW, "messages were not read in time") from error

    async def _say_goodbye(self, ending: Ending, message: str) -> None:
        try:
            async with asyncio.timeout(GOODBYE_S):
                await self._websocket.send_text(write_error(ending, message))
                await self._websocket.close(ending.close, ending.code)
        except (TimeoutError, WebSocketDisconnect, OSError, RuntimeError):
            pass  # the client has gone, or does not listen
