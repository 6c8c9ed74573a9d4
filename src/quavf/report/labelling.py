"""A small server on this machine in whose pages people label; it saves beside each result.

Only someone who knows the token reaches it, and only its own pages can save: the address must be
this machine's (no name that somebody else points here), and the origin must be the server itself.
"""

from __future__ import annotations

import html
import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock
from urllib.parse import quote

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import FileResponse, HTMLResponse, JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from quavf.core.errors import QuavfError
from quavf.report.video import (
    LabelServer,
    clean_text,
    fill_template,
    place_video,
    render_head,
    render_report,
)
from quavf.report.words import format_length
from quavf.results.label_file import ConflictError, LabelFile
from quavf.results.labels import VideoLabels
from quavf.results.video import VideoResult

HOST = "127.0.0.1"
MOST_BYTES = 16 << 20  # of labels that are sent
HEADERS = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}


@dataclass
class LabelApp:
    """Pages of the results in `folders`, by name, and where their labels are saved."""

    folders: Mapping[str, Path]
    token: str = field(default_factory=lambda: secrets.token_urlsafe(16))
    _lock: Lock = field(default_factory=Lock, repr=False)
    _videos: dict[str, tuple[str | None, float]] = field(default_factory=dict, repr=False)

    def build(self) -> Starlette:
        """The ASGI application."""
        routes = [
            Route("/{token}/", self._list),
            Route("/{token}/{name}/", self._page),
            Route("/{token}/{name}/labels", self._save, methods=["PUT"]),
            Route("/{token}/{name}/{file}", self._video),
        ]
        hosts = Middleware(TrustedHostMiddleware, allowed_hosts=[HOST, "localhost"])
        return Starlette(routes=routes, middleware=[hosts])

    def _folder(self, request: Request) -> Path:
        """The folder that a request names. Raises 404 for any other, and without the token."""
        params = request.path_params
        known = secrets.compare_digest(params["token"].encode(), self.token.encode())
        folder = self.folders.get(params.get("name", ""))
        if not known or (folder is None and "name" in params):
            raise HTTPException(404)
        return folder or Path()

    def _list(self, request: Request) -> Response:
        self._folder(request)
        if len(self.folders) == 1:
            return RedirectResponse(f"{quote(next(iter(self.folders)))}/", headers=HEADERS)
        title = "Videos to label"
        values = {
            "head": render_head(title),
            "title": title,
            "lede": "Choose a video. Labels are saved beside its result.",
            "pages": "".join(_item(name, LabelFile(path)) for name, path in self.folders.items()),
        }
        return HTMLResponse(fill_template("index.html", values), headers=HEADERS)

    def _page(self, request: Request) -> Response:
        folder = self._folder(request)
        result = VideoResult.read(folder)
        with self._lock:
            if folder.name not in self._videos:
                self._videos[folder.name] = place_video(result, folder)
            file = LabelFile(folder)
            labels, revision = file.read(), file.revision()
        content = None if labels is None else labels.to_json()
        server = LabelServer("labels", revision, content, secrets.token_urlsafe(6))
        video, offset_s = self._videos[folder.name]
        page = render_report(result, video, offset_s, server, labels)
        return HTMLResponse(page, headers=HEADERS)

    def _video(self, request: Request) -> Response:
        folder = self._folder(request)
        name, _ = self._videos.get(folder.name, (None, 0.0))
        if name is None or request.path_params["file"] != name:
            raise HTTPException(404)
        return FileResponse(folder / name, headers=HEADERS)  # answers ranges: players seek by them

    async def _save(self, request: Request) -> Response:
        folder = self._folder(request)
        origin = request.headers.get("origin")
        if origin != f"http://{request.headers['host']}" or "x-quavf" not in request.headers:
            raise HTTPException(403)
        body = bytearray()
        async for part in request.stream():
            body += part
            if len(body) > MOST_BYTES:
                raise HTTPException(413)
        based_on = request.headers.get("if-match")
        return await run_in_threadpool(self._write, folder, bytes(body), based_on)

    def _write(self, folder: Path, body: bytes, based_on: str | None) -> Response:
        file = LabelFile(folder)
        with self._lock:
            try:
                labels = VideoLabels.from_json(json.loads(body))
                revision = file.write(labels, based_on)
            except ConflictError:
                there = file.read()
                content = {"revision": file.revision(), "labels": there and there.to_json()}
                return JSONResponse(content, 409, headers=HEADERS)
            except (QuavfError, ValueError, RecursionError) as error:
                return JSONResponse({"error": str(error)}, 400, headers=HEADERS)
        return JSONResponse({"revision": revision, "file": file.path.name}, headers=HEADERS)


def _item(name: str, file: LabelFile) -> str:
    """One video in the list, with how much of it is labelled."""
    try:
        labels = file.read()
        seconds = 0.0 if labels is None else labels.labelled_s
        said = f"{format_length(seconds)} labelled" if seconds else "nothing labelled"
    except QuavfError as error:
        said = str(error)
    shown = html.escape(clean_text(name))
    return (
        f'<li><a href="{html.escape(quote(name))}/">{shown}</a>'
        f"<div>{html.escape(clean_text(said))}</div></li>"
    )
