"""A stand-in for the Hugging Face Hub on this machine: the endpoints that its library calls."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote, urlparse

TOKEN = "hf_of_the_owner"


@dataclass
class Repository:
    """Commits, each a number and its files, the newest last; a tag for each that has one."""

    private: bool = False
    commits: list[dict[str, bytes]] = field(default_factory=lambda: [{}])
    tags: dict[str, int] = field(default_factory=dict)

    def find(self, revision: str) -> int | None:
        if revision == "main":
            return len(self.commits) - 1
        shas = [sha_of(index) for index in range(len(self.commits))]
        return shas.index(revision) if revision in shas else self.tags.get(revision)


def sha_of(index: int) -> str:
    return hashlib.sha1(str(index).encode()).hexdigest()


@dataclass
class Hub:
    """The state of the Hub, and every path that was asked for."""

    address: str = ""
    repositories: dict[str, Repository] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    down: bool = False


class _Handler(BaseHTTPRequestHandler):
    hub: Hub

    def log_message(self, *args: Any) -> None:
        """Keep the output of tests quiet."""

    def do_GET(self) -> None:
        self._answer(with_body=True)

    def do_HEAD(self) -> None:
        self._answer(with_body=False)

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        path = urlparse(self.path).path
        self.hub.asked.append(f"POST {path}")
        if self.headers.get("Authorization") != f"Bearer {TOKEN}":
            return self._fail(401, "")
        if path == "/api/repos/create":
            return self._create(json.loads(body))
        if path == "/api/validate-yaml":
            return self._send(200, {"errors": [], "warnings": []})
        found = re.fullmatch(r"/api/models/([^/]+/[^/]+)/(preupload|commit)/main", path)
        if found is None or found[1] not in self.hub.repositories:
            return self._fail(404, "RepoNotFound")
        if found[2] == "preupload":
            files = [
                {"path": f["path"], "uploadMode": "regular", "shouldIgnore": False}
                for f in json.loads(body)["files"]
            ]
            return self._send(200, {"files": files})
        return self._commit(found[1], body)

    def _create(self, wanted: dict[str, Any]) -> None:
        name = "/".join(filter(None, (wanted.get("organization"), wanted["name"])))
        private = bool(wanted.get("private")) or wanted.get("visibility") == "private"
        exists = name in self.hub.repositories
        self.hub.repositories.setdefault(name, Repository(private))
        self._send(409 if exists else 200, {"url": f"{self.hub.address}/{name}", "id": name})

    def _commit(self, name: str, body: bytes) -> None:
        repository = self.hub.repositories[name]
        files = dict(repository.commits[-1])
        for line in map(json.loads, body.splitlines()):
            if line["key"] == "file":
                files[line["value"]["path"]] = base64.b64decode(line["value"]["content"])
        repository.commits.append(files)
        sha = sha_of(len(repository.commits) - 1)
        address = f"{self.hub.address}/{name}/commit/{sha}"
        self._send(200, {"success": True, "commitOid": sha, "commitUrl": address})

    def _answer(self, with_body: bool) -> None:
        path = unquote(urlparse(self.path).path)
        self.hub.asked.append(path)
        if self.hub.down:
            return self._fail(503, "")
        api = re.fullmatch(r"/api/models/([^/]+/[^/]+)(?:/(revision|tree)/([^/]+))?", path)
        file = re.fullmatch(r"/([^/]+/[^/]+)/resolve/([^/]+)/(.+)", path)
        match = api or file
        repository = self.hub.repositories.get(match[1]) if match else None
        owns = self.headers.get("Authorization") == f"Bearer {TOKEN}"
        if match is None or repository is None or (repository.private and not owns):
            return self._fail(401 if repository else 404, "RepoNotFound")
        revision = (api[3] or "main") if api else match[2]
        if (index := repository.find(revision)) is None:
            return self._fail(404, "RevisionNotFound")
        files = repository.commits[index]
        if api and api[2] == "tree":
            return self._send(200, [_describe(*item) for item in files.items()])
        if api:
            siblings = [{"rfilename": name} for name in files]
            facts = {"id": api[1], "sha": sha_of(index), "private": repository.private}
            return self._send(200, {**facts, "siblings": siblings, "tags": [], "downloads": 0})
        return self._send_file(files.get(match[3]), index, with_body)

    def _send_file(self, content: bytes | None, index: int, with_body: bool) -> None:
        if content is None:
            return self._fail(404, "EntryNotFound")
        self.send_response(200)
        self.send_header("X-Repo-Commit", sha_of(index))
        self.send_header("ETag", f'"{hashlib.sha1(content).hexdigest()}"')
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if with_body:
            self.wfile.write(content)
        return None

    def _send(self, status: int, content: Any) -> None:
        body = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def _fail(self, status: int, code: str) -> None:
        self.send_response(status)
        if code:
            self.send_header("X-Error-Code", code)
        self.send_header("Content-Length", "0")
        self.end_headers()


def _describe(path: str, content: bytes) -> dict[str, Any]:
    oid = hashlib.sha1(content).hexdigest()
    return {"type": "file", "path": path, "size": len(content), "oid": oid}


@contextmanager
def serve_hub() -> Iterator[Hub]:
    """A Hub on a free port of the loopback interface, until the block ends."""
    hub = Hub()
    handler = type("Handler", (_Handler,), {"hub": hub})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    hub.address = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
