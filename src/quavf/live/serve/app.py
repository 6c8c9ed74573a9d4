"""The live server as an ASGI application: the page, the WebSocket, and a check of its health."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from urllib.parse import urlsplit

from starlette.applications import Starlette
from starlette.requests import HTTPConnection, Request
from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse, Response
from starlette.routing import Route, WebSocketRoute
from starlette.types import ASGIApp, Receive, Scope, Send
from starlette.websockets import WebSocket

from quavf.live.serve.config import ServeConfig, is_loopback
from quavf.live.serve.conversation import Conversation
from quavf.live.serve.page import render_page
from quavf.live.serve.pool import Pool
from quavf.live.serve.processes import Loader

SOCKET_PATH = "/live"


class LiveApp:
    """An ASGI application with its pool of sessions; used by uvicorn and by Ray Serve."""

    def __init__(self, loader: Loader, config: ServeConfig) -> None:
        self.config = config
        self.pool = Pool(loader, config.limits, config.sessions)
        self._is_warm = False
        routes = [
            Route("/", self._get_page),
            Route("/health", self._get_health),
            WebSocketRoute(SOCKET_PATH, self._converse),
        ]
        self._app: ASGIApp = Starlette(routes=routes, lifespan=self._live)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] in ("http", "websocket"):
            refusal = find_refusal(HTTPConnection(scope), self.config)
            if refusal is not None:
                await _refuse(refusal, scope, receive, send)
                return
        await self._app(scope, receive, send)

    async def warm_up(self) -> None:
        """Load the networks once, ahead of the first client. Raises WorkerDiedError."""
        if not self._is_warm:
            await self.pool.warm_up()
            self._is_warm = True

    @contextlib.asynccontextmanager
    async def _live(self, _: Starlette) -> AsyncIterator[None]:
        await self.warm_up()
        yield
        await self.pool.close()

    async def _get_page(self, _: Request) -> Response:
        text, headers = render_page()
        return HTMLResponse(text, headers=headers)

    async def _get_health(self, _: Request) -> Response:
        return JSONResponse({"sessions": self.pool.active, "most": self.pool.most})

    async def _converse(self, websocket: WebSocket) -> None:
        await Conversation(websocket, self.pool, self.config).run()


def find_refusal(connection: HTTPConnection, config: ServeConfig) -> str | None:
    """Why a request is refused by its headers; None: it is not.

    Without a token, only names of this machine are answered: a page elsewhere, whose name was
    made to point here, gets nothing. Pages of other origins may not connect.
    """
    host, origin = connection.headers.get("host", ""), connection.headers.get("origin")
    places = {urlsplit(allowed).netloc for allowed in config.origins}
    if config.token is None and host not in places and not is_loopback(_name(host)):
        return f"the host {host!r:.80} is not served without a token"
    if connection.scope["type"] == "websocket" and origin is not None:
        place = urlsplit(origin).netloc
        if place != host and place not in places:
            return f"pages of the origin {origin!r:.80} may not connect"
    return None


def _name(host: str) -> str:
    """The host's name or address, without its port."""
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""


async def _refuse(reason: str, scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] == "websocket":
        await WebSocket(scope, receive, send).close()  # before accepting: HTTP 403
    else:
        await PlainTextResponse(f"{reason}\n", status_code=403)(scope, receive, send)
