"""Running the live server with uvicorn: its socket, its limits, its end."""

from __future__ import annotations

import asyncio
import secrets
import socket
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from quavf.core.errors import ConfigError, EngineError
from quavf.live.serve.app import LiveApp
from quavf.live.serve.config import ServeConfig
from quavf.live.serve.processes import Loader, WorkerDiedError

if TYPE_CHECKING:
    import uvicorn

REQUEST_S = 10.0  # for the head of a request
UNREAD_S = 30  # that a client may leave what was sent to it
CONNECTIONS = 64  # beyond four for each session
SHUTDOWN_S = 5


def serve(loader: Loader, config: ServeConfig, on_start: Callable[[str], None]) -> None:
    """Serve until SIGINT or SIGTERM; `on_start` gets the page's address.

    Raises ConfigError if the address is taken, EngineError if sessions cannot start.
    """
    if config.token is None and not config.is_local:
        config = replace(config, token=secrets.token_urlsafe(24))
    with _open_socket(config) as listening:
        asyncio.run(_serve(LiveApp(loader, config), config, listening, on_start))


def format_url(config: ServeConfig, port: int) -> str:
    """Address of the page; the token is in the part that browsers do not send."""
    names = {"0.0.0.0": socket.gethostname(), "::": socket.gethostname()}
    host = names.get(config.host, config.host)
    host = f"[{host}]" if ":" in host else host
    scheme = "https" if config.certificate else "http"
    return f"{scheme}://{host}:{port}/" + (f"#token={config.token}" if config.token else "")


def _open_socket(config: ServeConfig) -> socket.socket:
    family = socket.AF_INET6 if ":" in config.host else socket.AF_INET
    try:
        return socket.create_server((config.host, config.port), family=family, backlog=128)
    except (OSError, UnicodeError) as error:
        raise ConfigError(
            f"host {config.host}, port {config.port}: cannot listen there ({error}); give another"
        ) from error


async def _serve(
    app: LiveApp, config: ServeConfig, listening: socket.socket, on_start: Callable[[str], None]
) -> None:
    try:
        await app.warm_up()
    except WorkerDiedError as error:
        raise EngineError(f"sessions cannot start: {error}") from error
    on_start(format_url(config, listening.getsockname()[1]))
    await make_server(app, config).serve(sockets=[listening])


def make_server(app: LiveApp, config: ServeConfig) -> uvicorn.Server:
    """A uvicorn server that keeps clients to the limits, and logs nothing about them."""
    import uvicorn

    return uvicorn.Server(
        uvicorn.Config(
            app,
            http=_make_protocol(4 * config.sessions + CONNECTIONS),
            ws="websockets-sansio",  # one message at a time is read ahead
            ws_max_size=config.limits.picture_bytes + 1024,
            ws_per_message_deflate=False,  # nothing unfolds
            ws_ping_interval=20.0,
            ws_ping_timeout=20.0,
            lifespan="on",
            log_config=None,
            log_level="critical",  # what clients do wrong is not worth a line
            access_log=False,
            server_header=False,
            proxy_headers=False,
            ssl_certfile=config.certificate,
            ssl_keyfile=config.key,
            timeout_graceful_shutdown=SHUTDOWN_S,
        )
    )


def _make_protocol(most_connections: int) -> type[asyncio.Protocol]:
    """uvicorn's HTTP protocol, with a limit on connections, and on the time of a request."""
    from uvicorn.protocols.http.h11_impl import H11Protocol

    class LimitedProtocol(H11Protocol):
        def connection_made(self, transport: Any) -> None:
            is_refused = len(self.connections) >= most_connections
            super().connection_made(transport)
            sock = transport.get_extra_info("socket")
            if sock is not None and hasattr(socket, "TCP_USER_TIMEOUT"):
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, UNREAD_S * 1000)
            self._deadline = self.loop.call_later(REQUEST_S, self._give_up)
            if is_refused:
                transport.abort()

        def connection_lost(self, exc: Exception | None) -> None:
            self._deadline.cancel()
            super().connection_lost(exc)

        def _give_up(self) -> None:
            """Drop a connection that has not sent a whole request, and is no WebSocket."""
            has_request = bool(getattr(self, "cycle", None))
            if not has_request and self in self.connections:
                self.transport.abort()

    return LimitedProtocol
